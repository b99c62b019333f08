"""Outputs in a store when runs are killed, requests fail, and two runs want one prefix."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.runs import Ended, children_of, end, needs_proc, start, wait_until
from support.stopping import begin
from support.stored import PREFIX, URL, Stored, rows
from support.stores import Store

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

ALL = {"cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png"}
HOLDER = f"{PREFIX}/.stylebatch/holder.json"
# Those of one class are put, those of the other get no answer.
_HANGS = rf"^PUT .*{PREFIX}/images/dogs"

pytestmark = [pytest.mark.slow, needs_proc]


@pytest.fixture
def stored(tmp_path: Path, store: Store) -> Stored:
    return Stored(tmp_path, store)


@pytest.fixture
def hanging(stored: Stored) -> "Iterator[subprocess.Popen[str]]":
    """A run that has put half of its images, and waits for an answer to the others."""
    stored.store.fault("silence", _HANGS, times=None)
    process = start("run", str(stored.write()))
    cats = {path for path in ALL if path.startswith("cats")}
    wait_until(lambda: set(stored.images()) == cats, "half of the images")
    yield process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def killed(process: "subprocess.Popen[str]") -> Ended:
    os.killpg(process.pid, signal.SIGKILL)
    return end(process)


def told_by(pid: int) -> str:
    """Return how a process was called."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


def elsewhere(stored: Stored) -> Stored:
    """Let another machine be the next to run it: it has another state."""
    stored.document["run"]["state"] = "elsewhere"
    stored.state = stored.root / "elsewhere"
    return stored


def test_a_run_that_was_killed_goes_on_at_once_where_its_state_is(
    stored: Stored, hanging: "subprocess.Popen[str]"
) -> None:
    assert killed(hanging).code == -signal.SIGKILL
    assert "metadata.jsonl" not in stored.there()
    assert HOLDER in stored.store.objects()
    stored.store.forget()
    ended = stored.run()
    assert ended.code == 0, ended
    here = stored.here()
    assert stored.images() == {path: here[f"images/{path}"] for path in ALL}
    assert rows(stored.there()["metadata.jsonl"]) == rows(here["metadata.jsonl"])
    assert stored.all_there().keys() == here.keys(), "nothing is left of the run that was killed"


def test_a_prefix_is_one_runs_until_it_is_silent_for_its_lease(stored: Stored) -> None:
    assert stored.run().code == 0
    stored.photo("cats/c.png", 3)
    stored.store.fault("silence", rf"^PUT .*{PREFIX}/images/cats/c", times=None)
    first = start("run", str(stored.write()))
    wait_until(lambda: HOLDER in stored.store.objects(), "a holder")
    told = json.loads(stored.store.objects()[HOLDER])
    assert told["pid"] == first.pid
    elsewhere(stored)
    # It renews it: also after a lease's time it is the first one's.
    time.sleep(4.5)
    ended = stored.run()
    assert ended.code == 10
    assert f"{URL}: process {first.pid} on {told['host']} (run {told['run_id']}" in ended.err
    assert "after 4 s it is taken for dead" in ended.err
    assert set(stored.images()) == ALL
    killed(first)
    stored.store.forget()
    codes = []

    def is_over() -> bool:
        codes.append(stored.run().code)
        return codes[-1] != 10

    wait_until(is_over, "the end of the lease")
    assert codes[-1] == 0
    assert len(stored.images()) == 6
    assert stored.summary()["adopted"] == 4
    assert HOLDER not in stored.store.objects()


def test_a_run_whose_prefix_was_taken_over_puts_nothing_more(
    stored: Stored, hanging: "subprocess.Popen[str]"
) -> None:
    told = json.loads(stored.store.objects()[HOLDER])
    stored.store.put(HOLDER, json.dumps(told | {"run_id": "another"}).encode())
    stored.store.faults.clear()
    before = stored.there()
    ended = end(hanging)
    assert ended.code == 5, ended
    assert "this run no longer holds the output" in ended.err
    # What was under way then may have come there; no record has.
    assert {path for path in stored.there() if not path.startswith("images/dogs")} == set(before)
    assert json.loads(stored.store.objects()[HOLDER])["run_id"] == "another"


def test_a_worker_that_is_killed_while_it_puts_is_replaced(stored: Stored) -> None:
    stored.document["run"] |= {"executor": "local", "cpu_workers": 1}
    fault = stored.store.fault("silence", rf"^PUT .*{PREFIX}/images/dogs/b-t", times=1)
    process = start("run", str(stored.write()))
    wait_until(lambda: fault.happened, "a worker that waits")
    workers = [pid for pid in children_of(process.pid) if "spawn_main" in told_by(pid)]
    assert len(workers) == 1
    os.kill(workers[0], signal.SIGKILL)
    ended = end(process)
    assert ended.code == 0, ended
    assert set(stored.images()) == ALL
    assert stored.there().keys() == stored.here().keys()


def test_what_fails_a_few_times_is_put_again(stored: Stored) -> None:
    for kind, how in (("status", {"status": 500}), ("cut upload", {}), ("reset", {})):
        stored.store.fault(kind, rf"^PUT .*{PREFIX}/images/.*-[st]\.png", times=2, **how)
    stored.store.fault("status", rf"^HEAD .*{PREFIX}/images", times=2, status=503)
    ended = stored.run()
    assert ended.code == 0, ended
    assert all(fault.happened == 2 for fault in stored.store.faults)
    here = stored.here()
    assert stored.images() == {path: here[f"images/{path}"] for path in ALL}


