"""One device's loop: decode → admit → step → retire → encode → commit → events."""

import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch

from stylebatch.commit import Committer, Finished, Progressed
from stylebatch.device.content import Content, read_content
from stylebatch.device.device import Device
from stylebatch.device.errors import is_device_error, within_memory
from stylebatch.device.slots import Kind, Slots
from stylebatch.device.tensors import to_pixels
from stylebatch.errors import RunError, UserError
from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import LossRow
from stylebatch.output.shard import Shard
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings
from stylebatch.records import (
    Event,
    Job,
    JobFailed,
    JobsDropped,
    Notice,
    Progress,
    RunFailed,
    Shape,
    SlotsReduced,
    Style,
    WorkerLost,
)
from stylebatch.system.crash_points import reached
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Result, Snapshot, Status, StepReport

T = TypeVar("T")
PROGRESS_EVERY_S = 0.25
DECODE_THREADS = 2
# The images after those in the slots are decoded ahead, and no more: they wait in memory.
DECODE_AHEAD = 4


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is started with.

    Attributes:
        root: the manifest's folder; content and style paths start there.
        output: the data set's root.
        shard: whose run it belongs to, None for a run of the whole.
        settings, styles: all of the run's, by id and key.
        cache: folder of cached style targets.
        threads: for torch on the CPU; None leaves torch's own choice.
        cores: that a process of its own keeps to; () leaves the system's choice.
        pixel_budget: pixels optimised at once; None: what suits the device.
        max_slots: how many images of a shape, with masks or without, its memory suffices for,
            where that is known from another worker on its device.
    """

    worker: int
    device: str
    run_id: str
    root: Path
    output: Path
    settings: Mapping[str, Settings]
    styles: Mapping[str, Style]
    cache: Path
    threads: int | None = None
    cores: tuple[int, ...] = ()
    pixel_budget: int | None = None
    shard: Shard | None = None
    max_slots: Mapping[tuple[Shape, bool], int] = field(default_factory=dict)


class _Running(NamedTuple):
    """A job in a slot, its content, and the style where a picture of all three is wanted."""

    job: Job
    content: Content
    beside: Pixels | None


class Worker:
    """Drives one device. `submit` jobs, call `advance` until `is_idle`; it never blocks for long.

    `pixel_budget` is how many pixels it optimises at once. Jobs are worked on in the order given;
    those that follow each other with the same settings and size share the slots.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        if spec.threads:
            torch.set_num_threads(spec.threads)
        self._spec = spec
        self._device = Device(spec.device, spec.root, spec.cache)
        self.pixel_budget = spec.pixel_budget or self._device.pixel_budget
        self._committer = Committer(Dataset(spec.output, spec.shard), spec.run_id, spec.worker)
        self._decoders = ThreadPoolExecutor(DECODE_THREADS, thread_name_prefix="decode")
        self._waiting: deque[Job] = deque()
        self._decoding: dict[str, Future[Content]] = {}
        self._running: dict[str, _Running] = {}
        self._engine: Engine | None = None
        self._group: Kind | None = None
        self._slots = Slots(self._device, spec.pixel_budget, spec.max_slots)
        self._evaluations, self._seconds, self._reported_s = 0, 0.0, 0.0
        self._behind: Counter[str] = Counter()

    @property
    def is_idle(self) -> bool:
        """Whether every submitted job has come out as an event."""
        return not (self._waiting or self._running or self._committer.pending)

    def submit(self, jobs: list[Job]) -> None:
        """Queue jobs behind those already there."""
        self._waiting.extend(jobs)

    def drop_waiting(self) -> JobsDropped:
        """Forget the jobs that are in no slot yet."""
        dropped = tuple(job.output for job in self._waiting)
        self._waiting.clear()
        self._decoding.clear()
        return JobsDropped(self._spec.worker, dropped)

    def advance(self) -> list[Event]:
        """Admit what fits, run one evaluation, and return what has happened since.

        An error of ours comes out as `RunFailed`, never as an exception; after `WorkerLost` the
        process can't go on.
        """
        try:
            return self._advance()
        except RunError as error:
            return [RunFailed(self._spec.worker, str(error), is_ours=False)]
        except Exception as error:
            if is_device_error(error):
                found = str(error).strip().partition("\n")[0]
                return [WorkerLost(self._spec.worker, f"its device has failed ({found})")]
            return [RunFailed(self._spec.worker, traceback.format_exc(), is_ours=True)]

    def close(self) -> None:
        """Commit what is finished and end the threads."""
        self._decoders.shutdown(wait=False, cancel_futures=True)
        self._committer.close()

    def _advance(self) -> list[Event]:
        events: list[Event] = []
        self._decode_ahead()
        self._admit(events)
        if self._engine is not None and self._engine.running:
            report = self._timed(self._engine.step)
            if report is None:
                self._halve_slots(events)
            else:
                self._take(report, events)
        wait_s = 0.0
        if not self._running and not self._waiting:
            self._committer.flush()
            wait_s = 0.05
        for done in self._committer.done(wait_s):
            self._behind.pop(done.output, None)
            events.append(done)
        self._report_progress(events)
        return events

    def _timed(self, act: Callable[[], T]) -> T | None:
        """Do what keeps the device busy; None if its memory did not suffice."""
        start = time.perf_counter()
        try:
            return within_memory(act)
        finally:
            self._seconds += time.perf_counter() - start

    def _decode_ahead(self) -> None:
        free = self._engine.capacity - self._engine.running if self._engine else 1
        for job, _ in zip(self._waiting, range(free + DECODE_AHEAD), strict=False):
            if job.output not in self._decoding:
                recipe = self._spec.settings[job.settings_id].recipe
                self._decoding[job.output] = self._decoders.submit(
                    read_content, self._spec.root, job, recipe
                )

    def _admit(self, events: list[Event]) -> None:
        while self._waiting and self._has_room_for(self._waiting[0]):
            job = self._waiting[0]
            decoding = self._decoding[job.output]
            # With nothing to step there is nothing better to do than to wait for the decoder.
            if not decoding.done() and self._running:
                return
            if self._group != _group(job):
                self._report_progress(events, is_due=True)
            self._waiting.popleft()
            try:
                content = self._decoding.pop(job.output).result()
                running = self._timed(partial(self._admit_one, job, content))
            except RunError:
                raise
            except MemoryError:
                reason = "memory did not suffice to decode it"
                events.append(self._failed(job, reason, is_transient=True))
            except UserError as error:
                events.append(self._failed(job, str(error), error.is_transient))
            else:
                if running is None:
                    self._halve_slots(events, job)
                    return
            self._decode_ahead()

    def _has_room_for(self, job: Job) -> bool:
        if self._engine is None or self._group != _group(job):
            return not self._running
        return self._engine.running < self._engine.capacity

    def _admit_one(self, job: Job, content: Content) -> int:
        """Put a job into a slot; return how many are running then."""
        settings = self._spec.settings[job.settings_id]
        if self._engine is None or self._group != _group(job):
            self._group = _group(job)
            # Its memory is free for the next one, and for the probe of what fits.
            self._engine = None
            slots = self._slots.count(settings, job.width, job.height, is_masked=bool(job.mask))
            self._engine = self._device.engine(settings, slots, job.width, job.height)
        problem = self._device.problem(
            job.output,
            settings,
            self._engine,
            pixels=content.pixels,
            style=self._spec.styles[job.style],
            strength=job.strength,
            noise_seed=job.noise_seed,
            mask=content.mask,
        )
        beside = None
        if settings.recipe.side_by_side:
            beside = self._device.targets.picture(self._spec.styles[job.style])
        self._engine.admit(problem)
        self._running[job.output] = _Running(job, content, beside)
        reached("admitted")
        return len(self._running)

    def _take(self, report: StepReport, events: list[Event]) -> None:
        self._evaluations += len(report.rows)
        self._behind.update(str(key) for key, _ in report.rows)
        for snapshot in report.snapshots:
            self._show_progress(snapshot)
        for result in report.results:
            self._finish(result, events)

    def _halve_slots(self, events: list[Event], *admitting: Job) -> None:
        """Start the running images again in half as many slots; alone, an image fails.

        Args:
            admitting: what was on its way into a slot.
        """
        assert self._group is not None
        if self._engine is None:
            found = "memory does not suffice for the network alone"
            todo = "free what other processes hold of it, then run again: it continues"
            raise RunError(self._spec.device, found, "", todo)
        jobs = [*(running.job for running in self._running.values()), *admitting]
        tried = self._engine.capacity
        self._running.clear()
        self._behind.clear()
        self._engine = None
        slots = self._slots.halve(self._group, tried)
        if not slots:
            reason = f"out of memory on {self._spec.device} with this image alone: lower size_px"
            # Somebody else may have had the memory.
            events.extend(self._failed(job, reason, is_transient=True) for job in jobs)
            return
        events.append(SlotsReduced(self._spec.worker, *self._group, slots))
        self._waiting.extendleft(reversed(jobs))
        text = f"out of memory on {self._spec.device}: going on with {slots} images at once"
        events.append(Notice(self._spec.worker, text))

    def _finish(self, result: Result, events: list[Event]) -> None:
        job, content, beside = self._running.pop(str(result.key))
        if result.status is Status.DIVERGED:
            self._behind.pop(job.output, None)
            reason = "diverged: the loss was no number or climbed, from a second start as well"
            events.append(self._failed(job, reason))
            return
        settings = self._spec.settings[job.settings_id]
        pixels = to_pixels(result.image, settings.recipe.rounding)
        rows = [LossRow(*row) for row in result.rows]
        facts = self._facts(result)
        reached("optimised")
        self._committer.put(
            Finished(job, settings.recipe, pixels, content.canvas, beside, rows, facts)
        )

    def _show_progress(self, snapshot: Snapshot) -> None:
        job, content, _ = self._running[str(snapshot.key)]
        recipe = self._spec.settings[job.settings_id].recipe
        pixels = to_pixels(snapshot.image, recipe.rounding)
        self._committer.put_progress(
            Progressed(job, recipe, pixels, content.canvas, snapshot.evaluation)
        )

    def _facts(self, result: Result) -> dict[str, Any]:
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
        }

    def _failed(self, job: Job, reason: str, is_transient: bool = False) -> JobFailed:
        return JobFailed(self._spec.worker, job.output, job.fingerprint, reason, is_transient)

    def _report_progress(self, events: list[Event], *, is_due: bool = False) -> None:
        now = time.monotonic()
        if is_due or now - self._reported_s >= PROGRESS_EVERY_S or self.is_idle:
            shape = self._group[0] if self._group else None
            running, made, seconds = len(self._running), self._evaluations, self._seconds
            behind = self._behind.total()
            events.append(Progress(self._spec.worker, running, made, seconds, shape, behind))
            self._evaluations, self._seconds, self._reported_s = 0, 0.0, now


def _group(job: Job) -> Kind:
    """Name what shares an engine: one shape, one objective, and all with a mask or none."""
    return (job.shape, bool(job.mask))
