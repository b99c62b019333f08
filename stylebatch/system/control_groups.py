"""The control groups that this process is in, whose limits are its own (cgroups(7))."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


class Group(NamedTuple):
    """One group that a process is in: the version of its files, and where these are."""

    version: int
    folder: Path


def control_groups(controller: str) -> Iterator[Group]:
    """Yield the groups that limit what a controller hands out, from this process's own upwards.

    In a container the groups' names may be the host's: then the mount's own root counts.
    """
    try:
        lines = PROC.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from (Group(2, folder) for folder in _upwards(CGROUPS, path))
        elif controller in controllers.split(","):
            yield from (Group(1, folder) for folder in _upwards(CGROUPS / controllers, path))


def _upwards(root: Path, path: str) -> Iterator[Path]:
    folder = root / path.strip("/")
    yield folder
    while folder != root:
        folder = folder.parent
        yield folder


def words_of(path: Path) -> list[str]:
    """Return what a group's file says, word by word; [] where there is none."""
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []
