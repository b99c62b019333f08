"""One device's loop: decode → admit → step → retire → encode → commit → events."""

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import torch

from stylebatch.device.content import Content
from stylebatch.device.device import Device
from stylebatch.device.errors import is_device_error, within_memory
from stylebatch.device.slots import Slots
from stylebatch.device.tensors import to_pixels
from stylebatch.errors import RunError, UserError
from stylebatch.extractors.weights import WeightsError
from stylebatch.output.acceptance import Acceptance, Scores, Try, tell_rejection
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobResumed,
    JobsDropped,
    Notice,
    SlotsReduced,
    WorkerLost,
)
from stylebatch.system.crash_points import reached
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, Result, Snapshot, Status, StepReport
from stylebatch.transfer.suspended import StateError, Suspended
from stylebatch.worker.commit import Finished, Progressed
from stylebatch.worker.decode_ahead import Read
from stylebatch.worker.ending import Ending
from stylebatch.worker.plain import PlainWorker
from stylebatch.worker.running import Running, facts_of
from stylebatch.worker.saved_images import SavedImages
from stylebatch.worker.scoring import score
from stylebatch.worker.spec import WorkerSpec


class Worker(PlainWorker):
    """Drives one device. `submit` jobs, call `advance` until `is_idle`; it never blocks for long.

    `pixel_budget` is how many pixels it optimises at once. Jobs are worked on in the order given;
    those that follow each other with the same settings and size share the slots.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        if spec.threads:
            torch.set_num_threads(spec.threads)
        self._news: list[str] = []
        self._device = Device(spec.device, spec.root, spec.cache, self._news.append)
        self.model = self._device.model
        self._running = dict[str, Running]()
        self._again = deque[Running]()  # turned down: they get a slot at once
        self._is_draining = False
        self._engine: Engine | None = None
        self._slots = Slots(self._device, spec.pixel_budget, spec.max_slots)
        super().__init__(spec, spec.pixel_budget or self._device.pixel_budget)
        self._saved = SavedImages(spec, self._news.append)
        self._ending = Ending(spec.save_after_s)

    def submit(self, jobs: list[Job]) -> None:
        """Queue jobs behind those already there."""
        self._is_draining = False
        self._ending.cancel()
        super().submit(jobs)

    def save_slots(self) -> JobsDropped:
        """Bring what is in slots to an end soon, as `Ending` has it."""
        self._ending.begin()
        return self.drop_waiting()

    def drop_waiting(self) -> JobsDropped:
        """Forget the jobs that are in no slot yet.

        Until others come, what would be made again is dropped too, by an event: from its first
        strength on it comes to the same.
        """
        self._is_draining = True
        again = tuple(running.job.output for running in self._again)
        self._again.clear()
        return JobsDropped(self._spec.worker, (*again, *self._waiting.drop()))

    @property
    def _has_begun(self) -> bool:
        return bool(self._running or self._again)

    @property
    def _in_slots(self) -> Collection[str]:
        return self._running

    @property
    def _free_slots(self) -> int:
        return self._engine.capacity - self._engine.running if self._engine else 1

    def _lost_device(self, error: Exception) -> WorkerLost | None:
        if not is_device_error(error):
            return None
        found = str(error).strip().partition("\n")[0]
        return WorkerLost(self._spec.worker, f"its device has failed ({found})")

    def _step(self, events: list[Event]) -> None:
        self._tell_news(events)
        if self._engine is not None and self._engine.running and not self._save_one(events):
            report = self._meter.timed(partial(within_memory, self._engine.step))
            if report is None:
                self._halve_slots(events)
            else:
                self._take(report, events)

    def _tell_news(self, events: list[Event]) -> None:
        events.extend(Notice(self._spec.worker, text) for text in self._news)
        self._news.clear()

    def _save_one(self, events: list[Event]) -> bool:
        """Take one image out of its slot and save it, if any is due; return whether one was.

        One at a time: whoever listens may stop it in between.
        """
        assert self._engine is not None
        if not (self._ending.has_begun and self._ending.due(self._engine.progress())):
            return False
        report = within_memory(self._engine.settle)
        if report is None:
            self._halve_slots(events)
            return True
        self._take(report, events)
        if due := self._ending.due(self._engine.progress()):
            running, image = self._running.pop(due[0]), self._engine.take_out(due[0])
            self._save(running, image, events)
        return True

    def _save(self, running: Running, image: Suspended | None, events: list[Event]) -> None:
        """Save an image that has left its slot, or drop it."""
        self._meter.forget(running.job.output)
        save = partial(self._saved.write, running, image, has_time=self._ending.has_time)
        events.append(self._ending.timed(save))
        # There may be no other step.
        self._tell_news(events)

    def _note_done(self, done: JobDone) -> None:
        super()._note_done(done)
        self._saved.remove(done.fingerprint)

    def _admit(self, events: list[Event]) -> None:
        while self._again:
            running = self._again[0]
            try:
                enter = partial(within_memory, partial(self._enter, running, events))
                entered = self._meter.timed(enter)
            except RunError:
                raise
            except UserError as error:  # its style has changed meanwhile
                events.append(self._failed_by(running.job, error))
            else:
                if entered is None:
                    self._halve_slots(events)
                    return
            self._again.popleft()
        super()._admit(events)

    def _needs_slot(self, job: Job) -> bool:
        return self._spec.settings[job.settings_id].needs_network

    def _has_room_for(self, job: Job) -> bool:
        if not self._needs_slot(job):
            return True
        if self._engine is None or self._kind != job.kind:
            return not self._running
        return self._engine.running < self._engine.capacity

    def _turn_to(self, job: Job, events: list[Event]) -> None:
        if self._needs_slot(job) and self._kind != job.kind:
            self._report_progress(events, is_due=True)

    def _take_read(self, job: Job, reading: "Future[Read]", events: list[Event]) -> bool:
        content = reading.result()
        if not isinstance(content, Content):
            # Beside what is optimised it takes no time to speak of, and is of another shape.
            self._hand_over(job, content, events)
            return True
        admit = partial(within_memory, partial(self._admit_one, job, content, events))
        running = self._meter.timed(admit)
        if running is None:
            self._halve_slots(events, job)
        return running is not None

    def _admit_one(self, job: Job, content: Content, events: list[Event]) -> int:
        """Put a job into a slot; return how many are running then."""
        settings = self._spec.settings[job.settings_id]
        if self._engine is None or self._kind != job.kind:
            self._kind = job.kind
            # Its memory is free for the next one, and for the probe of what fits.
            self._engine = None
            try:
                slots = self._slots.count(settings, job.kind)
                self._engine = self._device.engine(settings, slots, job.width, job.height)
            except WeightsError as error:  # they were sound when it was planned, for all images
                raise RunError(error.where, error.found, error.allowed, error.todo) from error
        style = self._spec.styles[job.style]
        beside = self._device.targets.picture(style) if settings.recipe.side_by_side else None
        chroma = self._device.style_chroma(settings, self._engine, content.pixels, style)
        fresh = Running(job, content, job.strength, beside, chroma)
        running, image = self._saved.resume(fresh)
        return self._enter(running, events, image)

    def _enter(self, running: Running, events: list[Event], image: Suspended | None = None) -> int:
        """Put an image into a slot of the engine of its kind; return how many are running then.

        Args:
            image: as an earlier run has saved it.
        """
        assert self._engine is not None
        job, content = running.job, running.content
        problem = self._device.problem(
            job.output,
            self._spec.settings[job.settings_id],
            self._engine,
            pixels=content.pixels,
            style=self._spec.styles[job.style],
            strength=running.strength,
            noise_seed=job.noise_seed,
            mask=content.mask,
        )
        if image is None or not self._resume(job, problem, image, events):
            self._engine.admit(problem)
        self._running[job.output] = running
        reached("admitted")
        return len(self._running)

    def _resume(self, job: Job, problem: Problem, image: Suspended, events: list[Event]) -> bool:
        """Let an image go on in a slot; return whether that could be done."""
        assert self._engine is not None
        try:
            self._engine.resume(problem, image)
        except StateError as error:
            self._saved.refuse(job, f"does not fit ({error})")
            return False
        evaluations = len(image.numbers["rows"])
        self._meter.resume(job.output, evaluations)
        events.append(JobResumed(self._spec.worker, job.output, evaluations))
        return True

    def _take(self, report: StepReport, events: list[Event]) -> None:
        self._meter.count(str(key) for key, _ in report.rows)
        for snapshot in report.snapshots:
            self._show_progress(snapshot)
        for result in report.results:
            self._finish(result, events)

    def _halve_slots(self, events: list[Event], *admitting: Job) -> None:
        """Start the running images again in half as many slots, one in tiles; or it fails.

        Args:
            admitting: what was on its way into a slot.
        """
        assert self._kind is not None
        if self._engine is None:
            found = "memory does not suffice for the network alone"
            todo = "free what other processes hold of it, then run again: it continues"
            raise RunError(self._spec.device, found, "", todo)
        begun = (*self._running.values(), *self._again)
        jobs = [*(running.job for running in begun), *admitting]
        tried = self._engine.capacity
        self._running.clear()
        self._again.clear()
        self._meter.forget_all()
        self._engine = None
        settings = self._spec.settings[self._kind[0].settings_id]
        room = self._slots.halve(settings, self._kind, tried)
        device = self._spec.device
        if not room.slots:
            reason = f"out of memory on {device} with this image alone: lower size_px or history"
            # Somebody else may have had the memory.
            events.extend(self._failed(job, reason, is_transient=True) for job in jobs)
            return
        events.append(SlotsReduced(self._spec.worker, *self._kind, room.slots))
        self._waiting.put_back(jobs)
        text = f"out of memory on {device}: going on with {room}"
        events.append(Notice(self._spec.worker, text))

    def _finish(self, result: Result, events: list[Event]) -> None:
        running = self._running.pop(str(result.key))
        job = running.job
        if result.status is Status.DIVERGED:
            self._meter.forget(job.output)
            reason = "diverged: the loss was no number or climbed, from a second start as well"
            events.append(self._failed(job, reason))
            return
        settings = self._spec.settings[job.settings_id]
        pixels = to_pixels(result.image, settings.recipe.rounding)
        reached("optimised")
        measure: Callable[[], Scores] = partial(
            score,
            *(result.kept, float(result.content_style), pixels, running.content, settings.recipe),
            running.style_chroma,
        )
        acceptance = self._spec.acceptances.get(job.pair)
        # Where nothing hangs on it, the committer measures, and the device goes on meanwhile.
        if acceptance is not None and acceptance.otherwise != "keep":
            scores = measure()
            if not acceptance.is_met(scores):
                tries = (*running.tries, Try(running.strength, scores))
                seconds = result.rows[-1].seconds
                self._turn_down(running._replace(tries=tries), seconds, acceptance, events)
                return
            measure = partial(dict, scores)
        self._committer.put(
            Finished(
                job,
                settings.recipe,
                pixels,
                running.content.canvas,
                running.beside,
                result.rows,
                facts_of(result, running, self._spec.device, settings.precision),
                settings.file_format,
                self._provenance(replace(job, strength=running.strength)),
                measure,
            )
        )

    def _turn_down(
        self, running: Running, seconds: float, acceptance: Acceptance, events: list[Event]
    ) -> None:
        """Let an image, not worth enough after so long, be made again if it may be, else reject."""
        job, tries = running.job, running.tries
        self._meter.forget(job.output)
        strength = acceptance.next_strength(tries, job.fingerprint)
        if strength is None:
            events.append(self._failed(job, tell_rejection(acceptance, tries)))
        elif self._ending.has_begun and self._ending.is_worth(seconds):
            self._save(running._replace(strength=strength), None, events)
        elif self._is_draining:
            events.append(JobsDropped(self._spec.worker, (job.output,)))
        else:
            self._again.append(running._replace(strength=strength))

    def _show_progress(self, snapshot: Snapshot) -> None:
        running = self._running[str(snapshot.key)]
        job, content = running.job, running.content
        recipe = self._spec.settings[job.settings_id].recipe
        pixels = to_pixels(snapshot.image, recipe.rounding)
        self._committer.put_progress(
            Progressed(job, recipe, pixels, content.canvas, snapshot.evaluation)
        )
