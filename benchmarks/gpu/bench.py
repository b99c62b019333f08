"""One device, the settings and the images that are measured on it, and its clock."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from benchmarks.setting.inputs import (
    STYLE,
    WEIGHTS,
    photograph_paths,
    problems_of,
    random_square,
    square,
    style_of,
)
from stylebatch.device.device import Device
from stylebatch.device.from_recipe import solver_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights, layers_digest
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings, make_settings, recipe_fields, recipe_on
from stylebatch.records import Style, StyleImage
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Losses, Objective, Targets
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.optimizers.protocol import Optimizer

# The objective as it is, but no image ends before the timing does, and on one level.
ENDLESS: dict[str, Any] = {"tolerance": 0.0, "steps": 100_000, "levels": 1}
Evaluate = Callable[[Tensor], tuple[Losses, Tensor]]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is measured: steps at a time, how often; evaluations of the textbook loop."""

    steps: int = 20
    repeats: int = 7
    warm_up: int = 5
    textbook: int = 100
    matrix: int = 8192


QUICK = Timing(steps=1, repeats=1, warm_up=1, textbook=3, matrix=256)


class Loop(NamedTuple):
    """A full batch, without an engine around it.

    Attributes:
        contents: (B, 3, edge, edge).
    """

    objective: Objective
    optimizer: Optimizer
    contents: Tensor
    targets: Targets

    def step(self, evaluate: Evaluate) -> None:
        """Do one evaluation of every image."""
        losses, gradients = evaluate(self.optimizer.ask(len(self.contents)).clone())
        self.optimizer.tell(len(self.contents), losses.total, gradients)

    def evaluate(self, points: Tensor) -> tuple[Losses, Tensor]:
        """Evaluate points (B, 3, edge, edge)."""
        return self.objective.evaluate(points, self.targets)


