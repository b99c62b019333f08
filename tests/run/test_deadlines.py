"""Runs that have less time than they need."""

from itertools import chain
from pathlib import Path

import pytest
from support.runs import Small, small_project

from stylebatch.ledger import Ledger


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def test_images_too_large_for_the_time_left_do_not_keep_small_ones_from_being_made(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or no night would ever get anywhere: the largest go first."""
    monkeypatch.setattr("stylebatch.run.limits.WORTH_BEGINNING_S", 3600)
    small.pair["size_px"] = 64
    small.photo("cats/large.png", 3, 64, 64)
    assert small.run().code == 0
    before = small.images()
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite") as ledger:
        pace = ledger.get("pace")
        for row in chain.from_iterable(pace.values()):
            # A worker's first report counts for nothing: on a quick machine there is no other.
            row[3] = max(1, row[3])
            row[4] = row[3] * (3600 if row[1] == 64 else 0.01)  # seconds, by evaluations
        ledger.put("pace", pace)
    for path in before:
        (small.out / "images" / path).unlink()
    assert small.run("--deadline", "30m").code == 4
    assert small.summary()["stopped_by"] == "deadline"
    large = {"cats/large-s.png", "cats/large-t.png"}
    assert small.images() == {path: data for path, data in before.items() if path not in large}


def tell_pace(small: Small, seconds: float) -> None:
    """Let the ledger have that an evaluation of 16 by 16 pixels takes so long."""
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite") as ledger:
        pace = ledger.get("pace")
        for row in chain.from_iterable(pace.values()):
            row[3] = max(1, row[3])
            row[4] = row[3] * seconds * row[1] * row[2] / 16**2
        ledger.put("pace", pace)


def known(small: Small, seconds: float) -> dict[str, bytes]:
    """Make all, forget the images, and tell how long they take; return what they were."""
    assert small.run().code == 0
    before = small.images()
    for path in before:
        (small.out / "images" / path).unlink()
    tell_pace(small, seconds)
    return before


@pytest.mark.parametrize("executor", ["inline", "local"])
@pytest.mark.slow
def test_one_wrong_measurement_does_not_make_every_later_night_do_nothing(
    small: Small, executor: str
) -> None:
    """As one that held an hour in which the machine was stopped."""
    small.document["run"] |= {"executor": executor, "cpu_workers": 2}
    before = known(small, 3600)
    # One image shows that it is quicker, and the others follow.
    assert small.run("--deadline", "10m").code == 0
    assert small.images() == before
    assert small.summary()["shortest_s"] > 3600


def test_images_that_all_take_longer_than_the_deadline_are_made_one_a_night(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each night tells that they do, as its measurements go on to say so.

    With more time than it takes to be worth a file, others would be begun and saved.
    """
    monkeypatch.setattr("stylebatch.run.limits.WORTH_BEGINNING_S", 3600)
    small.pair["override"]["side_by_side"] = True
    small.photo("cats/larger.png", 3, 64, 64)
    small.pair["size_px"] = 64
    before = known(small, 3600)
    for night in range(1, 3):
        with pytest.MonkeyPatch.context() as patch:
            # A device that is really as slow as it was measured: nothing new is found out.
            patch.setattr("stylebatch.run.eta.Forecast.progress", lambda self, event: None)
            ended = small.run("--deadline", "30m")
        assert ended.code == 4
        assert "stopped by deadline, which is shorter than an image takes (about 3 h" in ended.err
        made = small.images()
        assert len(made) == night
        assert not any("larger" in path for path in made), "the shortest first"
        assert made.items() <= before.items()
        summary = small.summary()
        assert (summary["done"], summary["stopped_by"]) == (1, "deadline")
        assert "1 image begun all the same" in small.log()


def test_the_rest_of_a_night_is_used_for_what_does_not_fit_into_it(small: Small) -> None:
    """What is not finished then would be saved; these are quicker than they are told to be."""
    before = known(small, 3600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stylebatch.run.eta.Forecast.progress", lambda self, event: None)
        assert small.run("--deadline", "30m").code == 0
    assert small.images() == before
    assert "begun all the same" in small.log()


def test_a_deadline_that_is_over_before_anything_begins_says_so(small: Small) -> None:
    ended = small.run("--deadline", "1s")
    assert ended.code == 4
    assert "stopped by deadline, which was over before an image was begun" in ended.err
    assert small.images() == {}
