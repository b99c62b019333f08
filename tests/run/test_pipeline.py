"""One run from start to end, where something happens on the way."""

import json
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.runs import Small, children_of, lines, needs_proc

from stylebatch.errors import RunError, UserError
from stylebatch.ledger import PairCounts
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.plan import PlanSummary
from stylebatch.records import Event, JobDone, JobFailed, Progress, WorkerJoined, WorkerLost
from stylebatch.run import RunRequest, RunSummary, StopRequest, Tally, run, worker_specs
from stylebatch.run.metadata import describe_settings

pytestmark = pytest.mark.usefixtures("on_one_core")


class Onlooker:
    """Keeps what a run tells, and does something as soon as a kind of news comes."""

    def __init__(self, kind: type | None = None, act: Callable[[], object] = int) -> None:
        self.events: list[Event] = []
        self.counts: Mapping[str, PairCounts] = {}
        self.tally: Tally | None = None
        self._kind, self._act = kind, act

    def doing(self, text: str) -> None:
        pass

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        self.counts = counts
        self._react(summary)

    def event(self, event: Event) -> None:
        self.events.append(event)
        self._react(event)

    def tick(self, tally: Tally) -> None:
        self.tally = tally

    def _react(self, news: object) -> None:
        if self._kind is not None and isinstance(news, self._kind):
            self._act()


def go(small: Small, onlooker: Onlooker, **request: Any) -> RunSummary:
    manifest = load_manifest(small.write())
    return run(manifest, RunRequest(**request), onlooker, StopRequest())


def test_a_run_tells_what_it_plans_and_what_comes_of_it(small: Small) -> None:
    onlooker = Onlooker()
    summary = go(small, onlooker)
    assert onlooker.counts == {"all": PairCounts(total=4, pending=4)}
    assert isinstance(onlooker.events[0], WorkerJoined)
    done = [event.output for event in onlooker.events if isinstance(event, JobDone)]
    assert sorted(done) == sorted(small.images())
    assert onlooker.tally is not None
    assert (onlooker.tally.done, onlooker.tally.total) == (4, 4)
    assert onlooker.tally.evaluations == summary.evaluations == 12
    assert json.loads((small.out / "run.json").read_bytes())["run_id"] == summary.run_id
    again = Onlooker()
    assert go(small, again).done_before == 4
    assert again.events == []


def test_a_run_that_no_longer_holds_its_output_stops_before_it_commits(small: Small) -> None:
    onlooker = Onlooker(WorkerJoined, (small.out / ".stylebatch/holder.json").unlink)
    with pytest.raises(RunError, match="no longer holds the output") as caught:
        go(small, onlooker)
    assert caught.value.exit_code == 5
    assert small.images() == {}
    assert go(small, Onlooker()).done == 4


def test_an_output_that_vanishes_stops_the_run_and_can_come_back(small: Small) -> None:
    elsewhere = small.root / "elsewhere"
    onlooker = Onlooker(WorkerJoined, lambda: small.out.rename(elsewhere))
    with pytest.raises(RunError) as caught:
        go(small, onlooker)
    assert caught.value.exit_code == 5
    assert small.images() == {}
    small.document["output"] = "elsewhere"
    small.out = elsewhere
    assert go(small, Onlooker()).done == 4


def test_a_photograph_that_changes_under_way_fails_and_is_made_next_time(small: Small) -> None:
    onlooker = Onlooker(PlanSummary, lambda: small.photo("cats/a.png", 9))
    summary = go(small, onlooker)
    assert (summary.done, summary.failed, summary.exit_code) == (2, 2, 3)
    rows = lines(small.out / "failures.jsonl")
    assert all("has changed since planning" in row["reason"] for row in rows)
    assert "failed: cats/a-s.png" in (small.out / ".stylebatch/run.log").read_text()
    summary = go(small, Onlooker())
    assert (summary.done, summary.exit_code) == (2, 0)


def test_a_style_that_changes_under_way_fails_its_images(small: Small) -> None:
    onlooker = Onlooker(PlanSummary, lambda: small.style("s.png", 9))
    assert go(small, onlooker).failed == 2
    assert "has changed since planning" in lines(small.out / "failures.jsonl")[0]["reason"]
    assert go(small, Onlooker()).done == 2


