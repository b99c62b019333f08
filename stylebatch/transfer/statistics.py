"""What of a style is matched: statistics of feature maps, and how far apart two of them are.

Each is one tensor for a layer: a Gram matrix (C, C); means and standard deviations (2, C); or the
mean above the centred covariance, (C + 1, C).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylebatch.transfer.losses import loss_scale, power_distance
from stylebatch.transfer.reductions import eigen, multiply, sum_pixels

# Of the mean variance of the style's channels, added to every channel's on both sides: without it
# the root of a covariance has no slope where channels are flat or alike.
RIDGE = 1e-3


def num_rows(statistic: str, channels: int) -> int:
    """Return how many rows a layer's tensor has; its columns are the channels."""
    return {"gram": channels, "mean_std": 2}.get(statistic, channels + 1)


def centre(moments: Tensor) -> Tensor:
    """Turn means and second moments E[ffᵀ], (B, C + 1, C), into means and covariances."""
    mean, second = moments[:, :1], moments[:, 1:]
    return torch.cat([mean, second - mean.transpose(1, 2) * mean], 1)


def target_of(statistic: str, values: Tensor) -> Tensor:
    """Return what `distances` takes as the target, of the same shape.

    For wasserstein the covariance's root is in its place, after the ridge.
    """
    if statistic != "wasserstein":
        return values
    mean, covariance = values[:, :1], values[:, 1:]
    ridge = RIDGE * covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-12)
    eye = torch.eye(covariance.shape[1], device=values.device)
    root = root_of(covariance + ridge.view(-1, 1, 1) * eye)
    return torch.cat([mean, root], 1)


def scales_of(statistic: str, loss: str, values: Tensor) -> Tensor:
    """Return what turns each of `distances` into a loss, from the style's own values: (B, parts).

    As `loss_scale` has it; the halves of mean_covariance count half each; wasserstein is relative
    to ‖μ‖² + tr Σ = E‖f‖², a mean by the channels.
    """
    if statistic == "mean_covariance":
        return torch.stack([loss_scale(loss, part) / 2 for part in _parts(values)], 1)
    if statistic == "wasserstein":
        mean, covariance = _parts(values)
        if loss == "relative":
            size = sum_pixels(mean.square()) + covariance.diagonal(dim1=1, dim2=2).sum(1)
            return (1 / size.clamp_min(1e-12))[:, None]
        return loss_scale(loss, mean)[:, None]
    return loss_scale(loss, values)[:, None]


def distances(
    statistic: str, values: Tensor, target: Tensor, powers: Sequence[int], divisor: float
) -> Tensor:
    """Return how far values are from a `target_of`, before `scales_of`: (B, parts).

    Args:
        powers, divisor: as in `power_distance`; wasserstein takes neither.
    """
    if statistic == "wasserstein":
        return wasserstein(values, target)[:, None]
    if statistic == "mean_covariance":
        pairs = zip(_parts(values), _parts(target), strict=True)
        return torch.stack([power_distance(*pair, powers, 1.0) for pair in pairs], 1)
    return power_distance(values, target, powers, divisor)[:, None]


def _parts(values: Tensor) -> tuple[Tensor, Tensor]:
    return values[:, :1], values[:, 1:]


def wasserstein(values: Tensor, target: Tensor) -> Tensor:
    """Return the squared Wasserstein-2 distance of normal distributions: (B,).

    ‖μ - μ̂‖² + tr(Σ + Σ̂ - 2·(Σ̂^½ Σ Σ̂^½)^½), both covariances with the style's ridge.

    Source: Dowson & Landau 1982; for style in this form Crowson's style-transfer-pytorch.

    Args:
        values: mean and covariance (B, C + 1, C).
        target: `target_of` the style's.
    """
    mean, covariance = _parts(values)
    wanted, root = _parts(target)
    # In float64: the ridge's square is all that flat directions have in the product, and what is
    # subtracted is nearly all that there is.
    root = root.double()
    # tr Σ̂ after the ridge, of which the ridge was this share.
    traces = sum_pixels(root.square())
    channels = covariance.shape[1]
    ridge = traces * (RIDGE / (1 + RIDGE) / channels)
    eye = torch.eye(channels, device=values.device)
    ridged = covariance.double() + ridge.view(-1, 1, 1) * eye
    shared: Tensor = _TraceOfRoot.apply(multiply(multiply(root, ridged), root))
    apart = ridged.diagonal(dim1=1, dim2=2).sum(1) + traces - 2 * shared
    return sum_pixels((mean - wanted).square()) + apart.float()


def root_of(matrices: Tensor) -> Tensor:
    """Return the roots of symmetric matrices without negative eigenvalues: (B, C, C)."""
    values, vectors = eigen(matrices.double())
    return multiply(vectors * values.clamp_min(0).sqrt()[:, None], vectors.transpose(1, 2)).float()


class _TraceOfRoot(torch.autograd.Function):
    """tr A^½ of symmetric (B, C, C) in float64, whose gradient is ½ A^-½."""

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:
        values, vectors = eigen(matrices)
        # Below that an eigenvalue is rounding.
        roots = values.clamp_min(1e-12 * values.amax(1, keepdim=True).clamp_min(1e-30)).sqrt()
        ctx.save_for_backward(vectors, roots)
        return roots.sum(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        vectors, roots = ctx.saved_tensors
        inverse = multiply(vectors / roots[:, None], vectors.transpose(1, 2))
        return 0.5 * gradient.view(-1, 1, 1) * inverse
