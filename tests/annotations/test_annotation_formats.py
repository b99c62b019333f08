"""Each format by itself: what is read, brought to a result and refused."""

import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image
from support.drawn import runs

from stylebatch.annotations import coco, csv_table, rle, segmentation, voc, yolo
from stylebatch.annotations.findings import MalformedError
from stylebatch.annotations.geometry import Geometry, GeometryError

SAME = Geometry(60, 40, (60, 40), False, lambda: 1)
# 60 × 40 covers it as 30 × 20, of which 5 px go at either side.
CUT = Geometry(60, 40, (20, 20), True, lambda: 1)
HALF = Geometry(60, 40, (30, 20), False, lambda: 1)

MASKS = st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.integers(0, 1))
)


@settings(deadline=None)
@given(MASKS)
def test_run_lengths_are_those_of_coco(mask: NDArray[np.uint8]) -> None:
    height, width = mask.shape
    counts = rle.encode(mask)
    assert counts == runs(mask == 1)["counts"]
    assert np.array_equal(rle.decode(counts, width, height), mask)
    assert np.array_equal(rle.decode(rle.pack(counts), width, height), mask)


@settings(deadline=None)
@given(MASKS)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_packed_run_lengths_are_those_of_pycocotools(mask: NDArray[np.uint8]) -> None:
    tools = pytest.importorskip("pycocotools.mask")
    packed = tools.encode(np.asfortranarray(mask))["counts"].decode()
    assert rle.pack(rle.encode(mask)) == packed
    assert np.array_equal(rle.decode(packed, mask.shape[1], mask.shape[0]), mask)


def test_packed_run_lengths_that_are_long() -> None:
    counts = [0, 5, 1000, 3, 70000, 40, 1]
    width = sum(counts)
    assert np.array_equal(
        rle.decode(rle.pack(counts), width, 1)[0], np.repeat([0, 1, 0, 1, 0, 1, 0], counts)
    )


@pytest.mark.parametrize("counts", [[1, 2], [-1, 7], "", "0", "\x00", [2.5, 3.5]])
def test_run_lengths_that_are_none_are_refused(counts: list[int] | str) -> None:
    with pytest.raises(MalformedError, match="run lengths"):
        rle.decode(counts, 2, 3)


SHARES = st.floats(0.01, 0.99)


@given(st.lists(st.tuples(st.integers(0, 6), SHARES, SHARES, st.floats(0.01, 0.5)), max_size=5))
def test_yolo_is_as_it_was_where_nothing_is_cut(
    rows: list[tuple[int, float, float, float]],
) -> None:
    text = "".join(
        f"{number} {x:.5f} {y:.5f} {min(s, 2 * x, 2 - 2 * x):.5f} {min(s, 2 * y, 2 - 2 * y):.5f}\n"
        for number, x, y, s in rows
    )
    made = yolo.convert(text.encode(), HALF, yolo.Told())
    assert (made.data, made.problems) == (text.encode(), [])
    cut = yolo.convert(text.encode(), CUT, yolo.Told())
    assert cut.problems == []
    assert cut.counts["objects"] == len(rows)
    assert len(cut.data.splitlines()) == len(rows) - cut.counts["dropped"]
    # What comes out can go in.
    assert yolo.convert(cut.data, SAME, yolo.Told()).problems == []


