"""The engine: slots on one device, admitted one by one, stepped together, refilled as they finish.

An image climbs the pyramid level by level; each level has its own slots (`Batch`), so that images
on different levels share the engine. Numeric trouble is a status of that image, never an exception.
"""

import math
import time
from dataclasses import replace

import torch
from torch import Tensor

from stylebatch.transfer import pyramid
from stylebatch.transfer.objective import Losses, Objective, Targets, compose
from stylebatch.transfer.optimizer import OptimizerSpec
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.problem import (
    Entry,
    Problem,
    Result,
    Row,
    Snapshot,
    SolverSpec,
    Status,
    StepReport,
)
from stylebatch.transfer.starts import make_start

# After so many refused steps in a row the step length is below a thousandth of what was wanted.
MAX_REFUSED = 10


class Batch:
    """The slots of one level: images of one size, stepped together. Slots in use come first."""

    def __init__(
        self, objective: Objective, spec: OptimizerSpec, capacity: int, size: tuple[int, int]
    ) -> None:
        like = torch.zeros(0, device=objective.extractor.device)
        self._objective, self._capacity = objective, capacity
        self._optimizer = OPTIMIZERS[spec.optimizer](spec, capacity, size, like)
        self._targets: Targets = {}
        self._best = like.new_zeros((capacity, 3, *size))
        self.entries: list[Entry] = []

    def admit(self, entry: Entry, start: Tensor, targets: Targets) -> None:
        """Put an image into the next free slot; start (1, 3, H, W)."""
        slot = len(self.entries)
        for name, value in targets.items():
            if name not in self._targets:
                self._targets[name] = value.new_zeros((self._capacity, *value.shape[1:]))
            self._targets[name][slot] = value[0]
        self._optimizer.admit(slot, start[0], entry.budget)
        self._best[slot] = start[0]
        self.entries.append(entry)

    def evaluate(self, max_content: float | None) -> tuple[Losses, list[bool]]:
        """Run one evaluation of all slots in use; return losses (n,) and which were accepted.

        Args:
            max_content: a step that takes the content term beyond it is refused. A start that is
                not the content comes from beyond.
        """
        active = len(self.entries)
        points = self._optimizer.ask(active).clone()
        targets = {name: value[:active] for name, value in self._targets.items()}
        losses, gradients = self._objective.evaluate(points, targets)
        judged = losses.total if max_content is None else self._judge(losses, max_content)
        accepted: list[bool] = self._optimizer.tell(active, judged, gradients).tolist()
        self._last_points = points
        return losses, accepted

    def _judge(self, losses: Losses, max_content: float) -> Tensor:
        was_near = torch.tensor(
            [entry.was_near for entry in self.entries], device=losses.total.device
        )
        is_far = losses.content > max_content
        for entry, far in zip(self.entries, is_far.tolist(), strict=True):
            entry.was_near = entry.was_near or not far
        return losses.total.masked_fill(is_far & was_near, math.inf)

    def keep(self, slots: list[int], *, is_after: bool) -> None:
        """Remember the points just evaluated, or those after their updates, as what slots give."""
        if slots:
            points = self._optimizer.ask(len(self.entries)) if is_after else self._last_points
            self._best[slots] = points[slots]

    def kept(self, slot: int) -> Tensor:
        """Return what a slot would give back now, (1, 3, H, W)."""
        return self._best[slot : slot + 1].clone()

    def retire(self, slot: int) -> Tensor:
        """Take an image out, (1, 3, H, W); the last slot in use moves into its place."""
        image = self.kept(slot)
        last = len(self.entries) - 1
        if slot != last:
            self._optimizer.move(last, slot)
            self._best[slot] = self._best[last]
            for value in self._targets.values():
                value[slot] = value[last]
            self.entries[slot] = self.entries[last]
        self.entries.pop()
        return image


