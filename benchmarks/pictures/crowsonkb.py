"""Results of style-transfer-pytorch (Katherine Crowson, 2022) at its defaults, pair by pair.

    git clone https://github.com/crowsonkb/style-transfer-pytorch /tmp/crowsonkb
    python -m benchmarks.pictures.crowsonkb /tmp/crowsonkb OUT --edge 256 --pairs 4   # an hour

Its own code on one thread, from the content, on the same work size as stylebatch: 1,000 evaluations
at 128 px, 500 at each size up to the edge, each √2 the last; sizes on the way are kept as well, as
they are what a run up to there gives. Of its layers those that the weights have: relu1_1, relu2_1,
relu3_1 with its weights, content at relu3_3 in the place of relu4_2. The weights are those of
stylebatch's side, their features brought to the scale that it is tuned for.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.transforms import Normalize

from benchmarks.pictures.judge import MEAN, STYLE_MODULES, vgg19_features
from benchmarks.pictures.pairs import load_pairs
from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared

STYLE_WEIGHTS, CONTENT_MODULE = (256, 64, 16), 15
# torchvision's ImageNet std, its mean over the colours: the scale of input that the tool expects.
STD = 0.2257
SIZES = (128, 256, 512)


def main() -> None:
    """Make the pictures of every pair that is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("clone", type=Path, help="a clone of style-transfer-pytorch")
    parser.add_argument("out", type=Path, help="folder of its pictures and times.json")
    parser.add_argument("--edge", type=int, default=256, help="of the last size")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--which", choices=("report", "development"), default="report")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    torch.set_num_threads(1)
    # Without its __init__, which wants its web server's packages.
    package = ModuleType("style_transfer")
    package.__path__ = [str(options.clone / "style_transfer")]
    sys.modules["style_transfer"] = package
    options.out.mkdir(parents=True, exist_ok=True)
    times_path = options.out / "times.json"
    for pair in load_pairs(shared, options.which, options.edge, options.pairs):
        if (options.out / f"{pair.name} {options.edge}.png").exists():
            continue
        times = json.loads(times_path.read_text()) if times_path.exists() else {}
        for size, seconds in run(pair, shared, options.edge, options.out).items():
            times[f"{pair.name} {size}"] = seconds
            print(f"{pair.name} {size} px: {seconds:.0f} s of CPU time", flush=True)
        times_path.write_text(json.dumps(times, indent=1) + "\n")


def run(pair: Any, shared: Path, edge: int, out: Path) -> dict[int, float]:
    """Stylise one pair; save each size and return its CPU seconds from the beginning."""
    tool = make_tool(shared / WEIGHTS)
    began, found = time.process_time(), {}

    def after_step(state: Any) -> None:
        size = max(state.w, state.h)
        if state.i == state.i_max and size in SIZES:
            found[size] = time.process_time() - began
            tool.get_image().save(out / f"{pair.name} {size}.png")

    styles = [Image.fromarray(pair.style)]
    tool.stylize(Image.fromarray(pair.content), styles, end_scale=edge, callback=after_step)
    return found


def make_tool(weights: Path) -> Any:
    """Return the tool's own class on our weights and the layers that they have."""
    from style_transfer import style_transfer as module  # type: ignore[import-not-found]

    network = vgg19_features(weights, CONTENT_MODULE + 1)
    with torch.no_grad():
        for layer in network:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                # Features of input / s with biases / s are features / s.
                layer.bias.div_(255 * STD)
    module.models = SimpleNamespace(
        vgg19=lambda weights: SimpleNamespace(features=network),
        VGG19_Weights=SimpleNamespace(IMAGENET1K_V1=None),
    )
    tool = module.StyleTransfer()
    tool.model.normalize = Normalize(MEAN, [STD] * 3)
    tool.model.layers = sorted([*STYLE_MODULES, CONTENT_MODULE])
    tool.style_layers, tool.content_layers = list(STYLE_MODULES), [CONTENT_MODULE]
    tool.style_weights = [weight / sum(STYLE_WEIGHTS) for weight in STYLE_WEIGHTS]
    return tool


if __name__ == "__main__":
    main()
