"""Objectives made to misbehave: what becomes of the image, and of those that share its batch."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.engines import Terms, bowl, engine, problem, run, solver, stub
from torch import Tensor

from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, Result, Row, Status

Function = Callable[[Tensor, Tensor], Terms]

ADAM = {"optimizer": "adam"}
# Steps of one length to the end.
CONSTANT: dict[str, Any] = {**ADAM, "learning_rate_schedule": "constant"}
BUDGET_SPENT, CONVERGED, DIVERGED = Status.BUDGET_SPENT, Status.CONVERGED, Status.DIVERGED


def bad() -> Problem:
    """Return an image of one grey; the optimum of its bowl is 0.1 away in every pixel."""
    return Problem("bad", torch.full((1, 3, 16, 16), 0.5), ({},))


def offset(x: Tensor, content: Tensor) -> float:
    """Return how far an image has come: 0 at the start, 0.1 at the optimum."""
    return float((x - content).mean())


def where(is_bad: Callable[[float], bool], loss: float, gradient: float) -> Function:
    """Return a bowl whose loss and gradient are multiplied where an offset is bad."""

    def function(x: Tensor, content: Tensor) -> Terms:
        at = offset(x, content)
        losses, gradients = bowl(x, content)
        return (losses * loss, gradients * gradient) if is_bad(at) else (losses, gradients)

    return function


def at_evaluation(wanted: int, loss: float, gradient: float) -> Function:
    """Return a bowl with trouble at one evaluation."""
    count = 0

    def is_bad(at: float) -> bool:
        nonlocal count
        count += 1
        return count == wanted

    return where(is_bad, loss, gradient)


def last_try(rows: list[Row]) -> list[Row]:
    """Return the rows since the image was last at its start."""
    starts = [k for k, row in enumerate(rows) if row.total == rows[0].total]
    return rows[starts[-1] :] if starts else rows[1:]


def suffer(function: Function, **changes: Any) -> Result:
    """Run the bad image with two good ones; check what holds whatever comes of it."""

    def fate(x: Tensor, content: Tensor) -> Terms:
        return (function if bool((content == 0.5).all()) else bowl)(x, content)

    mates = [problem(1), problem(2)]
    together = run(engine(fate, **changes), [mates[0], bad(), mates[1]])
    for mate in mates:
        alone = run(engine(bowl, **changes), [mate])[mate.key]
        assert torch.equal(together[mate.key].image, alone.image)
        assert [row[:7] for row in together[mate.key].rows] == [row[:7] for row in alone.rows]
        assert together[mate.key].status is alone.status
    result = together["bad"]
    good = [row for row in last_try(result.rows) if math.isfinite(row.total) and row.accepted]
    assert result.kept.total == min(row.total for row in good), "not the best point"
    assert float(bowl(result.image[0], bad().content[0])[0]) == result.kept.total
    return result


def outcome(result: Result) -> tuple[Status, bool, bool]:
    return result.status, result.restored, result.retried_with_adam


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1), (math.inf, 1), (1, math.inf)])
def test_lbfgs_gets_over_one_bad_evaluation_by_itself(loss: float, gradient: float) -> None:
    result = suffer(at_evaluation(2, loss, gradient), steps=8)
    assert outcome(result) == (BUDGET_SPENT, False, False)
    assert [row.accepted for row in result.rows[:3]] == [True, False, True]
    assert result.kept.total < 1.1


@pytest.mark.parametrize(("loss", "gradient"), [(math.nan, 1), (math.inf, 1), (1, math.nan)])
def test_adam_is_sent_back_to_its_best_and_goes_on_more_carefully(
    loss: float, gradient: float
) -> None:
    result = suffer(at_evaluation(4, loss, gradient), steps=40, **CONSTANT)
    assert outcome(result) == (BUDGET_SPENT, True, False)
    totals = [row.total for row in result.rows]
    assert len(totals) == 40
    assert totals[4] == min(totals[:3]) == totals[2]
    # Each pixel moves by the rate, then by a quarter of it.
    offsets = [0.1 - math.sqrt((total - 1) / 768) for total in totals[:6]]
    assert offsets[2] - offsets[1] == pytest.approx(0.02, rel=0.05)
    assert offsets[5] - offsets[4] == pytest.approx(0.005, rel=0.05)
    assert result.kept.total < 1.1


@pytest.mark.parametrize(
    ("loss", "gradient"), [(math.nan, math.nan), (math.inf, 1), (1, math.inf), (1, math.nan)]
)
def test_a_wall_before_the_optimum_is_come_close_to_and_then_the_status_says_so(
    loss: float, gradient: float
) -> None:
    result = suffer(where(lambda at: at > 0.043, loss, gradient), steps=60)
    assert outcome(result) == (DIVERGED, True, True)
    assert 0.02 < offset(result.image, bad().content) <= 0.043
    assert result.kept.total < result.rows[0].total


def test_before_a_wall_a_second_try_with_adam_is_more_careful_than_a_first_was() -> None:
    wall = where(lambda at: at > 0.043, math.nan, math.nan)
    result = suffer(wall, steps=30, **CONSTANT)
    assert outcome(result) == (BUDGET_SPENT, True, True)
    second = last_try(result.rows)
    assert len(second) == 30
    assert all(row.accepted for row in second)
    # A sixteenth of the rate, so that thirty steps end before the wall.
    assert offset(result.image, bad().content) == pytest.approx(29 * 0.02 / 16, rel=0.05)


def test_a_thin_slab_is_crossed_and_a_thick_one_is_not() -> None:
    thin = where(lambda at: 0.045 < at < 0.055, math.nan, 1)
    assert suffer(thin, steps=12).kept.total < 1.1
    thick = suffer(where(lambda at: 0.002 < at < 0.08, math.nan, 1), steps=60)
    assert outcome(thick) == (DIVERGED, True, True)
    assert torch.equal(thick.image, bad().content)


def test_a_start_that_is_no_number_is_not_tried_again_by_the_same_optimiser() -> None:
    result = suffer(at_evaluation(1, math.nan, 1), steps=20)
    assert outcome(result) == (BUDGET_SPENT, False, True)
    assert [math.isfinite(row.total) for row in result.rows] == [False] + 20 * [True]


def test_a_budget_that_is_spent_in_trouble_gives_the_best_point() -> None:
    for keep in ("best", "last", "after_best", "after_last"):
        wall = where(lambda at: at > 0.043, math.nan, math.nan)
        # Steps of 0.02: the fourth evaluation is behind the wall, the sixth once more.
        for steps in (4, 6):
            result = suffer(wall, steps=steps, keep=keep, **CONSTANT)
            assert outcome(result) == (BUDGET_SPENT, steps > 4, False)
            assert len(result.rows) == steps


# --- climbing --------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("rate", [1e2, 1e5])
def test_adam_that_climbs_with_a_huge_rate_is_restored(rate: float, keep: str) -> None:
    changes = {"steps": 120, "clamp": False, "learning_rate": rate, "keep": keep}
    result = suffer_climb(bowl, **CONSTANT, **changes)
    status = DIVERGED if rate == 1e5 else BUDGET_SPENT
    assert outcome(result) == (status, True, True)
    totals = [row.total for row in result.rows]
    sent_back = [k for k in range(1, 60) if totals[k] == totals[0]]
    assert len(sent_back) == 2, "restored once, then started again"
    highest = [max(totals[a:b]) for a, b in zip([0, *sent_back], sent_back, strict=False)]
    assert highest[1] == pytest.approx(highest[0] / 16, rel=0.1), "a quarter of the steps' length"


def suffer_climb(function: Function, **changes: Any) -> Result:
    """Run the bad image alone; its mates would climb as well."""
    result = run(engine(function, **changes), [bad()])["bad"]
    accepted = [row for row in last_try(result.rows) if row.accepted]
    if changes["keep"] == "best" or result.status is DIVERGED:
        assert result.kept.total == min(row.total for row in accepted)
    return result


@pytest.mark.parametrize("changes", [{"tolerated_rise": 0.5}, CONSTANT], ids=["lbfgs", "adam"])
def test_an_image_whose_gradient_points_uphill_ends_at_its_start(changes: Any) -> None:
    def uphill(x: Tensor, content: Tensor) -> Terms:
        # Slowly enough that L-BFGS with a tolerated rise takes each step.
        height = 60 * offset(x, content)
        return torch.tensor(math.exp(min(height, 80))), torch.full_like(x, -1e-3)

    quick = {"first_rms_change": 0.005, "max_rms_change": 0.005, "learning_rate": 0.1}
    result = run(engine(uphill, steps=200, **(quick | changes)), [bad()])["bad"]
    assert outcome(result) == (DIVERGED, True, True)
    assert torch.equal(result.image, bad().content)
    assert result.kept.total == 1


def test_a_loss_that_overshoots_a_hundredfold_and_comes_back_is_no_trouble() -> None:
    """As published settings of Adam do: bit by bit what torch's own Adam does."""
    rate = 0.8
    result = run(engine(bowl, steps=120, clamp=False, learning_rate=rate, keep="after_last",
                        **CONSTANT), [bad()])["bad"]  # fmt: skip
    assert max(row.total for row in result.rows) > 30 * result.rows[0].total
    assert outcome(result) == (BUDGET_SPENT, False, False)
    x = bad().content.requires_grad_()
    adam = torch.optim.Adam([x], rate, (0.9, 0.999), 1e-8)
    for _ in range(120):
        x.grad = bowl(x.detach()[0], bad().content[0])[1][None]
        adam.step()
    assert torch.allclose(result.image, x.detach(), atol=1e-3)


