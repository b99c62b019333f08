"""Scales of one image: each half the one before, for terms that look at several."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from stylebatch.transfer.pyramid import SMALLEST_EDGE_PX


def halve(images: Tensor) -> Tensor:
    """Return images of half the edges, rounded down: (B, C, H, W) → (B, C, H // 2, W // 2).

    By [1 3 3 1] / 8 along both edges, every second pixel, borders repeated. Averages of 2×2 blocks
    would leave a grid in what is optimised through them. By sums of slices, whose bits depend
    neither on the batch nor on threads.
    """
    return _halve_last(_halve_last(images).transpose(-1, -2)).transpose(-1, -2)


def _halve_last(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    padded = F.pad(x, (1, 1, 0, 0), mode="replicate")
    first, second, third, last = (padded[..., at : at + 2 * half : 2] for at in range(4))
    return (first + last + 3 * (second + third)) / 8


def at_scale(layer: str, scale: int) -> str:
    """Name a layer on a scale: relu1_1 on the full image, relu1_1/2 on half of it, relu1_1/4, …"""
    return layer if scale == 0 else f"{layer}/{2**scale}"


def num_scales(wanted: int, height: int, width: int, smallest_px: int) -> int:
    """Return how many scales an image has: at least one, the smallest no less than 16 px an edge.

    Args:
        smallest_px: nor less than this, which the extractor needs.
    """
    smallest, count = max(SMALLEST_EDGE_PX, smallest_px), 1
    while count < wanted and min(height, width) >> count >= smallest:
        count += 1
    return count


def weights_at(scales: Sequence[float], count: int) -> Sequence[float]:
    """Return the weights of the scales that an image has.

    Where it is too small for any that counts, its full size counts.
    """
    found = scales[:count]
    return found if any(found) else (1.0,)
