"""Slow, obviously right versions of what looks at several scales, and of what it matches there.

Float64, one image (3, H, W), torchvision's VGG-19 as in `naive`; nothing here imports stylebatch.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import naive
from torch import Tensor

STATISTICS = ("gram", "mean_std", "mean_covariance", "wasserstein")
SMALLEST_PX = 16
# As documented: of the mean variance of the style's channels, on both sides.
RIDGE = 1e-3


# --- scales ----------------------------------------------------------------------------------


def halve(image: Tensor) -> Tensor:
    """Return half an image (C, H, W): [1 3 3 1] / 8 both ways, as a convolution of stride 2."""
    row = torch.tensor([1, 3, 3, 1], dtype=torch.float64) / 8
    channels = len(image)
    filters = torch.outer(row, row).expand(channels, 1, 4, 4)
    padded = F.pad(image.double()[None], (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, filters, stride=2, groups=channels)[0]


def pyramid(image: Tensor, count: int) -> list[Tensor]:
    """Return an image and its halves, so many in all."""
    found = [image.double()]
    while len(found) < count:
        found.append(halve(found[-1]))
    return found


def scales_of(weights: Sequence[float], height: int, width: int) -> dict[int, float]:
    """Return scale → weight of those that an image has and that count."""
    found = {
        scale: weight
        for scale, weight in enumerate(weights)
        if weight and (scale == 0 or min(height, width) // 2**scale >= SMALLEST_PX)
    }
    return found or {0: 1}


def key(layer: str, scale: int) -> str:
    """Name a layer on a scale."""
    return layer if scale == 0 else f"{layer}/{2**scale}"


# --- statistics of one map (C, h, w) ---------------------------------------------------------


def mean_and_covariance(features: Tensor, share: Tensor | None = None) -> Tensor:
    """Return the mean above the covariance, (C + 1, C); `share` (h, w): how much each counts."""
    rows = features.flatten(1)
    weights = torch.ones(rows.shape[1]) if share is None else share.flatten()
    weights = weights.to(rows.dtype)
    mean = (rows * weights).sum(1) / weights.sum()
    return torch.cat([mean[None], torch.cov(rows, correction=0, aweights=weights)])


def statistic(kind: str, features: Tensor, share: Tensor | None = None) -> Tensor:
    """Return what is matched: of Gram matrices that for each position."""
    found = mean_and_covariance(features, share)
    mean, covariance = found[0], found[1:]
    if kind == "gram":
        return covariance + torch.outer(mean, mean)
    if kind == "mean_std":
        return torch.stack([mean, (covariance.diagonal() + 1e-5).sqrt()])
    return found


def moments(features: Tensor) -> Tensor:
    """Return the mean above E[ffᵀ], (C + 1, C), position by position."""
    channels = len(features)
    total = torch.zeros(channels + 1, channels, dtype=torch.float64)
    positions = features.flatten(1).T.double()
    for each in positions:
        total[0] += each
        total[1:] += torch.outer(each, each)
    return total / len(positions)


def as_given(kind: str, features: Tensor) -> Tensor:
    """Return the statistics of a style's map in the form in which an objective takes them."""
    if kind in ("gram", "mean_std"):
        return statistic(kind, features)
    rows = features.flatten(1)
    return torch.cat([rows.mean(1)[None], rows @ rows.T / rows.shape[1]])


