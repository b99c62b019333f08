"""Clocks that jump, and workers that sleep."""

import os
import random
import re
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest
from support.faults import COUNTS, MANY, MakeTrial, Running, Trial
from support.runs import Ended, needs_proc, wait_until

pytestmark = [pytest.mark.slow, needs_proc]

PLACES = (
    "/usr/lib/*/faketime",
    "/usr/lib/faketime",
    "/usr/lib64/faketime",
    "/usr/local/lib/faketime",
)
DAYS = 400


@pytest.fixture(scope="module")
def library() -> Path:
    """Return libfaketime, which stands between a process and the wall clock."""
    if told := os.environ.get("STYLEBATCH_FAKETIME"):
        return Path(told)
    for place in PLACES:
        for found in Path("/").glob(f"{place[1:]}/libfaketimeMT.so.1"):
            return found
    pytest.skip("needs libfaketime (apt-get install libfaketime), or $STYLEBATCH_FAKETIME")


class Clock:
    """A wall clock that jumps; intervals, and the times of files, stay real."""

    def __init__(self, library: Path, folder: Path, draw: random.Random) -> None:
        self._offset, self._draw = folder / "offset", draw
        self.jump()
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def jump(self) -> None:
        """Be any time within more than a year, before or after."""
        written = self._offset.with_suffix(".new")
        written.write_text(f"{self._draw.uniform(-DAYS, DAYS):+.3f}d")
        written.replace(self._offset)

    def jump_until_the_end(self, run: Running) -> Ended:
        """Jump several times a second while a run lasts."""
        while not run.is_over:
            self.jump()
            COUNTS["jumps of the clock"] += 1
            time.sleep(0.1)
        return run.end()


@pytest.fixture
def clock(library: Path, tmp_path: Path, draw: random.Random) -> Clock:
    return Clock(library, tmp_path, draw)


def _days_in_log(trial: Trial) -> set[str]:
    log = (trial.small.out / ".stylebatch/run.log").read_text()
    return set(re.findall(r"^(\d{4}-\d\d-\d\d) ", log, re.MULTILINE))


@pytest.mark.long
def test_a_clock_that_jumps_changes_nothing(make_trial: MakeTrial, clock: Clock) -> None:
    trial, began = make_trial(MANY), time.monotonic()
    run = trial.start("--deadline", "10h", environment=clock.environment)
    trial.check(clock.jump_until_the_end(run))
    assert len(_days_in_log(trial)) > 1
    started = datetime.fromisoformat(trial.small.summary()["started"])
    assert abs(started.timestamp() - time.time()) > 60
    assert 0 < trial.small.summary()["seconds"] < time.monotonic() - began


@pytest.mark.long
def test_a_deadline_is_of_real_time(make_trial: MakeTrial, clock: Clock) -> None:
    """Runs stop by their deadline, each at another date, until nothing is left."""
    trial = make_trial(MANY)
    run = trial.start("--deadline", "1s", environment=clock.environment)
    ended = clock.jump_until_the_end(run)
    assert ended.code == 4, ended
    assert trial.small.summary()["stopped_by"] == "deadline"
    run = trial.start(environment=clock.environment)
    trial.check(clock.jump_until_the_end(run))


@pytest.mark.long
def test_killed_runs_at_dates_that_go_back_and_forth(
    make_trial: MakeTrial, clock: Clock, draw: random.Random
) -> None:
    trial = make_trial(MANY)
    for _ in range(4):
        run = trial.start(environment=clock.environment)
        until = time.monotonic() + draw.uniform(1, 8)
        while time.monotonic() < until and not run.is_over:
            clock.jump()
            time.sleep(0.1)
        run.kill()
        run.end()
    trial.finish()


@pytest.mark.long
def test_workers_that_fall_silent_are_ended(make_trial: MakeTrial) -> None:
    """Both are stopped for ever: nobody but the run's own process can help."""
    trial = make_trial(MANY)
    trial.small.document["run"]["image_timeout"] = "20s"
    trial.small.write()
    run = trial.start()
    wait_until(lambda: trial.small.images() or run.is_over, "images")
    # One that has not started yet would be waited for longer, and may not be needed any more.
    wait_until(lambda: trial.small.log().count("is there, on") == 2 or run.is_over, "both of them")
    assert not run.is_over
    for pid in run.workers():
        os.kill(pid, signal.SIGSTOP)
        COUNTS["workers stopped for ever"] += 1
    ended = run.end()
    assert trial.small.log().count("no answer for 20 s: killed (run.image_timeout)") == 2
    trial.check(ended)
