"""The one loop that feeds any executor from the scheduler and takes what comes of it."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from stylebatch.errors import RunError
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobFailed,
    JobResumed,
    JobSaved,
    JobsDropped,
    Notice,
    Progress,
    RunFailed,
    WorkerJoined,
    WorkerLost,
)
from stylebatch.run.deadline import Deadline, Room
from stylebatch.run.eta import Forecast
from stylebatch.run.executors import Executor
from stylebatch.run.limits import Limits
from stylebatch.run.pace import Pace
from stylebatch.run.progress import Stop, StopRequest, Tally
from stylebatch.run.retries import Retries
from stylebatch.run.scheduler import Scheduler
from stylebatch.run.unrecorded import Book, Unrecorded
from stylebatch.run.watchdog import Watchdog
from stylebatch.system.crash_points import reached
from stylebatch.system.words import counted

POLL_S = 0.1
LOOK_EVERY_S = 1.0
# Of one worker in a row, with nothing in flight.
MAX_IDLE_DEATHS = 6


class WorkerError(Exception):
    """An error of stylebatch's own in a worker; its text is the traceback."""


class WorkersLostError(RunError):
    """Workers that die before they have done anything."""


class LoopWatcher(Protocol):
    """Is told how the loop goes."""

    def event(self, event: Event) -> None:
        """Take an event as it comes."""

    def tick(self, tally: Tally) -> None:
        """Take the numbers, several times a second."""


