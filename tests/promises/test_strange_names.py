"""Names that are not UTF-8, pipes in the place of photographs, paths that can't be looked at."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.runs import Small, color_project

from stylebatch.device.content import ContentError
from stylebatch.device.planned_file import read_planned
from stylebatch.system.files import digest_bytes
from stylebatch.system.read_ahead import read_each

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux file names are bytes")


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return color_project(tmp_path)


def raw(folder: Path, name: bytes) -> Path:
    return Path(os.fsdecode(os.fsencode(folder) + b"/" + name))


def test_a_photograph_whose_name_is_not_utf8_is_made(small: Small) -> None:
    data = (small.root / "photos/cats/a.png").read_bytes()
    raw(small.root / "photos/cats", b"caf\xe9.png").write_bytes(data)
    assert len(small.again()) == 6
    rows = {row["content"]: row for row in small.metadata().values() if "caf" in row["content"]}
    (row,) = rows.values()
    assert row["content"] == r"photos/cats/caf\xe9.png"
    same = next(row for row in small.metadata().values() if row["content"] == "photos/cats/a.png")
    made, like = (
        np.asarray(Image.open(small.out / each["file_name"]))
        for each in (row, dict(same, style=row["style"]))
    )
    assert made.shape == like.shape
    assert small.again() == set(), "and is known again"


def test_a_class_whose_name_is_not_utf8_has_its_masks(small: Small) -> None:
    for folder in ("photos", "masks"):
        raw(small.root, folder.encode() + b"/f\xfcchse").mkdir(parents=True)
        Image.new("L", (16, 16), 255).save(raw(small.root, folder.encode() + b"/f\xfcchse/x.png"))
    small.pair["masks"] = "masks"
    small.pair["classes"] = [r"f\xfcchse"]
    small.pair["originals"] = "link"
    assert len(small.again()) == 3


def test_a_style_folder_whose_name_is_not_utf8_is_read(small: Small) -> None:
    data = (small.root / "styles/s.png").read_bytes()
    folder = raw(small.root / "styles", b"m\xf6wen")
    folder.mkdir()
    raw(folder, b"\xe9.png").write_bytes(data)
    assert len(small.again()) == 6
    small.pair["styles"] = ["styles/*/*.png"]
    small.run()
    assert {row["style"] for row in small.metadata().values()} == {r"styles/m\xf6wen/\xe9.png"}


@pytest.mark.parametrize("is_blend", [False, True])
def test_a_style_that_can_not_be_looked_at_is_told(small: Small, is_blend: bool) -> None:
    path = f"styles/{'a' * 300}.png"
    small.pair["styles"] = [{"name": "b", "blend": {path: 1}} if is_blend else path]
    ended = small.run()
    assert ended.code == 2
    assert "can't be read (File name too long" in ended.err or "[Errno 36]" in ended.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look everywhere")
@pytest.mark.parametrize("is_blend", [False, True])
def test_a_style_in_a_closed_folder_is_told(small: Small, is_blend: bool) -> None:
    path = "styles/s.png"
    small.pair["styles"] = [{"name": "b", "blend": {path: 1}} if is_blend else path]
    (small.root / "styles").chmod(0)
    ended = small.run()
    (small.root / "styles").chmod(0o755)
    assert ended.code == 2
    assert "Permission denied" in ended.err


def test_weights_whose_sum_is_infinite_are_refused(small: Small) -> None:
    blend = {"styles/s.png": 1e308, "styles/t.png": 1e308}
    small.pair["styles"] = [{"name": "b", "blend": blend}]
    ended = small.run()
    assert ended.code == 2
    assert "found weights whose sum is infinite; only their proportions count" in ended.err


def test_a_pipe_in_the_place_of_a_photograph_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"b")
    with pytest.raises(ContentError, match=r"^a\.png: can't be read \(not a regular file\)"):
        read_planned(tmp_path, "a.png", digest_bytes(b""), "image", ContentError)
    assert list(read_each(f"{tmp_path}/{name}.png" for name in "ab")) == [None, b"b"]
