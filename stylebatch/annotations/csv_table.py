"""A table in CSV: rows by the file name of an image, multiplied for its results."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stylebatch.annotations.findings import MalformedError, decode_text
from stylebatch.annotations.geometry import Box, GeometryError, Placement, Size

Row = dict[str, str]
# Columns of images, the first that is there; compared in lower case, without _ and spaces.
IMAGE_COLUMNS = (
    *("filename", "file", "image", "imagepath", "path", "filepath", "imagename", "name", "imageid"),
    *("img", "content"),
)
BOX_COLUMNS = (("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_SIZE_COLUMNS = ("width", "height")
# What tells places in another way; those of a result that is cut or scaled would be wrong.
_OTHER_PLACES = frozenset(
    (
        *("x", "y", "w", "h", "xcenter", "ycenter", "cx", "cy", "left", "top", "right", "bottom"),
        *("bbox", "box", "bndbox", "polygon", "segmentation", "rle", "encodedpixels", "points"),
    )
)
_DELIMITERS = ",;\t"
_TOLERANCE_PX = 1


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A file that was read.

    Attributes:
        rows: each with its line.
        image: the column that names images.
        box: the columns of left, top, right and bottom edges; () where there are none.
        size: the columns of width and height, if both are there.
        other_places: a column that may tell places which are not understood, "" if there is none.
    """

    columns: Sequence[str]
    rows: list[tuple[int, Row]]
    image: str
    box: tuple[str, ...]
    size: tuple[str, ...]
    other_places: str
    delimiter: str


def read(data: bytes, image: str, box: Sequence[str]) -> Table:
    """Read a table; `image` and `box` name columns, "" and () where they are to be found.

    Raises:
        MalformedError: it is no table, a column is not there, or none names images.
    """
    text = decode_text(data)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[tuple[int, Row]] = []
    try:
        columns = next(reader, [])
        plain = {_plain(name): name for name in reversed(columns)}
        if len(set(columns)) < len(columns):
            raise MalformedError("has two columns of one name", 1)
        image = _image_column(image, columns, plain)
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(columns):
                reason = f"{len(cells)} cells; the header has {len(columns)}"
                raise MalformedError(reason, reader.line_num)
            rows.append((reader.line_num, dict(zip(columns, cells, strict=True))))
    except csv.Error as error:
        raise MalformedError(f"is no CSV ({error})", reader.line_num) from None
    found = tuple(box) or next(
        (tuple(plain[name] for name in names) for names in BOX_COLUMNS if plain.keys() >= {*names}),
        (),
    )
    if missing := [name for name in found if name not in columns]:
        raise MalformedError(f"has no column '{missing[0]}'; it has {', '.join(columns)}", 1)
    size = tuple(plain[name] for name in _SIZE_COLUMNS) if plain.keys() >= {*_SIZE_COLUMNS} else ()
    places = [name for name in columns if _plain(name) in _OTHER_PLACES and name not in found]
    return Table(columns, rows, image, found, size, places[0] if places else "", delimiter)


def _plain(name: str) -> str:
    return "".join(name.lower().split()).replace("_", "")


def _image_column(wanted: str, columns: Sequence[str], plain: Mapping[str, str]) -> str:
    there = f"it has {', '.join(columns) or 'none'}"
    if wanted:
        if wanted not in columns:
            raise MalformedError(f"has no column '{wanted}'; {there}", 1)
        return wanted
    found = next((plain[name] for name in IMAGE_COLUMNS if name in plain), None)
    if found is None:
        todo = "write `csv: {file: FILE, image: COLUMN}`"
        raise MalformedError(f"has no column that names images; {there}; {todo}", 1)
    return found


def told_size(table: Table, row: Row) -> Size | None:
    """Return the (width, height) that a row tells of its image, None if none."""
    texts = [row[name].strip() for name in table.size]
    if not all(texts) or not texts:
        return None
    try:
        width, height = (int(float(text)) for text in texts)
    except (ValueError, OverflowError):
        raise MalformedError(f"{' × '.join(texts)} is no width and height") from None
    return width, height


def edges_of(table: Table, row: Row) -> Box | None:
    """Return a row's box, None where it has none: an image without objects.

    Raises:
        MalformedError: its cells are no box.
    """
    texts = [row[name].strip() for name in table.box]
    if not any(texts):
        return None
    try:
        box = Box(*map(float, texts))
    except ValueError:
        raise MalformedError(f"{', '.join(texts)} is no box of four numbers") from None
    if not (box.left <= box.right and box.top <= box.bottom and min(box.left, box.top) >= 0):
        raise MalformedError(f"{', '.join(texts)} is no box: left, top, right, bottom")
    return box


def place(
    table: Table, row: Row, size: Size, placement: Placement
) -> tuple[Row | None, bool]:  # fmt: skip
    """Return a row as one of a result, None where its box is outside; whether that was cut.

    Args:
        size: of the image that the row is about.

    Raises:
        MalformedError: its box is none, or outside of the image.
        GeometryError: it tells places in a way that is not understood.
    """
    placed = dict(row)
    if table.other_places and not placement.is_same:
        raise GeometryError(
            f"column '{table.other_places}' may tell places, and results have another size; "
            "write `csv: {file: FILE, box: [LEFT, TOP, RIGHT, BOTTOM]}`, columns of edges in pixels"
        )
    box, is_cut = edges_of(table, row), False
    if box is not None:
        if box.right > size[0] + _TOLERANCE_PX or box.bottom > size[1] + _TOLERANCE_PX:
            told = ", ".join(f"{edge:g}" for edge in box)
            raise MalformedError(f"box {told} is outside of an image of {size[0]}×{size[1]} px")
        if not placement.is_same:
            found, is_cut = placement.box(box)
            if found is None:
                return None, True
            texts = [row[name] for name in table.box]
            is_whole = all("." not in text for text in texts)
            values = (round(edge) if is_whole else round(edge, 3) for edge in found)
            placed |= {name: f"{value:g}" if not is_whole else str(value)
                       for name, value in zip(table.box, values, strict=True)}  # fmt: skip
    if table.size and told_size(table, row) is not None:
        edges = (placement.width, placement.height)
        placed |= {name: str(edge) for name, edge in zip(table.size, edges, strict=True)}
    return placed, is_cut


def lines(columns: Sequence[str], rows: Iterator[Row], delimiter: str) -> Iterator[str]:
    """Yield a table's lines, without their ends; a column that a row lacks is empty."""
    for cells in (columns, *([row.get(name, "") for name in columns] for row in rows)):
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=delimiter, lineterminator="").writerow(cells)
        yield buffer.getvalue()
