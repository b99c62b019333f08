"""What goes into the engine and what comes out of it: plain records."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from torch import Tensor

from stylebatch.transfer.optimizers.protocol import OptimizerSpec
from stylebatch.transfer.sizes import SMALLEST_EDGE_PX
from stylebatch.transfer.starts import StartSpec


class Status(StrEnum):
    """How an image's optimisation ended."""

    CONVERGED = "converged"
    BUDGET_SPENT = "budget_spent"
    DIVERGED = "diverged"


class SecondPassSpec(NamedTuple):
    """A larger optimisation from the enlarged result of the first.

    Attributes:
        first_px: edge of the first pass; which one says `fit`, as in `recipes.Recipe`.
        steps: evaluations of the second; those of the first are `SolverSpec.steps`.
    """

    first_px: int
    fit: str
    steps: int


@dataclass(frozen=True, slots=True)
class SolverSpec:
    """Start, budget, stopping and optimiser; fields are those of `recipes.Recipe`."""

    start: StartSpec
    steps: int
    tolerance: float
    window: int
    keep: str
    levels: str | int
    optimizer: OptimizerSpec
    second_pass: SecondPassSpec | None = None
    max_content: float | None = None
    progress_at: frozenset[int] = frozenset()
    progress_every: int = 0
    smallest_px: int = SMALLEST_EDGE_PX

    def is_progress(self, evaluation: int) -> bool:
        """Whether the image so far is wanted after this evaluation (from 1)."""
        is_due = self.progress_every and evaluation % self.progress_every == 0
        return bool(is_due) or evaluation in self.progress_at


@dataclass(frozen=True, slots=True)
class Problem:
    """One image to optimise.

    Attributes:
        key: the caller's name for it.
        content: (1, 3, H, W), RGB in [0, 1].
        statistics: for each level, coarsest first: style layer → what `Objective.targets` takes.
        strength: how much style, 0 or above; see `Objective.targets`.
        noise_seed: where the start has noise.
        style_image: (1, 3, H, W), where the start has the style.
        mask: (1, 1, H, W) in [0, 1]: where it is 0 the image stays the content.
    """

    key: Hashable
    content: Tensor
    statistics: tuple[Mapping[str, Tensor], ...]
    strength: float = 1.0
    noise_seed: int | None = None
    style_image: Tensor | None = None
    mask: Tensor | None = None


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
        image: (1, 3, H, W) on its device, in [0, 1] unless the optimiser does not clamp.
        rows: every evaluation, those of a first try that failed included.
        kept: the evaluation at which the image is the one given back; where the image after an
            update is kept, the one before that update.
        content_style: the style loss of the content at the result's size, (1,), on its device.
        restored: whether it was ever sent back to its best point: for losses or gradients that were
            no numbers, a loss that climbed, or too many refused steps in a row.
        retried_with_adam: whether a first try failed.
    """

    key: Hashable
    image: Tensor
    status: Status
    rows: list[Row]
    kept: Row
    content_style: Tensor
    restored: bool
    retried_with_adam: bool


@dataclass(slots=True, eq=False)
class Entry:
    """What the host knows of an image in a slot: what has arrived, and what it has started.

    Attributes:
        budget: evaluations on this level.
        started, done: of them, started by the host and arrived there.
        best, kept: the evaluations of this level's best point and of the one that is kept.
        content_style: the content's style loss on this level, (1,), on its device.
        unspent: evaluations that the levels below have left.
    """

    problem: Problem
    admitted_s: float
    level: int = 0
    budget: int = 0
    started: int = 0
    done: int = 0
    rows: list[Row] = field(default_factory=list)
    best: Row | None = None
    kept: Row | None = None
    content_style: Tensor | None = None
    unspent: int = 0
    restored: bool = False
    retried: bool = False

    def enter(self, level: int, budget: int) -> None:
        """Begin a level."""
        self.level, self.budget, self.started, self.done = level, budget, 0, 0
        self.best = self.kept = None

    def start_evaluation(self) -> int:
        """Count one more evaluation as started; return its number if it counts (from 1)."""
        self.started += 1
        return len(self.rows) + self.started - self.done


class Snapshot(NamedTuple):
    """An image on its way: what would be given back if it ended at this evaluation."""

    key: Hashable
    evaluation: int
    image: Tensor


class StepReport(NamedTuple):
    """What has arrived: rows, each image's in order, and the images that are done."""

    rows: list[tuple[Hashable, Row]]
    results: list[Result]
    snapshots: list[Snapshot]
