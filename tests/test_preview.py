"""A preview: some images spread over what there is, one sheet, and nothing recorded."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from runs import Small, command, contents, small_project

from stylebatch.images import decode
from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.pipeline import make_plan
from stylebatch.preview import choose
from stylebatch.sheets import Cell, contact_sheet


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Two pairs, two styles, two shapes."""
    small = small_project(tmp_path)
    small.photo("cats/wide.png", 3, 32, 16)
    small.pair["size_px"] = 32
    small.document["pairs"].append(small.pair | {"name": "two", "into": "two"})
    small.write()
    return small


def test_a_preview_makes_a_sheet_beside_the_output_and_records_nothing(small) -> None:
    ended = command("run", str(small.manifest), "--preview", "3")
    assert ended.code == 0, ended
    sheet = small.root / "out-preview.png"
    assert ended.out == f"3 images on one sheet: {sheet} (nothing was recorded as done)\n"
    assert not small.out.exists()
    with Image.open(sheet) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.height > 3 * 160
    assert len(small.again()) == 12


def test_a_preview_leaves_a_finished_output_as_it_is(small) -> None:
    small.again()
    before = contents(small.out)
    small.pair["steps"] = 2
    ended = small.run("--preview", "2")
    assert ended.code == 0
    assert contents(small.out) == before
    small.pair["steps"] = 3
    assert small.again() == set()


def test_a_preview_can_go_into_a_file_of_ones_own(small) -> None:
    target = small.root / "sheets/first.png"
    ended = command("run", str(small.manifest), "--preview", "1", "--sheet", str(target))
    assert ended.code == 0
    assert decode(target.read_bytes(), "sheet").rgb.any()
    assert not (small.root / "out-preview.png").exists()


def test_a_preview_never_writes_into_the_images(small) -> None:
    target = small.out / "images/sheet.png"
    ended = command("run", str(small.manifest), "--preview", "1", "--sheet", str(target))
    assert (ended.code, ended.out) == (2, "")
    assert "is inside the data set" in ended.err
    assert not target.exists()


def test_a_preview_shows_of_everything_something(small) -> None:
    small.document["pairs"][1]["styles"] = ["styles/t.png"]
    manifest = load_manifest(small.write())
    with Ledger.open(small.out / "ledger", read_only=True) as ledger:
        planned, _, _ = make_plan(manifest, ledger, redo=True)
        candidates = planned.spread(100)
    assert len(candidates) == len({job.output for job in candidates}) == 9
    two, four, eight, all_of_them = (choose(candidates, count) for count in (2, 4, 8, 100))
    assert len({job.pair for job in two}) == len({job.style for job in two}) == 2
    assert len({job.width for job in two}) == 2
    assert len({job.content for job in four}) == 3
    assert len({job.output for job in eight}) == 8
    assert {job.output for job in all_of_them} == {job.output for job in candidates}


def test_a_preview_goes_on_when_an_image_can_not_be_read(small) -> None:
    for path in small.root.glob("photos/dogs/*"):
        path.write_bytes(b"no image")
    ended = command("run", str(small.manifest), "--preview", "100")
    assert ended.code == 3
    assert "dogs/b-s.png: photos/dogs/b.png: no image that can be read" in ended.err
    assert "8 images on one sheet" in ended.out
    assert not small.out.exists()


def test_a_quiet_preview_says_nothing(small) -> None:
    ended = command("run", str(small.manifest), "--preview", "1", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (small.root / "out-preview.png").exists()


def test_a_contact_sheet_has_each_picture_in_its_place() -> None:
    red, blue = (decode(_plain(colour), "plain").rgb for colour in ((255, 0, 0), (0, 0, 255)))
    png = contact_sheet([[Cell(red, "a"), Cell(blue, "b\nsoft")]], ("one", "two"), 64)
    with Image.open(BytesIO(png)) as sheet:
        colours = {sheet.getpixel((x, sheet.height // 2)) for x in range(sheet.width)}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


def _plain(colour: tuple[int, int, int]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (20, 40), colour).save(buffer, "PNG")
    return buffer.getvalue()
