"""A whole step beside what the hardware can do, and losses beside the starting point's.

    python benchmarks/limit.py --shared ../shared
    python benchmarks/limit.py --quick                # a smoke test

Four photographs of 128×128, `balanced`'s objective (10 · style + content, VGG-19 to conv3_3) with
each of two styles; every image's shortest edge is scaled to 128 px and the centre cropped.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from machine import PHOTOGRAPHS, STYLES, add_shared_option, check_shared, describe_machine
from setting import settings_of, square
from torch import Tensor

from stylebatch.architectures import ARCHITECTURES
from stylebatch.device import choose_precision, usable_cores
from stylebatch.specs import objective_spec, solver_spec
from stylebatch.targets import to_tensor
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_matrix
from stylebatch.transfer.objective import Objective, Targets
from stylebatch.transfer.problem import Problem
from stylebatch.weights import load_tensors

EDGE_PX = 128
CLASSES = ("ducks", "gulls", "hawks", "herons")
AT = (10, 15, 25, 35, 50, 75, 100)
# ../shared/reference/solver.md, "A multilevel preconditioner": γP, bf16 convolutions.
PUBLISHED = {
    "van_gogh_la_cafe": (1.945, 1.028, 0.611, 0.532, 0.489, 0.461, 0.448),
    "hokusai_wave": (1.042, 0.847, 0.441, 0.377, 0.340, 0.316, 0.307),
}
ROW = "{:<26}" + "{:>9}" * len(AT)


@dataclass(slots=True)
class Curve:
    """Mean loss of the images by evaluations of each, and the seconds that all of them took."""

    losses: dict[int, float] = field(default_factory=dict)
    seconds: dict[int, float] = field(default_factory=dict)


def main() -> None:
    """Print a table a style, then the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--style", choices=PUBLISHED, help="default: both, one after the other")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3, help="of what is timed")
    parser.add_argument(
        "--quick", action="store_true", help="one style, 25 evaluations, no textbook"
    )
    options = parser.parse_args()
    shared = check_shared(options.shared)
    methods: dict[str, Callable[[Setting, int], Curve]]
    methods = {"textbook L-BFGS": run_textbook, "Adam": run_adam, "ours": run_ours}
    styles = [options.style] if options.style else list(PUBLISHED)
    if options.quick:
        del methods["textbook L-BFGS"]
        styles, options.evaluations, options.repeats = styles[-1:], 25, 1
    torch.set_num_threads(usable_cores())
    print(describe_machine(choose_precision("auto", "cpu")))
    for style in styles:
        setting = Setting(shared, style)
        runs = [
            {name: method(setting, options.evaluations) for name, method in methods.items()}
            for _ in range(options.repeats)
        ]
        report(style, runs)
    report_limit(setting, options.repeats)


class Setting:
    """The photographs and one style, with the parts of the package that work on them."""

    def __init__(self, shared: Path, style: str) -> None:
        self._settings = settings_of(shared, steps=max(AT), tolerance=0.0)
        self.recipe = self._settings.recipe
        self.precision = choose_precision("auto", "cpu")
        firsts = [min((shared / PHOTOGRAPHS / name).iterdir()) for name in CLASSES]
        self.contents = [to_tensor(square(path, EDGE_PX)) for path in firsts]
        self.objective = self._objective(self.precision)
        target = to_tensor(square(shared / STYLES / f"{style}.jpg", EDGE_PX))
        # Style targets are float32 whatever the precision, as in the package.
        exact = self._objective(torch.float32)
        with torch.no_grad():
            features = exact.extractor(target)
        self.grams = {
            name: gram_matrix(features[name])[0] / features[name][0, 0].numel()
            for name in self.style_layers
        }

    @property
    def style_layers(self) -> list[str]:
        """The style term's layers."""
        return list(self.recipe.style_layers)

    def _objective(self, precision: torch.dtype) -> Objective:
        spec = objective_spec(self.recipe)
        return Objective(spec, self.extractor(self.recipe.layers, precision))

    def extractor(self, layers: Sequence[str], precision: torch.dtype) -> Extractor:
        """Make an extractor of some layers."""
        weights = self._settings.weights
        return Extractor(
            ARCHITECTURES[weights.arch],
            load_tensors(weights, layers),
            layers,
            mean=weights.normalisation.mean,
            std=weights.normalisation.std,
            dtype=precision,
        )

    def targets(self, content: Tensor) -> Targets:
        """Return the targets of one image."""
        return self.objective.targets(content, self.grams, self.recipe.strength)

    def full_engine(self, **changes: Any) -> Engine:
        """Make an engine with all photographs in its slots; changes are of the optimiser."""
        recipe = self.recipe.model_copy(update=changes)
        spec = solver_spec(recipe, self._settings.weights.normalisation)
        engine = Engine(self.objective, spec, len(self.contents), EDGE_PX, EDGE_PX)
        for key, content in enumerate(self.contents):
            engine.admit(Problem(key, content, (self.grams,)))
        return engine


def run_textbook(setting: Setting, evaluations: int) -> Curve:
    """Run the loop of most tutorials, one image at a time.

    The loss is that of the iterate evaluated, as a tutorial prints it.
    """
    paths = [textbook_path(setting, content, evaluations) for content in setting.contents]
    losses = [statistics.mean(loss for loss, _ in points) for points in zip(*paths, strict=True)]
    seconds = [sum(second for _, second in points) for points in zip(*paths, strict=True)]
    return curve(losses, seconds)


