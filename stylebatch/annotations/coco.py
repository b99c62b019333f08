"""COCO: one JSON file of images and annotations, boxes in pixels that count from 0.

Source: https://cocodataset.org/#format-data; keypoints are pixels, whose centres move.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stylebatch.annotations import rle
from stylebatch.annotations.findings import MalformedError, decode_text
from stylebatch.annotations.geometry import Box, Placement, Point, Size, polygon_area
from stylebatch.annotations.segmentation import placed_mask

Entry = dict[str, Any]
# So far may a box reach beyond its image: published sets are rounded.
# Whole numbers of JSON may be larger than any float; one that is none is no number either.
_LARGEST = 1e15
_TOLERANCE_PX = 1
_DIGITS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file that was read.

    Attributes:
        images: sound ones by their index in the file.
        annotations: sound ones by the id of their image, each with its index in the file.
        problems: entries that are not sound: section, index, why.
    """

    text: str
    data: Mapping[str, Any]
    images: dict[int, Entry]
    annotations: dict[object, list[Entry]]
    problems: list[tuple[str, int, str]]


def read(data: bytes) -> Document:
    """Read a file and look at every entry.

    Raises:
        MalformedError: it is no JSON, or none of COCO.
    """
    text = decode_text(data)
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedError(f"is no JSON ({error.msg})", error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise MalformedError(f"is no JSON that can be read ({error})") from None
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key, []), list) for key in ("images", "annotations", "categories")
    ):
        raise MalformedError("allowed is a mapping with lists of images and annotations")
    if not isinstance(found.get("images"), list):
        raise MalformedError("has no list of images")
    problems: list[tuple[str, int, str]] = []
    images = dict(_sound_images(found["images"], problems))
    sizes = {each["id"]: (each["width"], each["height"]) for each in images.values()}
    known = {each["id"] for each in found.get("categories", []) if _has_id(each)}
    annotations: dict[object, list[Entry]] = {}
    for index, entry in enumerate(found.get("annotations", [])):
        if reason := _annotation_problem(entry, sizes, known):
            problems.append(("annotations", index, reason))
        else:
            annotations.setdefault(entry["image_id"], []).append(entry)
    return Document(text, found, images, annotations, problems)


def _has_id(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), int | str)


def _sound_images(
    entries: list[Any], problems: list[tuple[str, int, str]]
) -> Iterator[tuple[int, Entry]]:
    seen: set[object] = set()
    for index, entry in enumerate(entries):
        if reason := _image_problem(entry, seen):
            problems.append(("images", index, reason))
        else:
            seen.add(entry["id"])
            yield index, entry


def _image_problem(entry: Any, seen: set[object]) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("file_name"), str):
        return "an image without file_name"
    if not _has_id(entry):
        return "an image without id"
    if entry["id"] in seen:
        return f"another image with the id {entry['id']}"
    if not all(type(entry.get(key)) is int and entry[key] > 0 for key in ("width", "height")):
        return "an image without width and height"
    return ""


def _annotation_problem(entry: Any, sizes: Mapping[object, Size], known: set[object]) -> str:
    if not isinstance(entry, dict) or not isinstance(entry.get("image_id"), int | str):
        return "an annotation without image_id"
    if (size := sizes.get(entry["image_id"])) is None:
        return f"image_id {entry['image_id']}, which no sound image has"
    if "segments_info" in entry:
        return "segments_info: panoptic segmentation is not read; name its masks under segmentation"
    category = entry.get("category_id")
    if "category_id" in entry and not (isinstance(category, int | str) and category in known):
        return f"category_id {entry['category_id']}, which no category has"
    if reason := _box_problem(entry.get("bbox"), size):
        return reason
    if "area" in entry and not _are_numbers([entry["area"]]):
        return "an area that is no number"
    points = entry.get("keypoints")
    if points is not None and not (_are_numbers(points) and len(points) % 3 == 0):
        return "keypoints that are no list of x, y, v"
    return _segmentation_problem(entry.get("segmentation"), size)


def _box_problem(box: Any, size: Size) -> str:
    if box is None:
        return ""
    if not _are_numbers(box) or len(box) != 4:
        return "bbox is no [x, y, width, height]"
    x, y, width, height = box
    right, bottom = (edge + _TOLERANCE_PX for edge in size)
    is_inside = min(x, y) >= -_TOLERANCE_PX and x + width <= right and y + height <= bottom
    if width < 0 or height < 0 or not is_inside:
        return f"bbox {box} is outside of an image of {size[0]}×{size[1]} px"
    return ""


def _segmentation_problem(segmentation: Any, size: Size) -> str:
    if segmentation is None:
        return ""
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [size[1], size[0]]:
            return f"a mask of another size than its image's [{size[1]}, {size[0]}]"
        try:
            rle.decode(segmentation.get("counts", ""), *size)
        except (MalformedError, TypeError) as error:
            return str(error)
        return ""
    is_list = isinstance(segmentation, list)
    if not is_list or not all(_are_numbers(p) and len(p) % 2 == 0 for p in segmentation):
        return "segmentation is neither polygons [x1, y1, …] nor run lengths"
    return ""


def _are_numbers(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(each, int | float) and not isinstance(each, bool) and abs(each) <= _LARGEST
        for each in values
    )


