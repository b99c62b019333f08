"""Batched projected Adam."""

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import SlotState, copy_slot, read_slot, write_slot
from stylebatch.transfer.optimizers.protocol import CARE, OptimizerSpec, unit_of
from stylebatch.transfer.reductions import max_abs_pixels


class Adam:
    """Adam, each step projected onto [0, 1] unless `clamp` is false.

    Source: Kingma & Ba 2015, algorithm 1; the cosine schedule over the budget is Loshchilov &
    Hutter 2017, equation 5, without restarts. The projection is ours. In a variable that is s
    times ours a step of ours is 1/s of its own, and its gradients are 1/s of ours, so that ε
    becomes s·ε.
    """

    # It would ask for the same point for ever.
    max_refused = max_not_finite = 1

    def __init__(self, spec: OptimizerSpec, capacity: int, size: tuple[int, int], like: Tensor):
        shape = (capacity, 3, *size)
        self._spec = spec
        self._x, self._first, self._second = (like.new_zeros(shape) for _ in range(3))
        self._count, self._budget = like.new_zeros(capacity), like.new_ones(capacity)
        # Evaluations that the moments have seen; the schedule goes by all of them.
        self._age = like.new_zeros(capacity)
        self._unit, self._care = like.new_ones(capacity), like.new_ones(capacity)
        self._pixel_scale = like.new_tensor(spec.pixel_scale).view(1, 3, 1, 1)

    def admit(self, slot: int, start: Tensor, budget: int) -> None:
        self._x[slot] = start
        # The unit is not known before the first gradient.
        for state in (self._first, self._second, self._count, self._age, self._unit):
            state[slot].zero_()
        self._budget[slot].fill_(budget)
        self._care[slot].fill_(1)

    def move(self, source: int, target: int) -> None:
        copy_slot(self._states(), source, target)

    def export(self, slot: int) -> dict[str, Tensor]:
        return read_slot(self._states(), slot)

    def resume(self, slot: int, state: SlotState) -> None:
        write_slot(self._states(), slot, state)

    def _states(self) -> dict[str, Tensor]:
        moments = {"first": self._first, "second": self._second, "age": self._age}
        schedule = {"count": self._count, "budget": self._budget}
        return {"x": self._x, **moments, **schedule, "unit": self._unit, "care": self._care}

    def ask(self, active: int) -> Tensor:
        return self._x[:active]

    def tell(self, active: int, losses: Tensor, gradients: Tensor) -> Tensor:
        accepted = losses.isfinite() & max_abs_pixels(gradients).isfinite()
        mask = accepted.view(-1, 1, 1, 1)
        first = (self._unit[:active] == 0) & accepted
        self._unit[:active] = torch.where(first, unit_of(gradients), self._unit[:active])
        unit = self._unit[:active].view(-1, 1, 1, 1)
        gradients = torch.where(mask, gradients * unit, 0.0)
        beta1, beta2 = self._spec.betas
        mean = self._first[:active].mul_(beta1).add_(gradients, alpha=1 - beta1)
        square = self._second[:active].mul_(beta2).add_(gradients.square(), alpha=1 - beta2)
        self._count[:active] += 1
        age = self._age[:active].add_(1)
        size = (self._rate(active) / (1 - beta1**age)).view(-1, 1, 1, 1) / self._pixel_scale
        spread = (square / (1 - beta2**age).view(-1, 1, 1, 1)).sqrt()
        floor = self._spec.epsilon * self._pixel_scale * unit
        moved = self._x[:active] - size * mean / (spread + floor)
        if self._spec.clamp:
            moved = moved.clamp_(0, 1)
        self._x[:active] = torch.where(mask, moved, self._x[:active])
        return accepted

    def restore(self, failed: Tensor, points: Tensor) -> None:
        active = len(failed)
        mask = failed.view(-1, 1, 1, 1)
        self._x[:active] = torch.where(mask, points, self._x[:active])
        self._first[:active].masked_fill_(mask, 0)
        self._second[:active].masked_fill_(mask, 0)
        self._age[:active].masked_fill_(failed, 0)
        self._unit[:active].masked_fill_(failed, 0)
        self._care[:active] *= torch.where(failed, CARE, 1.0)

    def _rate(self, active: int) -> Tensor:
        rate = self._spec.learning_rate * self._care[:active]
        if self._spec.learning_rate_schedule == "constant":
            return rate
        done = (self._count[:active] - 1) / self._budget[:active]
        return rate * 0.5 * (1 + torch.cos(torch.pi * done))