# --- refused steps ---------------------------------------------------------------------------


def test_refused_steps_after_some_gain_begin_once_more_at_the_best_point() -> None:
    count = 0

    def deceptive(x: Tensor, content: Tensor) -> Terms:
        nonlocal count
        count += 1
        total, gradient = bowl(x, content)
        return total + 100 * (4 <= count < 14), gradient

    # First steps short enough not to be there by then.
    result = run(engine(deceptive, steps=300, first_rms_change=0.01, max_rms_change=0.01),
                 [problem()])[0]  # fmt: skip
    assert outcome(result) == (CONVERGED, True, False)
    totals, accepted = zip(*((row.total, row.accepted) for row in result.rows), strict=True)
    assert accepted[:14] == (*[True] * 3, *[False] * 10, True)
    assert totals[13] == min(totals[:13]), "the best point again"
    assert result.kept.total == pytest.approx(1, abs=1e-4)
    # Nothing is gained any more since another restoration at the end.
    assert accepted[-11:] == (True, *[False] * 10)


def test_an_image_in_trouble_on_one_level_begins_the_next_afresh() -> None:
    def trouble_below(x: Tensor, content: Tensor) -> Terms:
        return (wall if x.shape[-1] == 16 else bowl)(x, content)

    wall = where(lambda at: at > 0.043, math.nan, math.nan)
    content = torch.full((1, 3, 32, 32), 0.5)
    climb = Engine(stub(trouble_below), solver(steps=48, levels=2, **CONSTANT), 2, 32, 32)
    result = run(climb, [Problem("bad", content, ({}, {}))])["bad"]
    assert outcome(result) == (BUDGET_SPENT, True, False)
    coarse, fine = ([row for row in result.rows if row.level == level] for level in (0, 1))
    assert [row.accepted for row in coarse] == [True, True, True, False, True, False]
    distances = [0.1 - math.sqrt((row.total - 1) / (3 * 32 * 32)) for row in fine]
    assert len(fine) == 42
    assert distances[0] == pytest.approx(0.04, abs=2e-3)
    assert distances[1] - distances[0] == pytest.approx(0.02, rel=0.05)
