"""Curvature pairs of a batch in ring buffers, and the inverse Hessian that they make."""

from collections.abc import Callable

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import SlotState, read_slot, write_slot
from stylebatch.transfer.reductions import dots_pixels, sum_pixels


class CurvaturePairs:
    """The last m pairs (s, y) of each image, and H·v without a loop of dot products.

    Source: the compact form of L-BFGS (Byrd, Nocedal & Schnabel 1994, theorem 2.2), in the order of
    work of the "vector-free" two-loop recursion (Chen, Wang & Zhou 2014): the dot products of one
    pass over the ring don't wait for each other, what does is m×m. Departures:

    - Pairs are kept divided by √(sᵀy), so that sᵀy = 1: then S·Yᵀ is unit triangular, and a pair of
      zeros, which a refused step leaves, drops out by itself.
    - The inverse of that triangle is kept rather than the triangle: a new pair adds a column and an
      old one drops out with its row, so that nothing is ever solved.

    The ring turns at the same time for all images. Sums are taken from the oldest pair to the
    newest: where in the ring a pair lies depends on an image's neighbours, its age does not.
    """

    def __init__(self, history: int, shape: tuple[int, ...], like: Tensor) -> None:
        """Make room for `history` pairs of `shape`, (B, …)."""
        self._history, self._head = history, history - 1
        self._s, self._y = (like.new_zeros((history, *shape)) for _ in range(2))
        self._eye = torch.eye(history, dtype=like.dtype, device=like.device)
        # (B, m, m): of the triangle sᵢᵀyⱼ, i not newer than j, both from the oldest to the newest.
        self._inverse = self._eye.repeat(shape[0], 1, 1)
        # (B, m), from the oldest to the newest: 0 where a pair is forgotten.
        self._counts = like.new_ones((shape[0], history))

    def clear(self, slot: int) -> None:
        """Forget a slot's pairs."""
        self._s[:, slot].zero_()
        self._y[:, slot].zero_()
        self._inverse[slot] = self._eye
        self._counts[slot].fill_(1)

    def forget(self, mask: Tensor) -> None:
        """Forget the pairs of those of the first n slots that are masked, (n,)."""
        active, mask = len(mask), mask.view(-1, 1)
        # Not by writing zeros: that would take the whole ring in hand for the sake of a few images.
        self._counts[:active].masked_fill_(mask, 0)
        inverse = self._inverse[:active]
        self._inverse[:active] = torch.where(mask[..., None], self._eye, inverse)

    def move(self, source: int, target: int) -> None:
        """Copy a slot's pairs into another slot."""
        for ring in (self._s, self._y):
            ring[:, target] = ring[:, source]
        self._inverse[target] = self._inverse[source]
        self._counts[target] = self._counts[source]

    def export(self, slot: int) -> dict[str, Tensor]:
        """Return copies of a slot's pairs, on the CPU, from the oldest to the newest."""
        rings = {"s": self._s, "y": self._y}
        # Row by row, not by rolling the ring: that would copy all slots'.
        order = [(self._head + 1 + age) % self._history for age in range(self._history)]
        found = {
            name: torch.stack([ring[place, slot].cpu() for place in order])
            for name, ring in rings.items()
        }
        return found | read_slot(self._by_age(), slot)

    def resume(self, slot: int, state: SlotState) -> None:
        """Put what `export` gave into a slot, wherever this ring has turned to."""
        for name, ring in (("s", self._s), ("y", self._y)):
            for age in range(self._history):
                place = (self._head + 1 + age) % self._history
                ring[place, slot] = state[name][age].to(ring.device)
        write_slot(self._by_age(), slot, state)

    def _by_age(self) -> dict[str, Tensor]:
        return {"inverse": self._inverse, "counts": self._counts}

    def store(self, s: Tensor, y: Tensor, curvature: Tensor, is_stored: Tensor) -> None:
        """Turn the ring and put a new pair into it; where it is not stored, zeros.

        Args:
            s, y: (n, …), of the first n slots.
            curvature: sᵀy (n,), above 0 where the pair is stored.
        """
        active = len(s)
        mask = is_stored.view(-1, *[1] * (s.dim() - 1))
        scale = (1 / curvature.sqrt()).view(mask.shape)
        self._head = (self._head + 1) % self._history
        for ring, vectors in ((self._s, s), (self._y, y)):
            # What is not stored may hold a NaN, which times a scale of 0 would stay one.
            ring[self._head, :active] = torch.where(mask, vectors * scale, 0.0)
        self._counts[:active] = self._counts[:active].roll(-1, 1)
        # Not `… = 1`: torch 2.14 makes that a tensor of the host's, which a GPU has to be sent.
        self._counts[:active, -1].fill_(1)
        dots = self._dots(self._s, self._y[self._head, :active])
        # The oldest row and column leave at the front; what they leave at the end is the new one's.
        inverse = self._inverse[:active].roll((-1, -1), (1, 2))
        inverse[:, :, -1].zero_()
        inverse[:, :, -1] = -_times(inverse, dots)
        inverse[:, -1] = self._eye[-1]
        self._inverse[:active] = inverse

    def apply_inverse_hessian(self, v: Tensor, initial: Callable[[Tensor], Tensor]) -> Tensor:
        """Return H·v of the first n slots, (n, …).

        Args:
            initial: q → H₀·q, (n, …).
        """
        inverse = self._inverse[: len(v)]
        alpha = _times(inverse, self._dots(self._s, v))
        r = initial(self._add(v, self._y, -alpha))
        # α - β of the two loops.
        rest = _times(inverse.transpose(1, 2), alpha - self._dots(self._y, r))
        return self._add(r, self._s, rest)

    def _dots(self, ring: Tensor, vectors: Tensor) -> Tensor:
        """Return vᵀ·vectors for every v in the ring, the oldest first: (n, m); 0 if forgotten."""
        active = len(vectors)
        dots = dots_pixels(ring[:, :active], vectors)
        return dots.roll(-self._head - 1, 0).T * self._counts[:active]

    def _add(self, start: Tensor, ring: Tensor, weights: Tensor) -> Tensor:
        """Return start + Σ weights · ring, weights (n, m) from the oldest pair to the newest."""
        active = len(start)
        if not start.is_cpu:
            weights = weights.roll(self._head + 1, 1)
            return add_by_product(start, ring[:, :active], weights)
        total = start.clone()
        shape = (-1, *[1] * (start.dim() - 1))
        for age in range(self._history):
            place = (self._head + 1 + age) % self._history
            total += weights[:, age].view(shape) * ring[place, :active]
        return total


def add_by_product(start: Tensor, stack: Tensor, weights: Tensor) -> Tensor:
    """Return start + Σ weights · stack as a matrix product: (n, …), (m, n, …), (n, m) → (n, …).

    One pass over the stack and one kernel, for a GPU.
    """
    rows = stack.flatten(2).transpose(0, 1)
    return torch.baddbmm(start.flatten(1)[:, None], weights[:, None], rows).view(start.shape)


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector for each image: (n, m, m), (n, m) → (n, m), the same bits for any n."""
    products = (matrix * vector[:, None]).contiguous()
    return sum_pixels(products.flatten(0, 1)).view(vector.shape)
