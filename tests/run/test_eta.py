"""What is left of a run, against arithmetic by hand."""

import sys
from types import FrameType

import pytest

from stylebatch.records import Group, Progress, Shape
from stylebatch.run import Pace
from stylebatch.run.eta import Forecast

SHAPE, LARGE = Shape("s", 10, 10), Shape("s", 10, 20)
MOST = {"s": 10}


def forecast(*devices: str, **paces: Pace) -> Forecast:
    found = Forecast(paces, MOST)
    for worker, device in enumerate(devices):
        found.joined(worker, device)
    return found


def test_nothing_is_said_before_anything_was_measured() -> None:
    assert forecast("cpu").left_s([Group(*SHAPE, 3)], 3) is None
    assert forecast().left_s([Group(*SHAPE, 3)], 3) is None


def test_one_device_takes_what_it_took_so_far() -> None:
    found = forecast("cpu")
    found.progress(Progress(0, 2, 4, 0.8, SHAPE, 4))
    # .2 s an evaluation, 10 an image, 6 images, 4 evaluations behind them.
    assert found.left_s([Group(*SHAPE, 6)], 6) == pytest.approx(0.2 * (60 - 4))
    groups = [Group(*SHAPE, 6), Group(*LARGE, 1)]
    assert found.left_s(groups, 7) == pytest.approx(0.2 * (60 - 4) + 0.4 * 10)


def test_finished_images_tell_how_many_evaluations_one_takes() -> None:
    found = forecast("cpu")
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
