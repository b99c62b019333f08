"""Does it pay to begin with `slim` and to end with VGG-19?

    python -m benchmarks.solver.stages --shared ../shared

For each pair VGG-19 alone runs its evaluations; then `slim` runs a few, and VGG-19 goes on from its
image until it is where VGG-19 alone ended. Losses are VGG-19's own. Seconds are evaluations times
the median time of one, measured by turns in the same run; the gain is the ratio of the two.
"""

import argparse
import statistics
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.setting.inputs import (
    STYLES,
    WEIGHTS,
    add_shared_option,
    check_shared,
    photograph_paths,
    square,
    style_pixels,
)
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.networks import Network, load_extractor, time_evaluations
from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.device.tensors import to_tensor
from stylebatch.extractors.weights import find_weights
from stylebatch.recipes import Recipe, recipe_fields, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem

STYLE_NAMES = ("hokusai_wave", "van_gogh_la_cafe")


class Runner:
    """`balanced` on one extractor, for lone square images."""

    def __init__(self, network: Network, dtype: torch.dtype) -> None:
        arch, weights = network.arch, network.weights
        found = find_weights(arch, weights, Path.cwd())
        self._told = found.normalisation
        self._recipe = recipe_on(arch, {**recipe_fields("balanced"), "tolerance": 0, "levels": 1})
        self._extractor = load_extractor(found, self._recipe, dtype)

    def solve(
        self, content: Tensor, style: Tensor, steps: int, start: Tensor | None = None
    ) -> tuple[Tensor, list[float]]:
        """Return the image, and the lowest loss so far after each evaluation."""
        fields = self._recipe.model_dump() | {"steps": steps}
        if start is not None:
            # The engine's own way to begin from another image than the content.
            fields["start"] = "style"
        recipe = Recipe(**fields)
        objective = Objective(objective_spec(recipe), self._extractor)
        targets = image_statistics(style, objective.spec, self._extractor)
        edge = content.shape[-1]
        engine = Engine(objective, solver_spec(recipe, self._told), 1, edge, edge)
        engine.admit(Problem(0, content, (targets,), style_image=start))
        while engine.running:
            results = engine.step().results
        (result,) = results
        return result.image, list(accumulate((row.total for row in result.rows), min))


def main() -> None:
    """Print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--weights", default="shipped", help="of slim")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--photographs", type=int, default=4)
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50, 100], help="VGG's alone")
    parser.add_argument("--first", type=int, nargs="+", default=[5, 10, 20], help="of slim")
    options = parser.parse_args()
    shared, dtype = check_shared(options.shared), choose_precision("auto", "cpu")
    print(describe_machine(dtype))
    networks = {
        "vgg19": Network("vgg19", str(shared / WEIGHTS)),
        "slim": Network("slim", options.weights),
    }
    vgg, slim = (Runner(network, dtype) for network in networks.values())
    photographs = photograph_paths(shared, options.photographs)
    for edge in options.sizes:
        share = cost_share(networks, edge, dtype)
        print(f"\n{edge}x{edge}: an evaluation of slim costs {share:.3f} of VGG-19's", flush=True)
        gains: dict[tuple[int, int], list[float]] = {}
        for path in photographs:
            content = to_tensor(square(path, edge))
            for name in STYLE_NAMES:
                style = to_tensor(style_pixels(shared / STYLES / f"{name}.jpg", edge))
                note_gains(gains, vgg, slim, content, style, options, share)
        for (steps, first), found in gains.items():
            print(
                f"to the loss of {steps:>3} evaluations, {first:>2} with slim first: "
                f"{statistics.median(found):.2f} times as fast "
                f"({min(found):.2f} to {max(found):.2f}, {len(found)} pairs)",
                flush=True,
            )


def note_gains(
    gains: dict[tuple[int, int], list[float]],
    vgg: Runner,
    slim: Runner,
    content: Tensor,
    style: Tensor,
    options: argparse.Namespace,
    share: float,
) -> None:
    """Add each gain of one pair; 0 where the loss is not reached in as many evaluations."""
    steps: list[int] = options.steps
    _, alone = vgg.solve(content, style, max(steps))
    for first in options.first:
        start, _ = slim.solve(content, style, first)
        _, after = vgg.solve(content, style, max(steps), start)
        for count in steps:
            needed = next((n for n, loss in enumerate(after, 1) if loss <= alone[count - 1]), None)
            gain = count / (first * share + needed) if needed else 0.0
            gains.setdefault((count, first), []).append(gain)


def cost_share(
    networks: dict[str, Network], edge: int, dtype: torch.dtype, repeats: int = 6
) -> float:
    """Return what an evaluation of slim takes, as a share of VGG-19's: the median of several."""
    seconds = time_evaluations(networks, edge, dtype, repeats)
    pairs = zip(seconds["slim"], seconds["vgg19"], strict=True)
    return statistics.median(ours / theirs for ours, theirs in pairs)


if __name__ == "__main__":
    main()
