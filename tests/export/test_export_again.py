"""An export that is killed, repeated, or meets what is not its own."""

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.runs import (
    COMMAND,
    PATIENCE_S,
    Ended,
    Small,
    command,
    contents,
    copy_tree,
    end,
    small_project,
    start,
    touch,
    wait_until,
)
from support.terminal import on_a_terminal, screen

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

pytestmark = pytest.mark.slow

FORMATS = {
    "webdataset": ("--shard-size", "3"),
    "parquet": ("--shard-size", "3"),
    "yolo": (),
    "coco": (),
}
STATE = ".export.sqlite"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = small_project(tmp_path_factory.mktemp("again"))
    for number in range(3):
        small.photo(f"cats/{number}.png", number)
        small.photo(f"dogs/{number}.png", number + 10)
    assert small.run().code == 0
    assert len(small.images()) == 16
    return small


@pytest.fixture
def small(made: Small, tmp_path: Path) -> Small:
    """The same with its own files."""
    copy_tree(made.root, tmp_path / "project")
    copy = Small(tmp_path / "project")
    copy.document, copy.pair = json.loads(json.dumps([made.document, made.pair]))
    copy.document["pairs"] = [copy.pair]
    return copy


def export(small: Small, name: str, target: str = "there", *arguments: str) -> Ended:
    asked = (*FORMATS[name], *arguments)
    return command("export", name, str(small.out), str(small.root / target), *asked)


def files(small: Small, target: str = "there") -> dict[str, bytes]:
    """Return all files of an export but its state; none of them says where it is."""
    found = contents(small.root / target)
    found.pop(STATE, None)
    if "export.json" in found:
        text = found["export.json"].decode().replace(f"/{target}", "/there")
        found["export.json"] = text.encode()
    return found


