"""What is left of a run, against arithmetic by hand."""

import sys
from collections.abc import Collection, Mapping
from dataclasses import replace
from types import FrameType

import pytest

from stylebatch.records import Group, Progress, Shape
from stylebatch.run import Pace
from stylebatch.run.eta import Forecast

SHAPE, LARGE = Shape("s", 10, 10), Shape("s", 10, 20)
MOST = {"s": 10}
# What a worker tells first: its start is in it.
START = Progress(0, 1, 1, 30.0, SHAPE)


def forecast(
    *devices: str,
    most: Mapping[str, int] = MOST,
    end_early: Collection[str] = (),
    alike: Mapping[str, str] | None = None,
    **paces: Pace,
) -> Forecast:
    found = Forecast(paces, most, end_early=end_early, alike=alike)
    for worker, device in enumerate(devices):
        found.joined(worker, device)
    return found


def test_nothing_is_said_before_anything_was_measured() -> None:
    assert forecast("cpu").left_s([Group(*SHAPE, 3)], 3) is None
    assert forecast().left_s([Group(*SHAPE, 3)], 3) is None


def test_one_device_takes_what_it_took_so_far() -> None:
    found = forecast("cpu")
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 2, 4, 0.8, SHAPE, 4))
    # .2 s an evaluation, 10 an image, 6 images, 4 evaluations behind them.
    assert found.left_s([Group(*SHAPE, 6)], 6) == pytest.approx(0.2 * (60 - 4))
    groups = [Group(*SHAPE, 6), Group(*LARGE, 1)]
    assert found.left_s(groups, 7) == pytest.approx(0.2 * (60 - 4) + 0.4 * 10)


def test_finished_images_tell_how_many_evaluations_one_takes() -> None:
    found = forecast("cpu")
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 2, 8, 0.8, SHAPE, 3))
    found.finished(0, SHAPE, 5)
    assert found.begun_s(0) == pytest.approx(0.3)
    assert found.left_s([Group(*SHAPE, 2)], 2) == pytest.approx(0.1 * (2 * 5 - 3))


def test_devices_work_side_by_side_each_kind_at_its_pace() -> None:
    slow, fast = Pace(), Pace()
    slow.add(SHAPE, 10, 3.0)
    fast.add(SHAPE, 10, 1.0)
    found = forecast("cuda:0", "cuda:1", "cpu", cuda=fast, cpu=slow)
    alone_s = 0.1 * 10 * 70
    assert found.left_s([Group(*SHAPE, 70)], 70) == pytest.approx(alone_s / (1 + 1 + 1 / 3))


def test_with_a_limit_only_its_share_is_left() -> None:
    found = forecast("cpu")
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 1, 1, 0.1, SHAPE))
    found.finished(0, SHAPE, 1)
    assert found.left_s([Group(*SHAPE, 100)], 10) == pytest.approx(0.1 * 10)


def test_time_in_which_a_device_waited_is_counted_and_lost_workers_stay_counted() -> None:
    found = forecast("cpu")
    found.progress(Progress(0, 1, 10, 2.0, SHAPE, 10))
    found.left(0)
    assert found.busy_s == {0: 2.0}
    assert 0 <= found.there_s[0] < 2.0
    assert found.begun_s(0) == 0


def test_how_a_worker_starts_says_nothing_of_how_fast_it_is() -> None:
    found = forecast("cpu")
    found.progress(START)
    assert found.left_s([Group(*SHAPE, 5)], 5) is None
    found.progress(Progress(0, 1, 10, 0.1, SHAPE))
    alone_s = 5 * 10 * 0.01
    # Set-up is waited for, but not at every image.
    assert alone_s <= (found.left_s([Group(*SHAPE, 5)], 5) or 0) <= 2 * alone_s
    assert found.pace(0).seconds_per_evaluation(SHAPE) == pytest.approx(0.01)


def test_a_run_that_is_over_after_one_report_keeps_it_for_the_next() -> None:
    found = forecast("cpu")
    found.progress(START)
    found.left(0)
    assert found.paces["cpu"].seconds_per_evaluation(SHAPE) == pytest.approx(30)
    known = forecast("cpu", cpu=found.paces["cpu"])
    assert known.left_s([Group(*SHAPE, 1)], 1) == pytest.approx(30 * 10)


def test_where_images_can_end_early_nothing_is_said_before_it_is_known_when() -> None:
    found = forecast("cpu", end_early={"s"})
    groups = [Group(*SHAPE, 100)]
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 4, 400, 4.0, SHAPE, 20, (5, 5, 5, 5)))
    assert found.left_s(groups, 100) is None
    for _ in range(5):
        found.finished(0, SHAPE, 5)
    found.progress(Progress(0, 0, 0, 0.0, SHAPE))
    assert found.left_s([Group(*SHAPE, 95)], 95) == pytest.approx(95 * 5 * 0.01)