def test_yolo_s_polygons_and_keypoints_are_cut() -> None:
    text = b"3 0.5 0.25 0.75 0.75 0.25 0.75\n3 0 0 0.1 0 0.1 0.1\n"
    made = yolo.convert(text, CUT, yolo.Told())
    assert made.data == b"3 0.500000 0.250000 0.875000 0.750000 0.125000 0.750000\n"
    assert (made.counts["dropped"], made.counts["objects"]) == (1, 2)
    posed = b"0 0.5 0.5 1 1 0.5 0.25 2 0.01 0.5 1 0.9 0.9 0\n"
    made = yolo.convert(posed, CUT, yolo.Told((3, 3)))
    numbers = [float(word) for word in made.data.split()]
    assert numbers == [0, 0.5, 0.5, 1, 1, 0.5, 0.25, 2, 0, 0, 0, 0, 0, 0]
    assert (
        yolo.convert(posed, SAME, yolo.Told((2, 3)))
        .problems[0]
        .reason.startswith("14 values; allowed")
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", None),
        ("0 0.5 0.5 0.2 0.2", None),
        ("0 0.999999 0.5 0.000004 0.2", None),
        ("0 0.5 0.5 0.2", "4 values"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 values"),
        ("-1 0.5 0.5 0.2 0.2", "the class is '-1'"),
        ("cat 0.5 0.5 0.2 0.2", "the class is 'cat'"),
        ("0 0.5 0.5 0.2 a", "no number"),
        ("0 0.5 0.5 nan 0.2", "outside"),
        ("0 30 20 10 10", "outside"),
        ("1.0 0.5 0.5 1.005 0.2", None),
        ("0 -0.02 0.5 0.1 0.2", "outside"),
        ("0 inf 0.5 0.1 0.2", "outside"),
        ("7 0.5 0.5 0.2 0.2", "the class is 7; data.yaml has 7 class names"),
        ("0 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.5 0.1 0.5 0.5", "boxes and polygons"),
        ("0 0.5 0.5 0 0.2", "without extent"),
        ("0 0.9 0.5 0.5 0.2", "reaches outside"),
    ],
)
def test_lines_of_yolo_are_looked_at(line: str, reason: str | None) -> None:
    problems = yolo.convert(f"\n{line}\n".encode(), SAME, yolo.Told(None, 7)).problems
    if reason is None:
        assert problems == []
    else:
        assert problems[0].line == 2 + line.count("\n")
        assert reason in problems[0].reason


VOC = """<annotation verified="yes"><filename>a.jpg</filename>
<source><database>mine</database></source><!-- kept -->
<object><name>cat</name><pose>left</pose><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax>
<ymax>{}</ymax></bndbox>{}</object></annotation>"""


def voc_of(data: bytes) -> ElementTree.Element:
    return ElementTree.fromstring(data)


def test_voc_keeps_what_it_does_not_know_and_counts_pixels_from_1() -> None:
    made = voc.convert(VOC.format(1, 1, 60, 40, "").encode(), HALF, "images/x/b.png")
    root = voc_of(made.data)
    assert root.get("verified") == "yes"
    assert root.findtext("source/database") == "mine"
    assert b"<!-- kept -->" in made.data
    assert root.findtext("object/pose") == "left"
    assert root.find("path") is None
    edges = [root.findtext(f"object/bndbox/{name}") for name in voc.EDGES]
    assert edges == ["1", "1", "30", "20"]
    assert [root.findtext(f"size/{name}") for name in ("width", "height", "depth")] == [
        *("30", "20", "3")
    ]
    made = voc.convert(VOC.format("1.5", 1, 60, 40, "").encode(), HALF, "images/b.png")
    assert voc_of(made.data).findtext("object/bndbox/xmin") == "1.25"


def test_voc_s_parts_polygons_and_points_go_along() -> None:
    more = (
        "<part><name>head</name><bndbox><xmin>21</xmin><ymin>11</ymin><xmax>40</xmax>"
        "<ymax>30</ymax></bndbox></part><polygon><x1>20</x1><y1>10</y1><x2>40</x2><y2>10</y2>"
        "<x3>40</x3><y3>30</y3></polygon><point><x>31</x><y>21</y></point><truncated>0</truncated>"
    )
    root = voc_of(voc.convert(VOC.format(1, 1, 60, 40, more).encode(), CUT, "images/b.png").data)
    entry = root.find("object")
    assert entry is not None
    assert [entry.findtext(f"part/bndbox/{name}") for name in voc.EDGES] == ["6", "6", "15", "15"]
    assert [entry.findtext(f"polygon/{name}") for name in ("x1", "y1", "x3", "y3")] == [
        *("5", "5", "15", "15")
    ]
    assert entry.findtext("truncated") == "1"
    assert (entry.findtext("point/x"), entry.findtext("point/y")) == ("11", "11")


