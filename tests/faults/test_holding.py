"""Two runs at once, and locks that dead processes have left behind."""

import json
import os
import random
import re
from pathlib import Path

import pytest
from support.faults import COUNTS, FEW, MANY, MakeTrial, Trial, processes
from support.runs import command, needs_proc, wait_until

pytestmark = [pytest.mark.slow, needs_proc]


def test_of_runs_started_at_once_one_wins(make_trial: MakeTrial) -> None:
    trial = make_trial(MANY)
    runs = [trial.start() for _ in range(5)]
    ended = [run.end() for run in runs]
    (winner,) = [n for n, each in enumerate(ended) if each.code == 0]
    for number, each in enumerate(ended):
        if number != winner:
            assert (each.code, each.out) == (10, "")
            # Whoever comes between the lock and its holder's name finds no name.
            assert re.search(f"process {runs[winner].pid} on|another run is writing", each.err)
    COUNTS["runs refused: another one holds the output"] += 4
    trial.check(ended[winner])


@pytest.mark.long
def test_a_second_run_is_told_who_is_there(make_trial: MakeTrial) -> None:
    trial = make_trial(MANY)
    first = trial.start()
    wait_until(lambda: _holder(trial).exists() or first.is_over, "the output is held")
    second = trial.run()
    assert (second.code, second.out) == (10, "")
    assert f"process {first.pid} on " in second.err
    COUNTS["runs refused: another one holds the output"] += 1
    trial.check(first.end())


def test_what_a_killed_run_left_holds_nobody_up(make_trial: MakeTrial, draw: random.Random) -> None:
    """Its process number belongs to another process by now."""
    trial = make_trial(FEW)
    run = trial.start()
    holder = _holder(trial)
    wait_until(lambda: holder.exists() or run.is_over, "the output is held")
    run.kill()
    assert run.end().code == -9
    told = json.loads(holder.read_text())
    assert told["pid"] == run.pid
    assert (trial.small.out / ".stylebatch/lock").exists()
    alive = draw.choice([each.pid for each in processes() if each.pid != os.getpid()])
    holder.write_text(json.dumps(told | {"pid": alive}))
    trial.finish()


@pytest.mark.long
@pytest.mark.parametrize("left", [b"", b"{", b"[]", b'{"run_id": 7}', b"\xff\xfe"])
def test_what_is_left_of_a_holder_may_be_anything(make_trial: MakeTrial, left: bytes) -> None:
    trial = make_trial(FEW)
    trial.finish()
    (trial.small.out / "images" / min(trial.small.images())).unlink()
    _holder(trial).write_bytes(left)
    told = command("status", str(trial.small.out), "--json")
    assert told.code == 0, told
    trial.finish()


def _holder(trial: Trial) -> Path:
    return trial.small.out / ".stylebatch/holder.json"
