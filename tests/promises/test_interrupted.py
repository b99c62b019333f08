"""Interruptions: signals, deadlines, killed processes, a second run; and nothing of it shows."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.paths import ROOT
from support.runs import (
    COMMAND,
    PATIENCE_S,
    Small,
    children_of,
    command,
    contents,
    copy_tree,
    end,
    is_alive,
    needs_proc,
    small_project,
    start,
    wait_until,
)

from stylebatch.ledger import Ledger
from stylebatch.output.layout import Dataset

NUM_IMAGES = 64

pytestmark = [pytest.mark.slow, needs_proc]


def _many(root: Path) -> Small:
    """Four batches of a second or so: long enough to be interrupted, cheap to finish."""
    small = small_project(root)
    for number in range(NUM_IMAGES // 2 - 2):
        small.photo(f"cats/{number:02}.png", 100 + number)
    return _cheap(small, 60)


def _cheap(small: Small, steps: int) -> Small:
    small.pair["steps"] = steps
    small.pair["override"] |= {"content_layers": {"conv1_1": 1}}
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    small.write()
    return small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A finished project, run in this process."""
    small = _many(tmp_path_factory.mktemp("undisturbed"))
    assert small.run("--executor", "inline").code == 0
    return small


@pytest.fixture
def small(undisturbed: Small, tmp_path: Path) -> Small:
    """The same project, not yet begun but for its style targets."""
    small = _many(tmp_path)
    copy_tree(undisturbed.root / "cache", tmp_path / "cache")
    return small


