"""How much memory this process may still take."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from stylebatch.system.control_groups import Group, control_groups, words_of

MEMINFO = Path("/proc/meminfo")
# By version: the limit, what is taken, and how `memory.stat` names what may be dropped of that.
_FILES = {
    2: ("memory.max", "memory.current", "inactive_file"),
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def available_bytes() -> int | None:
    """Return how much memory is to be had without others losing any; None where nothing tells.

    What the machine has available, and no more than each control group leaves. Where there is no
    `/proc/meminfo` (macOS), half of what the machine has.
    """
    machine = _of_machine()
    if machine is None:
        return None
    return max(0, min([machine, *_left_in_groups()]))


def _of_machine() -> int | None:
    try:
        text = MEMINFO.read_text(encoding="ascii", errors="replace")
    except OSError:
        return _half_of_all()
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else _half_of_all()


def _half_of_all() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, OSError, ValueError):
        return None


def _left_in_groups() -> Iterator[int]:
    for group in control_groups("memory"):
        limit, taken, droppable = _FILES[group.version]
        most, used = words_of(group.folder / limit), words_of(group.folder / taken)
        if most and used and most[0].isdecimal() and used[0].isdecimal():
            yield int(most[0]) - int(used[0]) + _stat(group, droppable)


def _stat(group: Group, name: str) -> int:
    words = words_of(group.folder / "memory.stat")
    return int(words[words.index(name) + 1]) if name in words[:-1] else 0
