"""A whole step of the solver beside what the hardware can do.

    python -m benchmarks.speed.limit --shared ../shared
    python -m benchmarks.speed.limit --quick                # a smoke test

Four photographs of 128×128, `balanced`'s objective (10 · style + content, VGG-19 to conv3_3); the
limit is a large matrix product in the same precision.
"""

import argparse
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from benchmarks.setting.inputs import add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.pairs import Pair, make_pairs, objective_in
from benchmarks.setting.timing import time_by_turns
from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import solver_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.system.cores import usable_cores
from stylebatch.system.heap import keep_freed_memory
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem

EDGE_PX = 128
IMAGES = 4


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="one repeat")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    torch.set_num_threads(usable_cores())
    keep_freed_memory()
    print(describe_machine(choose_precision("auto", "cpu")))
    report_limit(shared, 1 if options.quick else options.repeats)


def full_engine(pairs: Sequence[Pair], precision: torch.dtype) -> Engine:
    """Make an engine with all photographs in its slots."""
    settings = pairs[0].settings
    spec = solver_spec(settings.recipe, settings.weights.normalisation)
    engine = Engine(objective_in(settings, precision), spec, len(pairs), EDGE_PX, EDGE_PX)
    for pair in pairs:
        engine.admit(Problem(pair.name, pair.content, (pair.statistics,)))
    return engine


def report_limit(shared: Path, repeats: int) -> None:
    """Print what a whole step does beside bare convolutions and a large matrix product."""
    work = timed_work(shared)
    times = time_by_turns({name: act for name, (act, _) in work.items()}, repeats)
    print(f"\n{'':<38}{'ms':>8}{'fastest':>9}{'images/s':>10}{'GFLOP/s':>9}{'of limit':>10}")
    rates = {name: work[name][1] / statistics.median(times[name]) / 1e9 for name in work}
    limit = next(iter(rates.values()))
    for name, seconds in times.items():
        median = statistics.median(seconds)
        images = f"{IMAGES / median:.1f}" if rates[name] != limit else ""
        print(
            f"{name:<38}{1000 * median:>8.0f}{1000 * min(seconds):>9.0f}{images:>10}"
            f"{rates[name]:>9.0f}{100 * rates[name] / limit:>9.0f}%"
        )


def timed_work(shared: Path) -> dict[str, tuple[Callable[[], object], float]]:
    """Return what is timed, with its floating-point operations; the limit comes first."""
    precision = choose_precision("auto", "cpu")
    pairs = list(make_pairs(shared, EDGE_PX, "content", IMAGES))
    settings = pairs[0].settings
    (deepest,) = settings.recipe.content_layers
    left = torch.rand(2048, 2048).to(precision)
    engine, objective = full_engine(pairs, precision), objective_in(settings, precision)
    bare = objective.extractor
    parts = [objective.targets(pair.content, pair.statistics, 1.0) for pair in pairs]
    targets = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    batch = torch.cat([pair.content for pair in pairs])

    def convolve() -> None:
        images = batch.clone().requires_grad_()
        torch.autograd.grad(bare(images, [deepest])[deepest].sum(), images)

    # Two operations a multiply-add; backward, with frozen weights, costs as much as forward.
    each = 4 * IMAGES * EDGE_PX**2
    vgg = ARCHITECTURES["vgg19"]
    looks = objective.spec.looks(EDGE_PX, EDGE_PX, bare.smallest_edge_px)
    operations = each * sum(
        vgg.multiply_adds_per_pixel(look.layers) / 4**look.scale for look in looks if look.layers
    )
    return {
        "matrix product, 2048×2048": (lambda: left @ left, 2 * 2048.0**3),
        "bare convolutions, forward + backward": (
            convolve,
            each * vgg.multiply_adds_per_pixel([deepest]),
        ),
        "objective and gradient": (lambda: objective.evaluate(batch, targets), operations),
        "ours, a whole step": (engine.step, operations),
    }


if __name__ == "__main__":
    main()
