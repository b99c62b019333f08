"""A probe: a few evaluations of an image of each shape; a rehearsal: when small images end."""

import time
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from stylebatch.device.canvas import finish
from stylebatch.device.content import Content, read_content
from stylebatch.device.device import Device
from stylebatch.device.errors import within_memory
from stylebatch.device.slots import Slots
from stylebatch.errors import UserError
from stylebatch.pictures.formats import encode
from stylebatch.preview.color_probe import measure_colors
from stylebatch.preview.probed import Probe, Probed
from stylebatch.recipes import Recipe, Settings
from stylebatch.records import Job, Shape
from stylebatch.run import Stopping
from stylebatch.system.heap import keep_freed_memory
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem
from stylebatch.worker.spec import WorkerSpec

# The first makes what the others find: buffers, graphs, chosen kernels.
WARM_UP, LEAST_TIMED, MOST_TIMED = 1, 2, 30
ENOUGH_S = 1.5
# After so long no other shape is begun: what is known goes by pixels for the rest.
LONGEST_S = 60.0
REHEARSAL_PX = 96


def _settle(spec: WorkerSpec) -> None:
    """Make this process what a worker's is."""
    if spec.keeps_memory:
        keep_freed_memory()
    if spec.threads and spec.device == "cpu":
        torch.set_num_threads(spec.threads)


def probe(spec: WorkerSpec, candidates: Iterable[tuple[list[Job], int]]) -> Probe:
    """Measure shapes on a worker's device, in this process; nothing is kept, style targets neither.

    Args:
        candidates: for each shape a few jobs, of which the first is taken that can be read, and how
            many of them a worker would have.

    Raises:
        UserError: weights that can't be used, a precision or device that is not there.
    """
    started, ready_s, trouble = time.monotonic(), 0.0, ""
    _settle(spec)
    shapes: list[Probed] = []
    with TemporaryDirectory(prefix="stylebatch-probe-") as cache:
        prober = _Prober(spec, Device(spec.device, spec.root, Path(cache)))
        for jobs, at_once in candidates:
            if shapes and time.monotonic() - started > LONGEST_S:
                break
            for job in jobs:
                if not spec.settings[job.settings_id].needs_network:
                    with suppress(UserError):
                        shapes.append(measure_colors(spec, job))
                        break
                    continue
                prober.device.objective(spec.settings[job.settings_id])
                ready_s = ready_s or time.monotonic() - started
                try:
                    shapes.append(prober.measure(job, at_once))
                    break
                except UserError as error:
                    trouble = str(error)
    return Probe(shapes, ready_s, trouble)


def rehearse(spec: WorkerSpec, jobs: Iterable[Job]) -> dict[str, Stopping]:
    """Optimise a few images to their end, small, to see when they end; by settings.

    Small ones end about as early as large ones (docs/cron.md). After `LONGEST_S` no more is known
    of those still at work than how far they are.

    Raises:
        UserError: weights that can't be used, a device that is not there.
    """
    started, batches = time.monotonic(), dict[Shape, list[Job]]()
    _settle(spec)
    for job in map(partial(_smaller, spec), jobs):
        batches.setdefault(job.shape, []).append(job)
    ended: dict[str, Counter[int]] = {}
    running: dict[str, list[int]] = {}
    with TemporaryDirectory(prefix="stylebatch-probe-") as cache:
        prober = _Prober(spec, Device(spec.device, spec.root, Path(cache)))
        for shape, batch in batches.items():
            takes, had = prober.finish(batch, started + LONGEST_S)
            ended.setdefault(shape.settings_id, Counter()).update(takes)
            running.setdefault(shape.settings_id, []).extend(had)
    return {
        key: Stopping(takes, running[key], spec.settings[key].recipe.max_evaluations)
        for key, takes in ended.items()
    }


def _smaller(spec: WorkerSpec, job: Job) -> Job:
    settings = spec.settings[job.settings_id]
    recipe = settings.recipe.model_copy(update=_of_size(settings.recipe))
    width, height = replace(settings, recipe=recipe).work_size(job.width, job.height)
    return replace(job, width=width, height=height)


def _of_size(recipe: Recipe) -> dict[str, int]:
    return {"size_px": min(recipe.size_px, REHEARSAL_PX)}


class TooLargeError(UserError):
    """An image for which there is no memory."""


