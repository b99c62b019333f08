"""Inputs that can't be reached are not inputs that were removed: what belongs to them stays."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import Small, color_project, command

CATS = {"cats/a-s.png", "cats/a-t.png"}
DOGS = {"dogs/b-s.png", "dogs/b-t.png"}
ALL = CATS | DOGS


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a project with the usual limit whose four images are made."""
    small = color_project(tmp_path)
    del small.document["run"]["max_removals"]
    assert small.again() == ALL
    return small


def _link_to_nothing(folder: Path, away: Path) -> None:
    folder.symlink_to(away / "not-mounted")


def _mount_point(folder: Path, away: Path) -> None:
    folder.mkdir()


def _mount_point_with_leftovers(folder: Path, away: Path) -> None:
    (folder / "lost+found").mkdir(parents=True)
    (folder / ".hidden").write_text("")


def _link_that_the_system_refuses(folder: Path, away: Path) -> None:
    # As a share that does not answer: an error that doesn't say that nothing is there.
    folder.symlink_to("x" * 300)


def _link_to_itself(folder: Path, away: Path) -> None:
    folder.symlink_to(folder.name)


UNREACHABLE = pytest.mark.parametrize(
    ("leave", "reason"),
    [
        (_link_to_nothing, "a link to nothing"),
        (_mount_point, "an empty folder; is a disk missing?"),
        (_mount_point_with_leftovers, "an empty folder; is a disk missing?"),
        (_link_that_the_system_refuses, "File name too long"),
        (_link_to_itself, "Too many levels of symbolic links"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)


@UNREACHABLE
def test_a_class_that_cannot_be_reached_keeps_its_images_and_is_told(
    small: Small, leave: Callable[[Path, Path], None], reason: str
) -> None:
    before = small.identities()
    away = small.root / "away"
    (small.root / "photos/cats").rename(away)
    leave(small.root / "photos/cats", away)

    planned = command("plan", str(small.write()))
    ended = small.run("--quiet")

    assert ended.code == 3
    assert f"photos/cats: {reason}" in ended.err
    assert "2 images of what was there stay" in ended.err
    assert reason in planned.out
    assert "2 images of what was there stay" in planned.out
    assert small.identities() == before
    assert small.stale() == set()
    assert small.metadata().keys() == ALL
    shown = command("status", str(small.out)).out
    assert "2 of 2 images are done, 2 more images that the last plan did not have" in shown
    told = small.summary()
    assert told["unreachable"] == {"photos/cats": reason}
    assert (told["kept"], told["set_aside"], told["exit_code"]) == (2, 0, 3)

    # The disk is back: nothing is made again.
    place = small.root / "photos/cats"
    if place.is_symlink():
        place.unlink()
    else:
        shutil.rmtree(place)
    away.rename(place)
    assert small.again() == set()
    assert small.identities() == before


def test_what_is_left_of_the_content_is_made_meanwhile(small: Small) -> None:
    (small.root / "photos/cats").rename(small.root / "away")
    _link_to_nothing(small.root / "photos/cats", small.root / "away")
    small.photo("dogs/c.png", 9)
    assert small.again(code=3) == {"dogs/c-s.png", "dogs/c-t.png"}
    assert small.images().keys() >= CATS


def test_a_style_folder_that_cannot_be_reached_keeps_its_images(small: Small) -> None:
    (small.root / "styles/more").mkdir()
    for number in range(3):
        small.style(f"more/{number}.png", 50 + number)
    assert len(small.again()) == 6
    (small.root / "styles/more").rename(small.root / "away")
    _link_to_nothing(small.root / "styles/more", small.root)
    assert small.again(code=3) == set()
    assert len(small.images()) == 10
    assert small.summary()["unreachable"] == {"styles/more": "a link to nothing"}


def test_what_somebody_has_emptied_is_set_aside_when_asked(small: Small) -> None:
    (small.root / "photos/cats/a.png").unlink()
    assert small.again(code=3) == set()
    assert small.again("--allow-removals") == set()
    assert small.images().keys() == DOGS
    assert small.stale() == CATS
    assert small.again() == set()


def test_more_than_a_share_of_removed_photographs_needs_to_be_asked_for(small: Small) -> None:
    for number in range(8):
        small.photo(f"dogs/{number}.png", 20 + number)
    assert len(small.again()) == 16
    before = small.images()
    # 4 of 20 images are the share that may go, 6 are not.
    for name in ("0", "1", "2"):
        (small.root / f"photos/dogs/{name}.png").unlink()
    planned = command("plan", str(small.write()))
    ended = small.run()
    assert ended.code == 3
    told = "6 images stay though their photographs or styles are gone: more than run.max_removals"
    assert told in ended.err
    assert told in planned.out
    assert "--allow-removals" in ended.err
    assert small.images() == before
    assert small.summary()["withheld"] == 6

    small.photo("dogs/2.png", 22)
    assert small.again() == set()
    gone = {f"dogs/{name}-{style}.png" for name in "01" for style in "st"}
    assert small.stale() == gone
    assert small.images().keys() == before.keys() - gone


@pytest.mark.parametrize("most", [1, "49%"])
def test_how_much_may_go_is_set_in_the_manifest(small: Small, most: int | str) -> None:
    shutil.rmtree(small.root / "photos/cats")
    small.document["run"]["max_removals"] = most
    assert small.again(code=3) == set()
    assert small.images().keys() == ALL
    small.document["run"]["max_removals"] = 2 if most == 1 else "50%"
    assert small.again() == set()
    assert small.images().keys() == DOGS


def test_what_a_changed_manifest_drops_needs_no_leave(small: Small) -> None:
    small.pair["styles"] = ["styles/s.png"]
    assert small.again() == set()
    assert small.images().keys() == {"cats/a-s.png", "dogs/b-s.png"}
    assert small.summary()["set_aside"] == 2


@pytest.mark.parametrize("kind", ["nothing", "itself", "refused"])
def test_a_photograph_that_cannot_be_reached_fails_alone_and_comes_back(
    small: Small, kind: str
) -> None:
    before = small.identities()
    photo = small.root / "photos/cats/a.png"
    photo.rename(small.root / "away.png")
    photo.symlink_to({"nothing": "gone.png", "itself": "a.png", "refused": "x" * 300}[kind])
    small.photo("dogs/c.png", 9)
    assert small.again(code=3) == {"dogs/c-s.png", "dogs/c-t.png"}
    assert before.items() <= small.identities().items()
    (failure, _) = (small.out / "failures.jsonl").read_text().splitlines()
    assert "photos/cats/a.png: can't be read" in failure
    # Again it is tried, without being told to.
    assert small.again(code=3) == set()
    photo.unlink()
    (small.root / "away.png").rename(photo)
    assert small.again() == set()
    assert before.items() <= small.identities().items()
    assert {row["status"] for row in small.metadata().values()} == {None}
    assert not (small.out / "failures.jsonl").exists()


def test_a_listing_with_an_entry_that_cannot_be_told_of_is_no_empty_folder(
    small: Small,
) -> None:
    (small.root / "photos/cats/loop").symlink_to("loop")
    (small.out / "images/cats/loop").symlink_to("loop")
    before = small.identities()
    assert small.again(code=3) == set()
    assert small.identities() == before
    assert os.path.islink(small.out / "images/cats/loop")


def _make_with_masks(small: Small) -> None:
    small.pair["masks"] = "masks"
    for path in ("cats/a.png", "dogs/b.png"):
        (small.root / "masks" / path).parent.mkdir(parents=True)
        mask = np.zeros((16, 16), np.uint8)
        mask[4:] = 255
        Image.fromarray(mask).save(small.root / "masks" / path)
    assert small.again() == ALL


def test_masks_beside_an_entry_that_cannot_be_told_of_are_still_found(small: Small) -> None:
    _make_with_masks(small)
    (small.root / "masks/cats/other.png").symlink_to("other.png")
    (small.root / "masks/cats/folder").symlink_to("x" * 300)
    assert small.again() == set()


def test_a_style_that_is_no_image_fails_its_own_jobs(small: Small) -> None:
    before = small.images()
    (small.root / "styles/u.png").write_bytes(b"")
    (small.root / "styles/v.png").symlink_to("v.png")
    planned = command("plan", str(small.write()))
    assert "2 style images can't be read (styles/u.png, styles/v.png)" in planned.out
    assert small.again(code=3) == set()
    assert small.images() == before
    assert small.summary()["failed"] == 4
    small.style("u.png", 70)
    (small.root / "styles/v.png").unlink()
    assert small.again() == {"cats/a-u.png", "dogs/b-u.png"}


def _replace_keeping_times(path: Path, data: bytes) -> None:
    stat = path.stat()
    assert len(data) == stat.st_size
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_content_that_changed_under_its_size_and_time_is_made_again(small: Small) -> None:
    # Two pictures without compression have one size; a copy that keeps times has the time too.
    photo = small.photo("dogs/c.bmp", 30)
    made = {"dogs/c-s.png", "dogs/c-t.png"}
    assert small.again() == made
    before = small.images()
    _replace_keeping_times(photo, small.photo("../c.bmp", 31).read_bytes())
    assert small.again() == made
    assert all(small.images()[path] != before[path] for path in made)
    assert small.again() == set()


@pytest.mark.parametrize("name", ["run", "plan", "dry run"])
def test_rehash_reads_what_seems_unchanged(small: Small, name: str) -> None:
    photo = small.photo("dogs/c.bmp", 30)
    small.again()
    data = small.photo("../c.bmp", 31).read_bytes()
    (small.root / "c.bmp").unlink()
    # What no file system tells: its ledger says that it knows this very file.
    _replace_keeping_times(photo, data)
    stat = photo.stat()
    with closing(sqlite3.connect(small.out / ".stylebatch/ledger.sqlite")) as ledger, ledger:
        updated = ledger.execute(
            "UPDATE files SET ctime_ns = ?, inode = ? WHERE name = 'c.bmp'",
            (stat.st_ctime_ns, stat.st_ino),
        )
        assert updated.rowcount == 1
    assert small.again() == set()
    if name == "run":
        assert small.again("--rehash") == {"dogs/c-s.png", "dogs/c-t.png"}
        return
    command_line = ("plan",) if name == "plan" else ("run", "--dry-run")
    plain = command(*command_line, str(small.write()))
    rehashed = command(*command_line, str(small.write()), "--rehash")
    assert "nothing to do" in plain.out
    assert "2 images are of earlier settings" in rehashed.out
    assert small.again() == set()


def test_a_ledger_without_inodes_trusts_size_and_time(small: Small) -> None:
    """As one that an earlier version wrote, until a file is read again."""
    with closing(sqlite3.connect(small.out / ".stylebatch/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE files SET ctime_ns = 0, inode = 0")
    before = small.identities()
    assert small.again() == set()
    assert small.identities() == before


@pytest.mark.parametrize("rows", ["", "photos/cats/a.png,s\nphotos/dogs/b.png,t\n"])
def test_a_map_that_matches_nothing_is_refused(small: Small, rows: str) -> None:
    (small.root / "map.csv").write_text(f"content,style\n{rows}")
    small.pair["assign"] = {"map": "map.csv"}
    before = small.identities()
    for name in ("plan", "run"):
        ended = command(name, str(small.write()))
        assert ended.code == 2
        assert "map.csv: " in ended.err
        assert ("none is there" if rows else "it has no rows") in ended.err
    assert small.identities() == before


def test_what_is_passed_over_is_said_by_runs_and_kept(small: Small) -> None:
    for path in ("cats/notes.txt", "cats/more.txt", "birds/1.heic", "birds/2.heic", "birds/3.xyz"):
        (small.root / "photos" / path).parent.mkdir(exist_ok=True)
        (small.root / "photos" / path).write_bytes(b"")
    ended = small.run()
    assert ended.code == 0
    assert "5 files passed over (2 × .heic, 2 × .txt, 1 × .xyz)" in ended.out
    told = small.summary()
    assert told["passed_over"] == {"all": {".txt": 2, ".heic": 2, ".xyz": 1}}
    assert told["warnings"] == [
        "all: 1 folder holds no image that is read, but other files (such as birds: 2 × .heic, "
        "1 × .xyz)"
    ]


def test_failures_of_what_cannot_be_reached_are_kept(small: Small) -> None:
    (small.root / "photos/cats/bad.png").write_bytes(b"no image")
    assert small.again(code=3) == set()
    before = (small.out / "failures.jsonl").read_text()
    (small.root / "photos/cats").rename(small.root / "away")
    _link_to_nothing(small.root / "photos/cats", small.root)
    assert small.again(code=3) == set()
    assert (small.out / "failures.jsonl").read_text() == before


def test_masks_that_cannot_be_listed_fail_their_own_jobs(small: Small) -> None:
    _make_with_masks(small)
    (small.root / "masks/cats").rename(small.root / "away")
    _link_to_itself(small.root / "masks/cats", small.root)
    small.photo("dogs/c.png", 9)
    shutil.copy(small.root / "masks/dogs/b.png", small.root / "masks/dogs/c.png")
    assert small.again(code=3) == {"dogs/c-s.png", "dogs/c-t.png"}
    assert small.images().keys() >= ALL


def test_a_ledger_without_inodes_learns_them(small: Small) -> None:
    with closing(sqlite3.connect(small.out / ".stylebatch/ledger.sqlite")) as ledger, ledger:
        ledger.execute("UPDATE files SET ctime_ns = 0, inode = 0")
    assert small.again() == set()
    with closing(sqlite3.connect(small.out / ".stylebatch/ledger.sqlite")) as ledger:
        rows = ledger.execute("SELECT count(*), sum(inode > 0) FROM files").fetchone()
    assert rows == (4, 4)


def test_keep_stale_keeps_what_is_gone_and_tells_what_cannot_be_reached(small: Small) -> None:
    before = small.identities()
    away = small.root / "away"
    (small.root / "photos/cats").rename(away)
    small.remove_photo("dogs/b.png")
    small.photo("birds/c.png", 5)
    assert small.again("--keep-stale") == {"birds/c-s.png", "birds/c-t.png"}
    assert before.items() <= small.identities().items()
    _mount_point(small.root / "photos/cats", away)
    ended = small.run("--keep-stale", "--quiet")
    assert ended.code == 3
    assert "photos/cats: an empty folder; is a disk missing?" in ended.err
    assert (small.summary()["kept"], small.summary()["withheld"]) == (2, 0)
    assert before.items() <= small.identities().items()
