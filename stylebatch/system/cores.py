"""Which processor cores this process may use: its affinity, and its control group's quota."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

from stylebatch.system.control_groups import control_groups, words_of

TOPOLOGY = Path("/sys/devices/system/cpu")


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
    return max(1, min([cores, *(int(quota) for quota in _quotas())]))


def computing_cores() -> int:
    """Return how many usable cores compute at once: threads of one core share what multiplies."""
    usable, whole = usable_cores(), len(_by_core(allowed_cores()))
    return min(usable, whole) if whole else usable


def share_cores(cores: Sequence[int], count: int) -> list[tuple[int, ...]]:
    """Deal cores out in runs of neighbours, as evenly as it goes; () where there are too few.

    What the system counts as several but is one core stays together, where there are as many cores
    as shares.
    """
    whole = _by_core(cores)
    if len(whole) < count:
        whole = [(core,) for core in cores]
    if len(whole) < count:
        return [()] * count
    bounds = [len(whole) * number // count for number in range(count + 1)]
    return [tuple(chain.from_iterable(whole[start:end])) for start, end in pairwise(bounds)]


def _by_core(cores: Sequence[int]) -> list[tuple[int, ...]]:
    """Put together what the system counts as several and is one core (hyper-threads), in order."""
    found: dict[str, list[int]] = {}
    for core in cores:
        told = words_of(TOPOLOGY / f"cpu{core}/topology/thread_siblings_list")
        found.setdefault(" ".join(told) or f"only {core}", []).append(core)
    return [tuple(together) for together in found.values()]


def _quotas() -> Iterator[float]:
    """Yield the quota, in cores, of each control group that this process is in, parents too.

    Version 2 (`cpu.max`: quota and period, or max) and version 1 (`cpu.cfs_quota_us`, -1: none).
    """
    for group in control_groups("cpu"):
        if group.version == 2:
            yield from _quota(*words_of(group.folder / "cpu.max"))
        else:
            quota = words_of(group.folder / "cpu.cfs_quota_us")
            yield from _quota(*quota, *words_of(group.folder / "cpu.cfs_period_us"))


def _quota(*words: str) -> Iterator[float]:
    if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
        yield int(words[0]) / int(words[1])
