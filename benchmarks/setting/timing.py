"""Acts timed by turns, and how repeats are told."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Name = TypeVar("Name")


def time_by_turns(
    acts: Mapping[Name, Callable[[], object]],
    repeats: int,
    *,
    warm_up: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[Name, list[float]]:
    """Return seconds of each act: by turns, so that what else the machine does meets all alike.

    Args:
        warm_up: turns before those that count.
    """
    seconds: dict[Name, list[float]] = {name: [] for name in acts}
    for turn in range(warm_up + repeats):
        for name, act in acts.items():
            start = clock()
            act()
            if turn >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def describe_repeats(values: Sequence[float], digits: int = 2) -> str:
    """Return a median with its range: `1.23 (1.20–1.31)`."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
