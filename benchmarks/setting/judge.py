"""A judge of results that has no part in making them: torchvision's VGG-19 in float32."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torchvision
from safetensors.torch import load_file
from torch import Tensor, nn

from stylebatch.pictures.images import Pixels

# Of torchvision's vgg19().features: relu1_1, relu2_1, relu3_1; conv3_3.
STYLE_MODULES, CONTENT_MODULE = (1, 6, 11), 14
MEAN, STD = (0.48235, 0.45882, 0.40784), 1 / 255


class Score(NamedTuple):
    """What the judge says of one image: shares of the style's and the content's own size.

    Attributes:
        closed: of the style distance, 1 - style / the content's own.
        style: mean of ‖G-A‖² / ‖A‖² over three layers.
        content: mean (F-P)² / mean P² at conv3_3.
    """

    closed: float
    style: float
    content: float


def vgg19_features(weights: Path, count: int) -> nn.Sequential:
    """Return the first so many modules of torchvision's VGG-19 with the weights of a file."""
    with torch.device("meta"):
        network: nn.Sequential = torchvision.models.vgg19(weights=None).features[:count]
    network = network.to_empty(device="cpu").requires_grad_(False)
    known = network.state_dict(prefix="features.").keys()
    tensors = {key: value for key, value in load_file(weights).items() if key in known}
    nn.ModuleDict({"features": network}).load_state_dict(tensors)
    return network


class Judge:
    """torchvision's own network; nothing of stylebatch."""

    def __init__(self, weights: Path) -> None:
        self._network = vgg19_features(weights, CONTENT_MODULE + 1)
        for module in self._network:
            if isinstance(module, nn.ReLU):
                module.inplace = False

    def score(self, result: Pixels, content: Pixels, style: Pixels) -> Score:
        """Compare a result with its content and its style, (H, W, 3) in 8 bits each."""
        of_result, of_content, of_style = map(self._maps, (result, content, style))
        before, after = (self._style_distance(maps, of_style) for maps in (of_content, of_result))
        wanted = of_content[CONTENT_MODULE]
        distance = (of_result[CONTENT_MODULE] - wanted).square().mean() / wanted.square().mean()
        return Score(1 - after / before, after, float(distance))

    def _maps(self, pixels: Pixels) -> dict[int, Tensor]:
        x = torch.tensor(pixels).permute(2, 0, 1)[None].float() / 255
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
