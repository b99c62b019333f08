"""Processes that end between any two steps of a run and of a commit."""

import os
import random
import re
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from support.drawn import Drawn
from support.faults import (
    BROKEN,
    COUNTS,
    FEW,
    IS_LONG,
    LONG,
    MANY,
    OTHERWISE,
    SEED,
    Kind,
    MakeTrial,
    Trial,
    describe,
)
from support.runs import COMMAND, PATIENCE_S, Ended, Small, contents, copy_tree, end, needs_proc
from support.stopping import begin

import stylebatch
from stylebatch.system.crash_points import CRASH_POINTS, ENVIRONMENT_VARIABLE

# Which passings of a point are tried. Parents come by most of theirs once.
PARENT = {
    "lock-taken": (1,),
    "holder-written": (1,),
    "swept": (1,),
    "planned": (1,),
    "claimed": (1,),
    "submitted": (1,),
    "events-taken": (1, 20),
    "recording": (1, 2),
    "recorded": (1, 2),
    "metadata-written": (1,),
    "settings-written": (1,),
    "failures-written": (1,),
    "card-written": (1,),
    "records-noted": (1,),
    "summary-written": (1,),
    "holder-removed": (1,),
}
STALE = {"stale-noted": (1,), "stale-moved": (1,), "stale-forgotten": (1,)}
TAKEN_BACK = {"taken-back": (1,), "aside-removed": (1,)}
# After a run that ended when a worker had replaced images unrecorded.
PUT_BACK = {"put-back": (1, 2, 5)}
SHARDS = {"absorbing": (1, 2), "absorbed": (1, 2)}
WORKER = {
    "admitted": (1, 20),
    "optimised": (1, 20),
    "temporary-written": (1, 2, 9),
    "group-written": (1, 2),
    "owner-checked": (1, 2),
    "file-renamed": (1, 2, 5),
    "group-renamed": (1, 2),
    "folder-synced": (1, 2, 3),
    "folders-synced": (1, 2),
    "events-sent": (1, 3),
}
# Of a worker whose images replace others.
REPLACING = {
    "kept-aside": (1,),
    "file-renamed": (1, 2, 5),
    "group-renamed": (1,),
    "folders-synced": (1,),
}
# Of a worker whose run is stopped.
SAVED = {"saved": (1, 2)}
# Of a run whose annotations have changed.
ANNOTATED = {"annotations-noted": (1,), "annotations-placed": (1,)}
# In the run's own process: holder.json, metadata.jsonl, settings.json, failures.jsonl,
# README.md, run.json;
# in a worker: style targets, if they are not cached.
EITHER = {"atomic-written": (1, 2, 3, 4, 5), "atomic-replaced": (1, 2, 3, 4, 5)}
# Of an output in a store: tests/faults/test_stored_output.py ends processes there.
STORED = {"object-put": (1, 3), "records-stored": (1, 2)}
ALL = PARENT | ANNOTATED | STALE | TAKEN_BACK | PUT_BACK | SHARDS | REPLACING | WORKER | EITHER
ALL |= SAVED | STORED

pytestmark = [pytest.mark.slow, needs_proc]


def _cases(points: Mapping[str, tuple[int, ...]], in_sample: int) -> list[tuple[str, int]]:
    cases = [(point, turn) for point, turns in points.items() for turn in turns]
    return cases if IS_LONG else random.Random(SEED).sample(cases, in_sample)


def test_every_point_is_in_the_table_in_the_source_and_here() -> None:
    folder = Path(stylebatch.__file__).parent
    text = "".join(path.read_text() for path in folder.rglob("*.py"))
    assert set(re.findall(r'\breached\("(.+?)"\)', text)) == CRASH_POINTS.keys() == ALL.keys()


def _crash(point: str, turn: int, marker: Path) -> dict[str, str]:
    return {ENVIRONMENT_VARIABLE: f"{point}@{turn}:{marker}"}


def _trial(make_trial: Callable[[Kind], Trial], turn: int, kind: Kind) -> Trial:
    """Make a project in which a later passing is certain: one worker, several groups in a row."""
    if turn == 1:
        return make_trial(kind)
    trial = make_trial(kind._replace(steps=100))
    trial.small.document["run"]["cpu_workers"] = 1
    trial.small.write()
    return trial


def _check_reached(marker: Path, ended: Ended) -> None:
    assert marker.exists(), ended
    COUNTS["processes ended at a crash point"] += 1


