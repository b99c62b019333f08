"""`slim` against the VGG-19 that it imitates, on images that it was not trained on.

    python benchmarks/slim.py --shared ../shared                # both tables; half an hour
    python benchmarks/slim.py --sizes 128 --photographs 4       # a first look
    python benchmarks/slim.py --part cost

Both extractors optimise the same photographs (centre squares) towards the same paintings with
`balanced` and as many evaluations. The judge is torchvision's VGG-19 in float32 with the real
weights, on the 8-bit result: the share of the style distance that was closed (mean over conv1_1,
conv2_1, conv3_1 of ‖G-A‖²/‖A‖²) and the content distance (mean (F-P)² / mean P² at conv3_3).
"""

import argparse
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torchvision
from machine import WEIGHTS, add_shared_option, check_shared, describe_machine
from PIL import Image
from safetensors.torch import load_file
from setting import square
from torch import Tensor, nn

from stylebatch import stylize
from stylebatch.device.from_recipe import objective_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.pictures.images import Pixels, decode, fit_pixels, style_size, work_size
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective

HOLDOUT = Path(__file__).parents[1] / "training" / "holdout.txt"
# Of torchvision's vgg19().features.
STYLE_MODULES, CONTENT_MODULE = (0, 5, 10), 14
MEAN, STD = (0.48235, 0.45882, 0.40784), 1 / 255
PRECISIONS = (torch.float32, torch.bfloat16)


class Score(NamedTuple):
    """What the judge says of one image: shares of the style's and the content's own size."""

    closed: float
    content: float


class Judge:
    """torchvision's own network; nothing of stylebatch."""

    def __init__(self, weights: Path) -> None:
        with torch.device("meta"):
            network = torchvision.models.vgg19(weights=None).features[: CONTENT_MODULE + 1]
        self._network = network.to_empty(device="cpu").requires_grad_(False)
        known = self._network.state_dict(prefix="features.").keys()
        tensors = {key: value for key, value in load_file(weights).items() if key in known}
        nn.ModuleDict({"features": self._network}).load_state_dict(tensors)
        for module in self._network:
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def score(self, result: Pixels, content: Pixels, style: Pixels) -> Score:
        """Compare a result with its content and its style, (H, W, 3) in 8 bits each."""
        of_result, of_content, of_style = map(self._maps, (result, content, style))
        before, after = (self._style_distance(maps, of_style) for maps in (of_content, of_result))
        wanted = of_content[CONTENT_MODULE]
        distance = (of_result[CONTENT_MODULE] - wanted).square().mean() / wanted.square().mean()
        return Score(1 - after / before, float(distance))

    def _maps(self, pixels: Pixels) -> dict[int, Tensor]:
        x = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
        x = (x - torch.tensor(MEAN).view(3, 1, 1)) / STD
        found = {}
        for index, module in enumerate(self._network):
            x = module(x)
            if index in (*STYLE_MODULES, CONTENT_MODULE):
                found[index] = x
        return found

    def _style_distance(self, maps: Mapping[int, Tensor], style: Mapping[int, Tensor]) -> float:
        distances = []
        for index in STYLE_MODULES:
            found, wanted = (self._gram(each[index]) for each in (maps, style))
            distances.append(float((found - wanted).square().sum() / wanted.square().sum()))
        return statistics.mean(distances)

    @staticmethod
    def _gram(maps: Tensor) -> Tensor:
        rows = maps[0].flatten(1).double()
        return rows @ rows.T / rows.shape[1]


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
    extractors: dict[str, dict[str, Any]] = {
        "vgg19": {"arch": "vgg19", "weights": shared / WEIGHTS},
        "slim": {"arch": "slim", "weights": options.weights},
    }
    for edge in options.sizes:
        if options.part != "cost":
            print_quality(shared, extractors, edge, options)
        if options.part != "quality":
            print_cost(extractors, edge, options.repeats)