def test_an_answer_that_is_lost_is_no_other_runs_image(stored: Stored) -> None:
    # The object is there, and nobody has heard of it: it is sent again, and found.
    stored.store.fault("cut", rf"^PUT .*{PREFIX}/images/cats/a-s", times=1)
    stored.store.fault("lost", rf"^PUT .*{PREFIX}/images/cats/a-t", times=1)
    ended = stored.run()
    assert ended.code == 0, ended
    assert set(stored.images()) == ALL


def test_an_image_that_alone_can_not_be_put_fails_and_is_tried_again(stored: Stored) -> None:
    stored.document["run"]["max_retries"] = 1
    fault = stored.store.fault(
        "status", rf"^PUT .*{PREFIX}/images/cats/a-s", status=500, times=None
    )
    ended = stored.run()
    assert ended.code == 3, ended
    assert set(stored.images()) == ALL - {"cats/a-s.png"}
    (failure,) = rows(stored.there()["failures.jsonl"])
    assert failure["file_name"] == "images/cats/a-s.png"
    assert "can't be written (the store answers 500" in failure["reason"]
    assert fault.happened > 6, "the store was asked again, and then the image was made again"
    stored.store.forget()
    assert stored.run("--retry-failed").code == 0
    assert set(stored.images()) == ALL


def test_a_store_that_can_not_be_written_any_more_ends_the_run(stored: Stored) -> None:
    stored.store.fault("status", rf"^PUT .*{PREFIX}/(images|.*trial)", status=500, times=None)
    ended = stored.run()
    assert ended.code == 5, ended
    assert "the output can't be written (the store answers 500" in ended.err
    assert "mend it and run again: what is done is kept" in ended.err
    stored.store.forget()
    assert stored.run().code == 0
    assert set(stored.images()) == ALL


def test_a_store_that_refuses_to_be_written_any_more_ends_the_run(stored: Stored) -> None:
    stored.store.fault("status", rf"^PUT .*{PREFIX}/images", status=403, times=None)
    ended = stored.run()
    assert ended.code == 5, ended
    assert "the output can't be written (permission denied" in ended.err


CRASHES = {
    "owner-checked": (1,),
    "object-put": (1, 3),
    "kept-aside": (1, 2),
    "recorded": (1,),
    "events-taken": (1,),
    "stale-noted": (1,),
    "stale-moved": (1,),
    "card-written": (1,),
    "records-stored": (1, 2),
    "records-noted": (1,),
}


@pytest.mark.parametrize(
    ("point", "turn"), [(point, turn) for point, turns in CRASHES.items() for turn in turns]
)
def test_a_run_that_ends_anywhere_is_made_good_by_the_next(
    stored: Stored, point: str, turn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stored.run().code == 0
    before = stored.images()
    # Two are replaced, two are no longer wanted, two are new.
    stored.pair["strength"] = 0.5
    stored.remove_photo("dogs/b.png")
    stored.photo("cats/c.png", 3)
    marker = stored.root / "marker"
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"{point}@{turn}:{marker}")
    ended = end(start("run", str(stored.write())))
    assert ended.code == -signal.SIGKILL, ended
    assert marker.exists()
    monkeypatch.delenv(ENVIRONMENT_VARIABLE)
    ended = stored.run()
    assert ended.code == 0, ended
    here = stored.here()
    assert stored.images() == {
        path.removeprefix("images/"): data for path, data in here.items() if path.endswith(".png")
    }
    assert rows(stored.there()["metadata.jsonl"]) == rows(here["metadata.jsonl"])
    assert stored.there().keys() == here.keys()
    aside = stored.aside()
    assert {path: aside.get(path) for path in aside} == {
        f"images/{path}": data for path, data in before.items()
    }
    assert stored.call("verify").code == 0


def test_half_made_images_wait_in_the_state(tmp_path: Path, store: Store) -> None:
    stored = Stored(tmp_path, store, is_optimised=True)
    stored.pair |= {"steps": 150, "size_px": 32}
    for number, path in enumerate(("cats/a.png", "dogs/b.png"), 1):
        stored.photo(path, number, 32, 32)
    stored.document["run"] |= {"executor": "local", "cpu_workers": 1}
    stored.out = stored.state  # where a run tells how far it is
    process = begin(stored, 0.0)
    process.send_signal(signal.SIGTERM)
    ended = end(process)
    assert ended.code == 4, ended
    told = stored.summary()
    assert told["saved"] > 0
    assert len(list((stored.state / ".stylebatch/saved").iterdir())) == told["saved"]
    assert not any("saved" in key for key in stored.all_there())
    assert stored.run().code == 0
    assert stored.summary()["resumed"] == told["saved"]
    here = stored.here()
    assert stored.images() == {path: here[f"images/{path}"] for path in ALL}


def test_a_signal_ends_a_run_that_waits_for_a_silent_store(stored: Stored) -> None:
    fault = stored.store.fault("silence", rf"^PUT .*{PREFIX}/metadata\.jsonl", times=None)
    process = start("run", str(stored.write()))
    wait_until(lambda: fault.happened, "the records on their way")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    ended = end(process)
    assert ended.code == 4, ended
    assert fault.happened < 4, "the store was not asked again and again"
    stored.store.forget()
    assert stored.run().code == 0
    assert set(stored.images()) == ALL
