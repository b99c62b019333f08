"""`slim` against the VGG-19 that it imitates, on images that it was not trained on.

    python -m benchmarks.pictures.slim --shared ../shared                # both tables; half an hour
    python -m benchmarks.pictures.slim --sizes 128 --photographs 4       # a first look
    python -m benchmarks.pictures.slim --part cost

Both extractors optimise the same photographs (centre squares) towards the same paintings with
`balanced` and as many evaluations. The judge is torchvision's VGG-19 in float32 with the real
weights, on the 8-bit result: the share of the style distance that was closed (mean over relu1_1,
relu2_1, relu3_1 of ‖G-A‖²/‖A‖²) and the content distance (mean (F-P)² / mean P² at conv3_3).
"""

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared, square, style_pixels
from benchmarks.setting.judge import Judge, Score
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.networks import Network, time_evaluations
from stylebatch import stylize
from stylebatch.pictures.images import Pixels
from training.holdout import HOLDOUT, read_names

PRECISIONS = (torch.float32, torch.bfloat16)


def main() -> None:
    """Print quality for each size, then cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--weights", default="shipped", help="of slim: shipped, or a file")
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--steps", type=int, default=50, help="evaluations of each image")
    parser.add_argument("--photographs", type=int, help="only so many of the twelve")
    parser.add_argument("--repeats", type=int, default=7, help="of the timed evaluations")
    parser.add_argument("--content-weight", type=float, help="of the recipe, for slim only")
    parser.add_argument("--part", choices=("quality", "cost"))
    options = parser.parse_args()
    shared = check_shared(options.shared)
    print(describe_machine(torch.float32))
    networks = {
        "vgg19": Network("vgg19", str(shared / WEIGHTS)),
        "slim": Network("slim", options.weights),
    }
    for edge in options.sizes:
        if options.part != "cost":
            print_quality(shared, networks, edge, options)
        if options.part != "quality":
            print_cost(networks, edge, options.repeats)


def print_quality(
    shared: Path, networks: Mapping[str, Network], edge: int, options: argparse.Namespace
) -> None:
    """Print medians over the pairs, and the worst; then the same of each pair's ratio."""
    paths = [shared / "images" / name for name in read_names(HOLDOUT)]
    contents = [square(path, edge) for path in paths if "photos" in path.parts]
    contents = contents[: options.photographs]
    styles = [path for path in paths if "styles" in path.parts]
    judge = Judge(shared / WEIGHTS)
    scores: dict[str, list[Score]] = {name: [] for name in networks}
    for style in styles:
        target = style_pixels(style, edge)
        for name, network in networks.items():
            results = stylise(network, contents, style, edge, options)
            for result, photograph in zip(results, contents, strict=True):
                scores[name].append(judge.score(np.array(result), photograph, target))
    print(f"\n{edge}x{edge}, {len(contents)} photographs x {len(styles)} paintings")
    for name, found in scores.items():
        print(f"{name:<8} {describe(found)}")
    pairs = zip(scores["slim"], scores["vgg19"], strict=True)
    # The figures of the bar.
    ratios = [Score(*(a / b for a, b in zip(one, other, strict=True))) for one, other in pairs]
    print(f"slim / vgg19: {describe(ratios)}", flush=True)


def stylise(
    network: Network,
    contents: Sequence[Pixels],
    style: Path,
    edge: int,
    options: argparse.Namespace,
) -> list[Image.Image]:
    """Return each content with `balanced` on a network, none stopped early."""
    override: dict[str, Any] = {"tolerance": 0}
    if network.arch == "slim" and options.content_weight:
        override["content_weight"] = options.content_weight
    return stylize(
        [Image.fromarray(content) for content in contents],
        style,
        size_px=edge,
        steps=options.steps,
        override=override,
        arch=network.arch,
        weights=network.weights,
    )


def describe(scores: Sequence[Score]) -> str:
    """Return medians and the worst."""
    closed, content = ([each[part] for each in scores] for part in (0, 2))
    return (
        f"style closed: median {statistics.median(closed):.4f}, worst {min(closed):.4f}; "
        f"content distance: median {statistics.median(content):.3f}, worst {max(content):.3f}"
    )


def print_cost(networks: Mapping[str, Network], edge: int, repeats: int) -> None:
    """Print milliseconds of an evaluation (losses and gradient), by turns, and the ratio."""
    for dtype in PRECISIONS:
        seconds = time_evaluations(networks, edge, dtype, repeats)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        ratios = [a / b for a, b in zip(seconds["slim"], seconds["vgg19"], strict=True)]
        print(
            f"{edge}x{edge}, {str(dtype).removeprefix('torch.')}: "
            + ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in medians.items())
            + f" an evaluation; slim / vgg19: median {statistics.median(ratios):.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