def print_quality(
    shared: Path, extractors: Mapping[str, Any], edge: int, options: argparse.Namespace
) -> None:
    """Print medians over the pairs, and the worst."""
    names = [line for line in HOLDOUT.read_text().splitlines() if line and line[0] != "#"]
    paths = [shared / "images" / name for name in names]
    contents = [square(path, edge) for path in paths if "photos" in path.parts]
    contents = contents[: options.photographs]
    styles = [path for path in paths if "styles" in path.parts]
    judge = Judge(shared / WEIGHTS)
    scores: dict[str, list[Score]] = {name: [] for name in extractors}
    for style in styles:
        target = style_pixels(style, edge)
        for name, extractor in extractors.items():
            override: dict[str, Any] = {"tolerance": 0}
            if name == "slim" and options.content_weight:
                override["content_weight"] = options.content_weight
            results = stylize(
                [Image.fromarray(content) for content in contents],
                style,
                size_px=edge,
                steps=options.steps,
                override=override,
                **extractor,
            )
            for result, content in zip(results, contents, strict=True):
                scores[name].append(judge.score(np.array(result), content, target))
    print(f"\n{edge}x{edge}, {len(contents)} photographs x {len(styles)} paintings")
    for name, found in scores.items():
        closed, content = ([each[part] for each in found] for part in (0, 1))
        print(
            f"{name:<8} style closed: median {statistics.median(closed):.4f}, worst "
            f"{min(closed):.4f}; content distance: median {statistics.median(content):.3f}, "
            f"worst {max(content):.3f}"
        )
    print_ratios(scores["slim"], scores["vgg19"])


def print_ratios(ours: Sequence[Score], theirs: Sequence[Score]) -> None:
    """Print the figures of the bar: each pair's ratio, then the median over the pairs."""
    pairs = list(zip(ours, theirs, strict=True))
    closed = [one.closed / other.closed for one, other in pairs]
    content = [one.content / other.content for one, other in pairs]
    print(
        f"slim / vgg19: style closed: median {statistics.median(closed):.4f}, worst "
        f"{min(closed):.4f}; content distance: median {statistics.median(content):.3f}, "
        f"worst {max(content):.3f}",
        flush=True,
    )


def style_pixels(path: Path, edge: int) -> Pixels:
    """Return a style at the size at which the recipe looks at it."""
    rgb = decode(path.read_bytes(), str(path)).rgb
    height, width = rgb.shape[:2]
    return fit_pixels(rgb, *work_size(width, height, style_size(edge), 1, enlarge=True))


def print_cost(extractors: Mapping[str, Any], edge: int, repeats: int) -> None:
    """Print milliseconds of an evaluation (losses and gradient), by turns, and the ratio."""
    for dtype in PRECISIONS:
        seconds = time_by_turns(extractors, edge, dtype, repeats)
        medians = {name: statistics.median(values) for name, values in seconds.items()}
        ratios = [a / b for a, b in zip(seconds["slim"], seconds["vgg19"], strict=True)]
        print(
            f"{edge}x{edge}, {str(dtype).removeprefix('torch.')}: "
            + ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in medians.items())
            + f" an evaluation; slim / vgg19: median {statistics.median(ratios):.3f}",
            flush=True,
        )


def time_by_turns(
    extractors: Mapping[str, Any], edge: int, dtype: torch.dtype, repeats: int
) -> dict[str, list[float]]:
    """Return seconds of evaluations by extractor, after one that does not count."""
    evaluate = {name: evaluation(each, edge, dtype) for name, each in extractors.items()}
    seconds: dict[str, list[float]] = {name: [] for name in evaluate}
    for repeat in range(repeats + 1):
        for name, run in evaluate.items():
            began = time.perf_counter()
            run()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def style_statistics(network: Extractor, style: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """Return the Gram matrices of an image (1, 3, H, W) for each position, as targets take them."""
    with torch.no_grad():
        maps = network(style)
    return {
        layer: network.gram_matrix(layer, maps[layer])[0] / maps[layer][0, 0].numel()
        for layer in layers
    }


def evaluation(extractor: Mapping[str, Any], edge: int, dtype: torch.dtype) -> Any:
    """Return a function that evaluates `balanced` once, on one image."""
    arch = extractor["arch"]
    recipe = recipe_on(arch, recipe_fields("balanced"))
    weights = find_weights(arch, str(extractor["weights"]), Path.cwd())
    told = weights.normalisation
    tensors = load_tensors(weights, recipe.layers)
    network = Extractor(
        ARCHITECTURES[arch], tensors, recipe.layers, mean=told.mean, std=told.std, dtype=dtype
    )
    objective = Objective(objective_spec(recipe), network)
    image = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    wanted = style_statistics(network, image, recipe.style_layers)
    targets = objective.targets(image, wanted, 1.0)
    return lambda: objective.evaluate(image * 0.9, targets)


if __name__ == "__main__":
    main()
