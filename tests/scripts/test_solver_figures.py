"""`benchmarks.solver.figures` on ways made by hand, whose figures are worked out by hand."""

import pytest

from benchmarks.solver.figures import (
    Gain,
    Goal,
    best_of,
    end_of,
    evaluations_until,
    gain_of,
    loss_at,
    quartiles_of,
    range_of,
    seconds_until,
    with_seconds,
)
from benchmarks.solver.ways import Way


def way(
    *judged: tuple[int, float],
    seconds: tuple[float, ...] = (),
    size: int = 256,
    start: str = "content",
    method: str = "ours",
) -> Way:
    return Way(size, start, "goose × wave", method, "made by hand", list(judged), list(seconds))


def test_a_spread_is_the_median_between_the_ends_or_the_quartiles() -> None:
    values = [7.0, 1.0, 3.0, 2.0, 5.0]
    assert range_of(values) == (3, 1, 7)
    assert quartiles_of(values) == (3, 2, 5)
    assert quartiles_of([4.0, 1.0]) == (2.5, 1.75, 3.25)
    assert quartiles_of([4.0]) == (4, 4, 4)


def test_the_best_is_the_first_of_the_lowest_within_the_budget() -> None:
    climbing = way((100, 0.5), (150, 0.4), (200, 0.4), (250, 0.6), (310, 0.1))
    assert best_of(climbing) == Goal(0.4, 150)


def test_the_end_is_what_a_way_has_at_its_budget_or_stopped_with() -> None:
    assert end_of(way((95, 0.3), (100, 0.31), (105, 0.2))) == Goal(0.31, 100)
    assert end_of(way((10, 2.0), (60, 0.3))) == Goal(0.3, 60)


def test_a_loss_is_told_where_it_was_judged_and_kept_after_a_stop() -> None:
    stopped = way((10, 2.0), (15, 1.0))
    assert loss_at(stopped, 10, budget=100) == 2
    assert loss_at(stopped, 100, budget=100) == 1
    assert loss_at(stopped, 12, budget=100) is None
    assert loss_at(stopped, 5, budget=100) is None
    assert loss_at(stopped, 150, budget=100) is None


def test_between_judged_evaluations_the_logarithm_of_the_loss_falls_straight() -> None:
    falling = way((1, 9.0), (10, 8.0), (20, 2.0), (30, 1.0))
    # 4 is the geometric mean of 8 and 2.
    assert evaluations_until(falling, 4.0) == pytest.approx(15)
    assert evaluations_until(falling, 2.0) == pytest.approx(20)
    assert evaluations_until(falling, 2**0.5) == pytest.approx(25)
    assert evaluations_until(falling, 10.0) == 1
    assert evaluations_until(falling, 0.99) is None


def test_of_a_way_that_climbs_in_between_the_first_time_counts() -> None:
    assert evaluations_until(way((1, 4.0), (2, 1.0), (3, 3.0), (4, 0.5)), 1.0) == 2


def test_seconds_of_a_part_of_an_evaluation_are_a_part_of_its_seconds() -> None:
    timed = way((1, 1.0), seconds=(2.0, 3.0, 5.0))
    assert seconds_until(timed, 2) == 3
    assert seconds_until(timed, 2.5) == 4
    assert seconds_until(timed, 0.5) == 1
    assert seconds_until(timed, 3.5) is None
    assert seconds_until(way((1, 1.0)), 1) is None


def test_a_way_that_was_not_timed_has_the_median_seconds_of_its_size_and_method() -> None:
    judged = (1, 1.0)
    ways = [
        way(judged),
        way(judged, seconds=(1.0, 2.0, 9.0)),
        way(judged, seconds=(3.0, 5.0)),
        way(judged, seconds=(2.0, 4.0)),
        way(judged, seconds=(70.0, 70.0), size=512),
        way(judged, seconds=(80.0, 80.0), method="Adam"),
        way(judged, seconds=(90.0, 90.0), start="noise"),
    ]
    filled = with_seconds(ways)
    assert filled[0].seconds == [2, 4, 9]
    assert filled[1:] == ways[1:]


def test_seconds_from_another_start_are_better_than_none() -> None:
    ways = [way((1, 1.0)), way((1, 1.0), start="noise", seconds=(90.0,)), way((1, 1.0), size=64)]
    assert [each.seconds for each in with_seconds(ways)] == [[90], [90], []]


def test_a_gain_in_time_is_made_of_evaluations_precision_and_the_rest() -> None:
    theirs = way((50, 2.0), (100, 1.0), seconds=tuple(0.6 * n for n in range(1, 101)))
    ours = way((10, 2.0), (20, 0.5), seconds=tuple(0.2 * n for n in range(1, 21)))
    exact = way((10, 2.0), (20, 0.5), seconds=tuple(0.3 * n for n in range(1, 21)))
    # Ours is at 1 after 15 evaluations: 3 s, in float32 4.5 s; theirs after 100: 60 s.
    gain = gain_of(best_of(theirs), theirs, ours, exact)
    assert gain.evaluations == pytest.approx(100 / 15)
    assert gain.time == pytest.approx(20)
    assert gain.per_evaluation == pytest.approx(3)
    assert gain.bfloat16 == pytest.approx(1.5)
    assert gain.rest == pytest.approx(2)
    alone = gain_of(best_of(theirs), theirs, ours, None)
    assert (alone.time, alone.per_evaluation) == (gain.time, gain.per_evaluation)
    assert (alone.bfloat16, alone.rest) == (None, None)


def test_without_seconds_a_gain_is_one_of_evaluations_only() -> None:
    theirs, ours = way((100, 1.0)), way((25, 1.0))
    assert gain_of(Goal(1.0, 100), theirs, ours, None) == Gain(4.0)
    assert gain_of(Goal(1.0, 100), theirs, ours, None).per_evaluation is None


def test_a_loss_that_is_never_reached_is_a_gain_of_nothing() -> None:
    timed, untimed = way((100, 1.0), seconds=(1.0,) * 100), way((100, 1.0))
    goal = Goal(0.5, 100)
    assert gain_of(goal, timed, timed, timed) == Gain(0.0, 0.0)
    assert gain_of(goal, timed, timed, timed).per_evaluation is None
    assert gain_of(goal, timed, untimed, None) == Gain(0.0, None)
