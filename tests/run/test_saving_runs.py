"""Runs that are stopped in long images, and those that go on with them: real processes, signals."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.loss_logs import read_log
from support.runs import (
    Ended,
    Small,
    children_of,
    command,
    copy_tree,
    end,
    needs_proc,
    small_project,
)
from support.stopping import begin

from stylebatch.run import limits, specs

pytestmark = [pytest.mark.slow, needs_proc]

STEPS = 200
NIGHT = "1.5s"


def long_project(root: Path) -> Small:
    """Four images that take a second or more each."""
    small = small_project(root)
    small.pair |= {"steps": STEPS, "size_px": 32}
    small.photo("cats/a.png", 1, 32, 32)
    small.photo("dogs/b.png", 2, 32, 32)
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    small.write()
    return small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = long_project(tmp_path_factory.mktemp("undisturbed"))
    assert small.run("--executor", "inline").code == 0
    return small


@pytest.fixture
def small(undisturbed: Small, tmp_path: Path) -> Small:
    small = long_project(tmp_path)
    copy_tree(undisturbed.root / "cache", tmp_path / "cache")
    return small


@pytest.fixture
def short_nights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has begun is saved, and begun however little of a night is left."""
    monkeypatch.setattr(specs, "SAVE_AFTER_S", 0.0)
    monkeypatch.setattr(limits, "WORTH_BEGINNING_S", 0.0)
    monkeypatch.setattr(limits, "COMMIT_S", 0.0)


@pytest.fixture
def processes() -> "Iterator[list[subprocess.Popen[str]]]":
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        for child in children_of(process.pid):
            os.kill(child, signal.SIGKILL)
        process.kill()
        process.communicate()


def saved(small: Small) -> list[Path]:
    return sorted((small.out / ".stylebatch/saved").glob("*"))


def check_same(small: Small, undisturbed: Small) -> None:
    """Hold what is there against what a run makes that nobody disturbs."""
    assert small.images() == undisturbed.images()
    assert timeless(small) == timeless(undisturbed)
    for path in small.images():
        log = Path("losses", path).with_suffix(".csv")
        rows, others = (read_log((each.out / log).read_bytes()) for each in (small, undisturbed))
        assert [row[:7] for row in rows] == [row[:7] for row in others]
    assert not (small.out / ".stylebatch/saved").exists()


def timeless(small: Small) -> dict[str, dict[str, Any]]:
    return {
        path: {key: value for key, value in row.items() if key not in ("seconds", "device")}
        for path, row in small.metadata().items()
    }


@pytest.mark.parametrize(
    ("number", "workers"),
    [(signal.SIGTERM, 2), (signal.SIGINT, 1), (signal.SIGHUP, 1)],
)
def test_a_signal_saves_what_takes_long_and_the_next_run_goes_on_with_it(
    small: Small,
    undisturbed: Small,
    processes: "list[subprocess.Popen[str]]",
    number: signal.Signals,
    workers: int,
) -> None:
    small.document["run"]["cpu_workers"] = workers
    process = begin(small, save_after_s=0.05)
    processes.append(process)
    # As a terminal does it, on Ctrl-C or when it is closed: to the whole group, workers included.
    os.killpg(process.pid, number)
    ended = end(process)
    assert ended.code == 4, ended
    first = small.summary()
    assert first["saved"] == len(saved(small)) > 0
    assert first["remaining"] == 4 - first["done"]
    assert f"{first['saved']} saved half-made, stopped by signal: run it again" in ended.err
    assert "saved after evaluation" in small.log()
    ended = small.run("--executor", "inline")
    assert ended.code == 0, ended
    second = small.summary()
    assert second["resumed"] == first["saved"]
    assert first["evaluations"] + second["evaluations"] == 4 * STEPS
    assert "goes on after evaluation" in small.log()
    check_same(small, undisturbed)


def test_a_second_signal_does_not_wait_for_anything(
    small: Small, undisturbed: Small, processes: "list[subprocess.Popen[str]]"
) -> None:
    process = begin(small, save_after_s=1e6)
    processes.append(process)
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    assert end(process).code == 4
    assert (small.summary()["saved"], saved(small)) == (0, [])
    assert small.run("--executor", "inline").code == 0
    check_same(small, undisturbed)


