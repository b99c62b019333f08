"""A changed setting replaces images one by one: whatever ends a run, all stand and are told of.

What stands is compared with undisturbed runs of either setting, by the one that the metadata names.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.runs import (
    Small,
    command,
    contents,
    copy_tree,
    end,
    needs_proc,
    small_project,
    start,
    wait_until,
)
from torchvision.datasets import ImageFolder

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

pytestmark = pytest.mark.slow

# Weights of the style, before and after.
OLD, NEW = 10.0, 20.0
NUM_IMAGES = 80
A = {"cats/a-s.png", "cats/a-t.png"}

Versions = dict[float, Small]


def project(root: Path) -> Small:
    """Five batches, each of half a second or so: long enough to be interrupted."""
    small = small_project(root)
    for number in range(NUM_IMAGES // 2 - 2):
        small.photo(f"cats/{number:02}.png", 100 + number)
    small.pair["steps"] = 60
    small.pair["override"] |= {"content_layers": {"conv1_1": 1}, "style_weight": OLD}
    small.document["run"]["cpu_workers"] = 1
    small.write()
    return small


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Versions:
    """Undisturbed runs of the one setting and the other, by it."""
    found = {}
    for weight in (OLD, NEW):
        small = found[weight] = project(tmp_path_factory.mktemp("undisturbed"))
        small.pair["override"]["style_weight"] = weight
        assert small.run().code == 0
    images = [small.images() for small in found.values()]
    assert all(images[0][path] != images[1][path] for path in images[0])
    return found


@pytest.fixture
def small(versions: Versions, tmp_path: Path) -> Small:
    """A project that is finished, whose setting has changed."""
    copy_tree(versions[OLD].root, tmp_path / "project")
    small = project(tmp_path / "project")
    small.pair["override"]["style_weight"] = NEW
    small.write()
    return small


def weights_of(small: Small) -> dict[str, float]:
    """Return for each image of the metadata the style's weight in the settings that it names."""
    settings = json.loads((small.out / "settings.json").read_bytes())
    return {
        path: settings[row["settings_id"]]["recipe"]["style_weight"]
        for path, row in small.metadata().items()
    }


def check_told_as_it_is(small: Small, versions: Versions) -> int:
    """Check that all stand, each as its line says; return how many are of the new setting."""
    images, weights = small.images(), weights_of(small)
    rows, logs = small.metadata(), loss_logs(small)
    assert images.keys() == weights.keys()
    assert logs.keys() == {path.replace(".png", ".csv") for path in images}
    assert len(ImageFolder(str(small.out / "images"))) == len(images)
    for weight in (OLD, NEW):
        undisturbed = versions[weight]
        expected = undisturbed.images(), undisturbed.metadata(), loss_logs(undisturbed)
        for path in (path for path in images if weights[path] == weight):
            assert images[path] == expected[0][path], path
            assert timeless(rows[path]) == timeless(expected[1][path])
            log = path.replace(".png", ".csv")
            assert logs[log] == expected[2][log]
    return sum(weight == NEW for weight in weights.values())


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("seconds", "device")}


def loss_logs(small: Small) -> dict[str, list[str]]:
    """Return the loss logs without their last column, the seconds."""
    logs = contents(small.out / "losses")
    return {
        path: [line.rpartition(",")[0] for line in data.decode().splitlines()]
        for path, data in logs.items()
    }


def check_old_are_aside(small: Small, versions: Versions, count: int) -> None:
    """Check that so many images lie aside, each once, as they were."""
    lying = [
        (path, data)
        for run in (small.out / ".stylebatch/stale").glob("*/images")
        for path, data in contents(run).items()
    ]
    assert len(lying) == len({path for path, _ in lying}) == count
    assert all(data == versions[OLD].images()[path] for path, data in lying)
    logs = list((small.out / ".stylebatch/stale").glob("*/losses/**/*.csv"))
    assert len(logs) == count


def status(small: Small) -> dict[str, int]:
    found: dict[str, int] = json.loads(command("status", str(small.out), "--json").out)["pairs"][
        "all"
    ]
    return found


