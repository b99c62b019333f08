"""Paces: from measurements by hand to what is left, by hand."""

import json

import pytest

from stylebatch.records import Group, Shape
from stylebatch.run import Pace
from stylebatch.run.pace import MOST_EVALUATIONS

SMALL, LARGE, OTHER = Shape("s", 10, 10), Shape("s", 20, 10), Shape("t", 10, 10)


def test_nothing_measured_is_no_figure() -> None:
    assert Pace().seconds_per_evaluation(SMALL) is None
    assert Pace().seconds_of([Group(*SMALL, 3)], {"s": 5}) is None
    assert Pace().seconds_of([], {}) == 0
    assert Pace().evaluations_per_image("s", 7) == 7


def test_a_measured_shape_has_its_own_figure() -> None:
    pace = Pace()
    pace.add(SMALL, 10, 1.0)
    pace.add(SMALL, 10, 3.0)
    pace.add(LARGE, 10, 50.0)
    assert pace.seconds_per_evaluation(SMALL) == pytest.approx(0.2)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(5.0)


def test_another_shape_goes_by_its_pixels_first_from_its_own_settings() -> None:
    pace = Pace()
    pace.add(SMALL, 10, 1.0)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.2)
    assert pace.seconds_per_evaluation(OTHER) == pytest.approx(0.1)
    pace.add(OTHER._replace(width=5), 10, 4.0)
    assert pace.seconds_per_evaluation(OTHER) == pytest.approx(0.8)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.2)


def test_a_machine_that_is_slower_today_is_so_for_shapes_of_earlier_runs_too() -> None:
    earlier = Pace()
    earlier.add(SMALL, 10, 1.0)
    earlier.add(LARGE, 10, 5.0)
    pace = Pace(earlier)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.5)
    pace.add(SMALL, 20, 3.0)
    assert pace.seconds_per_evaluation(SMALL) == pytest.approx(0.15)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.5 * 1.5)
    pace.add(SMALL, 20, 300.0)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.5 * 2), "no more than twice"
    assert pace.knows("s")
    assert not pace.knows("t")


def test_a_measurement_can_be_taken_back() -> None:
    pace = Pace()
    pace.add(SMALL, 2, 9.0)
    pace.take_back(SMALL, 2, 9.0)
    assert pace.seconds_per_evaluation(SMALL) is pace.seconds_per_evaluation(LARGE) is None
    assert not pace.knows("s")
    pace.add(SMALL, 10, 1.0)
    assert pace.seconds_per_evaluation(LARGE) == pytest.approx(0.2)


def test_what_is_left_takes_images_times_evaluations_times_seconds() -> None:
    pace = Pace()
    pace.add(SMALL, 10, 1.0)
    groups = [Group(*SMALL, 3), Group(*LARGE, 2)]
    assert pace.seconds_of(groups, {"s": 50}) == pytest.approx(3 * 50 * 0.1 + 2 * 50 * 0.2)
    pace.finished(SMALL, 20)
    pace.finished(LARGE, 30)
    assert pace.ended("s") == (2, 25)
    assert pace.seconds_of(groups, {"s": 25}) == pytest.approx(3 * 25 * 0.1 + 2 * 25 * 0.2)


def test_it_is_kept_as_json_and_old_measurements_count_for_less() -> None:
    pace = Pace()
    pace.add(SMALL, 4 * MOST_EVALUATIONS, 4.0 * MOST_EVALUATIONS)
    pace.finished(SMALL, 8)
    pace.finished(SMALL, 8)
    pace.finished(SMALL, 8)
    pace.finished(SMALL, 8)
    again = Pace.from_json(json.loads(json.dumps(pace.to_json())))
    assert again.seconds_per_evaluation(SMALL) == pytest.approx(1.0)
    assert again.evaluations_per_image("s", 100) == 8
    again.add(SMALL, MOST_EVALUATIONS, 3.0 * MOST_EVALUATIONS)
    assert again.seconds_per_evaluation(SMALL) == pytest.approx(2.0)
