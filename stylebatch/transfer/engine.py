"""The engine: slots on one device, admitted one by one, stepped together, refilled as they finish.

An image climbs the pyramid level by level; each level has its own slots (`Batch`), so that images
on different levels share the engine. Numeric trouble is a status of that image, never an exception.
"""

import math
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import Tensor

from stylebatch.transfer import pyramid
from stylebatch.transfer.objective import Losses, Objective, Targets
from stylebatch.transfer.optimizers import OPTIMIZERS, OptimizerSpec

# After so many refused steps in a row the step length is below a thousandth of what was wanted.
MAX_REFUSED = 10


class Status(StrEnum):
    """How an image's optimisation ended."""

    CONVERGED = "converged"
    BUDGET_SPENT = "budget_spent"
    DIVERGED = "diverged"


@dataclass(frozen=True, slots=True)
class SolverSpec:
    """Start, budget, stopping and optimiser; fields are those of `recipes.Recipe`."""

    start: str
    steps: int
    tolerance: float
    window: int
    keep: str
    levels: str | int
    optimizer: OptimizerSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One image to optimise.

    Attributes:
        key: the caller's name for it.
        content: (1, 3, H, W), RGB in [0, 1].
        grams: for each level, coarsest first: style layer → (C, C), divided as the objective says.
        strength: scales the style term.
        noise_seed: where the start is noise.
    """

    key: Hashable
    content: Tensor
    grams: tuple[Mapping[str, Tensor], ...]
    strength: float = 1.0
    noise_seed: int | None = None


class Row(NamedTuple):
    """One evaluation of one image: the losses of the point that was evaluated."""

    evaluation: int
    level: int
    total: float
    content: float
    style: float
    tv: float
    accepted: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """An image that has left the engine.

    Attributes:
        image: (1, 3, H, W) in [0, 1] on its device.
        rows: every evaluation, those of a first try that diverged included.
        kept: the evaluation at which the image is the one given back.
    """

    key: Hashable
    image: Tensor
    status: Status
    rows: list[Row]
    kept: Row
    retried_with_adam: bool


@dataclass(slots=True)
class _Entry:
    """What the engine knows of an image in a slot."""

    problem: Problem
    admitted_s: float
    level: int = 0
    budget: int = 0
    rows: list[Row] = field(default_factory=list)
    bests: list[float] = field(default_factory=list)
    kept: Row | None = None
    refused_in_a_row: int = 0
    unspent: int = 0
    retried: bool = False


class StepReport(NamedTuple):
    """What has arrived: the latest row of each image evaluated, and the images that are done."""

    rows: list[tuple[Hashable, Row]]
    results: list[Result]


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
        self.entries: list[_Entry] = []

    def admit(self, entry: _Entry, start: Tensor, targets: Targets) -> None:
        """Put an image into the next free slot; start (1, 3, H, W)."""
        slot = len(self.entries)
        for name, value in targets.items():
            if name not in self._targets:
                self._targets[name] = value.new_zeros((self._capacity, *value.shape[1:]))
            self._targets[name][slot] = value[0]
        self._optimizer.admit(slot, start[0], entry.budget)
        self._best[slot] = start[0]
        self.entries.append(entry)

    def evaluate(self) -> tuple[Losses, list[bool]]:
        """Run one evaluation of all slots in use; return losses (n,) and which were accepted."""
        active = len(self.entries)
        points = self._optimizer.ask(active).clone()
        targets = {name: value[:active] for name, value in self._targets.items()}
        losses, gradients = self._objective.evaluate(points, targets)
        accepted: list[bool] = self._optimizer.tell(active, losses.total, gradients).tolist()
        self._last_points = points
        return losses, accepted

    def keep(self, slot: int) -> None:
        """Remember the point just evaluated as the one that a slot gives back."""
        self._best[slot] = self._last_points[slot]

    def retire(self, slot: int) -> Tensor:
        """Take an image out, (1, 3, H, W); the last slot in use moves into its place."""
        image = self._best[slot : slot + 1].clone()
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
        self._num_levels = min(pyramid.num_levels(spec.levels, height, width), spec.steps)
        self._sizes = pyramid.level_sizes(self._num_levels, height, width)
        self._budgets = pyramid.level_budgets(self._num_levels, spec.steps)
        self._batches: dict[tuple[int, bool], Batch] = {}
        self._to_restart: list[_Entry] = []

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
        self._start(_Entry(problem, time.perf_counter()))

    def _start(self, entry: _Entry) -> None:
        size, problem = self._sizes[0], entry.problem
        device = self._objective.extractor.device
        entry.level, entry.budget = 0, self._budgets[0]
        if self._spec.start == "noise":
            assert problem.noise_seed is not None, "a noise start needs a seed"
            start = pyramid.draw_noise(problem.noise_seed, size).to(device)
        else:
            start = pyramid.shrink(problem.content.to(device), size)
        self._enter(entry, start)

    def _enter(self, entry: _Entry, start: Tensor) -> None:
        problem, level = entry.problem, entry.level
        content = pyramid.shrink(problem.content.to(start.device), self._sizes[level])
        targets = self._objective.targets(content, problem.grams[level], problem.strength)
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
        report = StepReport([], [])
        # Finest first: an image promoted in this step waits for the next one.
        for key in sorted(self._batches, reverse=True):
            if self._batches[key].entries:
                self._step_batch(self._batches[key], report)
        while self._to_restart:
            self._start(self._to_restart.pop())
        return report

    def _step_batch(self, batch: Batch, report: StepReport) -> None:
        losses, accepted = batch.evaluate()
        numbers = torch.stack(losses).tolist()
        now = time.perf_counter()
        for slot, entry in enumerate(batch.entries):
            total, content, style, tv = (term[slot] for term in numbers)
            seconds = now - entry.admitted_s
            row = Row(
                len(entry.rows) + 1, entry.level, total, content, style, tv, accepted[slot], seconds
            )
            entry.rows.append(row)
            report.rows.append((entry.problem.key, row))
            if self._note(entry, row):
                batch.keep(slot)
        # From the last slot down: retiring moves only slots that have been looked at.
        for slot in reversed(range(len(batch.entries))):
            if status := self._ended(batch.entries[slot]):
                self._leave(batch, slot, status, report)

    def _note(self, entry: _Entry, row: Row) -> bool:
        """Update an entry's progress; return whether this point is the one to keep."""
        best = entry.bests[-1] if entry.bests else math.inf
        entry.refused_in_a_row = 0 if row.accepted else entry.refused_in_a_row + 1
        is_better = math.isfinite(row.total) and row.total < best
        entry.bests.append(row.total if is_better else best)
        is_kept = is_better or (self._spec.keep == "last" and row.accepted)
        if is_kept or entry.kept is None:
            entry.kept = row
        return is_kept

    def _ended(self, entry: _Entry) -> Status | None:
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
            again = _Entry(entry.problem, entry.admitted_s, rows=entry.rows, retried=True)
            self._to_restart.append(again)
        elif status is not Status.DIVERGED and entry.level + 1 < self._num_levels:
            self._promote(entry, image)
        else:
            key, kept = entry.problem.key, entry.kept or entry.rows[-1]
            report.results.append(Result(key, image, status, entry.rows, kept, entry.retried))

    def _promote(self, entry: _Entry, image: Tensor) -> None:
        entry.unspent += entry.budget - len(entry.bests)
        entry.level += 1
        entry.bests, entry.kept, entry.refused_in_a_row = [], None, 0
        entry.budget = self._budgets[entry.level]
        if entry.level + 1 == self._num_levels:
            entry.budget += entry.unspent
        size, content = self._sizes[entry.level], None
        if self._spec.start == "content":
            content = pyramid.shrink(entry.problem.content.to(image.device), size)
        self._enter(entry, pyramid.next_start(image, content, size))