def test_a_deadline_takes_nothing_away(small: Small, versions: Versions) -> None:
    before = (small.out / "metadata.jsonl").read_bytes()
    ended = small.run("--deadline", "0.01s")
    assert ended.code == 4
    assert f"{NUM_IMAGES} are as earlier settings made them" in ended.err
    assert small.images() == versions[OLD].images()
    assert (small.out / "metadata.jsonl").read_bytes() == before
    assert small.stale() == set()
    assert status(small) == {
        "planned": NUM_IMAGES, "done": 0, "failed": 0, "rejected": 0, "left": NUM_IMAGES,
        "outdated": NUM_IMAGES,
    }  # fmt: skip
    told = command("plan", str(small.manifest)).out
    assert f"{NUM_IMAGES} images are of earlier settings: each stays until" in told


def test_images_are_replaced_one_by_one_until_all_are(small: Small, versions: Versions) -> None:
    for made in (5, 11):
        small.run("--limit", str(made - len(small.stale())))
        assert check_told_as_it_is(small, versions) == made
        check_old_are_aside(small, versions, made)
        assert (status(small)["done"], status(small)["outdated"]) == (made, NUM_IMAGES - made)
        assert small.summary()["outdated"] == NUM_IMAGES - made
    line = small.run().out
    assert f"{NUM_IMAGES - 11} replaced, the old in .stylebatch/stale" in line
    assert check_told_as_it_is(small, versions) == NUM_IMAGES
    check_old_are_aside(small, versions, NUM_IMAGES)
    assert small.summary()["outdated"] == status(small)["outdated"] == 0
    assert small.again() == set()