def crash(small: Small, name: str, point: str) -> Ended:
    """Export in a process that ends at a point by SIGKILL."""
    asked = [*COMMAND, "export", name, str(small.out), str(small.root / "there"), *FORMATS[name]]
    marker = small.root / "ended"
    marker.unlink(missing_ok=True)
    environment = {**os.environ, ENVIRONMENT_VARIABLE: f"{point}:{marker}"}
    done = subprocess.run(
        asked, env=environment, capture_output=True, text=True, timeout=PATIENCE_S
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name", FORMATS)
def test_a_killed_export_goes_on_and_ends_with_the_same_bytes(small: Small, name: str) -> None:
    assert export(small, name, "whole").code == 0
    wanted = files(small, "whole")
    for point in ("atomic-written@2", "atomic-replaced@3", "atomic-replaced@1"):
        assert crash(small, name, point).code == -signal.SIGKILL
        left = files(small)
        assert "export.json" not in left
        assert len(left) < len(wanted)
    ended = export(small, name)
    assert ended.code == 0, ended
    assert files(small) == wanted


def test_what_was_whole_when_it_was_killed_is_not_written_again(small: Small) -> None:
    assert crash(small, "webdataset", "atomic-written@4").code == -signal.SIGKILL
    before = {path.name: path.stat().st_ino for path in (small.root / "there").glob("*.tar")}
    assert len(before) == 2
    assert export(small, "webdataset").code == 0
    after = {path.name: path.stat().st_ino for path in (small.root / "there").glob("*.tar")}
    assert before.items() < after.items()
    assert len(after) == 6


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_again_writes_nothing(small: Small, name: str) -> None:
    assert export(small, name).code == 0
    before = {path: (small.root / "there" / path).stat() for path in files(small)}
    assert export(small, name).code == 0
    after = {path: (small.root / "there" / path).stat() for path in files(small)}
    assert {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in before.items()} == {
        path: (stat.st_ino, stat.st_mtime_ns) for path, stat in after.items()
    }


@pytest.mark.parametrize("name", FORMATS)
def test_an_output_that_has_changed_is_followed(small: Small, name: str) -> None:
    assert export(small, name).code == 0
    small.photo("cats/0.png", 99)
    small.remove_photo("dogs/1.png")
    small.photo("cats/more.png", 98)
    assert small.run().code == 0
    assert export(small, name).code == 0
    assert export(small, name, "anew").code == 0
    assert files(small) == files(small, "anew")


def test_only_shards_that_change_are_written_again(small: Small) -> None:
    assert export(small, "webdataset").code == 0
    before = {path.name: path.stat().st_ino for path in (small.root / "there").glob("*.tar")}
    path = small.out / "images/cats/0-s.png"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    touch(path)
    assert export(small, "webdataset").code == 0
    after = {path.name: path.stat().st_ino for path in (small.root / "there").glob("*.tar")}
    assert len(before.items() - after.items()) == 1


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_that_it_did_not_write_is_touched(small: Small, name: str) -> None:
    target = small.root / "there"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    ended = export(small, name)
    assert ended.code == 2
    assert "holds other files; allowed is a new folder, an empty one" in ended.err
    assert contents(target) == {"notes.txt": b"mine"}
    (target / "notes.txt").unlink()
    assert export(small, name).code == 0
    (target / "train.cache").write_text("a trainer's")
    small.remove_photo("cats/2.png")
    assert small.run().code == 0
    assert export(small, name).code == 0
    assert (target / "train.cache").read_text() == "a trainer's"


def test_what_somebody_has_changed_stays(small: Small) -> None:
    assert export(small, "webdataset").code == 0
    shard = small.root / "there/train-000000.tar"
    shard.write_bytes(b"mine")
    ended = export(small, "webdataset")
    assert ended.code == 5
    assert "train-000000.tar: has been changed: it stays as it is; move it away" in ended.err
    assert shard.read_bytes() == b"mine"
    shard.unlink()
    assert export(small, "webdataset").code == 0


def test_a_file_in_the_way_stays(small: Small) -> None:
    assert crash(small, "coco", "atomic-replaced@1").code == -signal.SIGKILL
    path = small.root / "there/annotations/train.json"
    path.parent.mkdir()
    path.write_text("mine")
    ended = export(small, "coco")
    assert ended.code == 5
    assert "was not written by this export: it stays as it is" in ended.err
    assert path.read_text() == "mine"


@pytest.mark.parametrize("name", ["webdataset", "parquet"])
def test_bytes_that_rot_are_found(small: Small, name: str) -> None:
    assert export(small, name).code == 0
    (path, *_) = sorted((small.root / "there").rglob("train-*"))
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    ended = export(small, name)
    assert ended.code == 5
    assert f"{path}: is not what was written; remove it and run it again" in ended.err


def test_another_export_is_refused_with_what_it_differs_in(small: Small) -> None:
    assert export(small, "webdataset").code == 0
    before = files(small)
    for name, arguments in (("parquet", ()), ("webdataset", ("--seed", "1"))):
        ended = export(small, name, "there", *arguments)
        assert ended.code == 2
        assert "holds another export" in ended.err
    assert "seed 0 and not 1" in ended.err
    assert files(small) == before


def test_a_place_in_the_output_is_refused(small: Small) -> None:
    before = contents(small.out)
    for place in ("out", "out/images/there", "out/there"):
        assert export(small, "coco", place).code == 2
    assert contents(small.out) == before


def test_an_image_that_is_gone_is_told_before_anything_is_written(small: Small) -> None:
    (small.out / "images/cats/0-s.png").unlink()
    ended = export(small, "yolo")
    assert ended.code == 2
    assert "1 image is not there (cats/0-s.png); `stylebatch run` makes them again" in ended.err
    assert not (small.root / "there").exists()


def test_images_without_a_class_are_no_yolo(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.photo("alone.png", 5)
    assert small.run().code == 0
    ended = export(small, "yolo")
    assert ended.code == 2
    assert "2 images have no class; yolo needs one for each" in ended.err
    assert not (small.root / "there").exists()
    for name in ("webdataset", "parquet", "coco"):
        assert export(small, name, name).code == 0
    assert "train-000000.tar" in files(small, "webdataset")


def test_without_pyarrow_parquet_says_what_to_install_and_others_work(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    ended = export(small, "parquet")
    assert ended.code == 2
    assert "needs pyarrow, which is not installed" in ended.err
    assert "pip install 'stylebatch[export]'" in ended.err
    assert not (small.root / "there").exists()
    assert export(small, "webdataset").code == 0


def test_two_at_once_are_one_and_a_refusal(small: Small) -> None:
    assert export(small, "webdataset").code == 0
    held = sqlite3.connect(small.root / "there" / STATE)
    held.execute("PRAGMA locking_mode = EXCLUSIVE")
    held.execute("BEGIN IMMEDIATE")
    ended = export(small, "webdataset")
    held.close()
    assert ended.code == 10
    assert "another export is writing there" in ended.err


def test_beside_a_run_it_takes_what_is_done(small: Small) -> None:
    small.pair["steps"] = 100_000
    small.photo("cats/late.png", 50)
    process = start("run", str(small.write()), "--keep-stale")
    wait_until((small.out / ".stylebatch/activity.json").exists, "a run goes on")
    ended = export(small, "webdataset")
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    end(process)
    assert ended.code == 0, ended
    assert re.search(r"16 images \(train 16\), 2 classes, in 7 files; checked", ended.out)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs another file system")
@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_on_another_file_system_files_are_copied_and_checked(small: Small, name: str) -> None:
    root = Path("/dev/shm") / f"stylebatch-{os.getpid()}"
    if root.parent.stat().st_dev == small.root.stat().st_dev:
        pytest.skip("needs another file system")
    try:
        asked = ("export", name, str(small.out), str(root))
        assert command(*asked).code == 0
        told: dict[str, Any] = json.loads((root / "export.json").read_bytes())
        assert (told["linked"], told["copied"]) == (0, 16)
        before = {path: (root / path).stat().st_ino for path in contents(root)}
        assert command(*asked).code == 0
        assert {path: (root / path).stat().st_ino for path in before} == before
        (path, *_) = sorted(root.rglob("0-s.png"))
        assert path.read_bytes() == (small.out / "images/cats/0-s.png").read_bytes()
        stat = path.stat()
        path.write_bytes(b"\0" * stat.st_size)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert command(*asked).code == 5
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_a_terminal_shows_how_far_it_is(small: Small) -> None:
    asked = ("export", "webdataset", str(small.out), str(small.root / "there"))
    code, written = on_a_terminal(*asked, columns=200)
    assert code == 0
    assert "checking" in written
    assert screen(written)[-1].endswith("16 images (train 16), 2 classes, in 2 files; checked")
