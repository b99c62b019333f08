"""When an image stops: evaluations saved by a tolerance, and what it costs in loss.

    python -m benchmarks.solver.stopping --shared ../shared
    python -m benchmarks.solver.stopping --quick              # a smoke test

Each photograph (styles by turns, `balanced` on VGG-19 to conv3_3) runs its whole budget once. Where
a tolerance would have stopped it is told by the package's own bookkeeping over the same losses;
what it would have handed back then is judged as it would be saved, in float32, like the end's.
Counted are the evaluations at full size.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.setting.inputs import add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.pairs import Pair, make_pairs, objective_in
from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import solver_spec
from stylebatch.recipes import recipe_fields
from stylebatch.system.cores import usable_cores
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.outcomes import STATUSES, Bookkeeping
from stylebatch.transfer.problem import Problem, Row, SolverSpec

TOLERANCES = (0.003, 0.005, 0.0075, 0.01, 0.015, 0.02)


class Stop(NamedTuple):
    """Where one image stopped: its judged loss over the full budget's.

    Attributes:
        evaluations, most: at full size, made and possible.
    """

    evaluations: int
    most: int
    loss_ratio: float


def main() -> None:
    """Print a line a tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--photographs", type=int, default=100)
    parser.add_argument("--tolerance", type=float, nargs="+", help="default: some, and balanced's")
    parser.add_argument("--threads", type=int, help="default: the usable cores")
    parser.add_argument("--quick", action="store_true", help="three photographs at 64 px")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    if options.quick:
        options.size, options.photographs = 64, 3
    torch.set_num_threads(options.threads or usable_cores())
    precision = choose_precision("auto", "cpu")
    print(describe_machine(precision))
    stops: dict[float, list[Stop]] = {}
    for pair in make_pairs(shared, options.size, "content", options.photographs):
        spec = spec_of(pair)
        tolerances = options.tolerance or sorted({*TOLERANCES, spec.tolerance})
        rows, images = run_whole(pair, spec, precision)
        losses: dict[int, float] = {}
        for tolerance in tolerances:
            stop = find_stop(replace(spec, tolerance=tolerance), rows)
            for evaluation in (stop, len(rows)):
                if evaluation not in losses:
                    losses[evaluation] = judged(pair, images[evaluation - 1])
            ratio = losses[stop] / losses[len(rows)]
            stops.setdefault(tolerance, []).append(Stop(stop, len(rows), ratio))
    report(options.size, spec, stops)


def spec_of(pair: Pair) -> SolverSpec:
    """Return `balanced`'s solver with its own tolerance, which a `Pair` does without."""
    settings = pair.settings
    recipe = settings.recipe.model_copy(
        update={"tolerance": recipe_fields("balanced")["tolerance"], "progress_every": 1}
    )
    return solver_spec(recipe, settings.weights.normalisation)


def run_whole(
    pair: Pair, spec: SolverSpec, precision: torch.dtype
) -> tuple[list[Row], list[Tensor]]:
    """Return a whole budget's rows at full size, and what would be handed back after each."""
    objective = objective_in(pair.settings, precision)
    engine = Engine(objective, replace(spec, tolerance=0.0), 1, pair.edge, pair.edge)
    statistics = tuple(pair.statistics_at(edge) for edge, _ in engine.sizes)
    engine.admit(Problem(pair.name, pair.content, statistics))
    rows: list[Row] = []
    images: list[Tensor] = []
    while engine.running:
        report = engine.step()
        rows.extend(row for _, row in report.rows)
        images.extend(snapshot.image for snapshot in report.snapshots)
    first = sum(engine.budgets[:-1])
    return rows[first:], images[first:]


def find_stop(spec: SolverSpec, rows: Sequence[Row]) -> int:
    """Return after how many of these evaluations the package stops."""
    book = Bookkeeping(spec, len(rows), len(rows), 1, torch.zeros(0))
    book.admit(0, len(rows))
    for number, row in enumerate(rows, 1):
        accepted = torch.tensor([row.accepted])
        verdict = book.note(torch.tensor([row.total]), accepted, torch.ones_like(accepted))
        if STATUSES[int(verdict.status)] is not None:
            return number
    return len(rows)


def judged(pair: Pair, image: Tensor) -> float:
    """Return the float32 loss of an image as it would be saved."""
    loss = pair.judge(image)
    assert loss is not None, "the image is of full size"
    return loss


def report(size: int, spec: SolverSpec, stops: dict[float, list[Stop]]) -> None:
    """Print what each tolerance saves and costs."""
    count = len(next(iter(stops.values())))
    most = next(iter(stops.values()))[0].most
    print(f"\n{count} photographs at {size} px, window {spec.window}, {most} at most")
    print(
        f"{'tolerance':>10}{'mean':>7}{'saved':>7}{'median loss':>13}{'95 of 100':>11}{'worst':>8}"
    )
    for tolerance, found in sorted(stops.items()):
        mean = np.mean([stop.evaluations for stop in found])
        excess = [100 * (stop.loss_ratio - 1) for stop in found]
        mark = "  balanced's" if tolerance == spec.tolerance else ""
        print(
            f"{tolerance:>10}{mean:>7.1f}{100 * (1 - mean / most):>6.0f}%"
            f"{np.median(excess):>+12.2f}%{np.percentile(excess, 95):>+10.2f}%"
            f"{max(excess):>+7.2f}%{mark}"
        )


if __name__ == "__main__":
    main()