def test_voc_s_turned_boxes_stay_only_where_nothing_moves() -> None:
    turned = VOC.format(1, 1, 60, 40, "<robndbox><cx>3</cx></robndbox>").encode()
    assert voc.convert(turned, SAME, "images/b.png").problems == []
    (problem,) = voc.convert(turned, HALF, "images/b.png").problems
    assert "robndbox" in problem.reason
    assert problem.line == 4


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("<annotation>\n<object>\n</annotation>", 3, "no XML"),
        ("", 1, "no XML"),
        ("<x/>", 1, "holds <x>"),
        ("<annotation>\n<size><width>3</width></size></annotation>", 2, "no <height>"),
        ('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation/>', None, "entities"),
    ],
)
def test_files_that_are_no_voc_are_refused(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        voc.convert(text.encode(), SAME, "images/b.png")
    assert caught.value.problem.line == line


DOCUMENT = {
    "info": {"images": "no list, and no section"},
    "categories": [{"id": 1, "name": "a"}],
    "images": [
        {"id": 1, "file_name": "a.png", "width": 60, "height": 40},
        {"id": 1, "file_name": "b.png", "width": 60, "height": 40},
        {"id": 2, "width": 60, "height": 40},
        {"id": 3, "file_name": "c.png"},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 60, 40]},
        {"id": 2, "image_id": 9, "category_id": 1},
        {"id": 3, "image_id": 1, "category_id": 2},
        {"id": 4, "image_id": 1, "category_id": 1, "bbox": [0, 0, 70, 40]},
        {"id": 5, "image_id": 1, "category_id": [], "bbox": [0, 0, 60, 40]},
        {"id": 6, "image_id": 1, "category_id": 1, "segmentation": [[1, 2, 3]]},
        {"id": 7, "image_id": 1, "category_id": 1, "segmentation": {"size": [40, 60]}},
        {"id": 8, "image_id": 1, "category_id": 1, "keypoints": [1, 2]},
        {"id": 9, "image_id": 1, "segments_info": []},
        {"id": 10, "image_id": 1, "caption": "a cat", "area": float("nan")},
    ],
}


def test_entries_of_coco_are_looked_at() -> None:
    document = coco.read(json.dumps(DOCUMENT).encode())
    found = {(section, index): reason for section, index, reason in document.problems}
    assert found.keys() == {
        *(("images", index) for index in range(1, 4)),
        *(("annotations", index) for index in range(1, 10)),
    }
    assert list(document.images) == [0]
    assert [each["id"] for each in document.annotations[1]] == [1]
    assert "outside of an image of 60×40" in found["annotations", 3]
    assert "panoptic" in found["annotations", 8]


@pytest.mark.parametrize("text", ["[]", '{"images": 3}', "{}", "[" * 100_000, '{"a": }'])
def test_files_that_are_no_coco_are_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        coco.read(text.encode())


@pytest.mark.parametrize("indent", [None, 1])
def test_entries_of_coco_have_their_lines(indent: int | None) -> None:
    text = json.dumps(DOCUMENT, indent=indent)
    for section in ("images", "annotations"):
        told = coco.lines_of(text, section)
        assert len(told) == len(DOCUMENT[section])
        if indent is None:
            assert set(told) == {1}
            continue
        # Where a section's entries begin: braces alone on their line, two spaces in.
        lines = text.splitlines()
        start = next(n for n, line in enumerate(lines) if line.startswith(f' "{section}": ['))
        expected = [n + 1 for n in range(start, len(lines)) if lines[n] == "  {"]
        assert told == expected[: len(told)]


def test_coco_is_as_it_was_where_nothing_moves_and_brought_along_elsewhere() -> None:
    entry = {
        "id": 1,
        "image_id": 1,
        "bbox": [0, 0, 20, 40],
        "area": 400.0,
        "keypoints": [15, 10, 2, 1, 1, 2, 30, 20, 0],
        "num_keypoints": 2,
        "attributes": {"x": 1},
    }
    assert coco.place(entry, SAME.placement()) == (entry, False)
    placed, is_cut = coco.place(entry, CUT.placement())
    assert is_cut
    assert placed == {
        **entry,
        "bbox": [0, 0, 5, 20],
        # Half of its box is left, in pixels half as long.
        "area": 50.0,
        "keypoints": [2.25, 4.75, 2, 0, 0, 0, 0, 0, 0],
        "num_keypoints": 1,
    }
    assert coco.place({"bbox": [0, 0, 5, 5]}, CUT.placement()) == (None, True)
    assert coco.place({"caption": "a cat"}, CUT.placement()) == ({"caption": "a cat"}, False)


