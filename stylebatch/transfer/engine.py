"""The engine: slots on one device, admitted one by one, stepped together, refilled as they finish.

An image climbs the pyramid level by level; each level has its own slots (`Batch`), so that images
on different levels share the engine. Numeric trouble is a status of that image, never an exception.

What becomes of an image is decided on the device (`outcomes.py`) and read back without waiting
for it (`readback.py`): what the host learns late costs time, never a pixel.
"""

import time
from collections import deque
from collections.abc import Hashable
from dataclasses import replace

from torch import Tensor

from stylebatch.transfer import pyramid
from stylebatch.transfer.objective import Objective, Targets, compose
from stylebatch.transfer.optimizers.protocol import CARE
from stylebatch.transfer.outcomes import STATUSES
from stylebatch.transfer.problem import (
    Entry,
    Problem,
    Result,
    Row,
    SolverSpec,
    Status,
    StepReport,
)
from stylebatch.transfer.readback import Readback
from stylebatch.transfer.sizes import levels_of
from stylebatch.transfer.slots import Batch, Flight, MakeReadback, Numbers
from stylebatch.transfer.starts import make_start
from stylebatch.transfer.suspended import Suspended, Underway, entry_of, numbers_of


class Engine:
    """Optimise images of one size, up to `capacity` at a time.

    Images on the CPU come out with the same bits whatever shares the batch: every number of an
    image is computed from its own row, and sums go through `reductions.py`.
    """

    def __init__(
        self,
        objective: Objective,
        spec: SolverSpec,
        capacity: int,
        height: int,
        width: int,
        make_readback: MakeReadback = Readback,
    ) -> None:
        self.capacity = capacity
        self._objective, self._spec, self._make_readback = objective, spec, make_readback
        self._sizes, self._budgets = _levels(spec, height, width)
        self._batches: dict[tuple[int, bool], Batch] = {}
        # Images between two slots: for the next level with what the last gave, or for another try.
        self._between: deque[tuple[Entry, Tensor | None]] = deque()

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each level, coarsest first."""
        return self._sizes

    @property
    def budgets(self) -> list[int]:
        """Evaluations of each level at most, coarsest first."""
        return self._budgets

    @property
    def running(self) -> int:
        """How many images are in its slots."""
        return sum(len(batch.entries) for batch in self._batches.values()) + len(self._between)

    def admit(self, problem: Problem) -> None:
        """Put an image into a free slot; at most `capacity` may run."""
        assert self.running < self.capacity, "admit only where a slot is free"
        self._start(Entry(problem, time.perf_counter()))

    def _start(self, entry: Entry) -> None:
        size, problem = self._sizes[0], entry.problem
        device = self._objective.extractor.device
        given = {"content": problem.content, "style": problem.style_image}
        images = {
            name: pyramid.shrink(image.to(device), size)
            for name, image in given.items()
            if image is not None
        }
        start = make_start(self._spec.start, size, images, problem.noise_seed, device)
        entry.unspent = 0
        self._enter(entry, 0, self._budgets[0], start)

    def _enter(self, entry: Entry, level: int, budget: int, start: Tensor) -> None:
        targets = self._aim(entry, level)
        # Where the content stays nothing moves a pixel, and what it began as would be left there.
        start = compose(start, targets)
        batch = self._batch(level, entry.retried)
        entry.enter(level, budget)
        batch.admit(entry, start, targets)

    def _aim(self, entry: Entry, level: int) -> Targets:
        """Return an image's targets on a level."""
        problem = entry.problem
        size, device = self._sizes[level], self._objective.extractor.device
        content, mask = pyramid.shrink(problem.content.to(device), size), problem.mask
        if mask is not None:
            mask = pyramid.shrink(mask.to(device), size)
        statistics = problem.statistics[level]
        targets = self._objective.targets(content, statistics, problem.strength, mask)
        entry.content_style = targets["content_style"]
        return targets

    def progress(self) -> dict[Hashable, Underway]:
        """Return how far each image is, by key, as far as that has arrived."""
        now = time.perf_counter()
        entries = [entry for batch in self._batches.values() for entry in batch.entries]
        entries += [entry for entry, _ in self._between]
        return {
            entry.problem.key: Underway(now - entry.admitted_s, len(entry.rows), self._left(entry))
            for entry in entries
        }

    def _left(self, entry: Entry) -> int:
        """Return how many evaluations an image has to come at most."""
        later = self._budgets[entry.level + 1 :]
        return entry.budget - entry.done + (entry.unspent + sum(later) if later else 0)

    def settle(self) -> StepReport:
        """Wait for all that is under way, and report it; no evaluation is started.

        Until the next step, any image that is in a slot then can be taken out.
        """
        report = StepReport([], [], [])
        for key in sorted(self._batches, reverse=True):
            while not self._batches[key].readback.is_empty:
                self._receive(self._batches[key], report, is_waiting=True)
        self._enter_those_between()
        return report

    def take_out(self, key: Hashable) -> Suspended:
        """Take an image out before its end: what `resume` goes on from, here or elsewhere.

        Everything has to be settled (`settle`), and the image in a slot.
        """
        assert not self._between, "settle first"
        batch, entry = next(
            (batch, entry)
            for batch in self._batches.values()
            for entry in batch.entries
            if entry.problem.key == key
        )
        suspended = Suspended(batch.export(entry), numbers_of(entry))
        batch.retire(entry)
        return suspended

    def resume(self, problem: Problem, suspended: Suspended) -> None:
        """Put an image into a free slot that was taken out; it goes on where it was.

        On the CPU it comes out with the same bits as if it had stayed.

        Args:
            problem: the same as it was taken out with.

        Raises:
            StateError: it was taken out of an engine of another kind.
        """
        assert self.running < self.capacity, "resume only where a slot is free"
        entry = entry_of(problem, suspended.numbers, len(self._sizes))
        batch = self._batch(entry.level, entry.retried)
        batch.resume(entry, suspended.tensors, self._aim(entry, entry.level))

    def _batch(self, level: int, is_retry: bool) -> Batch:
        if (level, is_retry) not in self._batches:
            spec = _with_adam(self._spec) if is_retry else self._spec
            self._batches[level, is_retry] = Batch(
                self._objective, spec, self.capacity, self._sizes[level], self._make_readback
            )
        return self._batches[level, is_retry]

    def step(self) -> StepReport:
        """Start one evaluation of every image in a slot; report what has arrived.

        That is of this evaluation on the CPU, of earlier ones where a device is still at work. It
        waits only where the host is too far ahead, or where nothing is left to start.
        """
        self._enter_those_between()
        # All that can run out of memory comes before anything is reported.
        started = {key: self._start_evaluation(batch) for key, batch in self._batches.items()}
        report = StepReport([], [], [])
        # Finest first: results are in that order.
        for key in sorted(self._batches, reverse=True):
            batch = self._batches[key]
            self._receive(batch, report, is_waiting=bool(batch.entries) and not started[key])
        return report

    def _receive(self, batch: Batch, report: StepReport, *, is_waiting: bool) -> None:
        for flight, numbers in batch.readback.receive(is_waiting=is_waiting):
            self._take(batch, flight, [Numbers(*each) for each in numbers], report)

    def _enter_those_between(self) -> None:
        while self._between:
            entry, image = self._between[0]
            if image is None:
                self._start(entry)
            else:
                self._promote(entry, image)
            self._between.popleft()

    def _start_evaluation(self, batch: Batch) -> bool:
        if not batch.is_unspent:
            return False
        batch.start()
        return True

    def _take(
        self, batch: Batch, flight: Flight, numbers: list[Numbers], report: StepReport
    ) -> None:
        """Take what has arrived of one evaluation."""
        ended = []
        for slot, (entry, each) in enumerate(zip(flight.entries, numbers, strict=True)):
            # It had finished: the host just did not know when it started this one.
            if not each.counted:
                continue
            report.rows.append((entry.problem.key, _note(entry, each)))
            if slot in flight.snapshots:
                report.snapshots.append(flight.snapshots[slot])
            if (status := STATUSES[int(each.status)]) is not None:
                ended.append((entry, status))
        for entry, status in reversed(ended):
            self._leave(entry, batch.retire(entry), status, report)

    def _leave(self, entry: Entry, image: Tensor, status: Status, report: StepReport) -> None:
        if status is Status.DIVERGED and not entry.retried:
            entry.retried = True
            self._between.append((entry, None))
        elif status is not Status.DIVERGED and entry.level + 1 < len(self._sizes):
            self._between.append((entry, image))
        else:
            assert entry.kept is not None, "the first evaluation is kept if no other is"
            assert entry.content_style is not None, "no image is in a slot without its targets"
            report.results.append(
                Result(
                    entry.problem.key,
                    image,
                    status,
                    entry.rows,
                    entry.kept,
                    entry.content_style,
                    entry.restored,
                    entry.retried,
                )
            )

    def _promote(self, entry: Entry, image: Tensor) -> None:
        unspent, level = entry.unspent + entry.budget - entry.done, entry.level + 1
        budget = self._budgets[level]
        if level + 1 == len(self._sizes) and self._spec.second_pass is None:
            budget += unspent
        size, content = self._sizes[level], None
        if self._spec.start.is_content and self._spec.second_pass is None:
            content = pyramid.shrink(entry.problem.content.to(image.device), size)
        self._enter(entry, level, budget, pyramid.next_start(image, content, size))
        entry.unspent = unspent


