"""What the pool does about workers and images in trouble: real processes, real errors."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import (
    Small,
    children_of,
    command,
    contents,
    end,
    lines,
    needs_proc,
    small_project,
    start,
    wait_until,
)

from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import Event, Notice, WorkerJoined
from stylebatch.run import RunRequest, RunSummary, StopRequest, Tally, run, worker_specs
from stylebatch.run.executors.local import LocalExecutor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

IS_EIO = Path("/proc/self/mem").exists()


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.document["run"]["cpu_workers"] = 1
    return small


def workers_of(pid: int) -> list[int]:
    """Return a run's workers: its children but multiprocessing's resource tracker."""
    return [
        child
        for child in children_of(pid)
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


# Workers


@needs_proc
def test_a_worker_that_stops_answering_is_ended_and_replaced(small: Small) -> None:
    assert small.run().code == 0
    before = small.images()
    small.out.rename(small.root / "before")
    small.pair["steps"] = 400  # long enough to be stopped while it is at it
    small.pair["override"]["progress_at"] = [2]
    # More than a worker of a busy machine ever needs for one step.
    small.document["run"] |= {"executor": "local", "image_timeout": "6s"}
    process = start("run", str(small.write()))
    shown = small.out / "progress"
    wait_until(lambda: contents(shown) or process.poll() is not None, "a worker is at an image")
    (worker,) = workers_of(process.pid)
    os.kill(worker, signal.SIGSTOP)
    ended = end(process)
    assert ended.code == 0, ended
    assert "no answer for 6 s: killed (run.image_timeout)" in small.log()
    assert small.images().keys() == before.keys()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs a settable affinity")
def test_a_worker_keeps_to_its_cores(small: Small) -> None:
    small.document["run"] |= {"executor": "local"}
    manifest = load_manifest(small.write())
    (spec,) = worker_specs(manifest, {}, Dataset(small.out), "run")
    assert spec.cores == ()
    (small.out / ".stylebatch").mkdir(parents=True)
    core = min(os.sched_getaffinity(0))
    executor = LocalExecutor([replace(spec, cores=(core,))])
    executor.start()
    try:
        while not any(isinstance(event, WorkerJoined) for event in executor.poll(0.1)):
            pass
        (worker,) = workers_of(os.getpid())
        threads = [int(path.name) for path in Path(f"/proc/{worker}/task").iterdir()]
        assert {frozenset(os.sched_getaffinity(thread)) for thread in threads} == {
            frozenset({core})
        }
    finally:
        executor.stop(at_once=True)


# Images


class Onlooker:
    """Does something when the plan is made, and something at the first notice of a retry."""

    def __init__(self, planned: Any, noticed: Any = int) -> None:
        self._planned, self._noticed = planned, noticed
        self.notices: list[str] = []

    def doing(self, text: str) -> None:
        pass

    def planned(self, *args: object) -> None:
        self._planned()

    def event(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)
            self._noticed()

    def tick(self, tally: Tally) -> None:
        pass


def go(small: Small, onlooker: Onlooker, **request: Any) -> RunSummary:
    return run(load_manifest(small.write()), RunRequest(**request), onlooker, StopRequest())


def unplug(path: Path) -> None:
    """Let reading a file fail as a disk or network does that has a bad moment: with EIO."""
    path.rename(path.with_name("kept"))
    path.symlink_to("/proc/self/mem")


def plug(path: Path) -> None:
    if path.is_symlink():
        path.unlink()
        path.with_name("kept").rename(path)


@pytest.mark.skipif(not IS_EIO, reason="needs a file that can't be read with EIO")
def test_a_photograph_that_can_be_read_again_in_a_moment_is_made(small: Small) -> None:
    photo = small.root / "photos/cats/a.png"
    onlooker = Onlooker(lambda: unplug(photo), lambda: plug(photo))
    summary = go(small, onlooker)
    assert (summary.done, summary.failed, summary.exit_code) == (4, 0, 0)
    assert (
        "photos/cats/a.png: can't be read (Input/output error); tried again in 2 s (1 of 2)"
        in (onlooker.notices[0])
    )


@pytest.mark.skipif(not IS_EIO, reason="needs a file that can't be read with EIO")
def test_attempts_have_an_end_and_the_next_run_tries_again(small: Small) -> None:
    photo = small.root / "photos/cats/a.png"
    small.document["run"]["max_retries"] = 1
    onlooker = Onlooker(lambda: unplug(photo))
    summary = go(small, onlooker)
    assert (summary.done, summary.failed, summary.exit_code) == (2, 2, 3)
    assert len(onlooker.notices) == 2
    reasons = {row["reason"] for row in lines(small.out / "failures.jsonl")}
    assert reasons == {"photos/cats/a.png: can't be read (Input/output error) (2 attempts)"}
    plug(photo)
    assert go(small, Onlooker(int)).done == 2


def test_a_permanent_failure_is_not_tried_again(small: Small) -> None:
    onlooker = Onlooker((small.root / "photos/cats/a.png").unlink)
    assert go(small, onlooker).failed == 2
    assert onlooker.notices == []


@pytest.mark.parametrize(("limit", "is_reached"), [(2, True), ("25%", True), (50, False)])
def test_a_run_that_goes_wrong_stops_and_says_so(
    small: Small, limit: int | str, is_reached: bool
) -> None:
    for number in range(10):
        small.photo(f"dogs/{number}.png", 30 + number)
    small.document["run"]["max_failures"] = limit
    photos = sorted((small.root / "photos/dogs").iterdir())

    def lose_most() -> None:
        for photo in photos:
            photo.unlink()

    # One at a time, or all would have begun before the second has failed.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stylebatch.device.device.CPU_PIXEL_BUDGET", 1)
        summary = go(small, Onlooker(lose_most))
    assert summary.exit_code == 3
    assert summary.done <= 2
    written = json.loads((small.out / "run.json").read_bytes())
    if is_reached:
        least = 2 if limit == 2 else 24 * 25 // 100
        assert least <= summary.failed < 22
        assert summary.remaining > 0
        assert written["stopped_by"] == "max_failures"
    else:
        assert (summary.failed, summary.remaining) == (22, 0)
        assert written["stopped_by"] is None


def test_the_command_line_has_the_limit_too_and_names_it(small: Small) -> None:
    (small.root / "photos/cats/a.png").write_bytes(b"no image")
    ended = small.run("--max-failures", "1")
    assert ended.code == 3
    assert "2 failed" in ended.err
    wrong = command("run", str(small.manifest), "--max-failures", "none")
    assert wrong.code == 2
    assert "--max-failures" in wrong.err
    assert "5%" in wrong.err


# What is written of it


def test_run_json_tells_of_a_run_that_could_not_start(small: Small) -> None:
    foreign = small.out / "images/cats/a-s.png"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"somebody's own")
    assert small.run().code == 2
    told = small.summary()
    assert told["exit_code"] == 2
    assert "stylebatch did not make it" in told["error"]
    foreign.unlink()
    assert small.run().code == 0
    assert small.summary()["error"] is None


def test_run_json_tells_how_long_each_worker_was_there_and_busy(small: Small) -> None:
    assert small.run().code == 0
    (worker,) = small.summary()["workers"]
    assert worker["device"] == "cpu"
    assert 0 < worker["busy_seconds"] <= worker["seconds"] <= small.summary()["seconds"]