def test_tables_find_their_columns() -> None:
    text = "\ufeffImage_ID;label;xmin;ymin;xmax;ymax\na.png;cat;0;0;60;40\nb.png;;;;;\n"
    table = csv_table.read(text.encode(), "", ())
    assert (table.image, table.box, table.size) == (
        "Image_ID",
        ("xmin", "ymin", "xmax", "ymax"),
        (),
    )
    (_, first), (line, second) = table.rows
    assert line == 3
    placed, is_cut = csv_table.place(table, first, (60, 40), CUT.placement())
    assert placed == {**first, "xmax": "20", "ymax": "20"}
    assert is_cut
    assert csv_table.place(table, second, (60, 40), CUT.placement()) == (second, False)
    made = list(csv_table.lines(table.columns, iter([second, {"label": "a;b"}]), ";"))
    assert made == ["Image_ID;label;xmin;ymin;xmax;ymax", "b.png;;;;;", ';"a;b";;;;']


def test_places_that_are_not_understood_are_refused_where_they_would_move() -> None:
    table = csv_table.read(b"file,x,y,w,h\na.png,1,2,3,4\n", "", ())
    (_, row) = table.rows[0]
    assert csv_table.place(table, row, (60, 40), SAME.placement()) == (row, False)
    with pytest.raises(GeometryError, match="column 'x' may tell places"):
        csv_table.place(table, row, (60, 40), HALF.placement())
    named = csv_table.read(b"file,a,b,c,d\na.png,10,20,30.5,40\n", "", tuple("abcd"))
    placed, _ = csv_table.place(named, named.rows[0][1], (60, 40), HALF.placement())
    assert placed == {"file": "a.png", "a": "5", "b": "10", "c": "15.25", "d": "20"}


@pytest.mark.parametrize(
    ("text", "image", "box", "line", "reason"),
    [
        ("/x/a.png,1,2,3,4,cat\n", "", (), 1, "no column that names images"),
        ("a,b\n", "c", (), 1, "no column 'c'; it has a, b"),
        ("file,b\n", "", tuple("bcde"), 1, "no column 'c'"),
        ("file,b,b\n", "", (), 1, "two columns"),
        ("file,b\na.png,1,2\n", "", (), 2, "3 cells"),
        ('file,b\na.png,"1\n', "", (), 2, "no CSV"),
    ],
)
def test_files_that_are_no_table_are_refused(
    text: str, image: str, box: tuple[str, ...], line: int, reason: str
) -> None:
    with pytest.raises(MalformedError, match=reason) as caught:
        csv_table.read(text.encode(), image, box)
    assert caught.value.problem.line == line


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16"])
def test_masks_of_any_mode_keep_their_values(mode: str) -> None:
    values = np.random.default_rng(1).integers(0, 256, (40, 60), np.uint8)
    if mode == "I;16":
        image = Image.fromarray(values.astype(np.uint16) * 200)
    elif mode == "P":
        image = Image.fromarray(values).convert("P")
        image.putpalette(list(range(255, -1, -1)) * 3)
    else:
        image = Image.fromarray(values).convert(mode)
    data = encoded(image)
    assert segmentation.convert(data, SAME).data == data
    for geometry in (CUT, HALF):
        made = Image.open(io.BytesIO(segmentation.convert(data, geometry).data))
        assert (made.mode, made.size) == (mode, geometry.result)
        assert made.getpalette() == image.getpalette()
        # The middle of each pixel, two of the photograph's in one of the result.
        left = 5 if geometry is CUT else 0
        expected = np.array(image)[1::2, 1::2][:, left : left + geometry.result[0]]
        assert np.array_equal(np.array(made), expected)


def test_masks_in_other_files_become_png_and_what_png_can_not_hold_is_refused() -> None:
    values = np.arange(2400, dtype=np.uint8).reshape(40, 60)
    made = segmentation.convert(encoded(Image.fromarray(values), "BMP"), SAME)
    image = Image.open(io.BytesIO(made.data))
    assert image.format == "PNG"
    assert np.array_equal(np.array(image), values)
    wide = values.astype(np.int32) * 100_000
    with pytest.raises(MalformedError, match="outside of 0 to 65535"):
        segmentation.convert(encoded(Image.fromarray(wide), "TIFF"), SAME)
    with pytest.raises(MalformedError, match="mode F"):
        segmentation.convert(encoded(Image.fromarray(values.astype(np.float32)), "TIFF"), SAME)
    with pytest.raises(GeometryError, match="59×40"):
        segmentation.convert(encoded(Image.fromarray(values[:, 1:])), SAME)
    with pytest.raises(MalformedError, match="damaged"):
        segmentation.convert(encoded(Image.fromarray(values))[:90], SAME)
