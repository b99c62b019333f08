"""What `status` says of a run while it goes on: from its first moment, in the manifest's order."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.runs import Small, command, contents, end, needs_proc, small_project, start, wait_until
from support.terminal import on_a_terminal

from stylebatch.cli.status import SILENT_S, activity_text
from stylebatch.cli.wording import stop_text
from stylebatch.output.activity import read_activity, write_activity
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock, find_running
from stylebatch.output.shard import Shard
from stylebatch.run import Finishing, Tally
from stylebatch.run.activity import Activity

NOW_S = 1_000_000.0
AT_WORK: dict[str, Any] = {
    "at": NOW_S,
    "doing": "making images",
    "total": 64,
    "done": 0,
    "failed": 0,
    "running": 6,
    "furthest": [23, 100],
    "left_s": None,
    "most_left_s": None,
    "stopped_by": None,
    "finishing": None,
}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def status(small: Small) -> str:
    ended = command("status", str(small.out))
    assert (ended.code, ended.err) == (0, "")
    return ended.out


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {},
            "making images, 6 at once, furthest at evaluation 23 of at most 100; "
            "time left not known yet",
        ),
        (
            {"running": 0, "furthest": None, "most_left_s": 44 * 60.0},
            "making images; at most 44 min left",
        ),
        ({"running": 0, "furthest": None, "left_s": 44 * 60.0}, "making images; about 44 min left"),
        (
            {"at": NOW_S - 20, "running": 0, "furthest": None, "left_s": 60.0},
            "making images; about 40 s left",
        ),
        (
            {"at": NOW_S + 500, "running": 0, "furthest": None, "left_s": 60.0},
            "making images; about 1 min left",
        ),
        (
            {"at": NOW_S - SILENT_S - 240, "running": 0, "furthest": None, "left_s": 600.0},
            "making images; time left not known yet; nothing heard of it for 5 min",
        ),
        (
            {"stopped_by": "signal", "finishing": Finishing(6, 20.0, False)._asdict()},
            "signal: finishing 6 images, about 20 s",
        ),
        ({"stopped_by": "deadline"}, "deadline: finishing what has begun"),
    ],
)
def test_a_run_at_work_says_how_far_it_is(change: dict[str, Any], text: str) -> None:
    assert activity_text(AT_WORK | change, NOW_S) == text


def test_before_there_are_workers_it_says_what_it_does() -> None:
    told = {"at": NOW_S, "doing": "planning: 1,203 images so far"}
    assert activity_text(told, NOW_S) == "planning: 1,203 images so far"
    assert activity_text(told, NOW_S + 120) == (
        "planning: 1,203 images so far; nothing heard of it for 2 min"
    )


def test_who_stops_a_run_is_told_what_it_finishes_and_what_a_second_signal_does() -> None:
    once_more = "once more (Ctrl-C) stops at once"
    text = stop_text("signal", Finishing(6, 21.2, False))
    assert (
        text
        == f"signal: finishing 6 images, about 21 s; {once_more} and leaves them to the next run"
    )
    text = stop_text("signal", Finishing(1, 200.0, True))
    assert text.startswith("signal: finishing 1 image within about 30 s, or saving it half-made; ")
    assert text.endswith("leaves it to the next run")
    # Who stops for what goes wrong does not mean to go on as it is.
    text = stop_text("max_failures", Finishing(1, 200.0, True))
    assert text.startswith("max_failures: finishing 1 image, at most 3 min 20 s; ")
    assert stop_text("signal", Finishing(2, None, True)).startswith("signal: finishing 2 images; ")
    assert stop_text("deadline", Finishing(0, 0.0, False)) == "deadline: no image is begun any more"


def test_pairs_stand_in_the_manifests_order_and_all_are_added_up(small: Small) -> None:
    small.document["pairs"] = [
        small.pair | {"name": name, "into": name} for name in ("z", "a", "m")
    ]
    assert small.run("--limit", "5").code == 0
    out = status(small)
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["z", "a", "m"]
    assert out.splitlines()[5] == "5 of 12 images are done, 7 to make"
    told = json.loads(command("status", str(small.out), "--json").out)
    assert list(told["pairs"]) == ["z", "a", "m"]
    total = {"planned": 12, "done": 5, "failed": 0, "rejected": 0, "left": 7, "outdated": 0}
    assert told["total"] == total


def test_only_what_the_holder_says_counts(small: Small) -> None:
    assert small.run().code == 0
    for dataset in (Dataset(small.out), Dataset(small.out, Shard(1, 2))):
        with OutputLock(dataset, "run-1"):
            assert read_activity(dataset) is None
            write_activity(dataset, {"run_id": "run-1", "at": NOW_S, "doing": "planning"})
            assert "planning; nothing heard of it for" in status(small)
            write_activity(dataset, {"run_id": "run-0", "at": NOW_S, "doing": "planning"})
            assert "planning" not in status(small)
            dataset.activity.write_bytes(b'{"run_id": "run-1", "at"')
            assert "planning" not in status(small)


@needs_proc
def test_another_process_with_a_killed_runs_number_is_no_run(small: Small) -> None:
    assert small.run().code == 0
    dataset = Dataset(small.out)
    with OutputLock(dataset, "run-1"):
        assert find_running(dataset)["run_id"] == "run-1"
        holder = json.loads(dataset.holder.read_bytes())
    with subprocess.Popen(["sleep", "60"]) as other:
        # As it is left by a run that was killed, whose number the system has given again.
        dataset.holder.write_text(json.dumps({**holder, "pid": other.pid}))
        assert find_running(dataset) == {}
        # Of earlier versions nothing more is known than the number.
        del holder["born"]
        dataset.holder.write_text(json.dumps({**holder, "pid": other.pid}))
        assert find_running(dataset)["pid"] == other.pid
        other.kill()
    for pid in (other.pid, "x", -(10**30)):
        dataset.holder.write_text(json.dumps({**holder, "pid": pid}))
        assert find_running(dataset) == {}
    assert small.run().code == 0


def test_a_run_writes_what_is_new_at_once_and_makes_no_folder(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "out")
    activity = Activity(dataset, "run-1")
    activity.doing("planning")
    assert not dataset.root.exists(), "it may have vanished"
    dataset.make_folders()
    with OutputLock(dataset, "run-1"):
        for number in range(50):
            activity.doing(f"planning: {number} images so far")
        activity.tick(Tally(4))
        assert (read_activity(dataset) or {})["doing"] == "starting workers"
        activity.tick(Tally(4, running={0: 2}, devices={0: "cpu"}, furthest=(3, 9)))
        told = read_activity(dataset)
        assert told is not None
        assert told.pop("at") > NOW_S
        assert told == {
            "run_id": "run-1",
            **{key: value for key, value in AT_WORK.items() if key != "at"},
            "total": 4,
            "rejected": 0,
            "running": 2,
            "furthest": [3, 9],
        }


@pytest.mark.slow
def test_a_run_that_goes_on_gives_signs_of_life_and_leaves_none(small: Small) -> None:
    for number in range(30):
        small.photo(f"cats/{number:02}.png", 100 + number)
    small.pair |= {"steps": 1000, "size_px": 32}
    small.document["run"]["executor"] = "local"
    run = start("run", str(small.write()))
    seen: list[str] = []

    def is_at_work() -> bool:
        ended = command("status", str(small.out))
        if ended.code == 0 and "a run is going on" in ended.out:
            seen.append(ended.out)
        return "furthest at evaluation" in ended.out or run.poll() is not None

    wait_until(is_at_work, "images are at work")
    assert "of at most 1000; " in seen[-1], seen
    assert f"process {run.pid} on " in seen[-1]
    # Every look found it doing something, but for those before its first word.
    doing = ("planning", "loading weights", "starting workers", "making images")
    said = [out.splitlines()[2].strip().startswith(doing) for out in seen]
    assert said == sorted(said), seen
    run.send_signal(signal.SIGKILL)
    end(run)
    assert "going on" not in status(small), "what a killed run has left says nothing"
    small.pair["steps"] = 2
    assert small.run("--limit", "1").code == 0
    assert "activity.json" not in contents(small.out / ".stylebatch")


@pytest.mark.slow
def test_ctrl_c_on_a_terminal_tells_what_is_finished_and_a_second_one_leaves_it(
    small: Small,
) -> None:
    small.pair |= {"steps": 100_000, "size_px": 32}
    small.document["run"]["executor"] = "local"
    holder, sent = small.out / ".stylebatch/holder.json", list[int]()

    def interrupt(written: str) -> None:
        # Once images are in slots, then once it has answered.
        asked = ("at evaluation", "signal: finishing")
        if len(sent) < 2 and asked[len(sent)] in written:
            sent.append(json.loads(holder.read_bytes())["pid"])
            os.kill(sent[-1], signal.SIGINT)

    code, written = on_a_terminal("run", str(small.write()), columns=160, on_written=interrupt)
    assert code == 4
    found = re.search(
        r"signal: finishing (\d) images? (within about) 30 s, or saving .*?; (.*?)\x1b", written
    )
    assert found
    assert found[3].startswith("once more (Ctrl-C) stops at once and leaves")
    assert "0 of 4 are there, stopped by signal: run it again to go on" in written