@pytest.mark.parametrize(("point", "turn"), _cases(PARENT, 1))
def test_a_run_that_ends_there_is_continued(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = _trial(make_trial, turn, BROKEN if point == "failures-written" else MANY)
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code == -9, ended
    trial.finish()


@pytest.mark.parametrize(("point", "turn"), _cases(ANNOTATED, 1))
def test_annotations_that_a_run_ended_within_are_whole_after_the_next(
    tmp_path: Path, marker: Path, point: str, turn: int
) -> None:
    project = Drawn(tmp_path / "project")
    project.write_all(is_stored=False)
    assert project.small.run().code == 0
    project.put("labels/cats/o1.txt", "2 0.5 0.5 0.25 0.25\n")
    project.put("boxes.csv", "file,class\ncats/o1.png,cat\n")
    command = [*COMMAND, "run", str(project.small.write())]
    environment = {**os.environ, **_crash(point, turn, marker)}
    ended = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE_S)
    assert marker.exists(), ended
    assert ended.returncode == -9, ended
    COUNTS["processes ended at a crash point"] += 1
    assert project.small.again() == set()
    assert (project.out / "labels/cats/o1-s.txt").read_text() == "2 0.5 0.5 0.25 0.25\n"
    assert (project.out / "annotations.csv").read_text() == "file,class\ncats/o1-s.png,cat\n"


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(WORKER, 1))
def test_a_worker_that_ends_there_is_replaced(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = _trial(make_trial, turn, MANY)
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert "has ended (killed by SIGKILL)" in trial.small.log()
    trial.check(ended)


@pytest.mark.parametrize(("point", "turn"), _cases(SAVED, 1))
def test_what_a_worker_saved_that_ended_before_it_said_so_is_gone_on_with(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = make_trial(LONG)
    process = begin(trial.small, 0.05, _crash(point, turn, marker))
    os.kill(process.pid, signal.SIGTERM)
    ended = end(process)
    _check_reached(marker, ended)
    assert ended.code == 4, ended
    assert list((trial.small.out / ".stylebatch/saved").iterdir())
    trial.finish()
    assert trial.small.summary()["resumed"] >= turn
    assert not (trial.small.out / ".stylebatch/saved").exists()


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(EITHER, 1))
@pytest.mark.parametrize("has_targets", [True, False])
def test_a_file_that_is_being_replaced(
    make_trial: MakeTrial, marker: Path, point: str, turn: int, has_targets: bool
) -> None:
    trial = make_trial(BROKEN)
    if not has_targets:
        (trial.small.root / "cache").rename(trial.small.root / "no-cache")
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code in (-9, 3)
    trial.finish()


def _outdated(make_trial: MakeTrial) -> tuple[Trial, Small]:
    """Make a project whose images are those of another setting; return these as well."""
    old = make_trial(OTHERWISE).expected
    trial = make_trial(MANY)
    copy_tree(old.out, trial.small.out)
    return trial, old


def _check_aside(trial: Trial, expected: Mapping[str, bytes]) -> None:
    """Check that some images lie aside, each once, as they were."""
    kept = [
        (path, data)
        for run in (trial.small.out / ".stylebatch/stale").glob("*/images")
        for path, data in contents(run).items()
    ]
    assert sorted(kept) == sorted(expected.items())


@pytest.mark.parametrize(("point", "turn"), _cases(REPLACING, 1))
def test_a_worker_that_ends_while_it_replaces_images_loses_none(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial, old = _outdated(make_trial)
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    trial.check(ended)
    _check_aside(trial, old.images())


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(PUT_BACK, 1))
def test_images_are_put_back_whose_successors_nobody_told_of(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial, old = _outdated(make_trial)
    first = marker.with_name("first")
    trial.run(environment=_crash("events-taken", 1, first))
    assert first.exists()
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code == -9
    assert trial.small.images().keys() == old.images().keys()
    trial.finish()
    _check_aside(trial, old.images())


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(TAKEN_BACK, 1))
def test_images_are_taken_back_once(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = make_trial(OTHERWISE)
    copy_tree(trial.expected.out, trial.small.out)
    describe(trial.small, MANY)
    assert trial.small.run("--executor", "inline").code == 0
    replaced = trial.small.images()
    describe(trial.small, trial.kind)
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code == -9
    trial.finish()
    assert trial.small.summary()["evaluations"] == 0
    _check_aside(trial, replaced)


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(STALE, 1))
def test_outputs_that_the_plan_no_longer_has_are_set_aside_once(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = make_trial(FEW)
    trial.small.photo("birds/more.png", 97)
    assert trial.small.run("--executor", "inline").code == 0
    removed = {path: data for path, data in trial.small.images().items() if "birds" in path}
    trial.small.remove_photo("birds/more.png")
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code == -9
    trial.finish()
    _check_aside(trial, removed)


@pytest.mark.long
@pytest.mark.parametrize(("point", "turn"), _cases(SHARDS, 1))
def test_ledgers_of_shards_are_taken_in_once(
    make_trial: MakeTrial, marker: Path, point: str, turn: int
) -> None:
    trial = make_trial(FEW)
    for shard in ("0/2", "1/2"):
        assert trial.small.run("--executor", "inline", "--shard", shard).code == 0
    ended = trial.run(environment=_crash(point, turn, marker))
    _check_reached(marker, ended)
    assert ended.code == -9
    trial.finish()
    assert contents(trial.small.out / ".stylebatch/shards") == {}
