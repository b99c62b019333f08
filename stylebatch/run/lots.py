"""Lots: how many jobs of one shape follow each other, and where the next of a group lies."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stylebatch.records import Group, Job, Shape, num_slots

# Of one shape before another has its turn: so many times a worker's slots, and never fewer than
# this. A change of shapes costs what the last of a lot leave empty.
LOT_SLOTS, MIN_LOT = 4, 16
_READ_AHEAD = 64


class JobSource(Protocol):
    """Where jobs come from, a few at a time."""

    def groups(self) -> Sequence[Group]:
        """Return what is to be done, by settings and shape."""

    def middles(self) -> Mapping[Shape, float]:
        """Return where, from 0 to 1, the jobs of each group lie in the mean, of all jobs."""

    def take(self, group: Group, limit: int, taken: int = 0) -> Sequence[Job]:
        """Return the next jobs of a group, in a fixed order, after so many."""


def lot_of(group: Group, pixel_budget: int) -> int:
    """Return how many jobs of a group follow each other before another has its turn."""
    return max(LOT_SLOTS * num_slots(group.width, group.height, pixel_budget), MIN_LOT)


@dataclass(eq=False)
class Queue:
    """A group's jobs that no worker has had yet.

    Attributes:
        middle: where its jobs lie in the mean, from 0 to 1, of all.
        number: of the queue; of those that lie alike the first has its turn first.
        is_open: whether it waits for its next turn.
        begun: outputs that an earlier run has begun, and that no worker has had yet: they lie ahead
            from the start.
    """

    group: Group
    left: int
    middle: float
    number: int
    ahead: deque[Job] = field(default_factory=deque)
    read: int = 0
    is_open: bool = False
    begun: set[str] = field(default_factory=set)
    _put_first: frozenset[str] = frozenset()

    def put_first(self, jobs: Iterable[Job]) -> None:
        """Let jobs of the group, whose source has them as well, lie ahead of all others."""
        self.ahead.extend(jobs)
        self.begun = {job.output for job in self.ahead}
        self._put_first = frozenset(self.begun)

    def place(self, lot: int, reserved: int = 0) -> float:
        """Return where the next lot lies, from 0 to 1; past that where all is in others' hands."""
        size, left = self.group.num_jobs, self.left - reserved
        if left <= 0:
            return 2.0
        return self.middle if size <= lot else (size - left + min(lot, left) / 2) / size

    def pop(self, source: JobSource, count: int) -> list[Job]:
        jobs: list[Job] = []
        while len(jobs) < count and self.left:
            if not (self.ahead or self._read_on(source)):
                self.left = 0
                break
            jobs.append(self.ahead.popleft())
            self.begun.discard(jobs[-1].output)
            self.left -= 1
        return jobs

    def _read_on(self, source: JobSource) -> bool:
        """Take more of the source; return whether it had any."""
        while not self.ahead:
            found = source.take(self.group, _READ_AHEAD, self.read)
            if not found:
                return False
            self.read += len(found)
            self.ahead.extend(job for job in found if job.output not in self._put_first)
        return True
