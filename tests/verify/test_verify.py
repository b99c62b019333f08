"""`stylebatch verify`: whatever is otherwise than it was written is found, and nothing else is."""

import importlib.util
import json
import os
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.drawn import Drawn
from support.paths import ROOT
from support.runs import (
    COMMAND,
    PATIENCE_S,
    Small,
    color_project,
    command,
    contents,
    end,
    lines,
    run_process,
    small_project,
    start,
)

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE
from stylebatch.verify import KINDS


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Six images: of two photographs, each with two styles and itself."""
    small = color_project(tmp_path)
    small.pair["originals"] = "copy"
    assert len(small.again()) == 6
    return small


@pytest.fixture(scope="module")
def optimised(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Four images with loss logs; not to be changed."""
    small = small_project(tmp_path_factory.mktemp("optimised"))
    assert small.run().code == 0
    return small


def copied(small: Small, root: Path) -> Small:
    shutil.copytree(small.root, root, dirs_exist_ok=True)
    other = Small(root)
    other.pair |= small.pair
    other.document = {**small.document, "pairs": [other.pair]}
    return other


def verify(small: Small, *options: str) -> dict[str, Any]:
    ended = command("verify", str(small.out), "--json", *options)
    found: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (3 if found["differences"] else 0), ended
    return found


def kinds(small: Small, *options: str) -> set[tuple[str, str]]:
    return {(each["kind"], each["path"]) for each in verify(small, *options)["differences"]}


