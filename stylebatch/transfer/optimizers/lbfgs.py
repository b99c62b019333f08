"""Batched projected L-BFGS."""

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import (
    SlotState,
    copy_slot,
    named,
    part,
    read_slot,
    write_slot,
)
from stylebatch.transfer.optimizers.curvature import CurvaturePairs
from stylebatch.transfer.optimizers.preconditioner import precondition
from stylebatch.transfer.optimizers.protocol import CARE, OptimizerSpec, unit_of
from stylebatch.transfer.reductions import dot_pixels, max_abs_pixels

TINY = 1e-30
# Kinks (rectification, maximum pooling) add noise to y, which makes sᵀy / yᵀPy too small a scale.
STRETCH = 2.0


class ProjectedLBFGS:
    """L-BFGS projected onto [0, 1]; one evaluation an iteration, no line search.

    Source: Nocedal & Wright 2006, algorithm 7.4, in its compact form (`CurvaturePairs`), with these
    departures.

    - The gradient and the direction are zeroed where a pixel sits on its bound and the gradient
      points outward (Bertsekas 1982: without the second, the optimum is not reached); the trial
      point is projected, then evaluated.
    - A step is scaled down to `max_rms_change`, then each pixel's change is cut to `max_change`:
      scaling the whole step by its largest pixel lets a few outliers hold an image back for dozens
      of evaluations (docs/lab/solver.md).
    - A rise of the loss within `tolerated_rise` is accepted; else the point is kept and that
      image's step shortened (`_shorter`).
    - The initial inverse Hessian is γP with a multilevel P (`precondition`).
    - A refused step leaves a pair of zeros, so an image's window depends on its own steps only.

    Asking and telling read nothing back from the device.
    """

    # The step length is below a thousandth of what was wanted.
    max_refused = 10
    # A step too far is halved: twice, before it is taken for trouble.
    max_not_finite = 3

    def __init__(self, spec: OptimizerSpec, capacity: int, size: tuple[int, int], like: Tensor):
        shape = (capacity, 3, *size)
        self._spec = spec
        self._x, self._gradient, self._trial = (like.new_zeros(shape) for _ in range(3))
        self._pairs = CurvaturePairs(spec.history, shape, like)
        self._loss, self._gamma = like.new_zeros(capacity), like.new_zeros(capacity)
        self._step, self._unit = like.new_ones(capacity), like.new_ones(capacity)
        self._care = like.new_ones(capacity)
        self._is_fresh = torch.ones(capacity, dtype=torch.bool, device=like.device)

    def admit(self, slot: int, start: Tensor, budget: int) -> None:
        self._trial[slot] = start
        self._pairs.clear(slot)
        self._gamma[slot].zero_()
        for state in (self._step, self._is_fresh, self._care):
            state[slot].fill_(1)

    def move(self, source: int, target: int) -> None:
        copy_slot(self._states(), source, target)
        self._pairs.move(source, target)

    def export(self, slot: int) -> dict[str, Tensor]:
        return read_slot(self._states(), slot) | named("pairs", self._pairs.export(slot))

    def resume(self, slot: int, state: SlotState) -> None:
        write_slot(self._states(), slot, state)
        self._pairs.resume(slot, part("pairs", state))

    def _states(self) -> dict[str, Tensor]:
        points = {"x": self._x, "gradient": self._gradient, "trial": self._trial}
        scales = {"gamma": self._gamma, "step": self._step, "unit": self._unit, "care": self._care}
        return {**points, "loss": self._loss, **scales, "is_fresh": self._is_fresh}

    def ask(self, active: int) -> Tensor:
        fresh = self._is_fresh[:active].view(-1, 1, 1, 1)
        moved = (self._x[:active] + self._change(active)).clamp_(0, 1)
        self._trial[:active] = torch.where(fresh, self._trial[:active], moved)
        return self._trial[:active]

    def _change(self, active: int) -> Tensor:
        """Return the step of each image, capped and scaled by its step length."""
        held = self._held(active)
        gradient = self._gradient[:active].masked_fill(held, 0.0)
        direction = -self._apply_inverse_hessian(active, gradient).masked_fill(held, 0.0)
        is_downhill = dot_pixels(direction, gradient) < 0
        direction = torch.where(is_downhill.view(-1, 1, 1, 1), direction, -gradient)
        is_scaled = is_downhill & (self._gamma[:active] > 0)
        rms = (dot_pixels(direction, direction) / direction[0].numel()).sqrt().clamp_min(TINY)
        care = self._care[:active]
        usual = (self._spec.max_rms_change / rms * care).clamp_max(1.0)
        scale = torch.where(is_scaled, usual, self._spec.first_rms_change / rms * care)
        change = direction * (scale * self._step[:active]).view(-1, 1, 1, 1)
        limit = (self._spec.max_change * care).view(-1, 1, 1, 1)
        return change.clamp_(-limit, limit)

    def _held(self, active: int) -> Tensor:
        """Return which pixels sit on their bound with a gradient that points outward."""
        x, gradient = self._x[:active], self._gradient[:active]
        return ((x <= 0) & (gradient > 0)) | ((x >= 1) & (gradient < 0))

    def _apply_inverse_hessian(self, active: int, gradient: Tensor) -> Tensor:
        gamma = self._gamma[:active]
        gamma = torch.where(gamma > 0, gamma, 1.0).view(-1, 1, 1, 1)

        def initial(q: Tensor) -> Tensor:
            return precondition(q, self._spec.preconditioner_levels) * gamma

        return self._pairs.apply_inverse_hessian(gradient, initial)

    def tell(self, active: int, losses: Tensor, gradients: Tensor) -> Tensor:
        fresh, before = self._is_fresh[:active], self._loss[:active]
        is_finite = losses.isfinite() & max_abs_pixels(gradients).isfinite()
        is_low_enough = losses <= before + self._spec.tolerated_rise * before.abs()
        # A step too short for float32 ends where it began: that is no success.
        has_moved = max_abs_pixels(self._trial[:active] - self._x[:active]) > 0
        accepted = is_finite & (fresh | (is_low_enough & has_moved))
        first = fresh & accepted
        self._unit[:active] = torch.where(first, unit_of(gradients), self._unit[:active])
        gradients = gradients * self._unit[:active].view(-1, 1, 1, 1)
        shorter = self._shorter(active, losses)
        self._remember(active, gradients, accepted & ~fresh)
        mask = accepted.view(-1, 1, 1, 1)
        self._x[:active] = torch.where(mask, self._trial[:active], self._x[:active])
        self._gradient[:active] = torch.where(mask, gradients, self._gradient[:active])
        self._loss[:active] = torch.where(accepted, losses, before)
        step = self._step[:active]
        self._step[:active] = torch.where(accepted, (2 * step).clamp_max(1.0), step * shorter)
        self._is_fresh[:active] = fresh & ~accepted
        return accepted

    def restore(self, failed: Tensor, points: Tensor) -> None:
        active = len(failed)
        mask = failed.view(-1, 1, 1, 1)
        self._trial[:active] = torch.where(mask, points, self._trial[:active])
        self._is_fresh[:active] |= failed
        self._pairs.forget(failed)
        self._gamma[:active].masked_fill_(failed, 0)
        self._step[:active].masked_fill_(failed, 1)
        self._care[:active] *= torch.where(failed, CARE, 1.0)

    def _shorter(self, active: int, losses: Tensor) -> Tensor:
        """Return by what a step is to be multiplied if it is refused: (n,), 0.05 to 0.5.

        The lowest point of the parabola through both losses and the slope at the first of them
        (Nocedal & Wright 2006, equation 3.58); half where a loss is no number.
        """
        change = self._trial[:active] - self._x[:active]
        slope = dot_pixels(change, self._gradient[:active])
        rise = (losses - self._loss[:active]) * self._unit[:active]
        lowest = -slope / (2 * (rise - slope))
        return torch.where(losses.isfinite() & lowest.isfinite(), lowest, 0.5).clamp(0.05, 0.5)

    def _remember(self, active: int, gradients: Tensor, wanted: Tensor) -> None:
        """Put the newest curvature pairs into the ring where they are wanted and sᵀy > 0."""
        s = self._trial[:active] - self._x[:active]
        y = gradients - self._gradient[:active]
        curvature = dot_pixels(s, y)
        noise = 1e-6 * (dot_pixels(s, s) * dot_pixels(y, y)).sqrt()
        is_stored = wanted & (curvature > noise)
        self._pairs.store(s, y, curvature, is_stored)
        y_p_y = dot_pixels(y, precondition(y, self._spec.preconditioner_levels))
        gamma = STRETCH * curvature / y_p_y.clamp_min(TINY)
        # Steps have a length of their own from the first pair on, whatever came before.
        is_first = is_stored & (self._gamma[:active] == 0)
        self._step[:active] = torch.where(is_first, 1.0, self._step[:active])
        self._gamma[:active] = torch.where(is_stored, gamma, self._gamma[:active])