def nights(small: Small, *arguments: str, at_most: int = 200) -> list[dict[str, Any]]:
    """Run with a deadline that no image is made in, again and again; return what was told."""
    told = []
    for _ in range(at_most):
        ended = small.run("--executor", "inline", "--deadline", NIGHT, *arguments)
        told.append(small.summary() if not arguments else of_shard(small, arguments[-1]))
        if ended.code == 0:
            return told
        assert ended.code == 4, ended
        assert told[-1]["stopped_by"] == "deadline"
        assert len(saved(small)) <= 16
    raise AssertionError("it never gets anywhere")


def of_shard(small: Small, shard: str) -> dict[str, Any]:
    name = shard.replace("/", "-of-")
    found: dict[str, Any] = json.loads(
        (small.out / ".stylebatch/shards" / name / "run.json").read_bytes()
    )
    return found


@pytest.mark.usefixtures("short_nights")
def test_images_longer_than_any_night_are_made_in_some(small: Small, undisturbed: Small) -> None:
    told = nights(small)
    assert sum(each["saved"] for each in told) > 1
    assert sum(each["evaluations"] for each in told) == 4 * STEPS
    assert sum(each["resumed"] for each in told) == sum(each["saved"] for each in told)
    check_same(small, undisturbed)


@pytest.mark.usefixtures("short_nights")
def test_shards_go_on_with_their_own(small: Small, undisturbed: Small) -> None:
    told = [each for shard in ("0/2", "1/2") for each in nights(small, "--shard", shard)]
    assert sum(each["saved"] for each in told) > 0
    assert sum(each["evaluations"] for each in told) == 4 * STEPS
    assert saved(small) == []
    assert command("merge", str(small.out)).code == 0
    (small.out / ".stylebatch/saved").rmdir()
    check_same(small, undisturbed)


def stopped(small: Small, monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Run, and stop with some images half-made."""
    monkeypatch.setattr(specs, "SAVE_AFTER_S", 0.0)
    for _ in range(50):
        with monkeypatch.context() as patch:
            patch.setattr(limits, "WORTH_BEGINNING_S", 0.0)
            patch.setattr(limits, "COMMIT_S", 0.0)
            ended = small.run("--executor", "inline", "--deadline", NIGHT)
        if saved(small):
            return ended
    raise AssertionError("nothing was saved")


def test_what_nobody_wants_any_more_is_removed_and_told(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next run, whatever it makes: another setting gives other fingerprints."""
    stopped(small, monkeypatch)
    count = len(saved(small))
    assert command("plan", str(small.manifest)).code == 0
    assert len(saved(small)) == count, "a plan writes nothing"
    small.pair["steps"] = 4
    assert small.run("--executor", "inline", "--limit", "1").code == 0
    assert saved(small) == []
    removed = "1 saved image" if count == 1 else f"{count} saved images"
    assert f"{removed} removed that no job wants any more" in small.log()
    assert small.summary()["resumed"] == 0


def test_what_a_photograph_has_that_can_not_be_reached_stays(
    small: Small, undisturbed: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(small, monkeypatch)
    before = saved(small)
    for name in ("cats", "dogs"):
        (small.root / "photos" / name).rename(small.root / name)
        (small.root / "photos" / name).symlink_to(small.root / f"no-{name}")
    small.photo("birds/c.png", 3)
    assert small.run("--executor", "inline").code == 3
    assert saved(small) == before
    for name in ("cats", "dogs"):
        (small.root / "photos" / name).unlink()
        (small.root / name).rename(small.root / "photos" / name)
    small.remove_photo("birds/c.png")
    assert small.run("--executor", "inline").code == 0
    assert small.summary()["resumed"] == len(before)
    assert undisturbed.images().items() <= small.images().items()


def test_a_damaged_file_costs_its_image_only(
    small: Small, undisturbed: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(small, monkeypatch)
    for path in saved(small):
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
    assert small.run("--executor", "inline").code == 0
    assert "what was saved of it is damaged; it is begun anew" in small.log()
    assert small.summary()["resumed"] == 0
    check_same(small, undisturbed)


def test_the_rest_of_a_night_is_used_where_an_image_does_not_fit(
    small: Small, undisturbed: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun although it takes longer than is left, and saved."""
    told = stopped(small, monkeypatch)
    assert "saved half-made, stopped by deadline" in told.err
    with monkeypatch.context() as patch:
        patch.setattr(limits, "WORTH_BEGINNING_S", 1e9)
        small.run("--executor", "inline")
    check_same(small, undisturbed)
