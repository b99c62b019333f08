"""What becomes of each image, decided on its device: what is kept, who goes on, who has finished.

Masked operations on one number a slot, none of which waits for the device: the host reads later
what was decided. A finished slot counts no evaluation any more, whatever its optimiser does.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import SlotState, copy_slot, read_slot, write_slot
from stylebatch.transfer.objective import Losses
from stylebatch.transfer.problem import SolverSpec, Status

# By their codes on the device; 0 is an image that goes on.
STATUSES = (None, Status.CONVERGED, Status.BUDGET_SPENT, Status.DIVERGED)
_RUNNING, _CONVERGED, _BUDGET_SPENT, _DIVERGED = range(4)

# A loss has climbed where it stays so many times above the geometric mean of the best and the first
# (on a logarithmic scale half of what was won is lost again, and ten times more) and does not come
# back: the lowest of so many evaluations is no lower than the lowest of as many before. Published
# settings of Adam overshoot their start a thousandfold in the first step and come back from there.
CLIMB, CLIMB_EVALUATIONS = 10.0, 10


class Verdict(NamedTuple):
    """What an evaluation means for each slot, (n,) each: masks, but for the status.

    Attributes:
        counted: the slot was running before it.
        better: its point has the lowest loss so far.
        kept: its point, or the one after its update, is what the slot now gives.
        failed: it is trouble, and the slot gives its best.
        restored: the optimiser is to go on from the best point.
        status: index into `STATUSES`.
    """

    counted: Tensor
    better: Tensor
    kept: Tensor
    failed: Tensor
    restored: Tensor
    status: Tensor


class Bookkeeping:
    """Progress and outcome of every slot of a batch.

    An evaluation fails where losses or gradients have been no numbers for the optimiser's
    `max_not_finite` evaluations in a row, or where the loss has climbed (`CLIMB`). The first
    failure restores the best point, the second is the end of this try; so is a first evaluation
    that leaves no best point. `max_refused` refused steps in a row restore it too, as long as
    anything has been gained since the start or the last restoration; else the image has converged
    as far as its numbers go. A spent budget ends what has a best point, whatever its last
    evaluation was.
    """

    def __init__(
        self, spec: SolverSpec, max_refused: int, max_not_finite: int, capacity: int, like: Tensor
    ) -> None:
        def zeros(dtype: torch.dtype) -> Tensor:
            return torch.zeros(capacity, dtype=dtype, device=like.device)

        self._spec = spec
        self._max_refused, self._max_not_finite = max_refused, max_not_finite
        self._status, self._left = zeros(torch.int32), zeros(torch.int32)
        # Evaluations since the start or the last restoration, and how many of them in a row.
        self._age, self._refused, self._not_finite = (zeros(torch.int32) for _ in range(3))
        self._best, self._first = zeros(torch.float32), zeros(torch.float32)
        self._lowest, self._lowest_before = zeros(torch.float32), zeros(torch.float32)
        self._has_gained, self._has_failed, self._was_near = (zeros(torch.bool) for _ in range(3))
        # The best losses of the last evaluations. The ring turns for all slots at once, and a slot
        # looks back only as far as its own age.
        self._bests = like.new_zeros((spec.window, capacity))
        self._head = 0

    def _states(self) -> dict[str, Tensor]:
        counts = {"left": self._left, "age": self._age}
        in_a_row = {"refused": self._refused, "not_finite": self._not_finite}
        masks = {
            "has_gained": self._has_gained,
            "has_failed": self._has_failed,
            "was_near": self._was_near,
        }
        losses = {"best": self._best, "first": self._first}
        lowest = {"lowest": self._lowest, "lowest_before": self._lowest_before}
        return {"status": self._status, **counts, **in_a_row, **masks, **losses, **lowest}

    def admit(self, slot: int, budget: int) -> None:
        """Reset a slot to an image with a budget of evaluations."""
        for state in self._states().values():
            state[slot].zero_()
        self._left[slot].fill_(budget)
        for loss in (self._best, self._first, self._lowest, self._lowest_before):
            loss[slot].fill_(math.inf)

    def move(self, source: int, target: int) -> None:
        """Copy a slot's whole state into another slot."""
        copy_slot(self._states(), source, target)
        self._bests[:, target] = self._bests[:, source]

    def export(self, slot: int) -> dict[str, Tensor]:
        """Return copies of a slot's whole state, on the CPU, by name."""
        bests = self._bests[:, slot].roll(-self._head, 0)
        return read_slot(self._states(), slot) | {"bests": bests.cpu()}

    def resume(self, slot: int, state: SlotState) -> None:
        """Put what `export` gave into a slot, wherever this ring has turned to."""
        write_slot(self._states(), slot, state)
        self._bests[:, slot] = state["bests"].to(self._bests.device).roll(self._head, 0)

    def guard(self, losses: Losses) -> Tensor:
        """Return the totals (n,), infinite where a step takes the content term beyond its limit.

        A start that is not the content comes from beyond.
        """
        if self._spec.max_content is None:
            return losses.total
        was_near = self._was_near[: len(losses.total)]
        is_far = losses.content > self._spec.max_content
        was_near |= ~is_far
        return losses.total.masked_fill(is_far & was_near, math.inf)

    def note(self, totals: Tensor, accepted: Tensor, is_finite: Tensor) -> Verdict:
        """Take an evaluation of the first n slots and decide what it means.

        Args:
            totals: (n,), the losses as they are.
            accepted: (n,), whether the optimiser went on from there.
            is_finite: (n,), whether losses and gradients were numbers.
        """
        active = len(totals)
        counted = self._status[:active] == _RUNNING
        better = accepted & (totals < self._best[:active])
        self._count(totals, accepted, is_finite, better)
        is_lost = self._not_finite[:active] >= self._max_not_finite
        failed = is_lost | self._has_climbed(totals, accepted)
        stuck = self._refused[:active] >= self._max_refused
        status = self._decide(failed, stuck)
        restored = (failed | stuck) & (status == _RUNNING)
        self._has_failed[:active] |= failed
        self._begin_again(restored)
        self._status[:active] = torch.where(counted, status, self._status[:active])
        kept = accepted if self._spec.keep.endswith("last") else better
        return Verdict(
            counted,
            counted & better,
            counted & kept,
            counted & failed,
            counted & restored,
            self._status[:active].clone(),
        )

    def _count(self, totals: Tensor, accepted: Tensor, is_finite: Tensor, better: Tensor) -> None:
        active = len(totals)
        self._left[:active] -= 1
        self._age[:active] += 1
        # What a start or a restored point gives is no gain of a step.
        is_first = self._age[:active] == 1
        self._first[:active] = torch.where(is_first & accepted, totals, self._first[:active])
        self._has_gained[:active] |= better & ~is_first
        self._best[:active] = torch.where(better, totals, self._best[:active])
        self._refused[:active] = torch.where(accepted, 0, self._refused[:active] + 1)
        self._not_finite[:active] = torch.where(is_finite, 0, self._not_finite[:active] + 1)

    def _has_climbed(self, totals: Tensor, accepted: Tensor) -> Tensor:
        active = len(totals)
        lowest, before = self._lowest[:active], self._lowest_before[:active]
        # A refused step has not moved the image; and where it set out is not where it went.
        is_seen = accepted & (self._age[:active] > 1)
        lowest.copy_(torch.where(is_seen, torch.minimum(lowest, totals), lowest))
        is_due = self._age[:active] % CLIMB_EVALUATIONS == 0
        is_high = (before > CLIMB * self._usual(active)) & before.isfinite()
        climbed = is_due & is_high & (lowest >= before) & lowest.isfinite()
        before.copy_(torch.where(is_due, lowest, before))
        lowest.masked_fill_(is_due, math.inf)
        return climbed

    def _usual(self, active: int) -> Tensor:
        """Return the geometric mean of each image's best and first loss; infinite at a best of 0.

        Anything is far above a loss of 0, which is the least there is.
        """
        best = self._best[:active]
        # Each root by itself: the product of two losses need not fit into float32.
        usual = best.sqrt() * self._first[:active].sqrt()
        return torch.where(best > 0, usual, math.inf)

    def _decide(self, failed: Tensor, stuck: Tensor) -> Tensor:
        """Return each slot's status after this evaluation: (n,)."""
        active = len(failed)
        is_spent = self._left[:active] <= 0
        is_over = failed & self._has_failed[:active] & ~is_spent
        diverged = is_over | ~self._best[:active].isfinite()
        converged = ~failed & ((stuck & ~self._has_gained[:active]) | self._has_stopped(active))
        status = torch.where(is_spent, _BUDGET_SPENT, self._status.new_full((active,), _RUNNING))
        status = torch.where(converged, _CONVERGED, status)
        return torch.where(diverged, _DIVERGED, status)

    def _has_stopped(self, active: int) -> Tensor:
        """Return where the best loss has fallen too little over the window: (n,)."""
        best = self._best[:active]
        before = self._bests[self._head, :active].clone()
        self._bests[self._head, :active] = best
        self._head = (self._head + 1) % self._spec.window
        if not self._spec.tolerance:
            return torch.zeros_like(best, dtype=torch.bool)
        is_flat = before - best <= self._spec.tolerance * before
        return is_flat & (self._age[:active] > self._spec.window)

    def _begin_again(self, restored: Tensor) -> None:
        active = len(restored)
        for count in (self._age, self._refused, self._not_finite):
            count[:active].masked_fill_(restored, 0)
        for loss in (self._lowest, self._lowest_before):
            loss[:active].masked_fill_(restored, math.inf)
        # A best point may come from beyond the guard's limit.
        for mask in (self._has_gained, self._was_near):
            mask[:active].masked_fill_(restored, False)
