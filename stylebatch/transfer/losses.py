"""Style statistics, distances and total variation: pure functions over a batch of images."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylebatch.transfer.reductions import MAX_PRODUCTS, sum_pixels, twice

# Positions of a Gram matrix that are multiplied at a time, by one thread.
GRAM_CHUNK = 4096
GRAM_CHUNKS = 4
# On a GPU every chunk has its blocks of threads: below this many positions there are enough.
GRAM_SMALLEST_CHUNK = 1024
# Huang & Belongie's own code adds it under the root, where a channel that is flat has no slope.
VARIANCE_FLOOR = 1e-5


def gram_matrix(features: Tensor, with_ones: bool = False) -> Tensor:
    """Return G = F·Fᵀ for each image: (B, C, H, W) → (B, C, C), undivided.

    Source: Gatys, Ecker & Bethge 2016, equation 3.

    Args:
        with_ones: as if one more channel were 1 everywhere: (B, C + 1, C + 1).
    """
    gram: Tensor = _Gram.apply(features.flatten(2), with_ones)
    return gram


class _Gram(torch.autograd.Function):
    """F·Fᵀ and its gradient (D + Dᵀ)·F, image by image.

    A plain product differentiates both of its factors, and forms its sums in an order that depends
    on the batch and the threads. Here chunks of positions are multiplied one by one, and one
    product gives the gradient. Of maps in bfloat16 the matrices come out in float32, as sums of
    exact products, the gradient in bfloat16, as it goes on. On a GPU all images are multiplied at
    once.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, with_ones: bool) -> Tensor:
        ctx.save_for_backward(rows)
        if rows.is_cpu and with_ones and not rows.is_contiguous():
            # Sums over rows would gather them from all over the positions.
            return torch.stack([_gram_of(each, with_ones=True) for each in rows])
        if rows.is_cpu:
            gram = torch.stack([_gram_of(each) for each in rows])
        else:
            gram = gram_by_product(rows)
        if not with_ones:
            return gram
        sums = _sum_positions(rows.float()[..., None])[..., None]
        corner = gram.new_full((len(rows), 1, 1), rows.shape[2])
        last = torch.cat([sums.transpose(1, 2), corner], 2)
        return torch.cat([torch.cat([gram, sums], 2), last], 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        channels = rows.shape[1]
        both = (gradient + gradient.transpose(1, 2)).to(rows.dtype)
        if not rows.is_cpu:
            return gram_back_by_product(both, rows), None
        found = torch.empty_like(rows)
        for index, (one, each) in enumerate(zip(both, rows, strict=True)):
            square = one[:channels, :channels]
            if len(one) == channels:
                torch.mm(square, each, out=found[index])
            else:
                torch.addmm(one[:channels, channels:], square, each, out=found[index])
        return found, None


def _gram_of(rows: Tensor, *, with_ones: bool = False) -> Tensor:
    channels, positions = rows.shape
    chunk = GRAM_CHUNK
    if rows.dtype == torch.bfloat16:
        # Of fewer than two chunks halves: a lone product would have to be made twice. In float32,
        # whose bytes stay as they were, it is.
        chunk = min(chunk, max(1, positions // 2))
    count = positions // chunk
    whole = rows[:, : count * chunk].view(channels, count, chunk).transpose(0, 1)
    # A CPU gives products of bfloat16 in bfloat16 only; a few chunks at a time take little memory.
    firsts = range(0, count, GRAM_CHUNKS)
    parts = [_products_of(whole[first : first + GRAM_CHUNKS], with_ones) for first in firsts]
    rest = _products_of(rows[:, count * chunk :][None], with_ones)
    return rest[0] + torch.cat(parts).sum(0) if parts else rest[0]


def _products_of(chunks: Tensor, with_ones: bool) -> Tensor:
    """Return F·Fᵀ of each chunk, (n, C, p) → (n, C, C), float32, the same bits for any n."""
    count, channels, positions = chunks.shape
    if with_ones:
        # They lie as the channels do, side by side.
        filled = chunks.new_ones((count, positions, channels + 1), dtype=torch.float32)
        filled[..., :channels] = chunks.transpose(1, 2)
        chunks = filled.transpose(1, 2)
    chunks = chunks.float()
    if count == 1:
        chunks = twice(chunks)
    return (chunks @ chunks.transpose(1, 2))[:count]


def gram_by_product(rows: Tensor) -> Tensor:
    """Return the Gram matrices of rows (B, C, N), for a GPU: (B, C, C), float32.

    In chunks again: a product of a few channels over all positions would leave most of it idle.
    """
    batch, channels, positions = rows.shape
    chunk = math.gcd(positions, GRAM_CHUNK)
    if chunk < GRAM_SMALLEST_CHUNK or batch * (positions // chunk) > MAX_PRODUCTS:
        chunk = positions
    # Without a copy where a pixel's channels lie side by side.
    columns = rows.transpose(1, 2).reshape(-1, chunk, channels)
    if rows.dtype == torch.float32:
        parts = torch.bmm(columns.transpose(1, 2), columns)
    else:
        parts = torch.bmm(columns.transpose(1, 2), columns, out_dtype=torch.float32)
    return parts.view(batch, -1, channels, channels).sum(1)


def gram_back_by_product(both: Tensor, rows: Tensor) -> Tensor:
    """Return (D + Dᵀ)·F for a GPU, (B, C, N), a position's channels side by side.

    Args:
        both: D + Dᵀ, (B, C, C), or with another row and column for the channel of ones.
        rows: F, (B, C, N).
    """
    channels = rows.shape[1]
    square, columns = both[:, :channels, :channels], rows.transpose(1, 2)
    if both.shape[1] == channels:
        return torch.bmm(columns, square).transpose(1, 2)
    return torch.baddbmm(both[:, channels:, :channels], columns, square).transpose(1, 2)


def both_sides(matrix: Tensor, gram: Tensor) -> Tensor:
    """Return M·G·Mᵀ for each image: (C, c), (B, c, c) → (B, C, C)."""
    if len(gram) == 1 and gram.is_cpu:
        return both_sides(matrix, twice(gram))[:1]
    many = matrix.expand(len(gram), *matrix.shape)
    return many @ gram @ many.transpose(1, 2)


def mean_std(features: Tensor, mask: Tensor | None = None) -> Tensor:
    """Return each channel's mean and standard deviation: (B, C, H, W) → (B, 2, C).

    Source: Huang & Belongie 2017 (AdaIN), equations 5 and 6.

    Args:
        mask: (B, 1, H, W), how much each position counts; all the same without it.
    """
    batch, channels = features.shape[:2]
    share = _shares(features, mask)
    mean = _sum_positions(features * share)
    offset = features - mean.view(batch, channels, 1, 1)
    variance = _sum_positions(offset.square() * share)
    return torch.stack([mean, (variance + VARIANCE_FLOOR).sqrt()], 1)


def _shares(features: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        positions = features.shape[2] * features.shape[3]
        return features.new_full((1, 1, 1, 1), 1 / positions)
    return mask / sum_pixels(mask).clamp_min(1e-6).view(-1, 1, 1, 1)


def _sum_positions(values: Tensor) -> Tensor:
    batch, channels = values.shape[:2]
    return sum_pixels(values.reshape(batch * channels, -1)).view(batch, channels)


def gram_divisor(kind: str, channels: int, positions: int, image_pixels: int) -> float:
    """Return what a Gram matrix is divided by.

    Args:
        kind: none 1; n its N positions; cn C·N; 2cn 2·C·N, as in equation 4 of Gatys et al. 2016;
            image 2·3·S with S the pixels of the image itself, Keras' constant at every layer.
    """
    return {
        "none": 1.0,
        "n": float(positions),
        "cn": float(channels * positions),
        "2cn": 2.0 * channels * positions,
        "image": 6.0 * image_pixels,
    }[kind]


def squared_distance(values: Tensor, target: Tensor) -> Tensor:
    """Return Σ (values - target)² for each image: (B, …), (B, …) → (B,); a gradient for values."""
    distance: Tensor = _SquaredDistance.apply(values, target)
    return distance


class _SquaredDistance(torch.autograd.Function):
    """The sum and its gradient, 2·(values - target), in one pass over large maps each."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, target: Tensor) -> Tensor:
        offset = values - target
        ctx.save_for_backward(offset)
        return sum_pixels(offset.square())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (offset,) = ctx.saved_tensors
        return offset * (2 * gradient).view(-1, *[1] * (offset.dim() - 1)), None


def power_distance(values: Tensor, target: Tensor, powers: Sequence[int], divisor: float) -> Tensor:
    """Return Σ_p Σ (values - target)^p · divisor^(p-2) for each image: (B, …), (B, …) → (B,).

    Values and targets are divided already; a sum of fourth powers is divided by the square of the
    divisor only, as in Keras' variants. In this order nothing overflows float32.
    """
    squares = (values - target).square()
    total = sum_pixels(squares) if 2 in powers else None
    if 4 in powers:
        fourth = sum_pixels((squares * divisor).square())
        total = fourth if total is None else total + fourth
    assert total is not None, "a distance needs a power"
    return total


def loss_scale(kind: str, target: Tensor) -> Tensor:
    """Return what turns Σ (x - target)² into a loss: (B, …) → (B,).

    relative: 1 / Σ target², so that the loss of x = 0 is 1 whatever the size, the layer and the
    image (our choice); mean: 1 / number of entries; sum: 1.
    """
    is_relative = kind == "relative"
    squares = sum_pixels(target.square()) if is_relative else target.new_zeros(target.shape[0])
    return loss_scale_of(kind, squares, target[0].numel())


def loss_scale_of(kind: str, squares: Tensor, entries: int) -> Tensor:
    """Return the same of targets whose squares (B,) and numbers of entries are known."""
    if kind == "relative":
        return 1 / squares.clamp_min(1e-12)
    return torch.full_like(squares, 1 / entries if kind == "mean" else 1.0)


def tv_divisor(kind: str, height: int, width: int) -> float:
    """Return what a total variation is divided by.

    Args:
        kind: none 1; edge √(H·W); n the pixels H·W.
    """
    power = {"none": 0.0, "edge": 0.5, "n": 1.0}[kind]
    return float((height * width) ** power)


def total_variation(
    images: Tensor, power: float = 1.0, pixel_scale: Sequence[float] = (1.0, 1.0, 1.0)
) -> Tensor:
    """Return Σ (dx² + dy²)^power over the (H-1)×(W-1) pixels that have both neighbours: (B,).

    Source: Mahendran & Vedaldi 2015, equation 4 with β = 2 · power.

    Args:
        images: (B, 3, H, W) in [0, 1].
        pixel_scale: by channel, what white is in the variable whose differences are meant.
    """
    if set(pixel_scale) != {1.0}:
        # Not by a tensor of the factors: bringing it to a GPU makes the host wait.
        scaled = [images[:, i] * factor for i, factor in enumerate(pixel_scale)]
        images = torch.stack(scaled, 1)
    here = images[..., :-1, :-1]
    along_width = (images[..., :-1, 1:] - here).square()
    along_height = (images[..., 1:, :-1] - here).square()
    squares = along_width + along_height
    return sum_pixels(squares if power == 1 else squares.pow(power))
