"""The initial inverse Hessian of L-BFGS, without its scale: a weight for each scale and colour."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class BandWeight(NamedTuple):
    """How far one band of scales moves for a gradient of 1, in units of the second finest's grey.

    Attributes:
        grey: of the mean over the three channels.
        colour: of what is left without it.
    """

    grey: float
    colour: float


# Structures of 1, 2, 4, … px and up. Fitted: which weights bring a gradient nearest to what is
# still missing to the image after hundreds of evaluations, then improved by trial on six pairs that
# no benchmark uses (docs/lab/solver.md). Large structures and fine colour are what features see
# least of, so there losses are flattest and steps have to be longest.
BAND_WEIGHTS = (
    BandWeight(2, 8),
    BandWeight(1, 5),
    BandWeight(3, 3),
    BandWeight(6, 3),
    BandWeight(20, 6),
    BandWeight(60, 12),
    BandWeight(80, 12),
)


def precondition(v: Tensor, levels: int) -> Tensor:
    """Return P·v: bands of scales of (B, 3, H, W), each times its weight; `levels` 0: v itself.

    Source: after Bramble, Pasciak & Xu 1990 (BPX), who add up projections onto coarser and coarser
    grids. Here these are 2×2 averages brought back bilinearly, their differences are the bands, and
    the weights are `BAND_WEIGHTS`: up to `levels` averages, the coarsest band being all that is
    left.
    """
    height, width = v.shape[-2:]
    levels = min(levels, min(height, width).bit_length() - 1)
    if not levels:
        return v
    # Edges that can't be halved so often are filled up with zeros and cut again: so P stays one
    # with no direction uphill, which shorter blocks at an edge would take from it.
    missing = -width % 2**levels, -height % 2**levels
    averages = [F.pad(v, (0, missing[0], 0, missing[1])) if any(missing) else v]
    for _ in range(levels):
        averages.append(F.avg_pool2d(averages[-1], 2))
    # Σ wₖ·(aₖ - aₖ₊₁) = w₀·a₀ + Σ (wₖ - wₖ₋₁)·aₖ, from the coarsest average up.
    total = _weigh(averages[levels], levels)
    for level in reversed(range(levels)):
        # In place, here and below: of a huge image each copy counts.
        total = _weigh(averages[level], level).add_(_double(_double(total, -2), -1))
    return total[..., :height, :width]


def _weigh(average: Tensor, level: int) -> Tensor:
    grey, colour = BAND_WEIGHTS[level]
    if level:
        finer = BAND_WEIGHTS[level - 1]
        grey, colour = grey - finer.grey, colour - finer.colour
    mean = (average[:, :1] + average[:, 1:2] + average[:, 2:]) / 3
    return (colour * average).add_((grey - colour) * mean)


def _double(v: Tensor, dim: int) -> Tensor:
    """Resample one dimension to twice its size, bilinearly.

    Not by `F.interpolate`: on the CPU its last bits depend on how threads share the pixels.
    """
    here = v.shape[dim]
    at = ((torch.arange(2 * here, device=v.device) + 0.5) / 2 - 0.5).clamp_(0, here - 1)
    low = at.long()
    share = (at - low).view(-1, 1) if dim == -2 else at - low
    high = v.index_select(dim, (low + 1).clamp_max_(here - 1)).mul_(share)
    return v.index_select(dim, low).mul_(1 - share).add_(high)
