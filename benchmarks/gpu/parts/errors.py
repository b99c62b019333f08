"""What becomes of runs whose worker is killed or that are stopped, and what is told of devices."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.gpu.projects import Project, Watch, run_project
from benchmarks.gpu.task import Task
from stylebatch.run import StopRequest

ABSENT = "cuda:63"
# What may differ of a card's free memory from what a run has found: others' work.
SPARE_BYTES = 256 * 2**20
ASSERT = """
import sys, torch
from stylebatch.device.errors import is_device_error
there = torch.zeros(3, device=sys.argv[1])
try:
    there.index_select(0, torch.tensor([99], device=sys.argv[1])).sum().item()
except Exception as error:
    print("device error" if is_device_error(error) else f"not known: {error!r}")
else:
    print("no error")
"""
FORK = """
import os, sys, torch
from stylebatch.device.forks import ForkError, settle_after_fork
torch.zeros(3, device=sys.argv[1]).sum().item()
if os.fork() == 0:
    try:
        settle_after_fork(sys.argv[1])
        print("no error", flush=True)
    except ForkError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


def measure(task: Task) -> None:
    """Note a check for each."""
    # More than have a slot at once: up to 16 on a CPU, 128 on a GPU.
    size, photos, steps = (32, 20, 12) if task.is_small else (96, 300, 50)
    many = Project(task.device, photos, 1, size, size, "slim", "shipped", "augment", steps)
    # What was in slots when a worker died is made again one by one.
    few = replace(many, photos=2, steps=3 * steps)
    _name_an_absent_device(task, few)
    before = _free(task)
    _kill_a_worker(task, few)
    _stop_and_go_on(task, many)
    if before is None:
        task.notes.leave_out("Memory that a killed worker leaves behind", "no CUDA device")
        task.notes.leave_out("An assertion on the device, a forked process", "no CUDA device")
        return
    after = _free(task) or 0
    found = f"{before / 2**20:.0f} MB free before, {after / 2**20:.0f} after"
    is_back = after > before - SPARE_BYTES
    task.notes.check("A killed worker's memory is given back", is_back, found)
    said = _say(ASSERT, task.device)
    what = "An assertion that fails on the device is known as the device's failure"
    task.notes.check(what, said == "device error", said)
    said = _say(FORK, task.device)
    is_told = "forked from one that uses the GPU" in said
    task.notes.check("A forked process is told to be spawned", is_told, said)


def _free(task: Task) -> int | None:
    return int(torch.cuda.mem_get_info(task.device)[0]) if task.is_cuda else None


def _say(code: str, device: str) -> str:
    """Return what code prints in a process of its own."""
    command = [sys.executable, "-c", code, device]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()[-300:]


def _name_an_absent_device(task: Task, project: Project) -> None:
    path = project.write(task.folder / "absent")
    command = [sys.executable, "-m", "stylebatch", "run", str(path), "--devices", ABSENT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    is_told = done.returncode == 2 and f"no device '{ABSENT}'; this machine has" in done.stderr
    found = f"exit code {done.returncode}: {done.stderr.strip()}"
    task.notes.check(f"`--devices {ABSENT}` is refused", is_told, found[:300])


def _kill_a_worker(task: Task, project: Project) -> None:
    def kill() -> None:
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, signal.SIGKILL)

    watch = _run(project, task.folder / "killed", kill)
    told = watch.lost[0] if watch.lost else "no worker was lost"
    found = f"{watch.done} of {project.num_images} images; {told}"
    is_whole = watch.done == project.num_images and "SIGKILL" in told
    task.notes.check("A run whose worker is killed is whole", is_whole, found)


def _run(project: Project, folder: Path, act: Callable[[], object]) -> Watch:
    watch = Watch(act)
    run_project(project.write(folder), watch)
    return watch


def _stop_and_go_on(task: Task, project: Project) -> None:
    stop = StopRequest()

    def ask() -> None:
        stop.count = 1

    watch, path = Watch(ask), project.write(task.folder / "stopped")
    first = run_project(path, watch, stop)
    second = run_project(path, Watch())
    made = first["done"] + second["done"]
    found = (
        f"{first['done']} images, exit code {first['exit_code']}, then {second['done']}, "
        f"exit code {second['exit_code']}"
    )
    # A run that was nearly through when it was asked may end as if it had not been.
    is_whole = made == project.num_images and second["exit_code"] == 0
    is_whole = is_whole and first["exit_code"] in (0, 4)
    task.notes.check("A run that is stopped goes on where it was", is_whole, found)
