"""The one loop that feeds any executor from the scheduler and takes what comes of it."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from math import inf
from typing import Protocol

from stylebatch.errors import RunError
from stylebatch.executors import Executor
from stylebatch.forecast import Forecast
from stylebatch.limits import CAUTION, Limits
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
from stylebatch.retries import Retries
from stylebatch.scheduler import Scheduler
from stylebatch.system.crash_points import reached
from stylebatch.tally import Stop, StopRequest, Tally
from stylebatch.watchdog import Watchdog

POLL_S = 0.1
RECORD_EVERY_S = 0.25
LOOK_EVERY_S = 1.0
# Of one worker in a row, with nothing in flight.
MAX_IDLE_DEATHS = 6


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

    def tick(self, tally: Tally) -> None:
        """Take the numbers, several times a second."""


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
        limits: Limits | None = None,
        paces: dict[str, Pace] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a run's parts together.

        Args:
            paces: by kind of device, from earlier runs; what is measured is added.
            check: raises what concerns the whole run (an output that has vanished).
        """
        self._executor, self._scheduler = executor, scheduler
        self._book, self._watcher, self._stop = book, watcher, stop
        self._limits = limits or Limits()
        forecast = Forecast({} if paces is None else paces, self._limits.most_evaluations)
        self._forecast, self._check = forecast, check
        self._retries = Retries(self._limits.max_retries, self._limits.retry_s)
        self._watchdog = Watchdog(self._limits.image_timeout_s)
        self._unrecorded: list[JobDone | JobFailed] = []
        self._recorded_at = self._looked_at = time.monotonic()
        self._told_to_drop: set[int] = set()
        self._idle_deaths, self._is_draining = Counter[int](), False
        self.tally = Tally(scheduler.left, there_s=forecast.there_s, busy_s=forecast.busy_s)

    def run(self) -> Tally:
        """Run until the end; everything that workers committed is recorded whatever happens.

        Raises:
            RunError: the output is lost, or workers don't live.
            WorkerError: an error of stylebatch's own in a worker.
        """
        at_once = True
        try:
            for worker in self._executor.start():
                self._watchdog.started(worker)
            while not self._scheduler.is_finished and self._stop.count < 2:
                self._turn()
            if self._stop.count:
                self.tally.stopped_by = Stop.SIGNAL
            self._watcher.tick(self.tally)
            at_once = self._stop.count >= 2
        finally:
            for worker in self.tally.devices:
                self._forecast.left(worker)
            # Also when something was raised: what is committed is then still recorded.
            try:
                self._record()
            finally:
                self._executor.stop(at_once)
        return self.tally

    def _turn(self) -> None:
        if self._stop.count:
            self._drain(Stop.SIGNAL)
        for job in self._retries.due(time.monotonic()):
            self._scheduler.again(job)
        if not self.tally.devices and self._limits.left_s(time.monotonic()) <= 0:
            # Nobody is there yet who could be told that it is too late.
            self._drain(Stop.DEADLINE)
        self._feed({worker: self._jobs_for(worker) for worker in self.tally.devices})
        for event in self._executor.poll(POLL_S):
            self._take(event)
        self._end_silent_workers()
        now = time.monotonic()
        if now - self._recorded_at >= RECORD_EVERY_S:
            self._record()
            self._watcher.tick(self.tally)
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._check()
            num_jobs = self._scheduler.left + self._scheduler.in_flight
            self.tally.left_s = self._forecast.left_s(self._scheduler.groups_left(), num_jobs)

    def _feed(self, handed: dict[int, list[Job]]) -> None:
        """Give workers their jobs: noted in one transaction, which waits for the disk."""
        if not any(handed.values()):
            return
        self._book.claim([job for jobs in handed.values() for job in jobs])
        reached("claimed")
        for worker, jobs in handed.items():
            if jobs:
                self._executor.submit(worker, jobs)
                reached("submitted")

    def _jobs_for(self, worker: int) -> list[Job]:
        """Take what a worker has room for and can finish in time."""
        left_s = self._limits.left_s(time.monotonic())
        if left_s == inf:
            return self._scheduler.jobs_for(worker)
        takes_s = partial(self._limits.image_s, self._forecast.pace(worker))
        in_flight = self._scheduler.shapes_in_flight(worker)
        begun_s = CAUTION * self._forecast.begun_s(worker)
        busy_s = max(0.0, sum(map(takes_s, in_flight)) - begun_s)
        if busy_s > CAUTION * left_s:
            # It has become slower. What it has not begun goes back, and may be too much.
            self._drain_queue(worker)
        jobs = self._scheduler.jobs_for(worker, left_s - busy_s, takes_s)
        is_over = left_s <= 0 or self._scheduler.has_passed_over_all(worker)
        if not (jobs or in_flight) and is_over and self._scheduler.left:
            self.tally.stopped_by = self.tally.stopped_by or Stop.DEADLINE
            self._scheduler.close(worker, others_come=self._watchdog.is_starting)
        return jobs

    def _drain_queue(self, worker: int) -> None:
        """Let a worker forget what is in no slot; once, until it has answered."""
        is_waiting = self._scheduler.num_in_flight(worker) > self.tally.running.get(worker, 0)
        if is_waiting and worker not in self._told_to_drop:
            self._told_to_drop.add(worker)
            self._executor.drain(worker)

    def _drain(self, why: Stop) -> None:
        if self._is_draining:
            return
        self._is_draining = True
        self.tally.stopped_by = why
        self._scheduler.stop_admitting()
        for worker in self.tally.devices:
            self._executor.drain(worker)

    def _end_silent_workers(self) -> None:
        busy = {each for each in self.tally.devices if self._scheduler.num_in_flight(each)}
        for worker, limit_s in self._watchdog.silent(time.monotonic(), busy).items():
            reason = f"no answer for {limit_s:.0f} s: killed (run.image_timeout)"
            self._watchdog.heard(worker)
            self._executor.kill(worker, reason)

    def _record(self) -> None:
        if self._unrecorded:
            self._book.record(self._unrecorded)
            self._unrecorded = []
        self._recorded_at = time.monotonic()

    def _take(self, event: Event) -> None:
        match event:
            case WorkerJoined():
                self._welcome(event)
            case JobFailed(is_transient=True) if self._is_tried_again(event):
                return
            case JobDone() | JobFailed():
                self._watchdog.heard(event.worker)
                self._finish(event)
            case JobsDropped(worker, outputs):
                self._told_to_drop.discard(worker)
                self._scheduler.give_back(worker, outputs)
            case Progress():
                self._progress(event)
            case WorkerLost(worker, reason, _):
                self._bury(worker, reason)
            case RunFailed(_, text, is_ours):
                raise WorkerError(text) if is_ours else RunError.from_text(text)
        self._watcher.event(event)

    def _welcome(self, event: WorkerJoined) -> None:
        self._watchdog.joined(event.worker)
        self._scheduler.worker_joined(event.worker, event.pixel_budget)
        self.tally.devices[event.worker] = event.device
        self._forecast.joined(event.worker, event.device)
        self.tally.pace = self._forecast.pace(min(self.tally.devices))

    def _progress(self, event: Progress) -> None:
        self.tally.running[event.worker] = event.running
        self.tally.evaluations += event.evaluations
        self._forecast.progress(event)
        if event.evaluations:
            self._watchdog.heard(event.worker)

    def _is_tried_again(self, event: JobFailed) -> bool:
        """Let a job wait for its next attempt; what a stopped run leaves, the next one tries."""
        if not self._retries.is_allowed(event.output):
            return False
        job = self._scheduler.hold(event.worker, event.output)
        if job is None or self._is_draining:
            return job is not None
        self._watchdog.heard(event.worker)
        pause_s = self._retries.put(job, time.monotonic())
        count, most = self._retries.attempts(job.output), self._limits.max_retries
        again = f"tried again in {pause_s:.0f} s ({count} of {most})"
        self._watcher.event(Notice(event.worker, f"{job.output}: {event.reason}; {again}"))
        return True

    def _finish(self, event: JobDone | JobFailed) -> None:
        job = self._scheduler.finished(event.worker, event.output)
        self._idle_deaths.pop(event.worker, None)
        if isinstance(event, JobDone):
            self.tally.done += 1
            if job is not None:
                evaluations = int(event.facts.get("evaluations", 0))
                self._forecast.finished(event.worker, job.shape, evaluations)
        else:
            self.tally.failed += 1
            if attempts := self._retries.attempts(event.output):
                event = replace(event, reason=f"{event.reason} ({attempts + 1} attempts)")
        self._unrecorded.append(event)
        reached("events-taken")
        most = self._limits.max_failures
        if most is not None and self.tally.failed >= most:
            self._drain(Stop.MAX_FAILURES)

    def _bury(self, worker: int, reason: str) -> None:
        """Take a dead worker's jobs back and start another; a job that kills workers fails."""
        # Its last events are older than its death: the ledger must have them first.
        self._record()
        self._forecast.left(worker)
        self._watchdog.lost(worker)
        self.tally.devices.pop(worker, None)
        self.tally.running.pop(worker, None)
        self._told_to_drop.discard(worker)
        lost = self._scheduler.worker_lost(worker)
        if lost.was_alone:
            self._count_death(worker, lost.jobs[0], reason)
        self._idle_deaths[worker] += not lost.jobs
        is_given_up = self._idle_deaths[worker] > MAX_IDLE_DEATHS
        if is_given_up and not self._watchdog.is_expecting:
            found = f"workers end before they have made an image ({reason})"
            raise WorkersLostError("workers", found, "", "see `stylebatch doctor`, then run again")
        if is_given_up:
            self._watcher.event(Notice(worker, "its worker is given up: others go on without it"))
        elif not (self._scheduler.is_finished or self._is_draining):
            self._executor.replace(worker)
            self._watchdog.started(worker)

    def _count_death(self, worker: int, job: Job, reason: str) -> None:
        deaths = self._book.add_death(job.output)
        if deaths >= self._limits.max_deaths:
            text = f"its worker died {deaths} times while it was alone with this image ({reason})"
            self._scheduler.drop(job.output)
            self._take(JobFailed(worker, job.output, job.fingerprint, text))
