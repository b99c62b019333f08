"""The slots of one level: images of one size on one device, stepped together."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from stylebatch.transfer.by_slot import SlotState, copy_slot, named, part, read_slot, write_slot
from stylebatch.transfer.frozen import format_of
from stylebatch.transfer.objective import Losses, Objective, Targets
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.outcomes import Bookkeeping, Verdict
from stylebatch.transfer.problem import Entry, Snapshot, SolverSpec
from stylebatch.transfer.readback import Readback
from stylebatch.transfer.reductions import max_abs_pixels
from stylebatch.transfer.suspended import check_alike


class Numbers(NamedTuple):
    """What the host learns of one evaluation of one slot; all but the losses come from a `Verdict`.

    One float32 each, in this order, as they travel.
    """

    total: float
    content: float
    style: float
    tv: float
    accepted: float
    counted: float
    better: float
    kept: float
    failed: float
    restored: float
    status: float


class Flight(NamedTuple):
    """Whose numbers are under way: the entries as they were when the evaluation was started.

    Attributes:
        snapshots: by slot, of what it gives from this evaluation on.
    """

    entries: list[Entry]
    snapshots: dict[int, Snapshot]


MakeReadback = Callable[[torch.device, int], Readback[Flight]]


class Batch:
    """Slots in use come first. Nothing in `start` waits for the device."""

    def __init__(
        self,
        objective: Objective,
        spec: SolverSpec,
        capacity: int,
        size: tuple[int, int],
        make_readback: MakeReadback,
    ) -> None:
        like = torch.zeros(0, device=objective.extractor.device)
        self._objective, self._spec, self._capacity = objective, spec, capacity
        optimizer = OPTIMIZERS[spec.optimizer.optimizer](spec.optimizer, capacity, size, like)
        self._optimizer = optimizer
        patience = (optimizer.max_refused, optimizer.max_not_finite)
        self._book = Bookkeeping(spec, *patience, capacity, like)
        self._targets: Targets = {}
        self._best = like.new_zeros((capacity, 3, *size))
        self._kept = self._best if spec.keep == "best" else torch.zeros_like(self._best)
        # What an update leads to has not been judged: a guarded image is one that has.
        self._is_after = spec.keep.startswith("after_") and spec.max_content is None
        self.readback = make_readback(like.device, len(Numbers._fields) * capacity)
        self.entries: list[Entry] = []

    def admit(self, entry: Entry, start: Tensor, targets: Targets) -> None:
        """Put an image into the next free slot; start (1, 3, H, W)."""
        slot = len(self.entries)
        self._aim(slot, targets)
        self._optimizer.admit(slot, start[0], entry.budget)
        self._book.admit(slot, entry.budget)
        self._best[slot] = start[0]
        self._kept[slot] = start[0]
        self.entries.append(entry)

    def _aim(self, slot: int, targets: Targets) -> None:
        for name, value in targets.items():
            if name not in self._targets:
                self._targets[name] = _room_for(value, self._capacity)
            self._targets[name][slot] = value[0]

    def export(self, entry: Entry) -> dict[str, Tensor]:
        """Return copies of all that an image has to go on with but its targets, on the CPU.

        Nothing of it may be under way.
        """
        assert entry.started == entry.done, "receive first what is under way"
        return self._export(self.entries.index(entry))

    def _export(self, slot: int) -> dict[str, Tensor]:
        return (
            read_slot(self._images(), slot)
            | named("optimizer", self._optimizer.export(slot))
            | named("book", self._book.export(slot))
        )

    def resume(self, entry: Entry, state: SlotState, targets: Targets) -> None:
        """Put an image into the next free slot that goes on from what `export` gave.

        Raises:
            StateError: it is of another kind of batch; no slot is taken then.
        """
        slot = len(self.entries)
        check_alike(state, self._export(slot))
        self._aim(slot, targets)
        write_slot(self._images(), slot, state)
        self._optimizer.resume(slot, part("optimizer", state))
        self._book.resume(slot, part("book", state))
        self.entries.append(entry)

    def _images(self) -> dict[str, Tensor]:
        kept = {} if self._kept is self._best else {"kept": self._kept}
        return {"best": self._best, **kept}

    @property
    def is_unspent(self) -> bool:
        """Whether any slot has evaluations left to start."""
        return any(entry.started < entry.budget for entry in self.entries)

    def start(self) -> None:
        """Start one evaluation of all slots in use; its numbers come back by `readback`."""
        active = len(self.entries)
        points = self._optimizer.ask(active).clone()
        targets = {name: value[:active] for name, value in self._targets.items()}
        losses, gradients = self._objective.evaluate(points, targets)
        accepted = self._optimizer.tell(active, self._book.guard(losses), gradients)
        is_finite = losses.total.isfinite() & max_abs_pixels(gradients).isfinite()
        verdict = self._book.note(losses.total, accepted, is_finite)
        self._keep(points, verdict)
        self._optimizer.restore(verdict.restored, self._best[:active])
        self._send(losses, accepted, verdict)

    def _keep(self, points: Tensor, verdict: Verdict) -> None:
        """Remember the points just evaluated, or those after their updates, where they are kept."""
        active = len(points)
        better, kept, failed = (
            mask.view(-1, 1, 1, 1) for mask in (verdict.better, verdict.kept, verdict.failed)
        )
        self._best[:active] = torch.where(better, points, self._best[:active])
        if self._kept is self._best:
            return
        latest = self._optimizer.ask(active) if self._is_after else points
        latest = torch.where(kept, latest, self._kept[:active])
        self._kept[:active] = torch.where(failed, self._best[:active], latest)

    def _send(self, losses: Losses, accepted: Tensor, verdict: Verdict) -> None:
        snapshots = {}
        for slot, entry in enumerate(self.entries):
            evaluation = entry.start_evaluation()
            if self._spec.is_progress(evaluation):
                snapshots[slot] = Snapshot(entry.problem.key, evaluation, self._give(slot))
        numbers = torch.stack([number.float() for number in (*losses, accepted, *verdict)])
        self.readback.send(numbers, Flight(list(self.entries), snapshots))

    def _give(self, slot: int) -> Tensor:
        return self._kept[slot : slot + 1].clone()

    def retire(self, entry: Entry) -> Tensor:
        """Take an image out, (1, 3, H, W); the last slot in use moves into its place."""
        slot, last = self.entries.index(entry), len(self.entries) - 1
        image = self._give(slot)
        if slot != last:
            self._optimizer.move(last, slot)
            self._book.move(last, slot)
            copy_slot(self._images() | self._targets, last, slot)
            self.entries[slot] = self.entries[last]
        self.entries.pop()
        return image


def _room_for(target: Tensor, capacity: int) -> Tensor:
    """Return zeros for so many of (1, …), laid out alike: of two layouts sums take longer."""
    room = target.new_zeros((capacity, *target.shape[1:]))
    return room.contiguous(memory_format=format_of(target))
