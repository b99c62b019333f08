"""Katherine Crowson's style-transfer-pytorch (2022), its own code, on our weights.

Of its layers those that the weights have: relu1_1, relu2_1, relu3_1 with its weights, content at
relu3_3 in the place of relu4_2. The weights are those of stylebatch's side, their features brought
to the scale that it is tuned for.
"""

import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch
from PIL import Image
from torch import nn
from torchvision.transforms import Normalize

from benchmarks.setting.judge import MEAN, STYLE_MODULES, vgg19_features
from stylebatch.pictures.images import Pixels

STYLE_WEIGHTS, CONTENT_MODULE = (256, 64, 16), 15
# torchvision's ImageNet std, its mean over the colours: the scale of input that the tool expects.
STD = 0.2257
SIZES = (128, 256, 512)


def run_crowsonkb(
    clone: Path, weights: Path, content: Pixels, style: Pixels, edge: int
) -> dict[int, tuple[float, Image.Image]]:
    """Stylise one pair up to a longest edge.

    Returns:
        CPU seconds from the beginning and the picture, of each of `SIZES` that it came through.
    """
    tool = _make_tool(clone, weights)
    began, found = time.process_time(), {}

    def after_step(state: Any) -> None:
        size = max(state.w, state.h)
        if state.i == state.i_max and size in SIZES:
            found[size] = time.process_time() - began, tool.get_image()

    styles = [Image.fromarray(style)]
    tool.stylize(Image.fromarray(content), styles, end_scale=edge, callback=after_step)
    return found


def _make_tool(clone: Path, weights: Path) -> Any:
    """Return the tool's own class on our weights and the layers that they have."""
    # Without its __init__, which wants its web server's packages.
    package = ModuleType("style_transfer")
    package.__path__ = [str(clone / "style_transfer")]
    sys.modules["style_transfer"] = package
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
