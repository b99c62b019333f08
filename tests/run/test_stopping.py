"""How many evaluations images take: against sums by hand, and against what drawn images take."""

import random
from collections import Counter

import pytest

from stylebatch.run.stopping import LEAST_ENDED, Stopping


def test_nothing_is_said_before_some_have_ended() -> None:
    for number in range(LEAST_ENDED):
        assert Stopping({50: number}, [], 100).mean() is None
    assert Stopping({50: LEAST_ENDED}, [], 100).mean() == 50


def test_images_in_slots_tell_that_they_take_more_than_they_have_had() -> None:
    # Four of eight ended after 40; the others are at 40 too, and can take up to 100.
    found = Stopping({40: 4}, [40] * 4, 100)
    assert found.bounds() == pytest.approx((40, 40 + 60 / 2))
    assert found.mean() is None, "the bounds are too far apart"
    # At 60 two more have ended: half of the half is left.
    found = Stopping({40: 4, 60: 2}, [60, 60], 100)
    assert found.bounds() == pytest.approx((40 + 20 / 2, 40 + 20 / 2 + 40 / 4))
    assert found.mean() == pytest.approx(55)


def test_images_that_have_just_begun_change_nothing() -> None:
    assert Stopping({40: 3, 60: 3}, [1] * 16, 100).mean() == pytest.approx(50)


def test_what_is_left_of_an_image_goes_by_those_that_took_longer() -> None:
    found = Stopping({40: 4, 60: 2, 80: 2}, [], 100)
    assert found.bounds(0) == pytest.approx((55, 55))
    assert found.bounds(50) == pytest.approx((70, 70))
    assert found.bounds(70) == pytest.approx((80, 80))
    assert found.bounds(90) == pytest.approx((90, 100)), "none took so many"


def test_no_more_is_told_than_the_budget_however_many_an_image_has_had() -> None:
    # Where trouble starts an image again, it may have had more.
    low, high = Stopping({40: 4}, [130], 100).bounds(130)
    assert 130 <= low <= high <= 130


@pytest.mark.parametrize("seed", range(20))
def test_once_it_is_told_it_is_near_what_images_take(seed: int) -> None:
    """A run of eight slots that are refilled, seen after each evaluation; oracle: all images."""
    draw, most = random.Random(seed), 100
    takes = [min(most, round(draw.lognormvariate(3.95, 0.22))) for _ in range(64)]
    waiting, ended = list(takes), Counter[int]()
    slots: list[list[int]] = []
    told = []
    while waiting or slots:
        while waiting and len(slots) < 8:
            slots.append([0, waiting.pop()])
        for slot in slots:
            slot[0] += 1
        ended.update(had for had, of in slots if had == of)
        slots = [slot for slot in slots if slot[0] < slot[1]]
        told.append(Stopping(ended, [had for had, _ in slots], most).mean())
    truth = sum(takes) / len(takes)
    known = [each for each in told if each is not None]
    assert len(known) > 0.75 * len(told)
    assert all(each == pytest.approx(truth, rel=0.25) for each in known)
    assert told[-1] == pytest.approx(truth)