def textbook_path(setting: Setting, content: Tensor, evaluations: int) -> list[tuple[float, float]]:
    """Return loss and seconds at each evaluation: pixels are clamped behind L-BFGS's back."""
    start = time.perf_counter()
    targets = setting.targets(content)
    image = content.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], lr=1, max_iter=20, history_size=100)
    path: list[tuple[float, float]] = []

    def closure() -> Tensor:
        image.data.clamp_(0, 1)
        losses, image.grad = setting.objective.evaluate(image, targets)
        path.append((float(losses.total), time.perf_counter() - start))
        return losses.total[0]

    while len(path) < evaluations:
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return path[:evaluations]


def run_adam(setting: Setting, evaluations: int) -> Curve:
    """Run our projected Adam, all images as one batch; its schedule ends at 100 evaluations."""
    return run_engine(setting, evaluations, optimizer="adam")


def run_ours(setting: Setting, evaluations: int) -> Curve:
    """Run `balanced` as it is, without early stops."""
    return run_engine(setting, evaluations)


def run_engine(setting: Setting, evaluations: int, **changes: Any) -> Curve:
    """Run the engine; the loss is the best so far, which is what it gives back."""
    start = time.perf_counter()
    engine = setting.full_engine(**changes)
    best: dict[Hashable, float] = {}
    losses, seconds = [], []
    for _ in range(evaluations):
        for key, row in engine.step().rows:
            best[key] = min(best.get(key, row.total), row.total)
        losses.append(statistics.mean(best.values()))
        seconds.append(time.perf_counter() - start)
    return curve(losses, seconds)


def curve(losses: list[float], seconds: list[float]) -> Curve:
    """Pick what the table shows."""
    points = [at for at in AT if at <= len(losses)]
    return Curve({at: losses[at - 1] for at in points}, {at: seconds[at - 1] for at in points})


def report(style: str, runs: list[dict[str, Curve]]) -> None:
    """Print losses beside the published ones, then the median seconds."""
    published = dict(zip(AT, PUBLISHED[style], strict=True))
    print(f"\n{ROW.format(style, *AT)}   evaluations of each image")
    print_row("published, bfloat16", published)
    for name in runs[0]:
        print_row(name, runs[0][name].losses)
    ours = runs[0]["ours"].losses
    print_row("ours / published", {at: ours[at] / published[at] for at in ours})
    for name in runs[0]:
        points = runs[0][name].seconds
        median = {at: statistics.median(run[name].seconds[at] for run in runs) for at in points}
        print_row(f"{name}, s", median, digits=1)


def print_row(name: str, values: dict[int, float], digits: int = 3) -> None:
    """Print one line of a table."""
    cells = [f"{values[at]:.{digits}f}" if at in values else "" for at in AT]
    print(ROW.format(name, *cells).rstrip(), flush=True)


def report_limit(setting: Setting, repeats: int) -> None:
    """Print what a whole step does beside bare convolutions and a large matrix product."""
    work = timed_work(setting)
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(3 * repeats):
        for name, (act, _) in work.items():
            start = time.perf_counter()
            act()
            times[name].append(time.perf_counter() - start)
    print(f"\n{'':<38}{'ms':>8}{'fastest':>9}{'images/s':>10}{'GFLOP/s':>9}{'of limit':>10}")
    rates = {name: work[name][1] / statistics.median(times[name]) / 1e9 for name in work}
    limit = next(iter(rates.values()))
    for name, seconds in times.items():
        median = statistics.median(seconds)
        images = f"{len(setting.contents) / median:.1f}" if rates[name] != limit else ""
        print(
            f"{name:<38}{1000 * median:>8.0f}{1000 * min(seconds):>9.0f}{images:>10}"
            f"{rates[name]:>9.0f}{100 * rates[name] / limit:>9.0f}%"
        )


def timed_work(setting: Setting) -> dict[str, tuple[Callable[[], object], float]]:
    """Return what is timed, with its floating-point operations; the limit comes first."""
    recipe, batch = setting.recipe, torch.cat(setting.contents)
    (deepest,) = recipe.content_layers
    bare = setting.extractor([deepest], setting.precision)
    left = torch.rand(2048, 2048).to(setting.precision)
    engine = setting.full_engine()
    parts = [setting.targets(content) for content in setting.contents]
    targets = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def convolve() -> None:
        images = batch.clone().requires_grad_()
        torch.autograd.grad(bare(images)[deepest].sum(), images)

    pixels = len(setting.contents) * EDGE_PX**2
    # Two operations a multiply-add; backward, with frozen weights, costs as much as forward.
    operations = 4 * ARCHITECTURES["vgg19"].multiply_adds_per_pixel(recipe.layers) * pixels
    return {
        "matrix product, 2048×2048": (lambda: left @ left, 2 * 2048.0**3),
        "bare convolutions, forward + backward": (convolve, operations),
        "objective and gradient": (
            lambda: setting.objective.evaluate(batch, targets),
            operations,
        ),
        "ours, a whole step": (engine.step, operations),
    }


if __name__ == "__main__":
    main()
