"""Arithmetic on ways of solvers: losses of pairs, and how much sooner one is where another gets.

A way's loss is judged at some evaluations only. Seconds add up from the first evaluation on.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.solver.ways import Way

TEXTBOOK, SCIPY = "textbook", "SciPy L-BFGS-B"
OURS, OURS_FLOAT32, ONE_LEVEL = "ours", "ours, float32", "ours, one level"
TEXTBOOK_BUDGET, SCIPY_BUDGET = 300, 100


class Spread(NamedTuple):
    """A median of pairs between two others of their order."""

    median: float
    low: float
    high: float


class Goal(NamedTuple):
    """A loss, and the first evaluation at which some method was judged to have it."""

    loss: float
    evaluation: int


@dataclass(frozen=True, slots=True)
class Gain:
    """How much sooner than another method a way is at that method's loss, as quotients.

    Attributes:
        evaluations: theirs / ours; 0: ours is never there.
        time: likewise of seconds; None: not timed.
        bfloat16: of the time of one evaluation, what its precision gives.
        rest: of the time of one evaluation, what that leaves: time = evaluations · bfloat16 · rest.
            Both are None too where ours is never there.
    """

    evaluations: float
    time: float | None = None
    bfloat16: float | None = None
    rest: float | None = None

    @property
    def per_evaluation(self) -> float | None:
        """Of the time of one evaluation; None as those two."""
        return self.time / self.evaluations if self.time else None


def range_of(values: Sequence[float]) -> Spread:
    """Return the median between the lowest and the highest."""
    return Spread(median(values), min(values), max(values))


def quartiles_of(values: Sequence[float]) -> Spread:
    """Return the median between the quartiles, those of few values interpolated."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return Spread(float(middle), float(low), float(high))


def budget_of(ways: Sequence[Way]) -> int:
    """Return the last evaluation at which any of a method's ways was judged."""
    return max(at for way in ways for at, _ in way.judged)


def loss_at(way: Way, evaluation: int, budget: int) -> float | None:
    """Return what a way had after so many evaluations; None: not judged then.

    A way that stopped by itself before its method's budget still has what it stopped with.
    """
    last_at, last = way.judged[-1]
    if last_at < evaluation <= budget:
        return last
    return dict(way.judged).get(evaluation)


def best_of(way: Way, budget: int = TEXTBOOK_BUDGET) -> Goal:
    """Return the lowest judged loss within a budget, and where it was first."""
    loss, at = min((loss, at) for at, loss in way.judged if at <= budget)
    return Goal(loss, at)


def end_of(way: Way, budget: int = SCIPY_BUDGET) -> Goal:
    """Return the loss at the end of a budget, or where the way stopped before."""
    at, loss = max((at, loss) for at, loss in way.judged if at <= budget)
    return Goal(loss, at)


def evaluations_until(way: Way, loss: float) -> float | None:
    """Return after how many evaluations a way is first at a loss; None: never.

    Between two that were judged, the logarithm of the loss falls in a straight line.
    """
    before_at, before = way.judged[0]
    for at, after in way.judged:
        if after <= loss:
            if at == before_at:
                return float(at)
            share = math.log(before / loss) / math.log(before / after)
            return before_at + share * (at - before_at)
        before_at, before = at, after
    return None


def seconds_until(way: Way, evaluations: float) -> float | None:
    """Return the seconds of so many evaluations, a part of one too; None: not timed so far."""
    if not 0 < evaluations <= len(way.seconds):
        return None
    whole = range(len(way.seconds) + 1)
    return float(np.interp(evaluations, whole, [0.0, *way.seconds]))


def with_seconds(ways: Sequence[Way]) -> list[Way]:
    """Return ways of which those that were not timed have others' median seconds.

    Others are of the same size and method: from the same start, else from another.
    """
    timed = [way for way in ways if way.seconds]
    return [
        way if way.seconds else replace(way, seconds=_median_seconds(way, timed)) for way in ways
    ]


def _median_seconds(way: Way, timed: Sequence[Way]) -> list[float]:
    alike = [each for each in timed if (each.size, each.method) == (way.size, way.method)]
    alike = [each for each in alike if each.start == way.start] or alike
    longest = max((len(each.seconds) for each in alike), default=0)
    return [
        median(each.seconds[index] for each in alike if index < len(each.seconds))
        for index in range(longest)
    ]


def gain_of(goal: Goal, theirs: Way, ours: Way, exact: Way | None) -> Gain:
    """Return how much sooner than theirs ours is at their goal.

    Args:
        exact: ours in float32; without it nothing can be said of the precision.
    """
    evaluations = evaluations_until(ours, goal.loss)
    their_s = seconds_until(theirs, goal.evaluation)
    if evaluations is None:
        is_timed = their_s is not None and ours.seconds
        return Gain(0.0, 0.0 if is_timed else None)
    fewer = goal.evaluation / evaluations
    our_s = seconds_until(ours, evaluations)
    if their_s is None or our_s is None:
        return Gain(fewer)
    exact_s = seconds_until(exact, evaluations) if exact else None
    if exact_s is None:
        return Gain(fewer, their_s / our_s)
    # The same evaluations in another precision cost `exact_s`.
    return Gain(fewer, their_s / our_s, exact_s / our_s, their_s / exact_s / fewer)