class Engine:
    """Optimise images of one size, up to `capacity` at a time.

    Images on the CPU come out with the same bits whatever shares the batch: every number of an
    image is computed from its own row, and sums go through `reductions.py`.
    """

    def __init__(
        self, objective: Objective, spec: SolverSpec, capacity: int, height: int, width: int
    ) -> None:
        self.capacity = capacity
        self._objective, self._spec = objective, spec
        self._sizes, self._budgets = _levels(spec, height, width)
        self._batches: dict[tuple[int, bool], Batch] = {}
        self._to_restart: list[Entry] = []

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each level, coarsest first."""
        return self._sizes

    @property
    def running(self) -> int:
        """How many images are in its slots."""
        return sum(len(batch.entries) for batch in self._batches.values())

    @property
    def problems(self) -> list[Problem]:
        """The images in its slots, to be admitted again elsewhere."""
        return [entry.problem for batch in self._batches.values() for entry in batch.entries]

    def admit(self, problem: Problem) -> None:
        """Put an image into a free slot; at most `capacity` may run."""
        assert self.running < self.capacity, "admit only where a slot is free"
        self._start(Entry(problem, time.perf_counter()))

    def _start(self, entry: Entry) -> None:
        size, problem = self._sizes[0], entry.problem
        device = self._objective.extractor.device
        entry.level, entry.budget = 0, self._budgets[0]
        given = {"content": problem.content, "style": problem.style_image}
        images = {
            name: pyramid.shrink(image.to(device), size)
            for name, image in given.items()
            if image is not None
        }
        start = make_start(self._spec.start, size, images, problem.noise_seed, device)
        self._enter(entry, start)

    def _enter(self, entry: Entry, start: Tensor) -> None:
        problem, level = entry.problem, entry.level
        size, mask = self._sizes[level], problem.mask
        content = pyramid.shrink(problem.content.to(start.device), size)
        if mask is not None:
            mask = pyramid.shrink(mask.to(start.device), size)
        statistics = problem.statistics[level]
        targets = self._objective.targets(content, statistics, problem.strength, mask)
        # Where the content stays nothing moves a pixel, and what it began as would be left there.
        start = compose(start, targets)
        self._batch(level, entry.retried).admit(entry, start, targets)

    def _batch(self, level: int, is_retry: bool) -> Batch:
        if (level, is_retry) not in self._batches:
            spec = self._spec.optimizer
            spec = replace(spec, optimizer="adam") if is_retry else spec
            self._batches[level, is_retry] = Batch(
                self._objective, spec, self.capacity, self._sizes[level]
            )
        return self._batches[level, is_retry]

    def step(self) -> StepReport:
        """Run one evaluation of every image in a slot; retire and promote those that are ready."""
        report = StepReport([], [], [])
        # Finest first: an image promoted in this step waits for the next one.
        for key in sorted(self._batches, reverse=True):
            if self._batches[key].entries:
                self._step_batch(self._batches[key], report)
        while self._to_restart:
            self._start(self._to_restart.pop())
        return report

    def _step_batch(self, batch: Batch, report: StepReport) -> None:
        losses, accepted = batch.evaluate(self._spec.max_content)
        numbers = torch.stack(losses).tolist()
        now = time.perf_counter()
        kept = []
        for slot, entry in enumerate(batch.entries):
            total, content, style, tv = (term[slot] for term in numbers)
            seconds = now - entry.admitted_s
            row = Row(
                len(entry.rows) + 1, entry.level, total, content, style, tv, accepted[slot], seconds
            )
            entry.rows.append(row)
            report.rows.append((entry.problem.key, row))
            if self._note(entry, row):
                kept.append(slot)
        # What an update leads to has not been judged: a guarded image is one that has.
        is_after = self._spec.keep.startswith("after_") and self._spec.max_content is None
        batch.keep(kept, is_after=is_after)
        for slot, entry in enumerate(batch.entries):
            if self._spec.is_progress(len(entry.rows)):
                snapshot = Snapshot(entry.problem.key, len(entry.rows), batch.kept(slot))
                report.snapshots.append(snapshot)
        # From the last slot down: retiring moves only slots that have been looked at.
        for slot in reversed(range(len(batch.entries))):
            if status := self._ended(batch.entries[slot]):
                self._leave(batch, slot, status, report)

    def _note(self, entry: Entry, row: Row) -> bool:
        """Update an entry's progress; return whether this point is the one to keep."""
        best = entry.bests[-1] if entry.bests else math.inf
        entry.refused_in_a_row = 0 if row.accepted else entry.refused_in_a_row + 1
        is_better = math.isfinite(row.total) and row.total < best and row.accepted
        entry.bests.append(row.total if is_better else best)
        is_kept = is_better or (self._spec.keep.endswith("last") and row.accepted)
        if is_kept or entry.kept is None:
            entry.kept = row
        return is_kept

    def _ended(self, entry: Entry) -> Status | None:
        done, bests = len(entry.bests), entry.bests
        if not math.isfinite(bests[-1]):
            return Status.DIVERGED
        if entry.refused_in_a_row >= MAX_REFUSED:
            return Status.CONVERGED if math.isfinite(entry.rows[-1].total) else Status.DIVERGED
        window = self._spec.window
        if self._spec.tolerance and done > window:
            before = bests[-1 - window]
            if before - bests[-1] <= self._spec.tolerance * before:
                return Status.CONVERGED
        return Status.BUDGET_SPENT if done >= entry.budget else None

    def _leave(self, batch: Batch, slot: int, status: Status, report: StepReport) -> None:
        entry = batch.entries[slot]
        image = batch.retire(slot)
        if status is Status.DIVERGED and not entry.retried:
            again = Entry(entry.problem, entry.admitted_s, rows=entry.rows, retried=True)
            self._to_restart.append(again)
        elif status is not Status.DIVERGED and entry.level + 1 < len(self._sizes):
            self._promote(entry, image)
        else:
            key, kept = entry.problem.key, entry.kept or entry.rows[-1]
            report.results.append(Result(key, image, status, entry.rows, kept, entry.retried))

    def _promote(self, entry: Entry, image: Tensor) -> None:
        entry.unspent += entry.budget - len(entry.bests)
        entry.level += 1
        entry.bests, entry.kept, entry.refused_in_a_row = [], None, 0
        entry.was_near = False
        entry.budget = self._budgets[entry.level]
        if entry.level + 1 == len(self._sizes) and self._spec.second_pass is None:
            entry.budget += entry.unspent
        size, content = self._sizes[entry.level], None
        if self._spec.start.is_content and self._spec.second_pass is None:
            content = pyramid.shrink(entry.problem.content.to(image.device), size)
        self._enter(entry, pyramid.next_start(image, content, size))


def _levels(spec: SolverSpec, height: int, width: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (height, width) and evaluations of each level, coarsest first."""
    if spec.second_pass is not None:
        first_px, fit, steps = spec.second_pass
        first = pyramid.first_pass_size(first_px, fit, height, width, spec.smallest_px)
        if first != (height, width):
            return [first, (height, width)], [spec.steps, steps]
        # An image too small for a second size: it gets what it would without.
        return [(height, width)], [spec.steps]
    wanted = pyramid.num_levels(spec.levels, height, width, spec.smallest_px)
    levels = min(wanted, spec.steps)
    return pyramid.level_sizes(levels, height, width), pyramid.level_budgets(levels, spec.steps)