class Loop:
    """Feeds workers until the scheduler has nothing left, a deadline passes or a stop is asked."""

    def __init__(
        self,
        executor: Executor,
        scheduler: Scheduler,
        book: Book,
        watcher: LoopWatcher,
        *,
        stop: StopRequest,
        limits: Limits | None = None,
        paces: Mapping[str, Pace] | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Put a run's parts together.

        Args:
            paces: by kind of device, from earlier runs.
            check: raises what concerns the whole run (an output that has vanished).
        """
        self._executor, self._scheduler = executor, scheduler
        self._book, self._watcher, self._stop = book, watcher, stop
        self._limits = limits or Limits()
        self._forecast = Forecast(
            paces or {},
            self._limits.most_evaluations,
            end_early=self._limits.end_early,
            alike=self._limits.alike,
        )
        self._deadline, self._check = Deadline(self._limits, self._forecast), check
        self._retries = Retries(self._limits.max_retries, self._limits.retry_s)
        self._watchdog = Watchdog(self._limits.image_timeout_s)
        self._looked_at = time.monotonic()
        self._unrecorded = Unrecorded(book, self._looked_at)
        self._told_to_drop, self._told = set[int](), set[str]()
        self._has_begun, self._anyway = False, set[int]()
        self._idle_deaths, self._is_draining, self._is_ending = Counter[int](), False, False
        self.tally = Tally(scheduler.left)

    @property
    def paces(self) -> Mapping[str, Pace]:
        """How fast devices are, by kind: what was measured, on top of what was known."""
        return self._forecast.paces

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
            self.tally.there_s = dict(self._forecast.there_s)
            self.tally.busy_s = dict(self._forecast.busy_s)
            # Also when something was raised: what is committed is then still recorded.
            try:
                self._unrecorded.record(time.monotonic())
            finally:
                self._executor.stop(at_once)
        return self.tally

    def _turn(self) -> None:
        if self._stop.count:
            self._drain(Stop.SIGNAL)
        for job in self._retries.due(time.monotonic()):
            self._scheduler.again(job)
        if self._deadline.is_over(time.monotonic()):
            self._drain(Stop.DEADLINE)
        self._feed({worker: self._jobs_for(worker) for worker in self.tally.devices})
        for event in self._executor.poll(POLL_S):
            self._take(event)
        self._end_silent_workers()
        now = time.monotonic()
        if self._unrecorded.is_due(now):
            self._unrecorded.record(now)
            self._watcher.tick(self.tally)
        if now - self._looked_at >= LOOK_EVERY_S:
            self._looked_at = now
            self._check()
            self._look_ahead()

    def _look_ahead(self) -> None:
        num_jobs = self._scheduler.left + self._scheduler.in_flight
        groups = self._scheduler.groups_left()
        self.tally.left_s = self._forecast.left_s(groups, num_jobs)
        self.tally.most_left_s = self._forecast.most_left_s(groups, num_jobs)
        self.tally.furthest = self._forecast.furthest()
        if self.tally.stopped_by:
            self.tally.finishing = self._forecast.finishing()

    def _feed(self, handed: dict[int, list[Job]]) -> None:
        """Give workers their jobs: noted in one transaction, which waits for the disk."""
        if not any(handed.values()):
            return
        self._book.claim([job for jobs in handed.values() for job in jobs])
        reached("claimed")
        for worker, jobs in handed.items():
            if jobs:
                self._has_begun = True
                self._told_to_drop.discard(worker)
                self._executor.submit(worker, jobs)
                reached("submitted")

    def _jobs_for(self, worker: int) -> list[Job]:
        """Take what a worker has room for and can finish in time."""
        in_flight = self._scheduler.shapes_in_flight(worker)
        room = self._deadline.room_of(worker, in_flight, time.monotonic())
        if room.is_behind and worker not in self._anyway:
            # It has become slower. What it has not begun goes back, and may be too much.
            self._drain_queue(worker)
        jobs = self._scheduler.jobs_for(worker, room.free_s, room.takes_s)
        is_over = room.left_s <= 0 or self._scheduler.has_passed_over_all(worker)
        if not (jobs or in_flight) and is_over and self._scheduler.left:
            if room.left_s > 0 and (jobs := self._begin_anyway(worker, room)):
                return jobs
            self.tally.stopped_by = self.tally.stopped_by or Stop.DEADLINE
            self._scheduler.close(worker, others_come=self._watchdog.is_starting)
        return jobs

    def _begin_anyway(self, worker: int, room: Room) -> list[Job]:
        """Begin images that will not be finished in time, where else nothing would be begun.

        Those that have not been finished at the deadline are saved: the next run goes on with them.
        With less time than is worth that, one is begun all the same if else the run would begin
        nothing: or every night would do the same nothing, and a speed that is told wrong be never
        put right.
        """
        is_worth = room.left_s >= self._limits.worth_beginning_s
        is_first = not (self._has_begun or self._watchdog.is_starting)
        if not is_worth and not (is_first and self._scheduler.is_last_open(worker)):
            return []
        jobs = self._scheduler.begin_anyway(worker, room.takes_s, fills_slots=is_worth)
        if jobs:
            self._anyway.add(worker)
            takes_s = room.takes_s(jobs[0].shape)
            takes, left = (f"{each:.0f} s" for each in (takes_s, room.left_s))
            text = f"no image takes less than about {takes}, the deadline leaves {left}: "
            text += f"{counted(len(jobs), 'image')} begun all the same"
            self._watcher.event(Notice(worker, text))
            if not self._has_begun:
                self.tally.shortest_s = takes_s
        return jobs

    def _drain_queue(self, worker: int) -> None:
        """Let a worker forget what is in no slot; once, until it has got more."""
        is_waiting = self._scheduler.num_in_flight(worker) > self.tally.running.get(worker, 0)
        if is_waiting and worker not in self._told_to_drop:
            self._told_to_drop.add(worker)
            self._executor.drain(worker)

    def _drain(self, why: Stop) -> None:
        """Begin nothing more; of a run that is to go on, end soon what has begun as well."""
        is_to_end = why is not Stop.MAX_FAILURES
        if self._is_ending or (self._is_draining and not is_to_end):
            return
        self._is_draining, self._is_ending = True, is_to_end
        self.tally.stopped_by = self.tally.stopped_by or why
        self._scheduler.stop_admitting()
        for worker in self.tally.devices:
            (self._executor.save if is_to_end else self._executor.drain)(worker)
        self._look_ahead()
        self._watcher.tick(self.tally)

    def _end_silent_workers(self) -> None:
        busy = {each for each in self.tally.devices if self._scheduler.num_in_flight(each)}
        for worker, limit_s in self._watchdog.silent(time.monotonic(), busy).items():
            reason = f"no answer for {limit_s:.0f} s: killed (run.image_timeout)"
            self._watchdog.heard(worker)
            self._executor.kill(worker, reason)

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
                self._scheduler.give_back(worker, outputs)
            case JobSaved(worker, output):
                self._watchdog.heard(worker)
                self._scheduler.give_back(worker, [output])
                self.tally.saved += 1
            case JobResumed():
                self.tally.resumed += 1
            case Progress():
                self._progress(event)
            case WorkerLost():
                self._bury(event)
            case Notice(text=text) if text in self._told:
                return  # every worker finds the same
            case Notice(text=text):
                self._told.add(text)
            case RunFailed(_, text, is_ours):
                raise WorkerError(text) if is_ours else RunError.from_text(text)
        self._watcher.event(event)

    def _welcome(self, event: WorkerJoined) -> None:
        self._watchdog.joined(event.worker)
        self._scheduler.worker_joined(event.worker, event.pixel_budget)
        self.tally.join(event)
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
            if job is not None and not job.is_original:
                evaluations = int(event.facts.get("evaluations", 0))
                self._forecast.finished(event.worker, job.shape, evaluations)
        elif event.is_rejected:
            self.tally.rejected += 1
        else:
            self.tally.failed += 1
            if attempts := self._retries.attempts(event.output):
                event = replace(event, reason=f"{event.reason} ({attempts + 1} attempts)")
        self._unrecorded.put(event)
        reached("events-taken")
        most = self._limits.max_failures
        if most is not None and self.tally.failed >= most:
            self._drain(Stop.MAX_FAILURES)

    def _bury(self, event: WorkerLost) -> None:
        """Take a dead worker's jobs back and start another; a job that kills workers fails."""
        worker, reason = event.worker, event.reason
        # Its last events are older than its death: the ledger must have them first.
        self._unrecorded.record(time.monotonic())
        self._forecast.left(worker)
        self._watchdog.lost(worker)
        self.tally.devices.pop(worker, None)
        self.tally.running.pop(worker, None)
        self._told_to_drop.discard(worker)
        lost = self._scheduler.worker_lost(worker)
        if lost.was_alone and not event.is_blameless:
            self._count_death(worker, lost.jobs[0], reason)
        self._idle_deaths[worker] += not (lost.jobs or event.is_blameless)
        is_given_up = self._idle_deaths[worker] > MAX_IDLE_DEATHS
        if is_given_up and not self._watchdog.is_expecting:
            found = f"workers end before they have made an image ({reason})"
            raise WorkersLostError("workers", found, "", "see `stylebatch doctor`, then run again")
        if is_given_up:
            self._watcher.event(Notice(worker, "its worker is given up: others go on without it"))
        elif not (self._scheduler.is_finished or self._is_draining):
            self._watchdog.started(worker, is_on_its_way=self._executor.replace(worker))

    def _count_death(self, worker: int, job: Job, reason: str) -> None:
        deaths = self._book.add_death(job.output)
        if deaths >= self._limits.max_deaths:
            times = counted(deaths, "time")
            text = f"its worker died {times} while it was alone with this image ({reason})"
            self._scheduler.drop(job.output)
            self._take(JobFailed(worker, job.output, job.fingerprint, text))