class Bench:
    """A device with its images; random ones, and random weights, where nothing is shared."""

    def __init__(self, name: str, shared: Path | None, folder: Path, timing: Timing) -> None:
        """Open a device; style targets are kept in `folder`."""
        self.name, self.where, self.timing = name, torch.device(name), timing
        self.device = Device(name, folder, folder / "cache")
        self._shared = shared
        if shared is None:
            _, digest = self.device.targets.images.take(random_square(0, 256))
            self.style = Style("random", "random", (StyleImage("random.png", 1.0, digest),), digest)
        else:
            self.style = style_of(shared, STYLE)

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.where.type == "cuda"

    def settings(
        self,
        recipe: str = "balanced",
        arch: str = "vgg19",
        weights: str | None = None,
        precision: str = "auto",
        **changes: Any,
    ) -> Settings:
        """Return a recipe with other fields, on shared or random weights if none are named."""
        if weights is None:
            weights = "random" if self._shared is None else str(self._shared / WEIGHTS)
        made = recipe_on(arch, {**recipe_fields(recipe), **changes})
        found = find_weights(arch, weights, Path.cwd())
        return make_settings(made, found, layers_digest(found, made.layers), precision)

    def images(self, edge: int, count: int) -> list[Pixels]:
        """Return so many squares."""
        if self._shared is None:
            return [random_square(1 + seed, edge) for seed in range(count)]
        return [square(path, edge) for path in photograph_paths(self._shared, count)]

    def engine(self, settings: Settings, edge: int, images: Sequence[Pixels], slots: int) -> Engine:
        """Return an engine with images in its slots."""
        engine = self.device.engine(settings, slots, edge, edge)
        for problem in problems_of(self.device, settings, engine, images, self.style):
            engine.admit(problem)
        return engine

    def engine_step(self, settings: Settings, edge: int, batch: int) -> Callable[[], object]:
        """Return one step of a full engine as workers run it."""
        engine = self.engine(settings, edge, self.images(edge, batch), batch)

        def step() -> None:
            engine.step()
            assert engine.running == batch, "an image has ended: the time would not be a batch's"

        return step

    def loop(self, settings: Settings, edge: int, batch: int) -> Loop:
        """Return a full batch without an engine: optimiser and objective only."""
        objective = self.device.objective(settings)
        contents, targets = self.targets(settings, edge, batch)
        spec = solver_spec(settings.recipe, settings.weights.normalisation).optimizer
        optimizer = OPTIMIZERS[spec.optimizer](spec, batch, (edge, edge), contents)
        for slot in range(batch):
            optimizer.admit(slot, contents[slot], settings.recipe.steps)
        return Loop(objective, optimizer, contents, targets)

    def targets(self, settings: Settings, edge: int, batch: int) -> tuple[Tensor, Targets]:
        """Return contents (batch, 3, edge, edge) and their targets on the device."""
        objective = self.device.objective(settings)
        engine = self.device.engine(settings, 1, edge, edge)
        images = self.images(edge, batch)
        problems = problems_of(self.device, settings, engine, images, self.style)
        parts = [
            objective.targets(problem.content.to(self.where), problem.statistics[-1], 1.0)
            for problem in problems
        ]
        contents = torch.cat([problem.content.to(self.where) for problem in problems])
        return contents, {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def operations(self, settings: Settings, edge: int) -> float:
        """Return the convolutions' operations in an evaluation of one image."""
        objective = self.device.objective(settings)
        architecture = ARCHITECTURES[settings.weights.arch]
        looks = objective.spec.looks(edge, edge, objective.extractor.smallest_edge_px)
        # Two operations a multiply-add; backward, with frozen weights, costs as much as forward.
        adds = [
            architecture.multiply_adds_per_pixel(look.layers) / float(4**look.scale)
            for look in looks
            if look.layers
        ]
        return 4 * edge**2 * sum(adds)

    def matrix_rate(self, dtype: torch.dtype = torch.bfloat16, edge: int | None = None) -> float:
        """Return operations per second of a large product."""
        edge = edge or self.timing.matrix
        left = torch.randn(edge, edge, device=self.where).to(dtype)
        return 2 * edge**3 / (self.median_ms(lambda: left @ left) / 1000)

    def free(self) -> None:
        """Give freed memory back, and begin to look for its peak."""
        self.device.free_memory()
        if self.is_cuda:
            torch.cuda.reset_peak_memory_stats(self.where)

    def wait(self) -> None:
        """Wait for all that has been started."""
        if self.is_cuda:
            torch.cuda.synchronize(self.where)

    def peak_mb(self) -> float | None:
        """Return the most memory since `free`; None of a CPU."""
        return torch.cuda.max_memory_allocated(self.where) / 2**20 if self.is_cuda else None

    def median_ms(self, act: Callable[[], object]) -> float:
        """Return the median milliseconds of an act."""
        timing = self.timing
        for _ in range(timing.warm_up):
            act()
        times = []
        for _ in range(timing.repeats):
            stop = self.clock()
            for _ in range(timing.steps):
                act()
            times.append(stop() / timing.steps)
        return statistics.median(times)

    def mean_ms(self, act: Callable[[], object], least_s: float) -> float:
        """Return milliseconds of an act in the mean of as many as last so long.

        For acts of very different lengths. A GPU gets all of them at once: each stop is a wait.
        """
        for _ in range(self.timing.warm_up):
            act()
        stop = self.clock()
        act()
        once_ms = max(stop(), 1e-3)
        count = max(min(3, self.timing.repeats), round(1000 * least_s / once_ms))
        stop = self.clock()
        for _ in range(count):
            act()
        return stop() / count

    def clock(self) -> Callable[[], float]:
        """Start a clock; return what stops it and gives the milliseconds."""
        if not self.is_cuda:
            start_s = time.perf_counter()
            return lambda: 1000 * (time.perf_counter() - start_s)
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        stream = torch.cuda.current_stream(self.where)
        start.record(stream)

        def stop() -> float:
            end.record(stream)
            end.synchronize()
            return float(start.elapsed_time(end))

        return stop
