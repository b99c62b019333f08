"""What came of jobs, on its way into the ledger: many in one transaction."""

from collections.abc import Iterable
from typing import Protocol

from stylebatch.records import Job, JobDone, JobFailed

RECORD_EVERY_S = 0.25


class Book(Protocol):
    """What the loop writes down: the ledger, or nothing for a preview."""

    def claim(self, jobs: Iterable[Job]) -> None:
        """Note jobs as under way before a worker has them."""

    def record(self, events: Iterable[JobDone | JobFailed]) -> None:
        """Take what came of jobs."""

    def add_death(self, output: str) -> int:
        """Count a worker's death in which a job was alone; return how many there are now."""


class Unrecorded:
    """Events that the book does not have yet."""

    def __init__(self, book: Book, now_s: float) -> None:
        self._book, self._recorded_at = book, now_s
        self._events: list[JobDone | JobFailed] = []

    def put(self, event: JobDone | JobFailed) -> None:
        """Keep an event for the next transaction."""
        self._events.append(event)

    def is_due(self, now_s: float) -> bool:
        """Whether the last transaction was long enough ago."""
        return now_s - self._recorded_at >= RECORD_EVERY_S

    def record(self, now_s: float) -> None:
        """Write all of them down, if there are any."""
        if self._events:
            self._book.record(self._events)
            self._events = []
        self._recorded_at = now_s
