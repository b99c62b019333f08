"""The engine: slots, levels, budgets and outcomes; on a small real objective and on stubs."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.engines import (
    MAX_REFUSED,
    Terms,
    bowl,
    engine,
    keys_in,
    levels_of,
    problem,
    real_objective,
    real_problem,
    run,
    slope,
    solver,
    stub,
    summit,
)
from torch import Tensor

from stylebatch.transfer.engine import Engine
from stylebatch.transfer.optimizers.lbfgs import ProjectedLBFGS
from stylebatch.transfer.problem import Problem, SecondPassSpec, Status
from stylebatch.transfer.starts import draw_noise

# --- on real features ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "dtype"),
    [
        ({"steps": 11}, torch.float32),
        ({"steps": 11}, torch.bfloat16),
        ({"steps": 12, "levels": 2, "start": "noise"}, torch.float32),
        ({"steps": 10, "optimizer": "adam", "keep": "last", "tolerance": 0.05}, torch.float32),
    ],
    ids=["lbfgs", "bfloat16", "two-levels", "adam"],
)
def test_solves_do_not_influence_each_other(changes: dict[str, Any], dtype: torch.dtype) -> None:
    """Bit by bit: with refills, early stops, and mates that come in another order."""
    spec = solver(**{"tolerance": 0.1, **changes})
    assert isinstance(spec.levels, int)
    objective, size = real_objective(dtype), (32, 32) if spec.levels == 2 else (16, 20)
    problems = [real_problem(objective, key, spec.levels, size) for key in range(4)]
    alone = run(Engine(objective, spec, 1, *size), problems)
    assert len({len(result.rows) for result in alone.values()}) > 1, "some should stop early"
    for capacity, order in ((2, problems), (3, problems[::-1])):
        together = run(Engine(objective, spec, capacity, *size), order)
        for key, wanted in alone.items():
            found = together[key]
            assert torch.equal(found.image, wanted.image), (capacity, key)
            assert found.status == wanted.status
            assert [r._replace(seconds=0) for r in found.rows] == [
                r._replace(seconds=0) for r in wanted.rows
            ]


def test_a_result_is_the_image_whose_losses_it_reports() -> None:
    objective = real_objective()
    problem = real_problem(objective, 1, 1, (16, 16))
    for keep in ("best", "last"):
        spec = solver(keep=keep, steps=8, optimizer="adam", learning_rate=0.2)
        result = run(Engine(objective, spec, 1, 16, 16), [problem])[1]
        targets = objective.targets(problem.content, problem.statistics[0], problem.strength)
        losses, _ = objective.evaluate(result.image, targets)
        assert [float(term) for term in losses] == list(result.kept[2:6])
        assert 0 <= float(result.image.min()) <= float(result.image.max()) <= 1


# --- on stubs --------------------------------------------------------------------------------


def cliff(x: Tensor, content: Tensor) -> Terms:
    """A loss that is not a number further than 10⁻⁵ from the content."""
    loss, gradient = slope(x, content)
    return (loss, gradient) if float((x - content).abs().max()) < 1e-5 else (loss * math.nan, x)


def abyss(x: Tensor, content: Tensor) -> Terms:
    """A loss that is never a number."""
    return x.sum() * math.nan, x * math.nan


def test_an_image_that_still_improves_spends_its_budget() -> None:
    result = run(engine(slope, optimizer="adam", steps=7), [problem()])[0]
    assert result.status is Status.BUDGET_SPENT
    assert len(result.rows) == 7
    assert result.kept == result.rows[-1]
    assert not result.retried_with_adam


def test_an_image_converges_when_a_window_of_evaluations_does_not_pay() -> None:
    result = run(engine(bowl, steps=60, tolerance=0.01, window=4), [problem()])[0]
    assert result.status is Status.CONVERGED
    totals = [row.total for row in result.rows]
    bests = [min(totals[: i + 1]) for i in range(len(totals))]
    stops = [i for i in range(4, len(bests)) if bests[i - 4] - bests[i] < 0.01 * bests[i - 4]]
    assert len(totals) == stops[0] + 1
    assert result.kept.total == pytest.approx(1, abs=0.02)


def test_without_a_tolerance_only_the_budget_ends_it() -> None:
    result = run(engine(slope, steps=12, tolerance=0.0), [problem()])[0]
    assert (result.status, len(result.rows)) == (Status.BUDGET_SPENT, 12)


def test_at_the_optimum_nothing_moves_any_more_and_that_ends_it() -> None:
    result = run(engine(bowl, steps=200, tolerance=0.0), [problem()])[0]
    assert result.status is Status.CONVERGED
    assert [row.accepted for row in result.rows[-MAX_REFUSED:]] == [False] * MAX_REFUSED
    assert torch.allclose(result.image, problem().content + 0.1, atol=1e-3)


def test_an_image_that_no_step_improves_is_given_back_as_converged() -> None:
    result = run(engine(summit, steps=60), [problem()])[0]
    assert result.status is Status.CONVERGED
    assert [row.accepted for row in result.rows] == [True] + [False] * MAX_REFUSED
    assert result.kept == result.rows[0]
    assert torch.equal(result.image, problem().content)


def test_an_image_that_fails_twice_is_tried_once_more_with_adam() -> None:
    result = run(engine(cliff, steps=15, learning_rate=1e-7), [problem()])[0]
    first, second = result.rows[:-15], result.rows[-15:]
    assert result.retried_with_adam
    assert result.status is Status.BUDGET_SPENT
    # The start, steps over the cliff, the start once more, shorter steps over the cliff.
    once = [True] + [False] * ProjectedLBFGS.max_not_finite
    assert [math.isfinite(row.total) for row in first] == once + once
    assert all(math.isfinite(row.total) and row.accepted for row in second)
    assert result.kept in second


def test_an_image_that_diverges_twice_has_diverged() -> None:
    result = run(engine(abyss), [problem()])[0]
    assert result.retried_with_adam
    assert result.status is Status.DIVERGED
    assert [math.isnan(row.total) for row in result.rows] == [True, True]
    assert bool(result.image.isfinite().all())


def test_a_retry_starts_again_from_the_coarsest_level() -> None:
    def deep_abyss(x: Tensor, content: Tensor) -> Terms:
        return (slope if x.shape[-1] == 16 else abyss)(x, content)

    result = run(engine(deep_abyss, 32, steps=16, levels=2), [problem(0, 32, 2)])[0]
    assert result.status is Status.DIVERGED
    assert [row.level for row in result.rows] == [0, 0, 1, 0, 0, 1]


def test_an_image_that_diverges_leaves_its_mates_alone() -> None:
    def fate(x: Tensor, content: Tensor) -> Terms:
        return (abyss if float(content.mean()) > 0.9 else bowl)(x, content)

    bad = Problem("bad", torch.full((1, 3, 16, 16), 0.95), ({},))
    alone = run(engine(fate, steps=12), [problem(1)])[1]
    together = run(engine(fate, steps=12), [bad, problem(1), problem(2)])
    assert together["bad"].status is Status.DIVERGED
    assert torch.equal(together[1].image, alone.image)
    assert [row.total for row in together[1].rows] == [row.total for row in alone.rows]


def test_the_best_point_is_kept_or_the_last_as_asked() -> None:
    # Too long steps: the loss goes up and down.
    changes: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.2, "steps": 9}
    best = run(engine(bowl, keep="best", **changes), [problem()])[0]
    last = run(engine(bowl, keep="last", **changes), [problem()])[0]
    totals = [row.total for row in best.rows]
    assert totals == [row.total for row in last.rows]
    assert best.kept.total == min(totals) < totals[-1]
    assert last.kept == last.rows[-1]
    for result in (best, last):
        loss, _ = bowl(result.image[0], problem().content[0])
        assert float(loss) == result.kept.total


def test_the_last_point_is_the_last_that_was_accepted() -> None:
    result = run(engine(summit, keep="last", steps=5), [problem()])[0]
    assert result.kept == result.rows[0]
    assert torch.equal(result.image, problem().content)


@pytest.mark.parametrize(("steps", "wanted"), [(20, [2, 2, 16]), (3, [1, 1, 1]), (2, [1, 1])])
def test_the_evaluations_of_all_levels_add_up_to_the_steps(steps: int, wanted: list[int]) -> None:
    climb = engine(slope, 64, optimizer="adam", levels=3, steps=steps)
    result = run(climb, [problem(0, 64, len(wanted))])[0]
    assert levels_of(result.rows) == wanted
    assert [row.level for row in result.rows] == sorted(row.level for row in result.rows)
    assert result.kept.level == len(wanted) - 1
    assert result.image.shape == (1, 3, 64, 64)


def test_what_a_level_leaves_goes_to_the_finest() -> None:
    def flat_below(x: Tensor, content: Tensor) -> Terms:
        return (torch.tensor(1.0), 0 * x) if x.shape[-1] < 64 else slope(x, content)

    climb = engine(
        flat_below, 64, optimizer="adam", levels=3, steps=30, tolerance=1e-6, window=3
    )  # fmt: skip
    result = run(climb, [problem(0, 64, 3)])[0]
    assert levels_of(result.rows) == [4, 4, 22]
    assert result.status is Status.BUDGET_SPENT


@pytest.mark.parametrize(("edge", "wanted"), [(191, 1), (192, 2), (383, 2), (384, 3)])
def test_an_engine_has_as_many_levels_as_the_longest_edge_asks_for(edge: int, wanted: int) -> None:
    def sizes(start: str, height: int, width: int) -> list[tuple[int, int]]:
        spec = solver(levels="auto", start=start)
        return Engine(stub(slope), spec, 1, height, width).sizes

    assert len(sizes("noise", 128, edge)) == len(sizes("noise", edge, 128)) == wanted
    assert len(sizes("content", 128, edge)) == 1


@pytest.mark.parametrize("start", ["content", "noise"])
def test_the_content_s_style_loss_is_that_of_the_last_level(start: str) -> None:
    objective = real_objective()
    spec = solver(levels=2, steps=4, start=start)
    given = real_problem(objective, 1, 2, (32, 32))
    climb = Engine(objective, spec, 1, 32, 32)
    result = run(climb, [given])[1]
    # Where the first evaluation is of the content at that size.
    single = Engine(objective, solver(levels=1, steps=1), 1, 32, 32)
    at_once = run(single, [replace(given, statistics=given.statistics[1:])])[1]
    assert float(result.content_style) == pytest.approx(at_once.rows[0].style, rel=1e-5)
    assert float(at_once.content_style) == pytest.approx(at_once.rows[0].style, rel=1e-5)


def test_a_coarse_level_that_changed_nothing_hands_the_content_on() -> None:
    def still(x: Tensor, content: Tensor) -> Terms:
        return 1 + (x - content).abs().max(), 0 * x

    result = run(engine(still, 32, levels=2, steps=2), [problem(0, 32, 2)])[0]
    assert torch.equal(result.image, problem(0, 32).content)


def test_a_noise_start_is_its_seed_s_own_in_any_slot() -> None:
    changes: dict[str, Any] = {"start": "noise", "steps": 1}
    found = run(engine(bowl, **changes), [problem(key) for key in (3, 1, 2)])
    again = run(engine(bowl, **changes), [problem(1)])
    for key in (1, 2, 3):
        assert torch.equal(found[key].image, draw_noise(key, (16, 16)))
    assert torch.equal(found[1].image, again[1].image)
    assert not torch.equal(found[1].image, found[2].image)


def test_a_step_reports_the_row_of_every_running_image_and_those_that_are_done() -> None:
    climb = engine(slope, optimizer="adam", steps=2)
    climb.admit(problem(1))
    climb.admit(problem(2))
    report = climb.step()
    assert {key: row.evaluation for key, row in report.rows} == {1: 1, 2: 1}
    assert report.results == []
    climb.admit(problem(3))
    assert set(keys_in(climb)) == {1, 2, 3}
    report = climb.step()
    assert {key: row.evaluation for key, row in report.rows} == {1: 2, 2: 2, 3: 1}
    assert {result.key for result in report.results} == {1, 2}
    assert climb.running == 1
    assert keys_in(climb) == [3]


def test_an_engine_without_images_does_nothing() -> None:
    report = engine(slope).step()
    assert (report.rows, report.results) == ([], [])


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    # Adam can't take a step back: it is sent back to its best, with shorter steps.
    [{}, {"optimizer": "adam", "keep": "last", "learning_rate": 1e-3}],
)
def test_a_guarded_image_goes_as_far_from_its_content_as_it_may(
    changes: dict[str, Any],
) -> None:
    objective = real_objective()
    problems = [real_problem(objective, key, 1, (16, 20)) for key in range(3)]
    free = run(Engine(objective, solver(steps=25, **changes), 3, 16, 20), problems)
    limit = min(result.kept.content for result in free.values()) / 2
    assert limit > 0
    spec = solver(steps=25, max_content=limit, **changes)
    for key, result in run(Engine(objective, spec, 3, 16, 20), problems).items():
        assert limit / 4 < result.kept.content <= limit
        assert result.kept.total < result.rows[0].total
        assert result.status is not Status.DIVERGED
        assert not result.retried_with_adam, key


def test_a_guarded_start_that_is_not_the_content_may_come_from_afar() -> None:
    objective = real_objective()
    far = real_problem(objective, 1, 1, (16, 20))
    free = run(Engine(objective, solver(start="noise", steps=25), 1, 16, 20), [far])[1]
    limit = (free.rows[0].content + free.kept.content) / 2
    spec = solver(start="noise", steps=25, max_content=limit)
    result = run(Engine(objective, spec, 1, 16, 20), [far])[1]
    assert result.rows[0].content > limit > result.kept.content


@pytest.mark.parametrize("keep", ["after_best", "after_last"])
def test_a_guarded_image_is_one_that_was_judged_not_what_its_update_led_to(keep: str) -> None:
    objective = real_objective()
    guarded = real_problem(objective, 1, 1, (16, 20))
    spec = solver(optimizer="adam", learning_rate=0.3, keep=keep, max_content=0.02, steps=6)
    result = run(Engine(objective, spec, 1, 16, 20), [guarded])[1]
    targets = objective.targets(guarded.content, guarded.statistics[0], guarded.strength)
    losses, _ = objective.evaluate(result.image, targets)
    assert float(losses.content) <= 0.02


def test_an_image_too_small_for_a_second_pass_gets_the_first_at_its_own_size() -> None:
    second = SecondPassSpec(64, "longest", 5)
    sizes = {
        (h, w): Engine(stub(slope), solver(second_pass=second), 1, h, w).sizes
        for h, w in [(48, 64), (96, 128)]
    }
    assert sizes == {(48, 64): [(48, 64)], (96, 128): [(48, 64), (96, 128)]}
