"""One process with all cores, or several that share them; and what they leave of memory's speed.

    python -m benchmarks.speed.processes --shared ../shared    # about four minutes
    python -m benchmarks.speed.processes --quick               # a smoke test

Each way is so many processes, each pinned to its share of the usable cores with a thread for each,
that take the steps of a full batch at the same time, for some seconds; their rates are added up.
Ways take turns. Beside it one process on one core, alone and while every other core copies memory;
and whole runs of a folder by the clock, start and end included, with one worker and as many as
`auto` takes.

What more cores would give is told from these by Amdahl's law for the threads of one process, and
by what one process loses for each that is added: a model, and marked so. On a machine with the
cores, what is measured needs none.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.setting.inputs import add_shared_option, check_shared, full_engine, settings_of
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.timing import describe_repeats
from benchmarks.speed.folder import Work, run_folder, write_squares
from stylebatch.device.choice import choose_precision
from stylebatch.system.cores import allowed_cores, let_threads_sleep, share_cores
from stylebatch.system.heap import keep_freed_memory

# Recipe, architecture, edge, images at once: as many as a worker takes on a CPU.
Setting = tuple[str, str, int, int]
SETTINGS: tuple[Setting, ...] = (
    ("augment", "slim", 64, 16),
    ("augment", "slim", 128, 4),
    ("balanced", "slim", 256, 1),
    ("balanced", "vgg19", 256, 1),
)
# The same of whole runs, and how many images there are.
Run = tuple[str, str, int, int]
RUNS: tuple[Run, ...] = (
    ("augment", "slim", 64, 240),
    ("balanced", "vgg19", 256, 8),
    ("augment", "slim", 64, 8),
)
QUICK_RUNS: tuple[Run, ...] = (("augment", "slim", 32, 4),)
PREDICTED_CORES = (4, 8, 16)
COPIED_BYTES = 2**27
COPY = "copy"
# Evaluations before those that count: the first compile, and fill caches and the solver's history.
WARM_UP = 12
CHILD = "from benchmarks.speed.processes import be_child; be_child()"


@dataclass(frozen=True)
class Way:
    """Processes, each with so many threads on cores of its own."""

    processes: int
    threads: int

    def __str__(self) -> str:
        return f"{self.processes} × {self.threads}"


def main() -> None:
    """Print a table for each setting, then what memory gives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--seconds", type=float, default=4, help="of each way and turn")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one setting, one short turn")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    settings = SETTINGS
    if options.quick:
        options.seconds, options.repeats, settings = 0.2, 1, SETTINGS[:1]
    print(describe_machine(choose_precision("auto", "cpu")))
    cores = allowed_cores() or list(range(os.cpu_count() or 1))
    for setting in settings:
        report_setting(setting, shared, cores, options.seconds, options.repeats)
    report_memory(settings, shared, cores, options.seconds, options.repeats)
    report_runs(shared, cores, QUICK_RUNS if options.quick else RUNS, options.repeats)


