"""What the machine is: card, driver, torch, CUDA, cuDNN, processor."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version

import torch

from benchmarks.gpu.task import Task
from benchmarks.setting.machine import cpu_model, cudnn_version
from stylebatch.device.choice import precision_name
from stylebatch.system.cores import usable_cores

QUERY = "name,driver_version,memory.total,power.limit,clocks.max.sm"
PACKAGES = ("stylebatch", "torchvision", "numpy", "pillow", "safetensors", "pytest")


def measure(task: Task) -> None:
    """Note the facts."""
    task.notes.facts(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        device=task.device,
        processor=f"{cpu_model()}, {usable_cores()} of {os.cpu_count()} cores usable",
        system=platform.platform(),
        python=platform.python_version(),
        torch=torch.__version__,
        CUDA=str(torch.version.cuda),
        cuDNN=cudnn_version(),
        threads=torch.get_num_threads(),
        precision=f"auto is {precision_name('auto', task.device)}",
        **{name: _version(name) for name in PACKAGES},
    )
    if not task.is_cuda:
        task.notes.leave_out("Everything of a GPU", "this session ran on the CPU")
        return
    facts = torch.cuda.get_device_properties(task.device)
    task.notes.facts(
        card=facts.name,
        memory=f"{facts.total_memory / 2**30:.1f} GiB",
        capability=f"{facts.major}.{facts.minor}",
        multiprocessors=facts.multi_processor_count,
        cards=torch.cuda.device_count(),
    )
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        task.notes.leave_out("Driver, power and clocks", f"nvidia-smi: {error}")
    else:
        head, *lines = done.stdout.splitlines()
        for line in lines:
            names, values = head.split(", "), line.split(", ")
            task.notes.row("nvidia-smi", **dict(zip(names, values, strict=True)))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