def test_until_it_is_known_when_images_end_they_take_their_budget_at_most() -> None:
    found = forecast("cpu", end_early={"s"})
    assert found.most_left_s([Group(*SHAPE, 6)], 6) is None
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 2, 4, 0.8, SHAPE, 4))
    assert found.left_s([Group(*SHAPE, 6)], 6) is None
    # .2 s an evaluation, at most 10 an image, 4 evaluations behind them.
    assert found.most_left_s([Group(*SHAPE, 6)], 6) == pytest.approx(0.2 * (60 - 4))
    assert found.most_left_s([Group(*SHAPE, 6), Group("other", 10, 10, 1)], 7) is None


def test_what_images_in_slots_have_had_is_not_left_and_one_that_takes_longer_takes_longer() -> None:
    found = forecast("cpu", most={"s": 100}, end_early={"s"})
    for evaluations in (40, 40, 40, 60, 60, 60):
        found.finished(0, SHAPE, evaluations)
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 2, 100, 1.0, SHAPE, 100, (45, 55)))
    # Both go on to 60. Of the other two each ends at 40, as three of eight did, or goes on too.
    left = found.left_s([Group(*SHAPE, 4)], 4)
    assert left == pytest.approx(0.01 * (15 + 5 + 2 * (40 + 20 * 5 / 8)), rel=0.02)


def test_of_settings_that_nobody_has_told_of_nothing_is_said() -> None:
    found = forecast("cpu", most={})
    found.progress(replace(START, seconds=0.0))
    found.progress(Progress(0, 1, 10, 1.0, SHAPE, 1, (1,)))
    assert found.left_s([Group(*SHAPE, 5)], 5) is None
    found.finished(0, SHAPE, 4)
    assert found.left_s([Group(*SHAPE, 5)], 5) == pytest.approx(0.1 * (5 * 4 - 1), rel=0.01)


def test_earlier_runs_tell_when_images_end() -> None:
    earlier = Pace()
    earlier.add(SHAPE, 100, 10.0)
    for _ in range(20):
        earlier.finished(SHAPE, 5)
    found = forecast("cpu", end_early={"s"}, cpu=earlier)
    assert found.left_s([Group(*SHAPE, 10)], 10) == pytest.approx(0.1 * 5 * 10)


def test_settings_of_another_kind_are_no_measure_of_time_but_those_alike_are() -> None:
    most, other = {"s": 10, "t": 10}, Shape("t", 10, 10)
    groups = [Group(*SHAPE, 5), Group(*other, 5)]
    for alike, is_known in (({"s": "k", "t": "k"}, True), ({"s": "k", "t": "l"}, False)):
        found = forecast("cpu", most=most, alike=alike)
        found.progress(replace(START, seconds=0.0))
        found.progress(Progress(0, 1, 10, 1.0, SHAPE))
        assert (found.left_s(groups, 10) is not None) == is_known
        # A little of it is no reason to say nothing.
        assert found.left_s([Group(*SHAPE, 95), Group(*other, 5)], 100) == pytest.approx(100.0)


def test_what_is_in_slots_is_finished_by_the_slowest_worker() -> None:
    found = forecast("cpu", "cpu", end_early={"s"})
    assert found.finishing() == (0, 0.0, False)
    assert found.furthest() is None
    for worker in (0, 1):
        found.progress(replace(START, worker=worker, seconds=0.0, each=(1,)))
    assert found.finishing() == (2, None, True)
    found.progress(Progress(0, 2, 10, 1.0, SHAPE, 8, (3, 5)))
    found.progress(Progress(1, 1, 10, 1.0, SHAPE, 1, (1,)))
    images, seconds, is_at_most = found.finishing()
    assert (images, is_at_most) == (3, True)
    assert seconds == pytest.approx(0.1 * (7 + 5), rel=0.01)
    assert found.furthest() == (5, 10)
    for _ in range(5):
        found.finished(0, SHAPE, 6)
    images, seconds, is_at_most = found.finishing()
    assert (images, is_at_most) == (3, False)
    assert seconds == pytest.approx(0.1 * 5, rel=0.01), "the one at 1 evaluation takes 5 more"


def test_the_work_of_telling_what_is_left_grows_with_the_number_of_shapes_and_no_faster() -> None:
    """Exact sizes give a folder of photographs thousands of shapes, and the loop asks each second.

    The oracle is Python's own count of function calls.
    """
    few, many = num_calls(50), num_calls(400)
    assert many < 12 * few


def num_calls(num_shapes: int) -> int:
    """Return how many functions are called to tell what is left of so many shapes."""
    shapes = [Shape("s", 100 + number, 100) for number in range(num_shapes)]
    found = forecast("cpu", "cpu", "cpu", "cpu")
    for shape in shapes[::2]:
        found.progress(Progress(0, 1, 10, 0.1, shape))
        found.finished(0, shape, 10)
    groups = [Group(*shape, 3) for shape in shapes]
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        assert found.left_s(groups, 3 * num_shapes)
    finally:
        sys.setprofile(None)
    return calls
