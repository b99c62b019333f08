"""Gram matrices and total variation: pure functions over a batch, one number per image."""

from torch import Tensor

from stylebatch.transfer.reductions import sum_pixels, twice


def gram_matrix(features: Tensor) -> Tensor:
    """Return G = F·Fᵀ for each image: (B, C, H, W) → (B, C, C), undivided.

    Source: Gatys, Ecker & Bethge 2016, equation 3.
    """
    rows = features.flatten(2)
    if len(rows) == 1:
        rows = twice(rows)
        return (rows @ rows.transpose(1, 2))[:1]
    return rows @ rows.transpose(1, 2)


def gram_divisor(kind: str, channels: int, positions: int) -> float:
    """Return what a Gram matrix is divided by: `none` 1, `n` its N positions, `cn` C·N."""
    return {"none": 1.0, "n": float(positions), "cn": float(channels * positions)}[kind]


def squared_distance(values: Tensor, target: Tensor) -> Tensor:
    """Return Σ (values - target)² for each image: (B, …), (B, …) → (B,)."""
    return sum_pixels((values - target).square())


def loss_scale(kind: str, target: Tensor) -> Tensor:
    """Return what turns Σ (x - target)² into a loss: (B, …) → (B,).

    relative: 1 / Σ target², so that the loss of x = 0 is 1 whatever the size, the layer and the
    image (our choice); mean: 1 / number of entries; sum: 1.
    """
    if kind == "relative":
        return 1 / sum_pixels(target.square()).clamp_min(1e-12)
    entries = target[0].numel()
    return target.new_full((target.shape[0],), 1 / entries if kind == "mean" else 1.0)


def total_variation(images: Tensor) -> Tensor:
    """Return Σ (dx² + dy²) over the (H-1)×(W-1) pixels that have both neighbours: (B,).

    Source: Mahendran & Vedaldi 2015, equation 4 with β = 2; images (B, 3, H, W) in [0, 1].
    """
    here = images[..., :-1, :-1]
    along_width = (images[..., :-1, 1:] - here).square()
    along_height = (images[..., 1:, :-1] - here).square()
    return sum_pixels(along_width + along_height)