def lines_of(text: str, section: str) -> list[int]:
    """Return the line, from 1, on which each entry of a section begins."""
    decoder, at = json.JSONDecoder(), _after_space(text, text.index("{") + 1)
    while text[at] != "}":
        key, at = decoder.raw_decode(text, at)
        at = _after_space(text, text.index(":", at) + 1)
        if key == section:
            return list(_entry_lines(decoder, text, at))
        _, at = decoder.raw_decode(text, at)
        at = _after_space(text, at)
        at = _after_space(text, at + 1) if text[at] == "," else at
    return []


def _entry_lines(decoder: json.JSONDecoder, text: str, at: int) -> Iterator[int]:
    """Yield the lines of a list's entries; it begins at a place in the text."""
    line, counted = 1, 0
    at = _after_space(text, at + 1)
    while text[at] != "]":
        line, counted = line + text.count("\n", counted, at), at
        yield line
        _, at = decoder.raw_decode(text, at)
        at = _after_space(text, at)
        at = _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    while text[at].isspace():
        at += 1
    return at


def place(entry: Entry, placement: Placement) -> tuple[Entry | None, bool]:
    """Return an annotation of a photograph as one of a result; whether it was cut.

    None where nothing of it is there. Ids are the caller's to change.
    """
    if placement.is_same:
        return dict(entry), False
    placed, is_cut = dict(entry), False
    if (box := entry.get("bbox")) is not None:
        x, y, width, height = box
        found, is_cut = placement.box(Box(x, y, x + width, y + height))
        if found is None:
            return None, True
        edges = (found.left, found.top, found.right - found.left, found.bottom - found.top)
        placed["bbox"] = _rounded(edges)
    if entry.get("segmentation"):
        placed["segmentation"], area = _place_segmentation(entry["segmentation"], placement)
        if not placed["segmentation"]:
            return None, True
        if "area" in entry:
            placed["area"] = round(area, _DIGITS)
    elif "area" in entry:
        placed["area"] = round(_scaled_area(entry, placed, placement), _DIGITS)
    if entry.get("keypoints"):
        placed["keypoints"] = list(_place_keypoints(entry["keypoints"], placement))
        if "num_keypoints" in entry:
            placed["num_keypoints"] = sum(flag > 0 for flag in placed["keypoints"][2::3])
    return placed, is_cut


def _scaled_area(entry: Entry, placed: Entry, placement: Placement) -> float:
    """Return the area of what has a box only: of that it keeps its share."""
    x, y = placement.scales
    area = float(entry["area"]) * x * y
    if not (box := entry.get("bbox")) or not (whole := box[2] * x * box[3] * y):
        return area
    width, height = placed["bbox"][2:]
    return float(area * width * height / whole)


def _place_segmentation(segmentation: Any, placement: Placement) -> tuple[Any, float]:
    """Return polygons or run lengths in a result, and their area; nothing where none is there."""
    if isinstance(segmentation, list):
        placed = []
        for numbers in segmentation:
            points = zip(numbers[::2], numbers[1::2], strict=True)
            if polygon := placement.polygon(points)[0]:
                placed.append(polygon)
        flat = [_rounded(value for point in polygon for value in point) for polygon in placed]
        return flat, sum(map(polygon_area, placed))
    height, width = segmentation["size"]
    mask = placed_mask(rle.decode(segmentation["counts"], width, height), placement)
    if not mask.any():
        return None, 0.0
    counts: Any = rle.encode(mask)
    if isinstance(segmentation["counts"], str):
        counts = rle.pack(counts)
    size = [placement.height, placement.width]
    return {**segmentation, "size": size, "counts": counts}, float(mask.sum())


def _place_keypoints(values: list[float], placement: Placement) -> Iterator[float]:
    for x, y, flag in zip(values[::3], values[1::3], values[2::3], strict=True):
        point = placement.point(x + 0.5, y + 0.5)
        if flag == 0 or not placement.has(point):
            yield from (0, 0, 0)
        else:
            yield from (*_rounded(_centre(point)), flag)


def _centre(point: Point) -> Point:
    return point[0] - 0.5, point[1] - 0.5


def _rounded(values: Iterable[float]) -> list[float]:
    return [round(value, _DIGITS) for value in values]


class Named:
    """Categories, or licenses, of several files: the same once, others under ids of their own."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def add(self, entries: Iterable[Any]) -> dict[object, object]:
        """Take those of a file; return the new id of each."""
        ids: dict[object, object] = {}
        for entry in entries:
            if not _has_id(entry):
                continue
            same = next((each for each in self.entries if _is_same(each, entry)), None)
            if same is None:
                same = {**entry, "id": self._free_id(entry["id"])}
                self.entries.append(same)
            ids[entry["id"]] = same["id"]
        return ids

    def _free_id(self, wanted: object) -> object:
        taken = {each["id"] for each in self.entries}
        if wanted not in taken:
            return wanted
        return 1 + max((each for each in taken if isinstance(each, int)), default=0)


def _is_same(one: Entry, other: Entry) -> bool:
    without = [{key: value for key, value in each.items() if key != "id"} for each in (one, other)]
    return without[0] == without[1]
