"""What fits before a deadline, by hand."""

from math import inf

import pytest

from stylebatch.records import Progress, Shape
from stylebatch.run.deadline import Deadline
from stylebatch.run.eta import Forecast
from stylebatch.run.limits import COMMIT_S, Limits

SHAPE = Shape("s", 10, 10)
MOST = {"s": 10}


def deadline(at_s: float | None, second_per_evaluation: float = 0.1) -> Deadline:
    """A worker 0 that has made ten evaluations, five of them for images that it still has."""
    forecast = Forecast({}, MOST)
    forecast.joined(0, "cpu")
    forecast.progress(Progress(0, 2, 10, 10 * second_per_evaluation, SHAPE, 5))
    return Deadline(Limits(deadline_at=at_s, most_evaluations=MOST), forecast)


def test_without_a_deadline_everything_fits() -> None:
    room = deadline(None).room_of(0, [SHAPE] * 1000, 1e9)
    assert (room.left_s, room.free_s, room.is_behind) == (inf, inf, False)
    assert room.takes_s(SHAPE) == 0
    assert not deadline(None).is_over(1e12)


def test_what_a_worker_has_takes_its_time_but_for_what_is_behind_it() -> None:
    room = deadline(100 + COMMIT_S).room_of(0, [SHAPE, SHAPE], 90)
    assert room.left_s == pytest.approx(10)
    assert room.takes_s(SHAPE) == pytest.approx(1.1)  # 10 evaluations of .1 s, and a tenth
    assert room.free_s == pytest.approx(10 - (2 * 1.1 - 1.1 * 0.5))
    assert not room.is_behind


def test_a_worker_that_has_more_than_is_left_is_behind() -> None:
    known = deadline(100 + COMMIT_S)
    assert known.room_of(0, [SHAPE] * 10, 90).is_behind is False
    assert known.room_of(0, [SHAPE] * 11, 90).is_behind is True
    assert known.room_of(0, [], 90).is_behind is False


def test_it_is_over_once_there_is_only_time_to_commit() -> None:
    known = deadline(100 + COMMIT_S)
    assert not known.is_over(99.9)
    assert known.is_over(100)