def flip(path: Path, at: int = -20) -> None:
    """Change one bit of a file: its size stays, and here its time too."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_an_output_as_it_was_written_has_no_differences(small: Small) -> None:
    before = contents(small.out)
    found = verify(small)
    assert found["differences"] == []
    assert found["images"] == 6
    assert found["bytes"] == sum(map(len, small.images().values()))
    assert contents(small.out) == before
    ended = command("verify", str(small.manifest))
    assert ended.code == 0
    assert "6 images" in ended.out
    assert "all is as it was written" in ended.out


def test_one_bit_is_found_and_made_again(small: Small) -> None:
    path = small.out / "images/cats/a-s.png"
    sound = small.images()
    flip(path, len(path.read_bytes()) // 2)
    damaged = path.read_bytes()
    # To a run it is as it was: the size is.
    assert small.again() == set()
    ((kind, where),) = kinds(small)
    assert (kind, where) == ("unreadable", "images/cats/a-s.png")
    ended = command("verify", str(small.out), "--repair")
    assert ended.code == 3
    assert "1 image to be made again by the next run" in ended.out
    assert path.read_bytes() == damaged
    assert small.again() == {"cats/a-s.png"}
    assert small.images() == sound
    assert kinds(small) == set()
    (kept,) = (small.out / ".stylebatch/stale").glob("*/images/cats/a-s.png")
    assert kept.read_bytes() == damaged


def test_a_retouched_image_is_told_from_a_damaged_one(small: Small) -> None:
    path = small.out / "images/cats/a-s.png"
    Image.new("RGB", (16, 16), "red").save(path)
    (found,) = verify(small)["differences"]
    assert found["kind"] == "changed"
    assert "readable" in found["found"]


def test_a_missing_image_is_found_and_leaves_the_records(small: Small) -> None:
    (small.out / "images/dogs/b-t.png").unlink()
    assert kinds(small) == {
        ("missing", "images/dogs/b-t.png"),
        ("records", "images/metadata.jsonl"),
    }
    verify(small, "--repair")
    assert "dogs/b-t.png" not in small.metadata()
    assert kinds(small) == set()
    assert small.again() == {"dogs/b-t.png"}
    assert kinds(small) == set()


def test_other_peoples_images_are_told_of_and_stay(small: Small) -> None:
    own = small.out / "images/cats/own.png"
    own.write_bytes(b"mine")
    assert kinds(small) == {("extra", "images/cats/own.png")}
    verify(small, "--repair")
    assert own.read_bytes() == b"mine"
    assert kinds(small) == {("extra", "images/cats/own.png")}


def test_an_image_that_can_not_be_opened_is_unreadable(small: Small) -> None:
    path = small.out / "images/cats/a-s.png"
    path.unlink()
    path.mkdir()
    assert ("unreadable", "images/cats/a-s.png") in kinds(small)


def test_quick_goes_by_sizes(small: Small) -> None:
    flip(small.out / "images/cats/a-s.png")
    assert kinds(small, "--quick") == set()
    with (small.out / "images/cats/a-t.png").open("ab") as file:
        file.write(b"x")
    found = verify(small, "--quick")
    assert {each["path"] for each in found["differences"]} == {"images/cats/a-t.png"}
    assert found["bytes"] == 0


def test_images_from_before_digests_are_looked_into(small: Small) -> None:
    ledger = small.out / ".stylebatch/ledger.sqlite"
    with closing(sqlite3.connect(ledger)) as connection, connection:
        for folder, name, text in connection.execute("SELECT * FROM facts").fetchall():
            facts = json.loads(text)
            del facts["digest"]
            row = (json.dumps(facts), folder, name)
            connection.execute("UPDATE facts SET json = ? WHERE folder = ? AND name = ?", row)
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'changes'")
    assert small.again() == set()
    assert kinds(small) == set()
    path = small.out / "images/cats/a-s.png"
    flip(path, path.stat().st_size // 2)
    assert kinds(small) == {("unreadable", "images/cats/a-s.png")}


# What becomes of the records, and what is found.


def _edited(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    path.write_text(path.read_text().replace('"label": "cats"', '"label": "lions"'))


def _cut(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    path.write_bytes(path.read_bytes()[:-100])


def _gone(small: Small) -> None:
    (small.out / "metadata.jsonl").unlink()


def _twice(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    path.write_bytes(path.read_bytes() * 2)


def _another_line(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    line = path.read_text().splitlines()[0].replace("cats/a", "cats/z")
    path.write_text(path.read_text() + line + "\n")


def _no_settings(small: Small) -> None:
    (small.out / "settings.json").write_text("{}")


def _broken_settings(small: Small) -> None:
    (small.out / "settings.json").write_text("{")


def _failure(small: Small) -> None:
    row = {"file_name": "images/cats/a-s.png", "pair": "all", "content": "x", "reason": "y"}
    (small.out / "failures.jsonl").write_text(json.dumps(row) + "\n")


def _short_table(small: Small) -> None:
    path = small.out / "images/metadata.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")


def _no_table(small: Small) -> None:
    (small.out / "images/metadata.jsonl").unlink()


@pytest.mark.parametrize(
    "change",
    [
        *(_edited, _cut, _gone, _twice, _another_line, _no_settings, _broken_settings),
        *(_failure, _short_table, _no_table),
    ],
    ids=lambda each: each.__name__,
)
def test_records_that_tell_otherwise_are_found_and_written_anew(
    small: Small, change: Callable[[Small], None]
) -> None:
    names = ("metadata.jsonl", "settings.json", "images/metadata.jsonl")
    before = {name: (small.out / name).read_bytes() for name in names}
    change(small)
    found = verify(small)
    assert found["counts"].keys() == {"records"}
    ended = command("verify", str(small.out), "--repair")
    assert "the records are written anew" in ended.out
    assert verify(small)["differences"] == []
    assert {name: (small.out / name).read_bytes() for name in names} == before
    assert not (small.out / "failures.jsonl").exists()


def test_what_a_line_tells_otherwise_is_named(small: Small) -> None:
    _edited(small)
    found = verify(small)["differences"]
    of_cats = {f"metadata.jsonl: images/{path}" for path in small.images() if "cats" in path}
    assert {each["path"] for each in found} == of_cats
    assert {each["found"] for each in found} == {"told otherwise than in the ledger: label"}


# Loss logs


def _of(small: Small, output: str) -> Path:
    return small.out / "losses" / output.replace(".png", ".csv")


def _drop_row(text: str) -> str:
    return "\n".join(text.splitlines()[:-1]) + "\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-3],
        lambda text: text.replace("total", "sum"),
        _drop_row,
        lambda text: text + text.splitlines()[-1] + "\n",
        lambda text: text.replace("2,", "two,"),
        lambda text: text + "9,9\n",
        # Every loss twice as high: it is not of this image.
        lambda text: "".join(
            line
            if not number
            else ",".join(
                f"{2 * float(cell):.9g}" if 2 <= column <= 5 else cell
                for column, cell in enumerate(line.split(","))
            )
            for number, line in enumerate(text.splitlines(keepends=True))
        ),
    ],
    ids=["empty", "cut", "header", "short", "long", "words", "columns", "another"],
)
def test_a_loss_log_that_does_not_fit_is_found(
    optimised: Small, tmp_path: Path, change: Callable[[str], str]
) -> None:
    small = copied(optimised, tmp_path)
    assert verify(small)["loss_logs"] == 4
    path = _of(small, "cats/a-s.png")
    path.write_text(change(path.read_text()))
    assert kinds(small) == {("loss log", "losses/cats/a-s.csv")}


@pytest.mark.slow
def test_a_missing_loss_log_is_made_again_with_its_image(optimised: Small, tmp_path: Path) -> None:
    small = copied(optimised, tmp_path)
    _of(small, "cats/a-s.png").unlink()
    assert kinds(small) == {("loss log", "losses/cats/a-s.csv")}
    before = small.images()
    verify(small, "--repair")
    assert small.again() == {"cats/a-s.png"}
    assert small.images() == before
    assert kinds(small) == set()


@pytest.mark.slow
@pytest.mark.parametrize("losses", ["none", "parquet"])
def test_other_ways_of_losses_are_known(tmp_path: Path, losses: str) -> None:
    if losses == "parquet" and importlib.util.find_spec("pyarrow") is None:
        pytest.skip("needs pyarrow")
    small = small_project(tmp_path)
    # Some with a file each, the others otherwise.
    assert small.run("--limit", "2").code == 0
    small.document["run"]["losses"] = losses
    assert small.run().code == 0
    found = verify(small)
    assert found["differences"] == []
    assert found["loss_logs"] == (2 if losses == "none" else 4)
    first, second = (small.out / "losses").rglob("*.csv")
    first.unlink()
    assert len(verify(small)["differences"]) == 1
    if losses == "none":
        # As it was before an image told of `none`, or the user wants none.
        second.unlink()
        found = verify(small)
        assert found["differences"] == []
        assert "no loss logs at all" in " ".join(found["notes"])
    for table in (small.out / "losses").glob("*.parquet"):
        table.write_bytes(table.read_bytes()[:-9])
        assert len(verify(small)["differences"]) == 3
        table.unlink()
        found = verify(small)
        assert {each["found"].partition(" (")[0] for each in found["differences"]} == {
            "it is not there"
        }


# Annotations, splits


def test_annotations_that_are_missing_or_changed_are_found(tmp_path: Path) -> None:
    drawn = Drawn(tmp_path, (1, 2))
    drawn.write_yolo()
    small = drawn.small
    del small.pair["steps"], small.pair["override"], small.pair["size_px"]
    small.pair["recipe"] = "color-transfer"
    assert small.run().code == 0
    found = verify(small)
    assert found["differences"] == []
    assert found["annotations"] > 1
    labels = sorted((small.out / "labels").rglob("*.txt"))
    first, second = (path.relative_to(small.out).as_posix() for path in labels[:2])
    flip(small.out / first)
    (small.out / second).unlink()
    assert kinds(small) == {("annotation", first), ("annotation", second)}
    verify(small, "--repair")
    small.run()
    # What somebody has changed is theirs.
    assert kinds(small) == {("annotation", first)}


def test_a_photograph_on_both_sides_of_a_split_is_found(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    small.remove_photo("cats/a.png")
    small.remove_photo("dogs/b.png")
    for path, number in (("train/cats/a.png", 1), ("val/cats/b.png", 2), ("val/dogs/c.png", 3)):
        small.photo(path, number)
    small.pair["split"] = "folders"
    small.pair["originals"] = "copy"
    assert small.run().code == 0
    assert kinds(small) == set()
    # The same bytes under another name.
    small.photo("val/cats/again.png", 1)
    small.run()
    (found,) = verify(small)["differences"]
    assert found["kind"] == "split"
    assert "train: photos/train/cats/a.png" in found["found"]
    assert "val: photos/val/cats/again.png" in found["found"]


# Beside runs


def test_what_a_killed_run_did_not_record_is_told_of(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    environment = os.environ | {ENVIRONMENT_VARIABLE: "folders-synced"}
    asked = [*COMMAND, "run", str(small.manifest)]
    ended = subprocess.run(asked, env=environment, capture_output=True, timeout=PATIENCE_S)
    assert ended.returncode not in (0, 2)
    made = set(small.images())
    assert made
    found = verify(small)["differences"]
    assert {
        each["path"].removeprefix("images/") for each in found if each["kind"] != "records"
    } == {*made}
    assert {each["kind"] for each in found} == {"unrecorded", "records"}
    assert small.run().code == 0
    assert kinds(small) == set()


def test_a_run_that_goes_on_makes_no_differences(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    for number in range(120):
        small.photo(f"cats/{number}.png", number, 96, 96)
    small.write()
    process = start("run", "--quiet", str(small.manifest))
    differences, notes = list[Any](), Counter[str]()
    while process.poll() is None:
        if (small.out / ".stylebatch/ledger.sqlite").exists():
            found = json.loads(command("verify", str(small.out), "--json").out)
            differences += found["differences"]
            notes.update(found["notes"])
    assert end(process).code == 0
    assert differences == []
    assert any("a run goes on" in note for note in notes)
    assert kinds(small) == set()


def test_a_repair_needs_the_output_for_itself(small: Small) -> None:
    code = f"""