def given(style: Tensor, spec: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return a style image's statistics by layer and scale, from its own pyramid."""
    layers, found = list(spec["style_layers"]), {}
    for scale, image in enumerate(pyramid(style, len(spec["scales"]))):
        maps = naive.feature_maps(image[None], layers)
        for layer in layers:
            found[key(layer, scale)] = as_given(spec["statistic"], maps[layer][0])
    return found


# --- how far two are apart -------------------------------------------------------------------


def root(matrix: Tensor) -> Tensor:
    """Return a root by SciPy."""
    linalg = pytest.importorskip("scipy.linalg")
    found = linalg.sqrtm(matrix.detach().double().numpy())
    return torch.from_numpy(np.real(found))


def ridge_of(covariance: Tensor) -> Tensor:
    """Return the ridge that a style with this covariance brings."""
    channels = len(covariance)
    return RIDGE * covariance.diagonal().mean() * torch.eye(channels, dtype=torch.float64)


def wasserstein_by_scipy(found: Tensor, wanted: Tensor) -> float:
    """Return the squared distance of two (C + 1, C) by SciPy's roots alone."""
    ridge = ridge_of(wanted[1:])
    one, other = found[1:] + ridge, wanted[1:] + ridge
    half = root(other)
    inner = root(half @ one @ half)
    apart = ((found[0] - wanted[0]) ** 2).sum()
    return float(apart + one.trace() + other.trace() - 2 * inner.trace())


def wasserstein(found: Tensor, wanted: Tensor) -> Tensor:
    """Return the same so that it can be differentiated by `found`."""
    ridge = ridge_of(wanted[1:])
    one, other = found[1:] + ridge, wanted[1:] + ridge
    half = root(other)
    shared = torch.linalg.eigvalsh(half @ one @ half).clamp_min(1e-30).sqrt().sum()
    apart = ((found[0] - wanted[0]) ** 2).sum()
    squared: Tensor = apart + one.trace() + other.trace() - 2 * shared
    return squared


def _size(loss: str, style: Tensor) -> float:
    if loss == "relative":
        return float((style**2).sum())
    return float(style.numel()) if loss == "mean" else 1.0


def distance(kind: str, loss: str, found: Tensor, wanted: Tensor, style: Tensor) -> Tensor:
    """Return the loss between two statistics; it is relative to the style's own."""
    if kind == "mean_covariance":
        pairs = [(found[p], wanted[p], style[p]) for p in (slice(1), slice(1, None))]
        halves = [((x - y) ** 2).sum() / _size(loss, own) / 2 for x, y, own in pairs]
        both: Tensor = halves[0] + halves[1]
        return both
    if kind == "wasserstein":
        size = _size(loss, style[:1])
        if loss == "relative":
            size += float(style[1:].trace())
        return wasserstein(found, wanted) / size
    return ((found - wanted) ** 2).sum() / _size(loss, style)


# --- the terms of one image ------------------------------------------------------------------


def _averaged(mask: Tensor, height: int, width: int) -> Tensor:
    """Return the mean of a mask (H, W) over each block of pixels."""
    rows, columns = mask.shape[0] // height, mask.shape[1] // width
    assert (rows * height, columns * width) == mask.shape
    return mask.double().view(height, rows, width, columns).mean((1, 3))


def _per_position(spec: Mapping[str, Any], features: Tensor, image: Tensor) -> float:
    """Return what turns a Gram matrix for each position into the recipe's."""
    if spec["statistic"] != "gram":
        return 1.0
    channels, positions = len(features), features[0].numel()
    pixels = image[0].numel()
    divisors = {"none": 1, "n": positions, "cn": channels * positions, "image": 6 * pixels}
    return positions / divisors[spec["gram_divisor"]]


def _style_term(
    x: Tensor,
    content: Tensor,
    style: Mapping[str, Tensor],
    spec: Mapping[str, Any],
    strength: float,
    mask: Tensor | None,
) -> Tensor:
    kind, layers = spec["statistic"], spec["style_layers"]
    scales = scales_of(spec["scales"], *x.shape[1:])
    images, contents = (pyramid(image, len(spec["scales"])) for image in (x, content))
    total = torch.zeros((), dtype=torch.float64)
    for scale, of_scale in scales.items():
        F_, P = (naive.feature_maps(y[scale][None], list(layers)) for y in (images, contents))
        for layer, weight in layers.items():
            features = F_[layer][0]
            share = None if mask is None else _averaged(mask, *features.shape[1:])
            times = _per_position(spec, features, images[scale])
            found = times * statistic(kind, features, share)
            own = style[key(layer, scale)].double()
            if kind in ("mean_covariance", "wasserstein"):
                own = torch.cat([own[:1], own[1:] - torch.outer(own[0], own[0])])
            wanted = own = times * own
            if spec["strength_acts_on"] == "statistics":
                of_content = times * statistic(kind, P[layer][0], share)
                t = min(strength, 1.0)
                wanted = (1 - t) * of_content + t * own
            loss = distance(kind, spec["style_loss"], found, wanted, own)
            total = total + weight * of_scale * loss
    if spec["layer_reduction"] == "mean":
        total = total / sum(layers.values()) / sum(scales.values())
    is_axis = spec["strength_acts_on"] == "statistics"
    factor = max(1.0, strength) ** 3 if is_axis else strength
    if spec.get("style_weight_px"):
        factor = factor * math.sqrt(x[0].numel()) / spec["style_weight_px"]
    weighted: Tensor = spec["style_weight"] * factor * total
    return weighted


def _content_term(x: Tensor, content: Tensor, spec: Mapping[str, Any]) -> Tensor:
    layers = spec["content_layers"]
    scales = scales_of(spec["content_scales"], *x.shape[1:])
    images, contents = (pyramid(image, len(spec["content_scales"])) for image in (x, content))
    total = torch.zeros((), dtype=torch.float64)
    for scale, of_scale in scales.items():
        F_, P = (naive.feature_maps(y[scale][None], list(layers)) for y in (images, contents))
        for layer, weight in layers.items():
            loss = naive.distance(spec["content_loss"], F_[layer][0], P[layer][0])
            total = total + weight * of_scale * loss
    if spec["layer_reduction"] == "mean":
        total = total / sum(layers.values()) / sum(scales.values())
    weighted: Tensor = spec["content_weight"] * total
    return weighted


def edges_repeated(image: Tensor) -> Tensor:
    """Return an image (3, H, W) with its last row and column once more, which adds no variation."""
    wide = torch.cat([image, image[:, :, -1:]], 2)
    return torch.cat([wide, wide[:, -1:]], 1)


def terms(
    image: Tensor,
    content: Tensor,
    style: Mapping[str, Tensor],
    spec: Mapping[str, Any],
    strength: float,
    mask: Tensor | None = None,
) -> dict[str, Tensor]:
    """Return total, content, style and tv of one image (3, H, W).

    Args:
        style: as `given` returns it.
        mask: (H, W), 1 where the style applies.
    """
    content = content.double()
    x = image if mask is None else content + mask.double() * (image - content)
    found = {
        "content": _content_term(x, content, spec),
        "style": _style_term(x, content, style, spec, strength, mask),
    }
    pixels = image[0].numel()
    edge = math.sqrt(pixels)
    divisors = {"none": 1, "edge": edge, "n": pixels}
    divisor = divisors[spec["tv_divisor"]]
    every = edges_repeated(x) if spec["tv_border"] else x
    tv = spec["tv_weight"] / divisor * naive.total_variation(every)
    if spec["strength_acts_on"] == "statistics":
        tv = tv * min(1.0, strength)
    return {"total": found["content"] + found["style"] + tv, **found, "tv": tv}