class _Prober:
    def __init__(self, spec: WorkerSpec, device: Device) -> None:
        self.spec, self.device = spec, device

    def measure(self, job: Job, at_once: int) -> Probed:
        """Measure a shape with as many images at once as a worker would have, `at_once` at most."""
        settings = self.spec.settings[job.settings_id]
        started = time.perf_counter()
        content = read_content(self.spec.root, job, settings)
        read_s = time.perf_counter() - started
        memory = Slots(self.device, self.spec.pixel_budget)
        slots = min(at_once, memory.count(settings, job.kind))
        while (timed := within_memory(partial(self._time, job, content, slots))) is None:
            slots = memory.halve(settings, job.kind, slots).slots
            if not slots:
                raise TooLargeError(job.content, f"out of memory on {self.spec.device}")
        seconds = timed
        per_image = _share(self.device.engine(settings, 1, job.width, job.height)) / slots
        quarter = len(seconds) // 4
        started = time.perf_counter()
        pixels = finish(content.pixels, content.canvas, settings.recipe)
        encode(pixels, content.canvas.alpha, settings.file_format)
        file_s = read_s + time.perf_counter() - started
        fast_s, slow_s = seconds[quarter] * per_image, seconds[-1 - quarter] * per_image
        return Probed(job.shape, fast_s, slow_s, file_s)

    def finish(self, jobs: Sequence[Job], until_s: float) -> tuple[list[int], list[int]]:
        """Return the evaluations of images of one shape that end in time, and of the others."""
        settings = self.spec.settings[jobs[0].settings_id]
        engine = self.device.engine(settings, len(jobs), jobs[0].width, jobs[0].height)
        for job in jobs:
            with suppress(UserError):  # one that can't be read tells nothing
                content = read_content(self.spec.root, job, settings)
                engine.admit(self._problem(job, content, engine, settings))
        had, ended = Counter[Hashable](), list[int]()
        while engine.running and time.monotonic() < until_s:
            report = engine.step()
            had.update(key for key, _ in report.rows)
            ended += [had.pop(result.key) for result in report.results]
        return ended, list(had.values())

    def _problem(self, job: Job, content: Content, engine: Engine, settings: Settings) -> Problem:
        return self.device.problem(
            job.output,
            settings,
            engine,
            pixels=content.pixels,
            style=self.spec.styles[job.style],
            strength=job.strength,
            noise_seed=job.noise_seed,
            mask=content.mask,
        )

    def _time(self, job: Job, content: Content, slots: int) -> list[float]:
        """Return the seconds of some steps with all slots filled, sorted.

        All slots have the same image: what is in it makes no difference.
        """
        settings = _short(self.spec.settings[job.settings_id])
        engine = self.device.engine(settings, slots, job.width, job.height)
        problem = self._problem(job, content, engine, settings)
        for slot in range(slots):
            engine.admit(replace(problem, key=slot))
        seconds: list[float] = []
        has_rows = False
        for number in range(WARM_UP + MOST_TIMED):
            started = time.perf_counter()
            report = engine.step()
            self._wait()
            if number >= WARM_UP:
                seconds.append(time.perf_counter() - started)
            has_rows = has_rows or bool(report.rows)
            if has_rows and sum(seconds) >= ENOUGH_S and len(seconds) >= LEAST_TIMED:
                break
        return sorted(seconds)

    def _wait(self) -> None:
        if self.spec.device.startswith("cuda"):
            torch.cuda.synchronize(self.spec.device)
        elif self.spec.device == "mps":
            torch.mps.synchronize()


def _short(settings: Settings) -> Settings:
    """Return settings that begin with the last level and never end early."""
    longest = WARM_UP + MOST_TIMED + 1
    fields = {
        "steps": longest,
        "tolerance": 0,
        "levels": 1,
        "second_pass": None,
        "progress_every": 0,
        "progress_at": (),
    }
    return replace(settings, recipe=settings.recipe.model_copy(update=fields))


def _share(engine: Engine) -> float:
    """Return what an evaluation takes in the mean of all levels, as a share of the finest's."""
    pixels = [height * width for height, width in engine.sizes]
    total = sum(size * budget for size, budget in zip(pixels, engine.budgets, strict=True))
    return total / (pixels[-1] * sum(engine.budgets))