def test_a_photograph_that_vanishes_under_way_fails(small: Small) -> None:
    onlooker = Onlooker(PlanSummary, (small.root / "photos/cats/a.png").unlink)
    assert go(small, onlooker).failed == 2
    assert "can't be read (No such file" in lines(small.out / "failures.jsonl")[0]["reason"]
    summary = go(small, Onlooker())
    assert (summary.planned, summary.exit_code) == (2, 0)


@pytest.mark.slow
@needs_proc
def test_an_image_that_ends_its_worker_when_alone_is_failed(small: Small) -> None:
    small.remove_photo("dogs/b.png")
    small.pair |= {"styles": ["styles/s.png"], "steps": 2000}
    small.document["run"] |= {"executor": "local", "cpu_workers": 1, "max_deaths": 1}
    onlooker = Onlooker(Progress, _kill_worker)
    summary = go(small, onlooker)
    assert (summary.done, summary.failed, summary.exit_code) == (0, 1, 3)
    kinds = [type(event) for event in onlooker.events]
    assert kinds.index(WorkerLost) > kinds.index(WorkerJoined)
    assert JobFailed in kinds
    (row,) = lines(small.out / "failures.jsonl")
    assert "its worker died 1 time while it was alone with this image" in row["reason"]
    assert "killed by SIGKILL" in row["reason"]
    assert row["deaths"] == 1


def _kill_worker() -> None:
    for pid in children_of(os.getpid()):
        if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)


def test_a_stop_that_was_asked_for_before_the_first_job_makes_nothing(small: Small) -> None:
    manifest = load_manifest(small.write())
    summary = run(manifest, RunRequest(), Onlooker(), StopRequest(1))
    assert (summary.done, summary.remaining, summary.exit_code) == (0, 4, 4)
    assert summary.stopped_by == "signal"
    assert summary.workers == []


def test_a_second_stop_ends_the_planning_too_and_is_told(small: Small) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(load_manifest(small.write()), RunRequest(), Onlooker(), StopRequest(2))
    told = small.summary()
    assert (told["exit_code"], told["stopped_by"], told["error"]) == (4, "signal", None)
    assert go(small, Onlooker()).done == 4


@pytest.mark.parametrize("otherwise", ["reject", "retry"])
def test_a_stop_that_was_asked_for_takes_nothing_out(otherwise: str, small: Small) -> None:
    go(small, Onlooker())
    before, told = small.images(), small.metadata()
    retries = {"retry_strength": 0.5, "retries": 1} if otherwise == "retry" else {}
    small.pair["accept"] = {"closed": [0.99, None], "otherwise": otherwise, **retries}
    summary = run(load_manifest(small.write()), RunRequest(), Onlooker(), StopRequest(1))
    assert (small.images(), small.metadata().keys()) == (before, told.keys())
    assert (summary.taken_out, summary.rejected, summary.remaining) == (0, 0, 4)
    assert (summary.stopped_by, summary.exit_code) == ("signal", 4)
    assert go(small, Onlooker()).taken_out == 4


def test_a_stop_that_comes_when_all_is_done_changes_nothing(small: Small) -> None:
    go(small, Onlooker())
    summary = run(load_manifest(small.write()), RunRequest(), Onlooker(), StopRequest(1))
    assert (summary.stopped_by, summary.exit_code) == (None, 0)


def test_nothing_is_moved_aside_before_the_device_is_known_to_be_there(small: Small) -> None:
    go(small, Onlooker())
    small.photo("cats/a.png", 9)
    manifest = load_manifest(small.write())
    manifest = replace(manifest, run=replace(manifest.run, devices=("cuda:63",)))
    before = small.images()
    with pytest.raises(UserError, match="no device"):
        run(manifest, RunRequest(), Onlooker(), StopRequest())
    assert small.images() == before


def test_the_cache_is_the_manifests_else_the_environments_else_the_platforms(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cache() -> Path:
        (spec,) = worker_specs(load_manifest(small.write()), {}, Dataset(small.out), "run")
        return spec.cache

    assert cache() == small.root / "cache"
    del small.document["run"]["cache"]
    assert cache() == Path(os.environ["STYLEBATCH_CACHE"])
    monkeypatch.delenv("STYLEBATCH_CACHE")
    monkeypatch.setenv("HOME", str(small.root))
    assert small.root in cache().parents


def test_settings_that_differ_in_strength_only_are_told_as_one(small: Small) -> None:
    small.document["pairs"].append(small.pair | {"name": "two", "into": "two", "strength": 3})
    one, two = load_manifest(small.write()).pairs
    assert one.settings.id == two.settings.id
    assert describe_settings(one.settings) == describe_settings(two.settings)