@pytest.fixture
def begun(small: Small) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start a run in processes of its own, and wait until it has replaced something."""
    small.document["run"]["executor"] = "local"
    small.write()
    started = []

    def begin() -> "subprocess.Popen[str]":
        process = start("run", str(small.manifest))
        started.append(process)
        wait_until(lambda: small.stale() or process.poll() is not None, "one is replaced")
        assert process.poll() is None, end(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@needs_proc
def test_ctrl_c_leaves_every_image_told_of_as_it_is(
    small: Small, versions: Versions, begun: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = begun()
    os.killpg(process.pid, signal.SIGINT)
    assert end(process).code == 4
    made = check_told_as_it_is(small, versions)
    assert 0 < made < NUM_IMAGES
    check_old_are_aside(small, versions, made)
    assert small.run("--executor", "inline").code == 0
    assert check_told_as_it_is(small, versions) == NUM_IMAGES
    check_old_are_aside(small, versions, NUM_IMAGES)


@needs_proc
def test_a_kill_leaves_every_image_and_the_next_run_tells_of_them_as_they_are(
    small: Small, versions: Versions, begun: Callable[[], "subprocess.Popen[str]"]
) -> None:
    process = begun()
    process.kill()
    process.wait()
    wait_until(lambda: not _alive(process.pid), "its workers end")
    now, either = small.images(), (versions[OLD].images(), versions[NEW].images())
    assert now.keys() == either[0].keys()
    assert all(data in (either[0][path], either[1][path]) for path, data in now.items())
    assert small.run("--executor", "inline", "--deadline", "0.01s").code == 4
    made = check_told_as_it_is(small, versions)
    check_old_are_aside(small, versions, made)
    assert small.run("--executor", "inline").code == 0
    assert check_told_as_it_is(small, versions) == NUM_IMAGES
    check_old_are_aside(small, versions, NUM_IMAGES)


def _alive(session: int) -> bool:
    for folder in Path("/proc").iterdir():
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except (OSError, IndexError):
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            return True
    return False


# Where a run with one worker in its own process is ended, and how many images are new by then.
@pytest.mark.parametrize(
    "where",
    ["claimed", "kept-aside@1", "file-renamed@1", "file-renamed@2", "file-renamed@7",
     "folders-synced@1", "events-taken", "recording", "recorded"],
)  # fmt: skip
def test_a_kill_between_any_two_steps_of_replacing_loses_nothing(
    small: Small, versions: Versions, tmp_path: Path, where: str
) -> None:
    crash(small, where, tmp_path)
    now = small.images()
    assert now.keys() == versions[OLD].images().keys()
    assert small.run("--deadline", "0.01s").code == 4
    made = check_told_as_it_is(small, versions)
    check_old_are_aside(small, versions, made)
    assert (made > 0) == (where == "recorded")
    assert small.run().code == 0
    assert check_told_as_it_is(small, versions) == NUM_IMAGES
    check_old_are_aside(small, versions, NUM_IMAGES)


def crash(small: Small, where: str, folder: Path, *arguments: str) -> None:
    """Run in a process that is killed, as by SIGKILL, where it comes by a crash point."""
    marker = folder / f"crashed-{where}"
    os.environ[ENVIRONMENT_VARIABLE] = f"{where}:{marker}"
    try:
        process = start("run", str(small.write()), *arguments)
    finally:
        del os.environ[ENVIRONMENT_VARIABLE]
    ended = end(process)
    assert ended.code == -signal.SIGKILL, ended
    assert marker.exists()


def test_a_kill_while_images_are_put_back_is_made_good(
    small: Small, versions: Versions, tmp_path: Path
) -> None:
    crash(small, "events-taken", tmp_path)
    for turn in (1, 3):
        crash(small, f"put-back@{turn}", tmp_path)
    assert small.run("--deadline", "0.01s").code == 4
    assert check_told_as_it_is(small, versions) == 0
    assert small.stale() == set()


# Taken back


def set_back(small: Small) -> None:
    small.pair["override"]["style_weight"] = OLD
    small.write()


@pytest.mark.parametrize("limit", [(), ("--limit", "7")], ids=["all", "some"])
def test_a_change_that_is_undone_makes_nothing_again(
    small: Small, versions: Versions, limit: tuple[str, ...]
) -> None:
    before = {name: contents(small.out / name) for name in ("images", "losses")}
    metadata = (small.out / "metadata.jsonl").read_bytes()
    assert small.run(*limit).code == 0
    replaced = len(small.stale())
    set_back(small)
    told = command("plan", str(small.manifest)).out
    assert f"{replaced} images lie in .stylebatch/stale as wanted: a run takes them back" in told
    assert told.splitlines()[-1] == f"{replaced} images to take back"
    assert "nothing to do" not in told
    assert "its successor" not in told
    header, row = (re.split("  +", line) for line in told.splitlines()[:2])
    assert dict(zip(header, row, strict=False))["to take back"] == f"{replaced}"
    ended = small.run()
    assert (ended.code, small.summary()["evaluations"]) == (0, 0)
    assert f"{replaced} images taken back from .stylebatch/stale" in ended.out
    assert (small.summary()["taken_back"], small.summary()["done_before"]) == (replaced, NUM_IMAGES)
    assert {name: contents(small.out / name) for name in before} == before
    assert (small.out / "metadata.jsonl").read_bytes() == metadata
    # What they replaced lies aside in turn, and comes back likewise.
    small.pair["override"]["style_weight"] = NEW
    small.run(*limit)
    assert small.summary()["taken_back"] == replaced
    assert check_told_as_it_is(small, versions) == replaced + small.summary()["done"]


@pytest.mark.parametrize("where", ["kept-aside", "taken-back", "recording", "aside-removed"])
def test_a_kill_while_images_are_taken_back_loses_nothing(
    small: Small, versions: Versions, tmp_path: Path, where: str
) -> None:
    small.run()
    set_back(small)
    if where == "kept-aside":  # in a worker, which there is none of
        where = "taken-back"
        shutil.rmtree(small.out / ".stylebatch/tmp", ignore_errors=True)
    crash(small, where, tmp_path)
    assert small.images().keys() == versions[OLD].images().keys()
    assert small.run().code == 0
    assert small.summary()["evaluations"] == 0
    assert check_told_as_it_is(small, versions) == 0
    assert small.images() == versions[OLD].images()
    lying = (small.out / ".stylebatch/stale").glob("*/images")
    assert sorted(path for run in lying for path in contents(run)) == sorted(small.images())


def test_an_image_that_somebody_changed_aside_is_not_taken_back(
    small: Small, versions: Versions
) -> None:
    small.run()
    (path,) = (small.out / ".stylebatch/stale").glob("*/images/cats/a-s.png")
    path.write_bytes(path.read_bytes() + b"more")
    set_back(small)
    small.run()
    assert (small.summary()["taken_back"], small.summary()["done"]) == (NUM_IMAGES - 1, 1)
    assert small.images() == versions[OLD].images()


# What the plan no longer has


def test_what_the_plan_no_longer_has_stays_until_all_else_is_there(
    small: Small, versions: Versions
) -> None:
    photo = small.root / "photos/cats/a.png"
    photo.rename(small.root / "a.png")
    assert small.run("--deadline", "0.01s").code == 4
    assert small.summary()["outdated"] == NUM_IMAGES
    assert check_told_as_it_is(small, versions) == 0
    assert small.run("--limit", "5").code == 0
    assert check_told_as_it_is(small, versions) == 5
    assert status(small)["left"] == NUM_IMAGES - 2 - 5
    ended = small.run()
    assert "2 no longer in the plan, moved to .stylebatch/stale" in ended.out
    assert small.images().keys() == small.metadata().keys() == versions[OLD].images().keys() - A
    check_old_are_aside(small, versions, NUM_IMAGES)
    # It comes back with its settings: as it was, without a single evaluation.
    (small.root / "a.png").rename(photo)
    set_back(small)
    small.run()
    assert (small.summary()["taken_back"], small.summary()["evaluations"]) == (NUM_IMAGES, 0)
    assert small.images() == versions[OLD].images()


@pytest.mark.parametrize("where", ["stale-noted", "stale-moved", "stale-forgotten"])
def test_a_kill_while_outputs_are_set_aside_loses_nothing(
    small: Small, versions: Versions, tmp_path: Path, where: str
) -> None:
    set_back(small)
    photo = small.root / "photos/cats/a.png"
    photo.rename(small.root / "a.png")
    crash(small, where, tmp_path)
    assert small.run().code == 0
    assert small.images().keys() == small.metadata().keys() == versions[OLD].images().keys() - A
    check_old_are_aside(small, versions, 2)
    (small.root / "a.png").rename(photo)
    small.run()
    assert (small.summary()["taken_back"], small.summary()["evaluations"]) == (2, 0)
    assert check_told_as_it_is(small, versions) == 0


def pixels(small: Small, style: str) -> dict[str, bytes]:
    """Return what images show: their files say the names that they were made of."""
    return {
        path.replace(style, "-s."): Image.open(io.BytesIO(data)).tobytes()
        for path, data in small.images().items()
    }


def test_images_under_other_names_are_taken_back_too(small: Small, versions: Versions) -> None:
    set_back(small)
    style = small.root / "styles/s.png"
    style.rename(small.root / "styles/r.png")
    assert small.run("--deadline", "0.01s").code == 4
    assert small.images() == versions[OLD].images()
    assert small.run().code == 0
    before = pixels(small, "-r.")
    assert before == pixels(versions[OLD], "-s.")
    (small.root / "styles/r.png").rename(small.root / "styles/q.png")
    small.run()
    assert small.summary()["taken_back"] == small.summary()["set_aside"] == NUM_IMAGES // 2
    assert small.summary()["evaluations"] == 0
    assert pixels(small, "-q.") == before
    assert small.images().keys() == small.metadata().keys()


# Failures, refusals


def test_an_image_whose_successor_fails_stays(small: Small, versions: Versions) -> None:
    set_back(small)
    photo = small.root / "photos/cats/a.png"
    kept = photo.read_bytes()
    photo.write_bytes(b"no image")
    ended = small.run()
    assert ended.code == 3
    assert "2 failed, 2 are as earlier settings made them" in ended.err
    assert check_told_as_it_is(small, versions) == 0
    failures = (small.out / "failures.jsonl").read_text().splitlines()
    assert {json.loads(line)["file_name"].removeprefix("images/") for line in failures} == A
    found = status(small)
    assert (found["failed"], found["outdated"], found["left"]) == (2, 2, 0)
    assert found["done"] == NUM_IMAGES - 2
    assert "2 images stand that the plan wants otherwise" in command("status", str(small.out)).out
    again = small.run()
    assert (again.code, small.summary()["failed"], small.summary()["outdated"]) == (3, 2, 2)
    assert "failed: cats/a-s.png" not in again.err  # it waits to be asked for
    assert "failed: cats/a-s.png" in small.run("--retry-failed").err
    photo.write_bytes(kept)
    assert small.again() == set()
    assert not (small.out / "failures.jsonl").exists()
    assert (status(small)["failed"], status(small)["outdated"]) == (0, 0)
    assert small.images() == versions[OLD].images()


def test_an_outdated_image_that_is_gone_is_not_told_of(small: Small, versions: Versions) -> None:
    for path in A:
        (small.out / "images" / path).unlink()
    assert small.run("--deadline", "0.01s").code == 4
    assert small.metadata().keys() == small.images().keys() == versions[OLD].images().keys() - A
    assert small.run().code == 0
    assert check_told_as_it_is(small, versions) == NUM_IMAGES


def test_a_run_that_is_refused_leaves_all_as_it_is(small: Small) -> None:
    before = contents(small.out / "images") | contents(small.out / "losses")
    metadata = (small.out / "metadata.jsonl").read_bytes()
    small.document["run"]["devices"] = ["cuda:7"]
    small.remove_photo("cats/a.png")
    assert small.run().code == 2
    assert contents(small.out / "images") | contents(small.out / "losses") == before
    assert (small.out / "metadata.jsonl").read_bytes() == metadata
    assert small.stale() == set()


# Shards


def test_shards_replace_their_own_and_take_them_back(small: Small, versions: Versions) -> None:
    manifest = str(small.write())
    assert small.run("--shard", "0/2").code == 0
    assert command("merge", manifest).code == 0
    made = check_told_as_it_is(small, versions)
    assert 0 < made < NUM_IMAGES
    check_old_are_aside(small, versions, made)
    assert small.run("--shard", "1/2", "--deadline", "0.01s").code == 4
    assert status(small)["outdated"] == status(small)["left"] == NUM_IMAGES - made
    assert small.run("--shard", "1/2").code == 0
    assert status(small) == {
        "planned": NUM_IMAGES, "done": NUM_IMAGES, "failed": 0, "rejected": 0, "left": 0,
        "outdated": 0,
    }  # fmt: skip
    set_back(small)
    for index in range(3):  # of another count: the others' are merged first
        assert small.run("--shard", f"{index}/3").code == 0
        own = small.out / f".stylebatch/shards/{index}-of-3/run.json"
        summary: dict[str, Any] = json.loads(own.read_bytes())
        assert summary["evaluations"] == 0 < summary["taken_back"] == summary["replaced"]
    assert command("merge", manifest).code == 0
    assert check_told_as_it_is(small, versions) == 0
    assert small.images() == versions[OLD].images()


def test_a_shard_that_is_killed_is_put_right_by_whatever_follows(
    small: Small, versions: Versions, tmp_path: Path
) -> None:
    for number, follows in enumerate((("merge", str(small.out)), ("run", "--shard", "0/3"))):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        crash(small, "events-taken", folder, "--shard", "0/2")
        if follows[0] == "merge":
            assert command(*follows).code == 0
        else:
            assert small.run(*follows[1:], "--deadline", "0.01s").code == 4
            assert command("merge", str(small.out)).code == 0
        assert check_told_as_it_is(small, versions) == 0
    assert small.run().code == 0
    assert check_told_as_it_is(small, versions) == NUM_IMAGES
    check_old_are_aside(small, versions, NUM_IMAGES)
