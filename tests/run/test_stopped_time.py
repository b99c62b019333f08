"""Time in which a run was stopped is no part of how fast it is."""

import os
import signal
import time
from pathlib import Path

import pytest
from support.runs import (
    Small,
    children_of,
    contents,
    end,
    needs_proc,
    small_project,
    start,
    wait_until,
)

from stylebatch.ledger import Ledger
from stylebatch.system.stopped import LEAST_S

STOPPED_S = 8.0


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.pair["steps"] = 600
    small.pair["override"]["progress_at"] = [2]
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    return small


@needs_proc
@pytest.mark.slow
@pytest.mark.usefixtures("on_one_core")
@pytest.mark.parametrize("who", ["the whole run", "its worker"])
def test_measured_speed_holds_no_time_in_which_the_run_was_stopped(small: Small, who: str) -> None:
    assert STOPPED_S > 2 * LEAST_S
    process = start("run", str(small.write()))
    wait_until(lambda: contents(small.out / "progress"), "a worker is at an image")
    began = time.monotonic()
    workers = children_of(process.pid)
    stopped = workers if who == "its worker" else [process.pid, *workers]
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    ended = end(process)
    ran_s = time.monotonic() - began
    assert ended.code == 0, ended
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite", read_only=True) as ledger:
        (((*_, evaluations, seconds, _, _),),) = ledger.get("pace").values()
    # What it was at work before the stop was noticed, and a worker's first report, are beside it.
    assert seconds < ran_s - STOPPED_S + LEAST_S
    assert evaluations > 0
    (worker,) = small.summary()["workers"]
    assert worker["busy_seconds"] < worker["seconds"] - STOPPED_S + LEAST_S
