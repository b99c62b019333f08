"""Records that somebody has edited: set aside and said, never lost, and never ours by mistake."""

import os
import subprocess
from pathlib import Path

import pytest
from support.runs import COMMAND, PATIENCE_S, Small, color_project, command

from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

EDITED = ("metadata.jsonl", "settings.json", "failures.jsonl")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = color_project(tmp_path)
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    assert small.run().code == 3
    return small


def aside(small: Small) -> dict[str, bytes]:
    found = (small.out / ".stylebatch/stale").glob("*/*.json*")
    return {path.name: path.read_bytes() for path in found}


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_record_is_set_aside_before_it_is_written_anew(small: Small, name: str) -> None:
    path = small.out / name
    edited = path.read_bytes().replace(b"cats", b"lions").replace(b"stylebatch", b"mine")
    path.write_bytes(edited)
    # Nothing has changed: nothing is written, and the edit stays.
    assert small.run().code == 3
    assert path.read_bytes() == edited
    assert aside(small) == {}
    small.photo("dogs/new.png", 9)
    ended = small.run()
    assert ended.code == 3
    assert aside(small) == {name: edited}
    assert path.read_bytes() != edited
    (warning,) = (each for each in small.summary()["warnings"] if "edited" in each)
    assert warning.startswith(f"{name} was edited since it was written: as it was then it lies in ")
    lies = warning.rpartition(" ")[2]
    assert (small.out / lies).read_bytes() == edited
    assert "warning" in ended.err


def test_what_was_not_edited_is_replaced_in_silence(small: Small) -> None:
    small.photo("dogs/new.png", 9)
    assert small.run().code == 3
    (small.out / "failures.jsonl").unlink()
    small.photo("dogs/newer.png", 10)
    ended = small.run()
    assert aside(small) == {}
    assert "was edited" not in str(small.summary()["warnings"]) + ended.err


def test_the_command_that_writes_records_sets_them_aside_as_well(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    path.write_bytes(path.read_bytes() + b"{}\n")
    edited = path.read_bytes()
    assert command("metadata", str(small.out)).code == 0
    assert aside(small) == {path.name: edited}
    assert path.read_bytes() == edited[:-3]


@pytest.mark.parametrize("point", ["metadata-written", "settings-written", "card-written"])
def test_what_a_kill_leaves_is_nobodys_edit(small: Small, point: str) -> None:
    small.photo("dogs/new.png", 9)
    environment = os.environ | {ENVIRONMENT_VARIABLE: point}
    asked = [*COMMAND, "run", str(small.manifest)]
    subprocess.run(asked, env=environment, capture_output=True, timeout=PATIENCE_S)
    small.photo("dogs/newer.png", 10)
    assert small.run().code == 3
    assert aside(small) == {}
