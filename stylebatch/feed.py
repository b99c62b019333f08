"""The one loop that feeds any executor from the scheduler and takes what comes of it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from stylebatch.crash_points import reached
from stylebatch.errors import RunError
from stylebatch.executors import Executor
from stylebatch.pace import Pace
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobFailed,
    JobsDropped,
    Notice,
    Progress,
    RunFailed,
    WorkerJoined,
    WorkerLost,
)
from stylebatch.scheduler import Scheduler

POLL_S = 0.1
RECORD_EVERY_S = 0.25
MAX_STARTS_WITHOUT_WORK = 3


class WorkerError(Exception):
    """An error of stylebatch's own in a worker; its text is the traceback."""


class WorkersLostError(RunError):
    """Workers that die before they have done anything."""


class Book(Protocol):
    """What the loop writes down: the ledger, or nothing for a preview."""

    def claim(self, jobs: Iterable[Job]) -> None:
        """Note jobs as under way before a worker has them."""

    def record(self, events: Iterable[JobDone | JobFailed]) -> None:
        """Take what came of jobs."""

    def add_death(self, output: str) -> int:
        """Count a worker's death in which a job was alone; return how many there are now."""


class Watcher(Protocol):
    """Is told how a run goes; `cli.py` shows it."""

    def event(self, event: Event) -> None:
        """Take an event as it comes."""

    def tick(self, tally: "Tally") -> None:
        """Take the numbers, several times a second."""


class Stop(StrEnum):
    """Why a run ended before its plan did."""

    DEADLINE = "deadline"
    SIGNAL = "signal"


@dataclass(slots=True)
class StopRequest:
    """Set from outside (a signal handler): once to finish what is in the slots, twice to stop."""

    count: int = 0


@dataclass(slots=True)
class Tally:
    """The numbers of a run so far.

    Attributes:
        total: images to make in this run.
        evaluations: of single images.
        running: images in slots, by worker.
        devices: of the workers that are there.
        pace: as measured in this run.
        left_s: how long it still takes, None while that is unknown.
    """

    total: int
    done: int = 0
    failed: int = 0
    evaluations: int = 0
    running: dict[int, int] = field(default_factory=dict)
    devices: dict[int, str] = field(default_factory=dict)
    stopped_by: Stop | None = None
    pace: Pace = field(default_factory=Pace)
    left_s: float | None = None


class Feed:
    """Feeds workers until the scheduler has nothing left, a deadline passes or a stop is asked."""

    def __init__(
        self,
        executor: Executor,
        scheduler: Scheduler,
        book: Book,
        watcher: Watcher,
        *,
        stop: StopRequest,
        deadline_at: float | None = None,
        max_deaths: int = 2,
    ) -> None:
        """Put a run's parts together.

        Args:
            deadline_at: of `time.monotonic()`.
            max_deaths: deaths of a worker that was alone with a job after which it has failed.
        """
        self._executor, self._scheduler = executor, scheduler
        self._book, self._watcher = book, watcher
        self._stop, self._deadline_at, self._max_deaths = stop, deadline_at, max_deaths
        self._unrecorded: list[JobDone | JobFailed] = []
        self._recorded_at = time.monotonic()
        self._idle_deaths, self._is_draining = 0, False
        self.tally = Tally(scheduler.left)

    def run(self) -> Tally:
        """Run until the end; everything that workers committed is recorded whatever happens.

        Raises:
            RunError: the output is lost, or workers don't live.
            WorkerError: an error of stylebatch's own in a worker.
        """
        at_once = True
        try:
            self._executor.start()
            while not self._scheduler.is_finished and self._stop.count < 2:
                self._turn()
            if self._stop.count:
                self.tally.stopped_by = Stop.SIGNAL
            self._watcher.tick(self.tally)
            at_once = self._stop.count >= 2
        finally:
            # Also when something was raised: what is committed is then still recorded.
            try:
                self._record()
            finally:
                self._executor.stop(at_once)
        return self.tally

    def _turn(self) -> None:
        self._check_stop()
        for worker in list(self.tally.devices):
            if jobs := self._scheduler.jobs_for(worker):
                self._book.claim(jobs)
                reached("claimed")
                self._executor.submit(worker, jobs)
                reached("submitted")
        for event in self._executor.poll(POLL_S):
            self._take(event)
        if time.monotonic() - self._recorded_at >= RECORD_EVERY_S:
            self._record()
            self._watcher.tick(self.tally)

    def _check_stop(self) -> None:
        if self._stop.count:
            self.tally.stopped_by = Stop.SIGNAL
        late = self._deadline_at is not None and time.monotonic() >= self._deadline_at
        if (self._stop.count or late) and not self._is_draining:
            self._is_draining = True
            self.tally.stopped_by = self.tally.stopped_by or Stop.DEADLINE
            self._scheduler.stop_admitting()
            self._executor.drain()

    def _record(self) -> None:
        if self._unrecorded:
            self._book.record(self._unrecorded)
            self._unrecorded = []
        self._recorded_at = time.monotonic()

    def _take(self, event: Event) -> None:
        match event:
            case WorkerJoined(worker, device, pixel_budget):
                self._scheduler.worker_joined(worker, pixel_budget)
                self.tally.devices[worker] = device
            case JobDone() | JobFailed():
                self._finish(event)
            case JobsDropped(worker, outputs):
                for output in outputs:
                    self._scheduler.finished(worker, output)
            case Progress(worker, running, evaluations):
                self.tally.running[worker] = running
                self.tally.evaluations += evaluations
            case WorkerLost(worker, reason):
                self._bury(worker, reason)
            case RunFailed(_, text, is_ours):
                raise WorkerError(text) if is_ours else RunError.from_text(text)
            case Notice():
                pass
        self._watcher.event(event)

    def _finish(self, event: JobDone | JobFailed) -> None:
        self._scheduler.finished(event.worker, event.output)
        self._unrecorded.append(event)
        reached("events-taken")
        self._idle_deaths = 0
        if isinstance(event, JobDone):
            self.tally.done += 1
        else:
            self.tally.failed += 1

    def _bury(self, worker: int, reason: str) -> None:
        """Take a dead worker's jobs back and start another; a job that kills workers fails."""
        # Its last events are older than its death: the ledger must have them first.
        self._record()
        self.tally.devices.pop(worker, None)
        self.tally.running.pop(worker, None)
        lost = self._scheduler.worker_lost(worker)
        if lost.was_alone:
            self._count_death(worker, lost.jobs[0], reason)
        self._idle_deaths += 1
        if self._idle_deaths > MAX_STARTS_WITHOUT_WORK * self._max_deaths:
            found = f"workers end before they have made an image ({reason})"
            raise WorkersLostError("workers", found, "", "see `stylebatch doctor`, then run again")
        if not self._scheduler.is_finished:
            self._executor.replace(worker)

    def _count_death(self, worker: int, job: Job, reason: str) -> None:
        deaths = self._book.add_death(job.output)
        if deaths >= self._max_deaths:
            text = f"its worker died {deaths} times while it was alone with this image ({reason})"
            self._scheduler.drop(job.output)
            failed = JobFailed(worker, job.output, job.fingerprint, text)
            self._finish(failed)
            self._watcher.event(failed)
