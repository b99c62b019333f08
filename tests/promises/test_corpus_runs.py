"""The corpus through whole runs: each file fails alone with its reason, all others are made."""

import os
import re
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.corpus import STRANGE_NAMES, every, write
from support.runs import Small, color_project, command, end, lines, picture, start
from support.watchers import go_after_planning

from stylebatch.system.paths import escaped

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux file names are bytes")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a project of one style, run by a process of its own."""
    small = color_project(tmp_path)
    (small.root / "styles/t.png").unlink()
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    return small


def reasons(small: Small) -> dict[str, str]:
    return {row["content"]: row["reason"] for row in lines(small.out / "failures.jsonl")}


@pytest.mark.slow
def test_a_run_makes_what_the_table_says_and_names_the_rest(small: Small) -> None:
    write(small.root / "photos")
    ended = end(start("run", str(small.write())))
    assert ended.code == 3
    failed = reasons(small)
    made = {row["content"]: row["file_name"] for row in small.metadata().values()}
    for family, case in every():
        content = f"photos/{family}/{case.name}"
        if case.is_read:
            size = re.match(r"(\d+)x(\d+)", case.outcome)
            assert size is not None
            with Image.open(small.out / made.pop(content)) as image:
                assert image.size == (int(size[1]), int(size[2])), case.name
                assert (image.mode == "RGBA") == case.outcome.endswith("alpha"), case.name
        else:
            assert case.outcome in failed.pop(content), case.name
    assert failed == {}
    assert sorted(made) == ["photos/cats/a.png", "photos/dogs/b.png"]
    # What decoders have to say names no file: nothing of it comes out.
    *failures, last = ended.err.splitlines()
    assert [line for line in failures if not line.startswith("stylebatch: failed: ")] == []
    assert "--retry-failed" in last
    assert small.again(code=3) == set(), "and nothing is tried again"


def kinds_of_entries(folder: Path) -> socket.socket:
    """Put into a folder what is called like a photograph and is no file."""
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    picture(9, 24, 16).save(folder / "folder.png/inside.png")
    (folder / "nowhere.png").symlink_to("gone.png")
    (folder / "device.png").symlink_to("/dev/zero")
    listening = socket.socket(socket.AF_UNIX)
    # The name of a socket may have a hundred bytes: by its folder's descriptor.
    handle = os.open(folder, os.O_RDONLY)
    listening.bind(f"/proc/self/fd/{handle}/socket.png")
    os.close(handle)
    return listening


@needs_linux
def test_every_name_that_a_disk_holds_is_made_and_what_is_no_file_is_passed_over(
    small: Small,
) -> None:
    folder = small.root / "photos/names"
    folder.mkdir()
    for number, name in enumerate(STRANGE_NAMES):
        data = picture(number, 16 + number, 16)
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            data.save(file, "PNG")
    with kinds_of_entries(folder):
        # A link to nothing is a photograph that can't be reached.
        made = small.again(code=3)
        (failure,) = lines(small.out / "failures.jsonl")
        assert failure["content"] == "photos/names/nowhere.png"
    names = {escaped(os.fsdecode(name)) for name in STRANGE_NAMES}
    # One of two that are told by one name is passed over.
    assert len(names) == len(STRANGE_NAMES) - 1
    assert len(made) == 2 + len(names) + 1
    rows = {row["content"]: row for row in small.metadata().values()}
    assert rows.keys() == {
        *(f"photos/names/{name}" for name in names),
        *("photos/cats/a.png", "photos/dogs/b.png", "photos/names/folder.png/inside.png"),
    }
    for number, name in enumerate(STRANGE_NAMES):
        if name == b"caf\xe9.png":
            continue
        row = rows[f"photos/names/{escaped(os.fsdecode(name))}"]
        with Image.open(small.out / row["file_name"]) as image:
            assert image.size == (16 + number, 16), name
    assert all((small.out / "images").resolve() in path.resolve().parents for path in walk(small))
    assert small.again(code=3) == set()


def walk(small: Small) -> list[Path]:
    return [path for path in (small.out / "images").rglob("*") if path.is_file()]


@pytest.mark.slow
def test_a_hundred_thousand_files_in_a_folder_are_planned(small: Small) -> None:
    first = small.root / "photos/cats/a.png"
    for number in range(100_000):
        # Second names: a file system may have thirty thousand of a file.
        if number % 30_000 == 0:
            second = small.root / f"photos/dogs/{number}.png"
            second.write_bytes(first.read_bytes())
        os.link(second, small.root / f"photos/cats/{number:06}.png")
    ended = command("plan", str(small.write()))
    assert ended.code == 0
    assert "100,006" in ended.out


# --- files that vanish or change between the plan and the reading


def between(small: Small, then: str) -> None:
    photo = small.root / "photos/cats/a.png"
    if then == "vanishes":
        photo.unlink()
    if then == "changes":
        picture(77).save(photo)
    if then == "is cut":
        os.truncate(photo, 40)
    if then == "becomes a folder":
        photo.unlink()
        photo.mkdir()
    if then == "becomes a pipe":
        photo.unlink()
        os.mkfifo(photo)
    if then == "becomes a device":
        photo.unlink()
        photo.symlink_to("/dev/zero")


REASONS = {
    "vanishes": "can't be read (No such file or directory)",
    "changes": "this image has changed since planning",
    "is cut": "this image has changed since planning",
    "becomes a folder": "can't be read (not a regular file)",
    "becomes a pipe": "can't be read (not a regular file)",
    "becomes a device": "can't be read (not a regular file)",
}


@pytest.mark.parametrize("then", REASONS)
def test_a_photograph_that_is_another_once_it_is_read_fails_alone(small: Small, then: str) -> None:
    small.document["run"]["executor"] = "inline"
    assert go_after_planning(small, lambda: between(small, then)).exit_code == 3
    (reason,) = reasons(small).values()
    assert reason.startswith(f"photos/cats/a.png: {REASONS[then]}")
    assert [row["content"] for row in small.metadata().values()] == ["photos/dogs/b.png"]


# --- outputs stay in the output


def test_results_stay_where_the_output_is(small: Small, tmp_path: Path) -> None:
    small.pair["into"] = "../../elsewhere"
    ended = small.run()
    assert ended.code == 2
    assert "into" in ended.err
    del small.pair["into"]
    outside = tmp_path / "outside"
    outside.mkdir()
    (small.out / "images").mkdir(parents=True)
    (small.out / "images/cats").symlink_to(outside)
    ended = small.run()
    assert ended.code == 5
    assert "images/cats" in ended.err
    assert "a link" in ended.err
    assert list(outside.iterdir()) == []


def test_a_result_replaces_a_link_and_not_what_it_leads_to(small: Small, tmp_path: Path) -> None:
    precious = tmp_path / "precious.png"
    precious.write_bytes(b"precious")
    small.again()
    (row,) = (row for row in small.metadata().values() if "cats" in row["content"])
    file = small.out / row["file_name"]
    with Image.open(file) as image:
        made = np.asarray(image)
    file.unlink()
    file.symlink_to(precious)
    small.run()
    assert precious.read_bytes() == b"precious"
    if not file.is_symlink():
        with Image.open(file) as image:
            assert (np.asarray(image) == made).all()