import sys
from pathlib import Path
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
with OutputLock(Dataset(Path({str(small.out)!r})), "other", lambda: None):
    print("held", flush=True)
    sys.stdin.read()
"""
    asked = [*COMMAND[:2], code]
    with subprocess.Popen(asked, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert command("verify", str(small.out), "--repair").code == 10
        assert verify(small)["notes"]
        assert holder.stdin is not None
        holder.stdin.close()


def test_shards_are_looked_at_together(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    for number in range(8):
        small.photo(f"cats/{number}.png", number)
    small.write()
    for shard in ("0/2", "1/2"):
        assert small.run("--shard", shard).code == 0
    found = verify(small)
    assert found["differences"] == []
    assert found["images"] == len(small.images())
    assert "merge" in " ".join(found["notes"])
    assert command("verify", str(small.out), "--repair").code == 2
    flip(small.out / "images" / next(iter(small.images())))
    assert len(verify(small)["differences"]) == 1


def test_long_lists_are_cut_and_all_has_all(small: Small, tmp_path: Path) -> None:
    for number in range(30):
        (small.out / f"images/cats/x{number}.png").write_bytes(b"x")
    short, whole = (command("verify", str(small.out), *more) for more in ([], ["--all"]))
    assert short.out.count("images/cats/x") == 20
    assert "and 10 more" in short.out
    assert whole.out.count("images/cats/x") == 30


def test_without_a_ledger_it_is_refused(tmp_path: Path) -> None:
    ended = command("verify", str(tmp_path))
    assert ended.code == 2
    assert "no run has written there yet" in ended.err


def test_it_needs_no_torch(small: Small) -> None:
    code = f"""
import contextlib, io, sys
from stylebatch.cli import main
sys.argv = ["stylebatch", "verify", {str(small.out)!r}]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
print(sorted({{"torch", "torchvision"}} & sys.modules.keys()))
"""
    assert run_process(code) == (0, "[]\n", "")


def test_names_that_are_no_utf8_and_lines_of_the_metadata(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    odd = os.fsencode(small.root / "photos/cats") + b"/odd\xff.png"
    shutil.copyfile(small.photo("cats/a.png", 1), odd)
    assert small.run().code == 0
    assert len(lines(small.out / "metadata.jsonl")) == 6
    assert kinds(small) == set()


def test_the_docs_tell_of_each_kind() -> None:
    text = (ROOT / "docs/output.md").read_text(encoding="utf-8")
    section = text.partition("## Verifying")[2].partition("\n## ")[0]
    assert tuple(re.findall(r"^\| `([\w ]+)` \|", section, re.MULTILINE)) == tuple(KINDS)
