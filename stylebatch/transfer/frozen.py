"""Operations of a frozen network that keep for the gradient only what it needs.

A convolution whose filters are not trained needs neither its input nor its output for its gradient,
a rectified pooling only which number of each window was the largest. torch keeps the feature maps
for each of them, as if the filters were trained. Values and gradients are torch's own, bit by bit.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from stylebatch.extractors.architectures import Pooling


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor, stride: int, padding: int, dilation: int
) -> Tensor:
    """Return `F.conv2d` of maps (B, I, H, W), with a gradient for them only; keeps no maps."""
    maps: Tensor = _Convolve.apply(x, weight, bias, stride, padding, dilation)
    return maps


def rectify(x: Tensor) -> Tensor:
    """Return max(x, 0); keeps x, for maps that are kept anyway, and not its result."""
    maps: Tensor = _Rectify.apply(x)
    return maps


def pool_and_rectify(x: Tensor, window: Pooling) -> Tensor:
    """Return the largest number of each window, or 0; keeps the pooled maps and where they are.

    The same as rectifying first, which would take the whole maps in hand once more.
    """
    maps: Tensor = _PoolAndRectify.apply(x, window)
    return maps


def replicate(x: Tensor, padding: int) -> Tensor:
    """Return `F.pad(x, …, mode="replicate")` of maps (B, C, H, W), for a GPU.

    torch's own (2.15) gives a map that lies channel by channel, whatever it was given, so that the
    convolution behind it copies it once more; and adds its gradient up in no fixed order.
    """
    maps: Tensor = _Replicate.apply(x, padding)
    return maps


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        stride: int,
        padding: int,
        dilation: int,
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, ctx.format = x.shape, format_of(x)
        ctx.numbers = stride, padding, dilation
        return F.conv2d(x, weight, bias, stride, padding, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        if not gradient.is_cpu:
            found = convolve_back(gradient, weight, ctx.shape, *ctx.numbers)
            return found, None, None, None, None, None
        stride, padding, dilation = ([number, number] for number in ctx.numbers)
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient,
            # Only its shape and layout are looked at; memory that is never touched costs nothing.
            torch.empty(ctx.shape, dtype=gradient.dtype, memory_format=ctx.format),
            weight,
            None,
            stride,
            padding,
            dilation,
            False,
            [0, 0],
            1,
            [True, False, False],
        )
        return found, None, None, None, None, None


def convolve_back(
    gradient: Tensor, weight: Tensor, shape: torch.Size, stride: int, padding: int, dilation: int
) -> Tensor:
    """Return a convolution's gradient for its input of `shape`: the transposed convolution.

    What `convolution_backward` runs on a GPU, where memory that is never touched does cost: this
    one asks for no input.
    """
    reach = dilation * (weight.shape[-1] - 1) + 1 - 2 * padding
    # Positions at the end that no window has reached.
    rest = [shape[dim] - (gradient.shape[dim] - 1) * stride - reach for dim in (2, 3)]
    return F.conv_transpose2d(gradient, weight, None, stride, padding, rest, 1, dilation)


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return F.relu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        found: Tensor = torch.ops.aten.threshold_backward(gradient, x, 0)
        return found


class _PoolAndRectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, window: Pooling) -> Tensor:
        largest, where = F.max_pool2d(
            x, window.kernel, window.stride, ceil_mode=window.ceil_mode, return_indices=True
        )
        largest = F.relu_(largest)
        # Indices within a map, which torch has in 64 bits: a CPU is short of memory rather than of
        # time, a GPU of time.
        ctx.save_for_backward(largest, where.to(torch.int32) if x.is_cpu else where)
        ctx.shape, ctx.window, ctx.format = x.shape, window, format_of(x)
        return largest

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        largest, where = ctx.saved_tensors
        window = ctx.window
        found = torch.ops.aten.max_pool2d_with_indices_backward(
            torch.ops.aten.threshold_backward(gradient, largest, 0),
            # Laid out as the input was, or the gradient is copied into another layout first.
            torch.empty(
                ctx.shape, dtype=largest.dtype, device=largest.device, memory_format=ctx.format
            ),
            [window.kernel] * 2,
            [window.stride] * 2,
            [0, 0],
            [1, 1],
            window.ceil_mode,
            where.long(),
        )
        return found, None


class _Replicate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding
        batch, channels, height, width = x.shape
        shape = (batch, channels, height + 2 * padding, width + 2 * padding)
        # Laid out as the maps are.
        maps = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=format_of(x))
        rows, columns = slice(padding, padding + height), slice(padding, padding + width)
        maps[..., rows, columns] = x
        maps[..., :padding, columns] = x[..., :1, :]
        maps[..., padding + height :, columns] = x[..., -1:, :]
        # Corners with them.
        maps[..., :padding] = maps[..., padding : padding + 1]
        maps[..., padding + width :] = maps[..., padding + width - 1 : padding + width]
        return maps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        padding = ctx.padding
        inner = gradient[..., padding:-padding].clone()
        inner[..., 0] += gradient[..., :padding].sum(-1)
        inner[..., -1] += gradient[..., -padding:].sum(-1)
        found = inner[..., padding:-padding, :].clone(memory_format=format_of(gradient))
        found[..., 0, :] += inner[..., :padding, :].sum(-2)
        found[..., -1, :] += inner[..., -padding:, :].sum(-2)
        return found, None


def format_of(x: Tensor) -> torch.memory_format:
    """Return how maps lie: a pixel's channels side by side, or each channel by itself."""
    is_channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if is_channels_last else torch.contiguous_format
