"""The objective of `balanced` and `deep` by hand, from its definition on: float64, one image.

Nothing here imports stylebatch, and of its own siblings it takes only `naive`'s random VGG-19: the
walk through it, the scales, and the sums over them are written out once more.
"""

import math
from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from support import naive
from torch import Tensor

# These continue the border's pixels; all other convolutions see zeros there.
SHALLOW = ("conv1_1", "conv1_2", "conv2_1")
CONTENT_LAYER, STYLE_LAYERS = "conv3_3", ("relu1_1", "relu2_1", "relu3_1")
# Of the full size, its half and its quarter, as far as an image has them.
CONTENT_WEIGHTS, STYLE_WEIGHTS = (3, 1), (4, 2, 1)
SMALLEST_PX = 16


def maps(image: Tensor, layers: Iterable[str]) -> dict[str, Tensor]:
    """Return layers of VGG-19, convN_M and reluN_M, of one image (3, H, W): (C, h, w)."""
    mean, std = (torch.tensor(x).double().view(3, 1, 1) for x in (naive.MEAN, naive.STD))
    x, wanted = ((image.double() - mean) / std)[None], set(layers)
    found: dict[str, Tensor] = {}
    for name, parameters in naive.weights().items():
        if not wanted - set(found):
            break
        if name.endswith("_1") and name != "conv1_1":
            x = F.max_pool2d(x, 2)
        weight, bias = (tensor.double() for tensor in parameters)
        if name in SHALLOW:
            # The border's own pixels once more, around all of it.
            rows = torch.cat([x[:, :, :1], x, x[:, :, -1:]], 2)
            x = torch.cat([rows[..., :1], rows, rows[..., -1:]], 3)
            x = F.conv2d(x, weight, bias)
        else:
            x = F.conv2d(x, weight, bias, padding=1)
        found[name] = x[0]
        x = x.relu()
        found[name.replace("conv", "relu")] = x[0]
    return {name: found[name] for name in wanted}


def halves(image: Tensor, count: int) -> list[Tensor]:
    """Return an image (3, H, W), its half, its quarter, …: pixels weighed 1 3 3 1 both ways."""
    found = [image.double()]
    while len(found) < count:
        x = found[-1]
        for dim in (1, 2):
            size = x.shape[dim]
            every = torch.arange(0, size // 2 * 2, 2)
            near = x.index_select(dim, every) + x.index_select(dim, every + 1)
            outer = [(every + step).clamp(0, size - 1) for step in (-1, 2)]
            far = x.index_select(dim, outer[0]) + x.index_select(dim, outer[1])
            x = (3 * near + far) / 8
        found.append(x)
    return found


def shares(weights: Sequence[float], image: Tensor) -> list[float]:
    """Return the shares of the scales that an image has, of which none is below 16 px."""
    edges = [min(image.shape[1:]) // 2**scale for scale in range(len(weights))]
    there = [weight for weight, edge in zip(weights, edges, strict=True) if edge >= SMALLEST_PX]
    return [weight / sum(there) for weight in there]


def gram(features: Tensor) -> Tensor:
    """Return the mean over all positions of f·fᵀ."""
    return torch.einsum("ihw,jhw->ij", features, features) / features[0].numel()


def grams(image: Tensor, count: int = 3, layers: Sequence[str] = STYLE_LAYERS) -> dict[str, Tensor]:
    """Return an image's matrices by layer and scale, as an objective takes a style's."""
    found = {}
    for scale, smaller in enumerate(halves(image, count)):
        features = maps(smaller, layers)
        for layer in layers:
            found[f"{layer}/{2**scale}" if scale else layer] = gram(features[layer])
    return found


def content_distance(image: Tensor, content: Tensor, layer: str) -> Tensor:
    """Return mean (F-P)² / mean P², the full size three times as much as its half."""
    total, each = torch.zeros((), dtype=torch.float64), shares(CONTENT_WEIGHTS, image)
    pairs = zip(halves(image, len(each)), halves(content, len(each)), strict=True)
    for share, (one, other) in zip(each, pairs, strict=True):
        found, wanted = maps(one, [layer])[layer], maps(other, [layer])[layer]
        total = total + share * ((found - wanted) ** 2).mean() / (wanted**2).mean()
    return total


def style_distance(
    image: Tensor, content: Tensor, style: Tensor, strength: float, layers: Sequence[str]
) -> Tensor:
    """Return the mean over layers of ‖G-B‖² / ‖A‖², by the scales' shares.

    B lies between the content's own matrix and the style's, A: at strength 1 it is A.
    """
    total, each = torch.zeros((), dtype=torch.float64), shares(STYLE_WEIGHTS, image)
    found, own, wanted = (grams(x, len(each), layers) for x in (image, content, style))
    t = min(1.0, strength)
    for name, A in wanted.items():
        share = each[int(math.log2(int(name.partition("/")[2] or 1)))] / len(layers)
        B = (1 - t) * own[name] + t * A
        total = total + share * ((found[name] - B) ** 2).sum() / (A**2).sum()
    return total


def total_variation(image: Tensor) -> Tensor:
    """Return the sum of the squares of all differences of neighbours."""
    across, down = image[:, :, 1:] - image[:, :, :-1], image[:, 1:] - image[:, :-1]
    return (across**2).sum() + (down**2).sum()


def terms(
    image: Tensor,
    content: Tensor,
    style: Tensor,
    strength: float,
    content_layer: str = CONTENT_LAYER,
    style_layers: Sequence[str] = STYLE_LAYERS,
) -> dict[str, Tensor]:
    """Return content, style, tv and total of an image (3, H, W)."""
    apart = style_distance(image, content, style, strength, style_layers)
    # Meant at an edge of 112 px.
    style_weight = 1.8 * math.sqrt(image[0].numel()) / 112
    found = {
        "content": content_distance(image, content, content_layer),
        "style": style_weight * max(1.0, strength) ** 3 * apart,
        "tv": 6.5e-5 * min(1.0, strength) * total_variation(image.double()),
    }
    return {**found, "total": found["content"] + found["style"] + found["tv"]}
