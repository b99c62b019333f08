"""What a run puts up with, by hand: deadlines, failures, retries, silence."""

import errno
from math import inf

import pytest

from stylebatch.records import Job, Shape
from stylebatch.run import Pace
from stylebatch.run.limits import COMMIT_S, Limits, count_failures
from stylebatch.run.retries import Retries
from stylebatch.run.watchdog import MOST_AT_ONCE_S, START_S, Watchdog
from stylebatch.system.read_ahead import is_transient

SHAPE = Shape("s", 10, 10)


def pace(seconds: float) -> Pace:
    found = Pace()
    found.add(SHAPE, 1, seconds)
    return found


def job(output: str) -> Job:
    return Job(output, "f", "pair", "s", "c", "d", None, "style", 1, 10, 10, 1.0, None)


# Deadlines


def test_what_is_left_leaves_time_to_commit() -> None:
    assert Limits().left_s(1e9) == inf
    assert Limits(deadline_at=100 + COMMIT_S).left_s(90) == 10


def test_an_image_takes_all_its_evaluations_and_a_tenth_more() -> None:
    limits = Limits(most_evaluations={"s": 10})
    assert limits.image_s(pace(2), SHAPE) == pytest.approx(22)
    assert limits.image_s(pace(2), SHAPE._replace(width=20)) == pytest.approx(44)
    assert limits.image_s(Pace(), SHAPE) == 0


# Failures


def test_a_share_of_failures_is_one_of_the_jobs_to_make() -> None:
    assert count_failures(None, 100) is None
    assert count_failures(7, 100) == 7
    assert count_failures("5%", 1000) == 50
    assert count_failures("2.5%", 1001) == 26
    assert count_failures("0.1%", 10) == 1


def test_what_the_system_says_of_a_busy_disk_or_network_may_pass() -> None:
    for number in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE):
        assert is_transient(OSError(number, ""))
    for number in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENAMETOOLONG):
        assert not is_transient(OSError(number, ""))


def test_each_pause_is_twice_as_long_and_then_it_is_enough() -> None:
    retries = Retries(2, 3.0)
    assert retries.is_allowed("a")
    assert retries.put(job("a"), 100.0) == 3.0
    assert retries.due(102.9) == []
    assert retries.due(103.0) == [job("a")]
    assert retries.due(200.0) == []
    assert retries.is_allowed("a")
    assert retries.put(job("a"), 200.0) == 6.0
    assert not retries.is_allowed("a")
    assert retries.is_allowed("b")
    assert (retries.attempts("a"), retries.attempts("b")) == (2, 0)
    assert not Retries(0, 3.0).is_allowed("a")


# Silence


def tick(dog: Watchdog, start: float, seconds: float, busy: set[int]) -> dict[int, float]:
    """Let time pass in steps of half a second; return who is silent at the end."""
    found: dict[int, float] = {}
    for number in range(1, int(seconds * 2) + 1):
        found = dog.silent(start + number / 2, busy)
    return found


def joined(limit_s: float) -> Watchdog:
    dog = Watchdog(limit_s)
    dog.started(0)
    dog.joined(0)
    assert dog.silent(0.0, {0}) == {}
    return dog


def test_a_worker_that_has_something_to_do_may_be_silent_for_so_long() -> None:
    dog = joined(10.0)
    assert tick(dog, 0.0, 10, {0}) == {}
    assert tick(dog, 10.0, 1, {0}) == {0: 10.0}


def test_hearing_of_it_begins_anew_and_doing_nothing_is_no_silence() -> None:
    dog = joined(10.0)
    assert tick(dog, 0.0, 9, {0}) == {}
    dog.heard(0)
    assert tick(dog, 9.0, 9, {0}) == {}
    assert tick(dog, 18.0, 100, set()) == {}
    assert tick(dog, 118.0, 9, {0}) == {}
    assert tick(dog, 127.0, 2, {0}) == {0: 10.0}
    dog.lost(0)
    assert tick(dog, 129.0, 100, {0}) == {}


def test_time_in_which_nobody_looked_does_not_count() -> None:
    """Ctrl-Z stops the whole run: then nobody is silent."""
    dog = joined(10.0)
    assert dog.silent(5000.0, {0}) == {}
    assert tick(dog, 5000.0, 10 - MOST_AT_ONCE_S, {0}) == {}
    assert tick(dog, 5000.0 + 10 - MOST_AT_ONCE_S, 1, {0}) == {0: 10.0}


def test_a_start_may_take_longer() -> None:
    dog = Watchdog(10.0)
    dog.started(0)
    dog.silent(0.0, set())
    assert tick(dog, 0.0, START_S, set()) == {}
    assert tick(dog, START_S, 1, set()) == {0: pytest.approx(START_S)}
