"""Which processor cores this process may use: its affinity, and its control group's quota."""

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

PROC = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def let_threads_sleep() -> None:
    """Let OpenMP's threads sleep soon where they wait for each other, unless the environment says.

    GNU's spin for milliseconds by default: on cores that others use too that costs several times
    the time and the CPU time, and to sleep at once as much where nobody does. So many turns are a
    compromise (`benchmarks.speed.waiting`). It takes effect only before torch is loaded, and in
    processes that are started from here.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def allowed_cores() -> list[int]:
    """Return the cores of this process's affinity; [] where the system has none (macOS)."""
    if not hasattr(os, "sched_getaffinity"):
        return []
    return sorted(os.sched_getaffinity(0))


def usable_cores() -> int:
    """Return how many cores' time this process may use, at least one."""
    cores = len(allowed_cores()) or os.cpu_count() or 1
    quotas = list(_quotas(PROC, CGROUPS))
    return max(1, min([cores, *(int(quota) for quota in quotas)]))


def share_cores(cores: list[int], count: int) -> list[tuple[int, ...]]:
    """Deal cores out in runs of neighbours, as evenly as it goes; () where there are too few."""
    if len(cores) < count:
        return [()] * count
    bounds = [len(cores) * number // count for number in range(count + 1)]
    return [tuple(cores[start:end]) for start, end in pairwise(bounds)]


def _quotas(proc: Path, cgroups: Path) -> Iterator[float]:
    """Yield the quota, in cores, of each control group that this process is in, parents too.

    Version 2 (`cpu.max`: quota and period, or max) and version 1 (`cpu.cfs_quota_us`, -1: none).
    In a container the groups' names may be the host's: then the mount's own root counts.
    """
    try:
        lines = proc.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _upwards(cgroups, path):
                yield from _quota(*_words(folder / "cpu.max"))
        elif "cpu" in controllers.split(","):
            for folder in _upwards(cgroups / controllers, path):
                quota, period = _words(folder / "cpu.cfs_quota_us"), folder / "cpu.cfs_period_us"
                yield from _quota(*quota, *_words(period))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    folder = root / path.strip("/")
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _quota(*words: str) -> Iterator[float]:
    if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
        yield int(words[0]) / int(words[1])