@pytest.fixture
def running(small: Small) -> "Iterator[subprocess.Popen[str]]":
    """A run in a process of its own that has made some images, and not all."""
    process = start("run", str(small.manifest))
    try:
        wait_until(lambda: small.images() or process.poll() is not None, "images")
        assert process.poll() is None, end(process)
        yield process
    finally:
        for child in children_of(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()


def assert_resumes(small: Small, undisturbed: Small) -> None:
    """Run what is left and find what an undisturbed run makes."""
    left = NUM_IMAGES - len(small.images())
    ended = small.run("--executor", "inline")
    assert ended.code == 0, ended
    assert small.summary()["done"] >= left
    assert small.images() == undisturbed.images()
    assert _timeless(small) == _timeless(undisturbed)
    assert contents(small.out / ".stylebatch/tmp") == {}


def _timeless(small: Small) -> dict[str, dict[str, object]]:
    passing = ("seconds", "device")
    rows = small.metadata()
    return {
        path: {key: value for key, value in row.items() if key not in passing}
        for path, row in rows.items()
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_finish_what_has_begun(
    small: Small, running: "subprocess.Popen[str]", undisturbed: Small, number: signal.Signals
) -> None:
    # As a terminal does it, on Ctrl-C or when it is closed: to the whole group, workers included.
    os.killpg(running.pid, number)
    ended = end(running)
    assert ended.code == 4, ended
    assert "stopped by signal: run it again to go on" in ended.err
    assert ended.out.splitlines()[1:] == []
    summary = small.summary()
    assert (summary["stopped_by"], summary["exit_code"]) == ("signal", 4)
    assert summary["done"] == len(small.images()) == len(small.metadata())
    assert summary["done"] + summary["remaining"] == NUM_IMAGES
    assert summary["remaining"] > 0
    assert_resumes(small, undisturbed)


def test_a_second_signal_stops_at_once(
    small: Small, running: "subprocess.Popen[str]", undisturbed: Small
) -> None:
    (worker,) = _workers(running)
    os.kill(running.pid, signal.SIGTERM)
    os.kill(running.pid, signal.SIGINT)
    assert end(running).code == 4
    assert not is_alive(worker)
    assert_resumes(small, undisturbed)


def _workers(process: "subprocess.Popen[str]") -> list[int]:
    """Return a run's workers: its children but multiprocessing's resource tracker."""
    is_worker = {
        pid: b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        for pid in children_of(process.pid)
    }
    return [pid for pid, answer in is_worker.items() if answer]


def test_a_killed_run_leaves_no_worker_and_continues(
    small: Small, running: "subprocess.Popen[str]", undisturbed: Small
) -> None:
    (worker,) = _workers(running)
    running.kill()
    running.wait()
    wait_until(lambda: not is_alive(worker), "the worker ends by itself")
    assert (small.out / ".stylebatch/holder.json").exists()
    told = command("status", str(small.out), "--json")
    assert json.loads(told.out)["running"] is None
    # What a run that is killed while it writes leaves behind.
    litter = small.out / ".stylebatch/tmp/20200101T000000-1/worker0/0.png.tmp"
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"half an image")
    assert_resumes(small, undisturbed)


def test_a_killed_worker_is_replaced(tmp_path: Path) -> None:
    few = _cheap(small_project(tmp_path), 60)
    assert few.run("--executor", "inline").code == 0
    before, facts = few.images(), _timeless(few)
    few.out.rename(tmp_path / "before")
    process = start("run", str(few.manifest))
    wait_until(lambda: _has_begun(few) or process.poll() is not None, "jobs are with a worker")
    (worker,) = _workers(process)
    os.kill(worker, signal.SIGKILL)
    ended = end(process)
    assert ended.code == 0, ended
    log = few.log()
    assert f"(process {worker}) is lost: its process has ended (killed by SIGKILL)" in log
    assert (len(ended.out.splitlines()), ended.err) == (1, "")
    assert (few.images(), _timeless(few)) == (before, facts)


def _has_begun(small: Small) -> bool:
    with Ledger.open(Dataset(small.out).ledger, read_only=True) as ledger:
        return bool(ledger.counts())


def test_a_second_run_at_once_is_refused_and_told_who_is_there(
    small: Small, running: "subprocess.Popen[str]"
) -> None:
    before = small.images()
    second = small.run()
    assert (second.code, second.out) == (10, "")
    assert f"process {running.pid} on " in second.err
    assert small.images().keys() >= before.keys()
    status = json.loads(command("status", str(small.out), "--json").out)
    assert status["running"]["pid"] == running.pid
    assert status["pairs"]["all"]["planned"] == NUM_IMAGES
    assert command("plan", str(small.manifest)).code == 0
    assert f"process {running.pid} on" in command("status", str(small.manifest)).out


def test_a_signal_while_workers_start_ends_quietly(small: Small) -> None:
    process = start("run", str(small.manifest))
    wait_until(lambda: _workers(process) or process.poll() is not None, "a worker is started")
    os.killpg(process.pid, signal.SIGINT)
    ended = end(process)
    assert ended.code == 4, ended
    assert len(ended.err.splitlines()) == 1
    assert small.summary()["stopped_by"] == "signal"
    assert small.summary()["remaining"] == NUM_IMAGES - len(small.images())


IGNORING_INT = ("sh", "-c", 'trap "" INT; exec "$@"', "-")


def test_a_run_that_was_left_behind_with_ctrl_c_ignored_goes_on(tmp_path: Path) -> None:
    small = _many(tmp_path)
    process = subprocess.Popen(
        [*IGNORING_INT, *COMMAND, "run", str(small.manifest)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: _workers(process) or process.poll() is not None, "a worker is started")
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)
    ended = end(process)
    assert ended.code == 0, ended
    assert len(small.images()) == NUM_IMAGES


def test_a_deadline_stops_what_has_not_begun(small: Small, undisturbed: Small) -> None:
    ended = small.run("--executor", "inline", "--deadline", "0.01s")
    assert ended.code == 4
    assert "stopped by deadline, which was over before an image was begun" in ended.err
    assert small.summary()["stopped_by"] == "deadline"
    assert small.summary()["remaining"] == NUM_IMAGES - len(small.images()) > 0
    assert_resumes(small, undisturbed)


def test_a_deadline_of_the_manifest_counts_as_well(small: Small) -> None:
    small.document["run"]["deadline"] = 0.01
    assert small.run("--executor", "inline").code == 4


def test_ctrl_c_in_any_command_is_no_error_of_ours(tmp_path: Path) -> None:
    fifo = tmp_path / "pipeline.yaml"
    os.mkfifo(fifo)  # reading the manifest waits for somebody who writes it
    process = start("plan", str(fifo))
    with fifo.open("w"):  # opens as soon as the other end does
        os.kill(process.pid, signal.SIGINT)
        ended = end(process)
    assert ended.code == 4
    assert ended.err == "stylebatch: stopped\n"  # nothing is kept from which to go on


def test_interruptions_are_tried_also_where_ctrl_c_is_ignored() -> None:
    """As in a job that a script left behind it: what is started there can be interrupted."""
    tried = f"{__file__}::{test_ctrl_c_in_any_command_is_no_error_of_ours.__name__}"
    pytest_again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tried]
    done = subprocess.run(
        [*IGNORING_INT, *pytest_again], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
