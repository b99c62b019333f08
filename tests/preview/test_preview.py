"""A preview: some images spread over what there is, one sheet, and nothing recorded."""

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from support.runs import Small, command, contents, small_project

from stylebatch.ledger import Ledger
from stylebatch.manifest import SweepPoint, load_manifest
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.pictures.images import decode
from stylebatch.preview.preview import CELL_PX, choose, sheet_rows
from stylebatch.records import Job
from stylebatch.run import make_plan

pytestmark = pytest.mark.slow


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Two pairs, two styles, two shapes."""
    small = small_project(tmp_path)
    small.photo("cats/wide.png", 3, 32, 16)
    small.pair["size_px"] = 32
    small.document["pairs"].append(small.pair | {"name": "two", "into": "two"})
    small.write()
    return small


def test_a_preview_makes_a_sheet_beside_the_output_and_records_nothing(small: Small) -> None:
    ended = command("run", str(small.manifest), "--preview", "3")
    assert ended.code == 0, ended
    sheet = small.root / "out-preview.png"
    assert ended.out == f"3 images on one sheet: {sheet} (nothing was recorded as done)\n"
    assert not small.out.exists()
    with Image.open(sheet) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert image.height > 3 * 160
    assert len(small.again()) == 12


def test_a_preview_leaves_a_finished_output_as_it_is(small: Small) -> None:
    small.again()
    before = contents(small.out)
    small.pair["steps"] = 2
    ended = small.run("--preview", "2")
    assert ended.code == 0
    assert contents(small.out) == before
    small.pair["steps"] = 3
    assert small.again() == set()


def test_a_preview_can_go_into_a_file_of_ones_own(small: Small) -> None:
    target = small.root / "sheets/first.png"
    ended = command("run", str(small.manifest), "--preview", "1", "--sheet", str(target))
    assert ended.code == 0
    assert decode(target.read_bytes(), "sheet").rgb.any()
    assert not (small.root / "out-preview.png").exists()


def test_a_preview_never_writes_into_the_images(small: Small) -> None:
    target = small.out / "images/sheet.png"
    ended = command("run", str(small.manifest), "--preview", "1", "--sheet", str(target))
    assert (ended.code, ended.out) == (2, "")
    assert "is inside the data set" in ended.err
    assert not target.exists()


def test_a_preview_shows_of_everything_something(small: Small) -> None:
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


def test_a_preview_goes_on_when_an_image_can_not_be_read(small: Small) -> None:
    for path in small.root.glob("photos/dogs/*"):
        path.write_bytes(b"no image")
    ended = command("run", str(small.manifest), "--preview", "100")
    assert ended.code == 3
    assert "dogs/b-s.png: photos/dogs/b.png: no image: text" in ended.err
    assert "8 images on one sheet" in ended.out
    assert not small.out.exists()


def test_a_preview_by_processes_outlives_the_loops_first_look_at_the_time_left(
    small: Small,
) -> None:
    """Once a second it is told; a process that imports torch takes longer to be there."""
    small.document["run"]["executor"] = "local"
    small.pair["override"] |= {"steps": 400, "tolerance": 0}
    small.pair.pop("steps", None)
    ended = command("run", str(small.write()), "--preview", "2")
    assert ended.code == 0, ended.err
    assert "2 images" in ended.out


def test_a_quiet_preview_says_nothing(small: Small) -> None:
    ended = command("run", str(small.manifest), "--preview", "1", "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")
    assert (small.root / "out-preview.png").exists()


@pytest.fixture
def swept(small: Small) -> Small:
    """A plain pair, and one with five points of two entries."""
    small.document["pairs"][1]["sweep"] = [{"steps": [1, 2, 3]}, {"tv_weight": [0, 1]}]
    small.write()
    return small


def points_of(swept: Small) -> dict[str, SweepPoint]:
    manifest = load_manifest(swept.manifest)
    return {pair.name: pair.point for pair in manifest.pairs if pair.point}


def candidates_of(swept: Small) -> list[Job]:
    with Ledger.open(swept.out / "ledger", read_only=True) as ledger:
        planned, _, _ = make_plan(load_manifest(swept.manifest), ledger, redo=True)
        return planned.spread(100)


POINTS = ["two:steps=1", "two:steps=2", "two:steps=3", "two:tv_weight=0", "two:tv_weight=1"]


def test_a_preview_of_a_sweep_shows_each_point_for_the_same_content_and_style(swept: Small) -> None:
    del swept.document["pairs"][0]
    swept.write()
    candidates, points = candidates_of(swept), points_of(swept)
    assert len(candidates) == 5 * 3 * 2
    five, ten = choose(candidates, 5, points), choose(candidates, 10, points)
    assert [job.pair for job in five] == POINTS
    assert len({(job.content, job.style) for job in five}) == 1
    assert [job.pair for job in ten] == POINTS * 2
    assert len({job.content for job in ten}) == len({job.style for job in ten}) == 2
    assert [job.pair for job in choose(candidates, 7, points)] in (
        [*POINTS, *POINTS[:2]],
        [*POINTS[:2], *POINTS],
    )


def test_a_preview_takes_a_sweep_for_one_pair_among_others(swept: Small) -> None:
    chosen = choose(candidates_of(swept), 6, points_of(swept))
    assert [job.pair for job in chosen] == ["all", *POINTS]


def test_a_sheet_has_a_row_for_each_entry_of_a_sweep(swept: Small) -> None:
    points = points_of(swept)
    rows = sheet_rows(choose(candidates_of(swept), 6, points), points)
    assert [[job.pair for job in row] for row in rows] == [["all"], POINTS[:3], POINTS[3:]]
    assert all(len({(job.content, job.style) for job in row}) == 1 for row in rows)


def test_the_sheet_of_a_sweep_has_as_many_columns_as_its_longest_entry(swept: Small) -> None:
    ended = swept.run("--preview", "6")
    assert (ended.code, ended.out.split(":")[0]) == (0, "6 images on one sheet")
    with Image.open(swept.root / "out-preview.png") as sheet:
        columns = (sheet.width - CELL_PX // 16) / (CELL_PX + CELL_PX // 16)
    assert columns == 5  # content, style and three points
    assert not swept.out.exists()


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
