"""The numbers of a run while it goes on, and what can end it before its plan does."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from stylebatch.records import WorkerJoined
from stylebatch.run.pace import Pace


class Stop(StrEnum):
    """Why a run ended before its plan did."""

    DEADLINE = "deadline"
    SIGNAL = "signal"
    MAX_FAILURES = "max_failures"


@dataclass(slots=True)
class StopRequest:
    """Set from outside (a signal handler): once to end soon, twice to stop at once."""

    count: int = 0


class Finishing(NamedTuple):
    """What it takes to finish the images in slots; `is_at_most`: they may end earlier."""

    images: int
    seconds: float | None
    is_at_most: bool


@dataclass(slots=True)
class Tally:
    """The numbers of a run so far.

    Attributes:
        total: images to make in this run.
        failed: but for those that were rejected.
        evaluations: of single images.
        running: images in slots, by worker.
        devices: of the workers that are there.
        joined: how each worker, also one that has gone, has announced itself last.
        there_s, busy_s: seconds that a worker was there, and those in which its device had
            something to do; of those that died too. Known once the loop has ended.
        pace: how fast the first worker's kind of device is, from earlier runs too.
        left_s: seconds until all is done, None while nobody can tell.
        most_left_s: the same where no image ends early.
        furthest: the evaluation of the furthest image in a slot, and the most that it takes.
        finishing: what it takes to finish what is in slots, once the run is stopped.
        saved: images that were saved half-made when the run was stopped.
        resumed: images that were so before, and gone on with.
        shortest_s: what the shortest image takes, where the deadline left less than that.
    """

    total: int
    done: int = 0
    failed: int = 0
    evaluations: int = 0
    running: dict[int, int] = field(default_factory=dict)
    devices: dict[int, str] = field(default_factory=dict)
    joined: dict[int, WorkerJoined] = field(default_factory=dict)
    there_s: dict[int, float] = field(default_factory=dict)
    busy_s: dict[int, float] = field(default_factory=dict)
    pace: Pace = field(default_factory=Pace)
    left_s: float | None = None
    most_left_s: float | None = None
    furthest: tuple[int, int] | None = None
    finishing: Finishing | None = None
    stopped_by: Stop | None = None
    rejected: int = 0
    saved: int = 0
    resumed: int = 0
    shortest_s: float | None = None

    def join(self, event: WorkerJoined) -> None:
        """Take that a worker is there."""
        self.devices[event.worker] = event.device
        self.joined[event.worker] = event

    @property
    def ended(self) -> int:
        """How many images have come to their end, whichever."""
        return self.done + self.failed + self.rejected