def _note(entry: Entry, numbers: Numbers) -> Row:
    """Put an evaluation that has arrived down to its image."""
    entry.done += 1
    seconds = time.perf_counter() - entry.admitted_s
    accepted = bool(numbers.accepted)
    row = Row(len(entry.rows) + 1, entry.level, *numbers[:4], accepted, seconds)
    entry.rows.append(row)
    if numbers.better:
        entry.best = row
    if numbers.kept or entry.kept is None:
        entry.kept = row
    if numbers.failed:
        entry.kept = entry.best or entry.kept
    entry.restored = entry.restored or bool(numbers.restored)
    return row


def _with_adam(spec: SolverSpec) -> SolverSpec:
    """Return what a second try is made with."""
    rate = spec.optimizer.learning_rate
    if spec.optimizer.optimizer == "adam":
        # The same once more would fail the same way: go on where the first try's care ended.
        rate *= CARE**2
    return replace(spec, optimizer=replace(spec.optimizer, optimizer="adam", learning_rate=rate))


def _levels(spec: SolverSpec, height: int, width: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (height, width) and evaluations of each level, coarsest first."""
    return levels_of(
        spec.levels,
        spec.steps,
        spec.second_pass,
        height,
        width,
        spec.smallest_px,
        is_from_content=spec.start.is_content,
    )