def ways_of(cores: int) -> list[Way]:
    """Return one core alone, then every even share of all cores, the fewest processes first."""
    shares = [n for n in range(1, cores + 1) if cores % n == 0]
    return list(dict.fromkeys([Way(1, 1), *(Way(n, cores // n) for n in shares)]))


def report_setting(
    setting: Setting, shared: Path, cores: list[int], seconds: float, repeats: int
) -> None:
    """Print each way's rate and what it is beside one core's, then the model's."""
    ways = ways_of(len(cores))
    rates: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way in ways:
            task = [*map(str, setting), str(shared)]
            given = share_cores(cores[: way.processes * way.threads], way.processes)
            rates[way].append(sum(run_together([(task, each) for each in given], seconds)))
    recipe, arch, edge, images = setting
    print(f"\n{recipe} on {arch}, {edge} px, {images} at once: evaluations of one image a second")
    one = rates[Way(1, 1)]
    for way in ways:
        ratio = describe_repeats([a / b for a, b in zip(rates[way], one, strict=True)])
        print(f"{way!s:>8} {describe_repeats(rates[way], 1):<26} of one core's {ratio}")
    if len(cores) > 1:
        scales = {way: median(rates[way]) / median(one) for way in ways}
        report_model(len(cores), scales[Way(1, len(cores))], scales[Way(len(cores), 1)])


def report_model(cores: int, threads_give: float, processes_give: float) -> None:
    """Print what a machine with more cores would give, as a multiple of one core's rate.

    Args:
        threads_give, processes_give: that of one process on all cores, and of one on each.
    """
    serial, lost = fit(cores, threads_give, processes_give)
    print(f"  model: {100 * serial:.0f} % serial; each process more takes {100 * lost:.1f} %")
    for more in PREDICTED_CORES:
        threads = 1 / (serial + (1 - serial) / more)
        print(
            f"  {more:>3} cores: 1 × {more} {threads:.1f}, {more} × 1 {more * kept(lost, more):.1f}"
        )


def fit(cores: int, threads_give: float, processes_give: float) -> tuple[float, float]:
    """Return the serial share of a process's work, and what each process more takes of a rate.

    Neither is negative: below that it is noise.
    """
    serial = max(0.0, (cores / threads_give - 1) / (cores - 1))
    lost = max(0.0, (cores / processes_give - 1) / (cores - 1))
    return serial, lost


def kept(lost: float, processes: int) -> float:
    """Return what a process keeps of its rate beside the others."""
    return 1 / (1 + lost * (processes - 1))


def report_memory(
    settings: Sequence[Setting],
    shared: Path,
    cores: list[int],
    seconds: float,
    repeats: int,
) -> None:
    """Print how fast memory is copied, and what work on one core keeps while all others copy."""
    copies: dict[int, list[float]] = {1: [], len(cores): []}
    for _ in range(repeats):
        for count, rates in copies.items():
            rates.append(sum(run_together([([COPY], (core,)) for core in cores[:count]], seconds)))
    print("\nmemory copied, GB/s, read and written")
    for count, rates in copies.items():
        print(f"{count:>8} cores {describe_repeats(rates, 1)}")
    if len(cores) == 1:
        return
    print("\none core's rate while the others copy memory, of its rate alone")
    for setting in settings:
        task = [*map(str, setting), str(shared)]
        beside = [([COPY], (core,)) for core in cores[1:]]
        found = []
        for _ in range(repeats):
            alone = run_together([(task, cores[:1])], seconds)[0]
            found.append(run_together([(task, cores[:1]), *beside], seconds)[0] / alone)
        print(f"  {setting[0]} on {setting[1]}, {setting[2]} px: {describe_repeats(found)}")


def report_runs(shared: Path, cores: list[int], runs: Sequence[Run], repeats: int) -> None:
    """Print the seconds of whole runs, with one worker and with `cpu_workers: auto`, by turns."""
    print("\nwhole runs, seconds by the clock")
    for recipe, arch, edge, images in runs:
        taken: dict[int | str, list[float]] = {1: [], "auto": []}
        with tempfile.TemporaryDirectory(prefix="stylebatch-processes-") as name:
            folder = Path(name)
            write_squares(shared, folder / "photos", edge, images)
            for number in range(repeats):
                for workers, found in taken.items():
                    work = Work(recipe, arch, edge, cores, workers)
                    turn = f"{workers}-{number}"
                    found.append(run_folder(shared, folder, "photos", turn, work).wall_s)
        what = f"{images} of {edge} px, {recipe} on {arch}"
        one, several = (describe_repeats(found, 1) for found in taken.values())
        print(f"  {what:<36} one worker {one:<20} auto {several}", flush=True)


def run_together(tasks: Sequence[tuple[list[str], Sequence[int]]], seconds: float) -> list[float]:
    """Return the rate of each task, all begun when the last is ready.

    Args:
        tasks: what a child is told, and its cores.
    """
    let_threads_sleep()
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "MKL_"))
    }
    children = []
    for task, cores in tasks:
        command = [sys.executable, "-c", CHILD, ",".join(map(str, cores)), str(seconds), *task]
        children.append(
            subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        return _rates_of(children)
    finally:
        for child in children:
            child.kill()
            child.communicate()


def _rates_of(children: Sequence[subprocess.Popen[str]]) -> list[float]:
    for child in children:
        assert child.stdout is not None
        if not child.stdout.readline():
            sys.exit("a process ended before it was ready: what it said is above")
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [float(child.stdout.readline()) for child in children if child.stdout is not None]


def be_child() -> None:
    """Get ready, say so, and after a line of input say what was done a second.

    Arguments: cores, seconds, then `copy` or a setting and the shared folder.
    """
    cores, seconds, *task = sys.argv[1:]
    pinned = [int(core) for core in cores.split(",")]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, pinned)
    act, each = _copy() if task == [COPY] else _step(len(pinned), *task)
    act()
    print("ready", flush=True)
    sys.stdin.readline()
    began, done = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < float(seconds):
        act()
        done += 1
    print(done * each / passed, flush=True)


def _copy() -> tuple[Callable[[], object], float]:
    """Return what copies memory once, and the GB that it reads and writes."""
    source = np.ones(COPIED_BYTES, np.uint8)
    target = np.zeros_like(source)
    return lambda: np.copyto(target, source), 2 * COPIED_BYTES / 1e9


def _step(
    threads: int, recipe: str, arch: str, edge: str, images: str, shared: str
) -> tuple[Callable[[], object], float]:
    """Return what evaluates a full batch once, and how many images that is."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    root = Path(shared)
    settings = settings_of(root, recipe, arch, steps=100_000, tolerance=0.0, levels=1)
    with tempfile.TemporaryDirectory(prefix="stylebatch-processes-") as cache:
        engine = full_engine(settings, root, Path(cache), int(edge), int(images), WARM_UP)
    return engine.step, float(images)


if __name__ == "__main__":
    main()
