"""The initial inverse Hessian of L-BFGS, without its scale: a sum over scales."""

import torch
import torch.nn.functional as F
from torch import Tensor


def precondition(v: Tensor, levels: int) -> Tensor:
    """Return P v = v + Σ_k U_k D_k v: k times 2×2 averages, bilinear back to full size.

    Source: after Bramble, Pasciak & Xu 1990 (BPX); the plain sum over scales is ours. It lets
    large structures move as fast as single pixels do.
    """
    total, coarse = v, v
    for _ in range(levels):
        if min(coarse.shape[-2:]) < 2:
            break
        coarse = F.avg_pool2d(coarse, 2, ceil_mode=True, count_include_pad=False)
        total = total + _enlarge(_enlarge(coarse, -2, v.shape[-2]), -1, v.shape[-1])
    return total


def _enlarge(v: Tensor, dim: int, size: int) -> Tensor:
    """Resample one dimension bilinearly, as `F.interpolate` does without `align_corners`.

    Not by `F.interpolate`: on the CPU its last bits depend on how threads share the pixels.
    """
    here = v.shape[dim]
    at = ((torch.arange(size, device=v.device) + 0.5) * (here / size) - 0.5).clamp_(0, here - 1)
    low = at.long()
    share = (at - low).view(-1, 1) if dim == -2 else at - low
    high = v.index_select(dim, (low + 1).clamp_max_(here - 1))
    return v.index_select(dim, low) * (1 - share) + high * share
