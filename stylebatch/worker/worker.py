"""One device's loop: decode → admit → step → retire → encode → commit → events."""

from collections.abc import Collection
from concurrent.futures import Future
from functools import partial
from typing import Any, NamedTuple

import torch

from stylebatch.device.choice import precision_name
from stylebatch.device.content import Content
from stylebatch.device.device import Device
from stylebatch.device.errors import is_device_error, within_memory
from stylebatch.device.slots import Slots
from stylebatch.device.tensors import to_pixels
from stylebatch.errors import RunError
from stylebatch.pictures.images import Pixels
from stylebatch.records import (
    Event,
    Job,
    Notice,
    SlotsReduced,
    WorkerLost,
)
from stylebatch.system.crash_points import reached
from stylebatch.system.words import counted
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Result, Snapshot, Status, StepReport
from stylebatch.worker.commit import Finished, Progressed
from stylebatch.worker.decode_ahead import Read
from stylebatch.worker.plain import PlainWorker
from stylebatch.worker.spec import WorkerSpec


class _Running(NamedTuple):
    """A job in a slot, its content, and the style where a picture of all three is wanted."""

    job: Job
    content: Content
    beside: Pixels | None


class Worker(PlainWorker):
    """Drives one device. `submit` jobs, call `advance` until `is_idle`; it never blocks for long.

    `pixel_budget` is how many pixels it optimises at once. Jobs are worked on in the order given;
    those that follow each other with the same settings and size share the slots.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        if spec.threads:
            torch.set_num_threads(spec.threads)
        self._device = Device(spec.device, spec.root, spec.cache)
        self._running: dict[str, _Running] = {}
        self._engine: Engine | None = None
        self._slots = Slots(self._device, spec.pixel_budget, spec.max_slots)
        super().__init__(spec, spec.pixel_budget or self._device.pixel_budget)

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
        if self._engine is not None and self._engine.running:
            report = self._meter.timed(partial(within_memory, self._engine.step))
            if report is None:
                self._halve_slots(events)
            else:
                self._take(report, events)

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
            self._hand_over(job, content)
            return True
        admit = partial(within_memory, partial(self._admit_one, job, content))
        running = self._meter.timed(admit)
        if running is None:
            self._halve_slots(events, job)
        return running is not None

    def _admit_one(self, job: Job, content: Content) -> int:
        """Put a job into a slot; return how many are running then."""
        settings = self._spec.settings[job.settings_id]
        if self._engine is None or self._kind != job.kind:
            self._kind = job.kind
            # Its memory is free for the next one, and for the probe of what fits.
            self._engine = None
            slots = self._slots.count(settings, job.kind)
            self._engine = self._device.engine(settings, slots, job.width, job.height)
        style = self._spec.styles[job.style]
        problem = self._device.problem(
            job.output,
            settings,
            self._engine,
            pixels=content.pixels,
            style=style,
            strength=job.strength,
            noise_seed=job.noise_seed,
            mask=content.mask,
        )
        beside = self._device.targets.picture(style) if settings.recipe.side_by_side else None
        self._engine.admit(problem)
        self._running[job.output] = _Running(job, content, beside)
        reached("admitted")
        return len(self._running)

    def _take(self, report: StepReport, events: list[Event]) -> None:
        self._meter.count(str(key) for key, _ in report.rows)
        for snapshot in report.snapshots:
            self._show_progress(snapshot)
        for result in report.results:
            self._finish(result, events)

    def _halve_slots(self, events: list[Event], *admitting: Job) -> None:
        """Start the running images again in half as many slots; alone, an image fails.

        Args:
            admitting: what was on its way into a slot.
        """
        assert self._kind is not None
        if self._engine is None:
            found = "memory does not suffice for the network alone"
            todo = "free what other processes hold of it, then run again: it continues"
            raise RunError(self._spec.device, found, "", todo)
        jobs = [*(running.job for running in self._running.values()), *admitting]
        tried = self._engine.capacity
        self._running.clear()
        self._meter.forget_all()
        self._engine = None
        slots = self._slots.halve(self._kind, tried)
        if not slots:
            reason = f"out of memory on {self._spec.device} with this image alone: lower size_px"
            # Somebody else may have had the memory.
            events.extend(self._failed(job, reason, is_transient=True) for job in jobs)
            return
        events.append(SlotsReduced(self._spec.worker, *self._kind, slots))
        self._waiting.put_back(jobs)
        text = (
            f"out of memory on {self._spec.device}: going on with {counted(slots, 'image')} at once"
        )
        events.append(Notice(self._spec.worker, text))

    def _finish(self, result: Result, events: list[Event]) -> None:
        job, content, beside = self._running.pop(str(result.key))
        if result.status is Status.DIVERGED:
            self._meter.forget(job.output)
            reason = "diverged: the loss was no number or climbed, from a second start as well"
            events.append(self._failed(job, reason))
            return
        settings = self._spec.settings[job.settings_id]
        pixels = to_pixels(result.image, settings.recipe.rounding)
        reached("optimised")
        self._committer.put(
            Finished(
                job,
                settings.recipe,
                pixels,
                content.canvas,
                beside,
                result.rows,
                self._facts(result, settings.precision),
                settings.file_format,
                self._provenance(job),
            )
        )

    def _show_progress(self, snapshot: Snapshot) -> None:
        job, content, _ = self._running[str(snapshot.key)]
        recipe = self._spec.settings[job.settings_id].recipe
        pixels = to_pixels(snapshot.image, recipe.rounding)
        self._committer.put_progress(
            Progressed(job, recipe, pixels, content.canvas, snapshot.evaluation)
        )

    def _facts(self, result: Result, precision: str) -> dict[str, Any]:
        kept = result.kept
        return {
            "evaluations": len(result.rows),
            "losses": {
                "total": kept.total,
                "content": kept.content,
                "style": kept.style,
                "tv": kept.tv,
            },
            "status": str(result.status),
            "restored": result.restored,
            "retried_with_adam": result.retried_with_adam,
            "seconds": round(result.rows[-1].seconds, 3),
            "device": self._spec.device,
            # What `auto` was here: other machines of the same run may have computed otherwise.
            "precision": precision_name(precision, self._spec.device),
        }
