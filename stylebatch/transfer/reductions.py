"""The one way to reduce over pixels: on the CPU an image's sum has the same bits in any batch.

Elsewhere nothing of the kind is promised, and torch's own reductions are taken.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

# Rows of this length are added by one thread each, in one order. 1024 divides 32×32 pixels, so that
# bucketed shapes need no padding; and up to 16 rows of partial sums stay below the 32,768
# elements from which torch splits a reduction to a single number among threads.
ROW = 1024
# torch (2.15) convolves a lone float32 image of up to so many numbers without oneDNN, and so in
# another order than in a batch: `use_mkldnn` in aten/src/ATen/native/Convolution.cpp.
MAX_NATIVE_CONVOLUTION = 20480
# A CUDA grid has at most 65,535 blocks along the dimension that batched products are laid out in.
MAX_PRODUCTS = 65535


def sum_pixels(values: Tensor) -> Tensor:
    """Sum over all dimensions but the first: (B, …) → (B,), the same bits for any B and threads.

    A plain `sum` over (B, N) splits the row among threads where B = 1 and not where B ≥ 2, and
    `einsum` and `bmm` dot products choose their order by B. Here each row of 1024 numbers gives one
    partial sum, and these are summed the same way until one is left.
    """
    if not values.is_cpu:
        return values.sum(tuple(range(1, values.dim())))
    batch = values.shape[0]
    if values.dim() == 4 and not values.is_contiguous():
        # Where a pixel's channels lie side by side, in this order: without a copy.
        values = values.permute(0, 2, 3, 1)
    rows = values.reshape(batch, -1)
    while rows.shape[1] > ROW:
        padding = -rows.shape[1] % ROW
        if padding:
            rows = F.pad(rows, (0, padding))
        rows = rows.reshape(-1, ROW).sum(1).reshape(batch, -1)
    return rows.sum(1)


def twice(image: Tensor) -> Tensor:
    """Return a lone image as a batch of two without a copy: (1, …) → (2, …).

    For operations that take another way where B = 1: a batched matrix product becomes a plain one,
    which splits its sum among threads, and a small convolution leaves oneDNN.
    """
    return image.expand(2, *image.shape[1:])


def dot_pixels(left: Tensor, right: Tensor) -> Tensor:
    """Dot product of each image with its partner: (B, …), (B, …) → (B,)."""
    return sum_pixels(left * right)


def dots_pixels(stack: Tensor, vectors: Tensor) -> Tensor:
    """Dot products of every row of a stack with each image: (m, B, …), (B, …) → (m, B)."""
    if not stack.is_cpu:
        return dots_by_product(stack, vectors)
    # One by one: their products together would take as much memory as the stack.
    return torch.stack([dot_pixels(row, vectors) for row in stack])


def dots_by_product(stack: Tensor, vectors: Tensor) -> Tensor:
    """Return the same from one batched matrix product, for a GPU: one pass over the stack.

    Each image is cut into rows of `ROW` numbers where that is possible without a copy: a product of
    few and very long rows would leave most of the GPU idle.
    """
    num, batch = stack.shape[:2]
    numbers = vectors[0].numel()
    length = ROW if numbers % ROW == 0 else numbers
    while batch * (numbers // length) > MAX_PRODUCTS and numbers % (2 * length) == 0:
        length *= 2
    rows = stack.flatten(2).view(num, -1, length).transpose(0, 1)
    parts = torch.bmm(rows, vectors.reshape(-1, length, 1))
    return parts.view(batch, -1, num).sum(1).T


def max_abs_pixels(values: Tensor) -> Tensor:
    """Largest magnitude in each image: (B, …) → (B,). A maximum is exact in any order."""
    return values.abs().flatten(1).amax(1)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Return each image's matrix product: (B, I, J), (B, J, K) → (B, I, K), same bits for any B."""
    if len(left) == 1 and left.is_cpu:
        return (twice(left) @ twice(right))[:1]
    return left @ right


def eigen(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (B, C) and eigenvectors (B, C, C), in columns, of symmetric matrices."""
    with _one_thread(matrices):
        values, vectors = torch.linalg.eigh(matrices)
    return values, vectors


def qr(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return Q and R of a matrix Q·R: (I, J) → (I, k), (k, J), k = min(I, J).

    The columns of Q are orthonormal, so for all x, y: ‖M·x - M·y‖ = ‖R·x - R·y‖. By way of float64.
    """
    with _one_thread(matrix):
        columns, right = torch.linalg.qr(matrix.double())
    return columns.to(matrix), right.to(matrix)


@contextmanager
def _one_thread(matrices: Tensor) -> Iterator[None]:
    """On the CPU: LAPACK's order depends on how many there are."""
    threads = torch.get_num_threads()
    if matrices.is_cpu:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if matrices.is_cpu:
            torch.set_num_threads(threads)
