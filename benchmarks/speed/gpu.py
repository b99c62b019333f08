"""Speed and memory on a GPU, beside its own matrix rate and the textbook loop.

    python -m benchmarks.speed.gpu --shared ../shared
    python -m benchmarks.speed.gpu --random                        # neither weights nor photographs
    python -m benchmarks.speed.gpu --device cpu --random --quick   # a smoke test

One step of `balanced` (VGG-19 to conv3_3) for a batch of squares, three ways: `engine` is
`Engine.step` as workers run it, `loop` only optimiser and objective, `graph` the same with the
evaluation as a CUDA graph. A step is one evaluation of each image. `of rate`: the convolutions'
operations per second over those of a large bfloat16 matrix product on the same device.

`textbook`: how many times as long the loop of most tutorials takes for an evaluation:
`torch.optim.LBFGS(lr=1, max_iter=20, history_size=100)`, one image at a time, float32 with TF32 as
torch has it, pixels clamped in the closure, the same objective. How many evaluations each needs is
another benchmark's: `benchmarks.solver`. Medians by CUDA events, after a warm-up.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.setting.inputs import (
    STYLE,
    WEIGHTS,
    add_shared_option,
    check_shared,
    photograph_paths,
    problems_of,
    random_square,
    settings_of,
    square,
    style_of,
)
from benchmarks.setting.machine import describe_device, describe_machine
from benchmarks.speed.cuda_graphs import GraphedEvaluation
from stylebatch.device.choice import choose_precision
from stylebatch.device.device import Device
from stylebatch.device.from_recipe import solver_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Settings, recipe_fields, recipe_on
from stylebatch.records import Style, StyleImage
from stylebatch.transfer.objective import Losses, Objective, Targets
from stylebatch.transfer.optimizers import OPTIMIZERS

SIZES, BATCHES = (256, 512), (1, 2, 4, 8, 16, 32)
# The objective as it is, but no image ends before the timing does, and on one level.
CHANGES: dict[str, Any] = {"tolerance": 0.0, "steps": 100_000, "levels": 1}
STEPS_OF_A_RUN = 100
HEAD = "{:>5} {:>6}  {:<7}{:>9}{:>15}{:>10}{:>9}{:>10}{:>10}"
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


def main() -> None:
    """Print the matrix rate, then a line for each size, batch and way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--random", action="store_true", help="random weights and images")
    parser.add_argument("--device", default="cuda:0", help="default: %(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--precision", default="auto", help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="64 px, next to no repeats")
    options = parser.parse_args()
    if options.device != "cpu" and not torch.cuda.is_available():
        print("this benchmark needs a CUDA device, and torch finds none here", file=sys.stderr)
        sys.exit(2)
    if options.quick:
        options.sizes, options.batches = [64], [1, 2]
    if not options.random and not (options.shared / WEIGHTS).exists():
        print(f"no {WEIGHTS} below {options.shared}: random weights and images instead")
        options.random = True
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder), QUICK if options.quick else Timing())
        bench.print_all(options.sizes, options.batches)


class Bench:
    """One device, the settings and the images that are timed on it."""

    def __init__(self, options: argparse.Namespace, folder: Path, timing: Timing) -> None:
        self._device = Device(options.device, folder, folder / "cache")
        self._where, self._timing = torch.device(options.device), timing
        self._shared = None if options.random else check_shared(options.shared)
        self._settings = replace(self._make_settings(), precision=options.precision)
        self._dtype = choose_precision(options.precision, options.device)
        self._style = self._random_style()
        if self._shared is not None:
            self._style = style_of(self._shared, STYLE)

    def _make_settings(self) -> Settings:
        if self._shared is not None:
            return settings_of(self._shared, **CHANGES)
        recipe = recipe_on("vgg19", {**recipe_fields("balanced"), **CHANGES})
        weights = find_weights("vgg19", "random", Path.cwd())
        return Settings("benchmark", recipe, weights, "random", "auto")

    def _random_style(self) -> Style:
        _, digest = self._device.targets.images.take(random_square(0, 256))
        return Style("random", "random", (StyleImage("random.png", 1.0, digest),), digest)

    def print_all(self, sizes: list[int], batches: list[int]) -> None:
        """Print everything."""
        rate = self._matrix_rate()
        print(f"{describe_machine(self._dtype)}, {describe_device(self._where)}")
        print(f"bfloat16 matrix product, {self._timing.matrix}³: {rate / 1e12:.1f} TFLOP/s\n")
        head = ("px", "images", "way", "ms", "evaluations/s", "images/s", "of rate", "peak MB")
        print(HEAD.format(*head, "textbook"))
        for edge in sizes:
            textbook_ms = self._time_textbook(edge)
            for batch in batches:
                for way, ms in self._time_ways(edge, batch):
                    self._print_line(edge, batch, way, ms, rate, textbook_ms)

    def _print_line(
        self, edge: int, batch: int, way: str, ms: float | None, rate: float, textbook_ms: float
    ) -> None:
        if ms is None:
            print(f"{edge:>5} {batch:>6}  {way:<7} out of memory", flush=True)
            return
        evaluations = 1000 * batch / ms
        # Two operations a multiply-add; backward, with frozen weights, costs as much as forward.
        layers = self._settings.recipe.layers
        operations = 4 * ARCHITECTURES["vgg19"].multiply_adds_per_pixel(layers) * edge**2
        share = operations * evaluations / rate
        is_cuda = self._where.type == "cuda"
        peak = f"{torch.cuda.max_memory_allocated(self._where) / 2**20:.0f}" if is_cuda else "-"
        print(
            HEAD.format(
                edge, batch, way, f"{ms:.2f}", f"{evaluations:.1f}",
                f"{evaluations / STEPS_OF_A_RUN:.2f}", f"{share:.1%}", peak,
                f"{textbook_ms * evaluations / 1000:.1f}×",
            ),
            flush=True,
        )  # fmt: skip

    def _matrix_rate(self) -> float:
        """Return operations per second of a large product."""
        edge = self._timing.matrix
        left = torch.randn(edge, edge, device=self._where).bfloat16()
        return 2 * edge**3 / (self._median_ms(lambda: left @ left) / 1000)

    def _images(self, edge: int, count: int) -> list[Pixels]:
        if self._shared is None:
            return [random_square(seed, edge) for seed in range(count)]
        return [square(path, edge) for path in photograph_paths(self._shared, count)]

    def _time_ways(self, edge: int, batch: int) -> Iterator[tuple[str, float | None]]:
        """Yield each way with its milliseconds for a step, None where memory did not suffice."""
        for way in ("engine", "loop", "graph"):
            if way == "graph" and self._where.type != "cuda":
                continue
            self._device.free_memory()
            if self._where.type == "cuda":
                torch.cuda.reset_peak_memory_stats(self._where)
            try:
                yield way, self._time_way(way, edge, batch)
            except torch.OutOfMemoryError:
                yield way, None

    def _time_way(self, way: str, edge: int, batch: int) -> float:
        if way == "engine":
            return self._median_ms(self._engine_step(edge, batch))
        return self._median_ms(self._loop_step(edge, batch, is_graph=way == "graph"))

    def _engine_step(self, edge: int, batch: int) -> Callable[[], object]:
        engine = self._device.engine(self._settings, batch, edge, edge)
        images = self._images(edge, batch)
        for problem in problems_of(self._device, self._settings, engine, images, self._style):
            engine.admit(problem)

        def step() -> None:
            engine.step()
            assert engine.running == batch, "an image has ended: the time would not be a batch's"

        return step

    def _loop_step(self, edge: int, batch: int, *, is_graph: bool) -> Callable[[], object]:
        objective = self._device.objective(self._settings)
        contents, targets = self._targets(objective, edge, batch)
        spec = solver_spec(self._settings.recipe, self._settings.weights.normalisation).optimizer
        optimizer = OPTIMIZERS[spec.optimizer](spec, batch, (edge, edge), contents)
        for slot in range(batch):
            optimizer.admit(slot, contents[slot], CHANGES["steps"])
        evaluate: Evaluate = lambda points: objective.evaluate(points, targets)  # noqa: E731
        if is_graph:
            evaluate = GraphedEvaluation(objective, contents, targets)

        def step() -> None:
            losses, gradients = evaluate(optimizer.ask(batch).clone())
            optimizer.tell(batch, losses.total, gradients)

        return step

    def _targets(self, objective: Objective, edge: int, batch: int) -> tuple[Tensor, Targets]:
        """Return contents (batch, 3, edge, edge) and their targets on the device."""
        engine = self._device.engine(self._settings, 1, edge, edge)
        images = self._images(edge, batch)
        problems = problems_of(self._device, self._settings, engine, images, self._style)
        parts = [
            objective.targets(problem.content.to(self._where), problem.statistics[-1], 1.0)
            for problem in problems
        ]
        contents = torch.cat([problem.content.to(self._where) for problem in problems])
        return contents, {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _time_textbook(self, edge: int) -> float:
        """Return milliseconds per evaluation; the history grows as it does for an image."""
        objective = self._device.objective(replace(self._settings, precision="float32"))
        content, targets = self._targets(objective, edge, 1)
        image, done = content.clone().requires_grad_(), 0
        optimizer = torch.optim.LBFGS([image], lr=1, max_iter=20, history_size=100)

        def closure() -> Tensor:
            nonlocal done
            done += 1
            image.data.clamp_(0, 1)
            losses, image.grad = objective.evaluate(image, targets)
            return losses.total[0]

        torch.backends.cudnn.allow_tf32 = True
        objective.evaluate(image, targets)
        stop = self._clock()
        while done < self._timing.textbook:
            before = done
            optimizer.step(closure)  # type: ignore[no-untyped-call]
            if done == before + 1:
                break  # torch has stopped: one evaluation, and it will not move again
        milliseconds = stop() / done
        torch.backends.cudnn.allow_tf32 = False
        return milliseconds

    def _median_ms(self, act: Callable[[], object]) -> float:
        """Return the median milliseconds of an act."""
        timing = self._timing
        for _ in range(timing.warm_up):
            act()
        times = []
        for _ in range(timing.repeats):
            stop = self._clock()
            for _ in range(timing.steps):
                act()
            times.append(stop() / timing.steps)
        return statistics.median(times)

    def _clock(self) -> Callable[[], float]:
        """Start a clock; return what stops it and gives the milliseconds."""
        if self._where.type != "cuda":
            start_s = time.perf_counter()
            return lambda: 1000 * (time.perf_counter() - start_s)
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        start.record()

        def stop() -> float:
            end.record()
            end.synchronize()
            return float(start.elapsed_time(end))

        return stop


if __name__ == "__main__":
    main()
