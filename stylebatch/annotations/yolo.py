"""YOLO labels: a text file for each image, a line for each object, coordinates from 0 to 1.

`CLASS X Y WIDTH HEIGHT` around the centre, `CLASS X1 Y1 X2 Y2 …` for a polygon or a turned box,
and where `kpt_shape` of data.yaml says so the box followed by its keypoints. Source: the formats
of Ultralytics, https://docs.ultralytics.com/datasets/.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import yaml

from stylebatch.annotations.findings import Converted, MalformedError, Problem, decode_text
from stylebatch.annotations.geometry import Box, Geometry, Placement
from stylebatch.system.words import counted

SUFFIX = ".txt"
# Lists of class names that labelling tools put between the labels.
CLASSES = "classes.txt"
DATA = ("data.yaml", "data.yml")
# So far may coordinates reach beyond the image, as they do in Ultralytics: they were rounded.
_MOST_DIGITS = 9
_TOLERANCE = 0.01
_OF_BOX = 5


class Told(NamedTuple):
    """What data.yaml tells of labels.

    Attributes:
        kpt_shape: number of keypoints and of the values of each, 2 or 3; None: there are none.
        num_classes: None where it is not told.
    """

    kpt_shape: tuple[int, int] | None = None
    num_classes: int | None = None


def convert(data: bytes, geometry: Geometry, told: Told) -> Converted:
    """Return an image's labels for a result of it.

    Where nothing is cut off, lines stay as they are: they tell shares of the image.

    Raises:
        MalformedError: it is no text.
    """
    made, lines = Converted(), list[str]()
    text, kpt_shape, lengths = decode_text(data), told.kpt_shape, set[bool]()
    for number, line in enumerate(text.splitlines(), 1):
        if not (words := line.split()):
            continue
        reason = _problem(words, told)
        if not reason and not kpt_shape:
            lengths.add(len(words) == _OF_BOX)
            reason = "a file with boxes and polygons; allowed are either" * (len(lengths) - 1)
        if reason:
            made.problems.append(Problem(number, reason))
            continue
        made.counts["objects"] += 1
        if not geometry.is_cut:
            lines.append(line)
            continue
        placed, is_cut = _placed([float(word) for word in words[1:]], geometry, kpt_shape)
        made.counts["clipped" if placed else "dropped"] += is_cut
        if placed:
            lines.append(" ".join([words[0], *placed]))
    is_whole = not geometry.is_cut and not made.problems
    made.data = data if is_whole else "".join(f"{line}\n" for line in lines).encode()
    return made


def _problem(words: list[str], told: Told) -> str:
    """Return what is wrong with a line, "" if nothing."""
    kpt_shape = told.kpt_shape
    number = words[0].removesuffix(".0")
    if not number.isascii() or not number.isdigit() or len(number) > _MOST_DIGITS:
        return f"the class is '{words[0]}'; allowed is its number, from 0"
    if told.num_classes is not None and int(number) >= told.num_classes:
        return f"the class is {number}; data.yaml has {counted(told.num_classes, 'class name')}"
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return f"no number in '{' '.join(words[1:])[:60]}'"
    is_box = len(words) == _OF_BOX
    num_posed = _OF_BOX + kpt_shape[0] * kpt_shape[1] if kpt_shape else 0
    is_polygon = not kpt_shape and len(words) >= 7 and len(words) % 2
    if not (is_box or is_polygon or len(words) == num_posed):
        posed = f", or {num_posed} with keypoints" if kpt_shape else ", or pairs of a polygon"
        return f"{len(words)} values; allowed are {_OF_BOX} (CLASS X Y WIDTH HEIGHT){posed}"
    places = [value for value, is_place in zip(values, _are_places(values, kpt_shape), strict=True)
              if is_place]  # fmt: skip
    if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in places):
        return "coordinates outside of the image; allowed is 0 to 1, in shares of its size"
    if is_polygon:
        return ""
    x, y, width, height = values[:4]
    if not (width > 0 and height > 0):
        return "a box without extent"
    reach = max(width / 2 - min(x, 1 - x), height / 2 - min(y, 1 - y))
    return "a box that reaches outside of the image" if reach > _TOLERANCE else ""


def _are_places(values: list[float], kpt_shape: tuple[int, int] | None) -> Iterator[bool]:
    """Tell coordinates from whether a keypoint is visible."""
    for index in range(len(values)):
        is_flag = kpt_shape and kpt_shape[1] == 3 and index >= 4 and (index - 4) % 3 == 2
        yield not is_flag


def _placed(
    values: list[float], geometry: Geometry, kpt_shape: tuple[int, int] | None
) -> tuple[list[str], bool]:
    """Return an object's values in a result, [] where it is outside; whether it was cut."""
    placement, width, height = geometry.placement(), geometry.width, geometry.height
    shares = (placement.width, placement.height)
    if not kpt_shape and len(values) > 4:
        points = [(x * width, y * height) for x, y in zip(values[::2], values[1::2], strict=True)]
        polygon, is_cut = placement.polygon(points)
        return list(_numbers(share for point in polygon for share in _share(point, shares))), is_cut
    x, y, w, h = values[:4]
    edges = Box(
        (x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height
    )
    box, is_cut = placement.box(edges)
    if box is None:
        return [], True
    centre = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    extent = (box.right - box.left, box.bottom - box.top)
    placed = list(_numbers((*_share(centre, shares), *_share(extent, shares))))
    if kpt_shape and len(values) > 4:
        placed += _keypoints(values[4:], geometry, placement, kpt_shape[1])
    return placed, is_cut


def _keypoints(
    values: list[float], geometry: Geometry, placement: Placement, dimensions: int
) -> Iterator[str]:
    """Yield keypoints; one that is outside, or was not labelled, is all zeros."""
    for start in range(0, len(values), dimensions):
        x, y, *flags = values[start : start + dimensions]
        point = placement.point(x * geometry.width, y * geometry.height)
        is_there = placement.has(point) and (any(flags) if flags else (x, y) != (0, 0))
        shares = _share(point, (placement.width, placement.height)) if is_there else (0.0, 0.0)
        yield from _numbers(shares)
        yield from (f"{flag if is_there else 0:g}" for flag in flags)


def _share(point: tuple[float, float], size: tuple[int, int]) -> tuple[float, float]:
    return point[0] / size[0], point[1] / size[1]


def _numbers(values: Iterable[float]) -> Iterator[str]:
    return (f"{min(1.0, max(0.0, value)):.6f}" for value in values)


def read_data(data: bytes) -> dict[str, Any]:
    """Return what data.yaml says.

    Raises:
        MalformedError: it is no mapping of YAML.
    """
    try:
        found = yaml.safe_load(decode_text(data))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise MalformedError("is no YAML", mark.line + 1 if mark else None) from None
    if not isinstance(found, dict):
        raise MalformedError("is no mapping of YAML")
    return found


def told_of(data: Mapping[str, Any]) -> Told:
    """Return what data.yaml tells of labels.

    Raises:
        MalformedError: its kpt_shape is something else.
    """
    names, shape = data.get("names"), data.get("kpt_shape")
    num_classes = len(names) if isinstance(names, list | dict) else data.get("nc")
    count = num_classes if isinstance(num_classes, int) else None
    if shape is None:
        return Told(None, count)
    is_list = isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not is_list or shape[0] < 1 or shape[1] not in (2, 3):
        raise MalformedError(f"kpt_shape is {shape}; allowed is [NUMBER, 2] or [NUMBER, 3]")
    return Told((shape[0], shape[1]), count)


# Folders of images by what they are for, the usual name first.
SPLITS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def data_of(data: Mapping[str, Any], folders: Iterable[str]) -> bytes:
    """Return data.yaml for an output: classes and all else as it was, images where they are now.

    Args:
        folders: those right below `images/`.
    """
    there = set(folders)
    found = {
        split: f"images/{name}"
        for split, names in SPLITS.items()
        for name in names
        if name in there
    }
    note = ""
    if "train" not in found or "val" not in found:
        found = {"train": "images", "val": "images"} | found
        note = "# There is no split: what is trained on is what is validated on. Split it first.\n"
    rest = {key: value for key, value in data.items() if key not in (*SPLITS, "path", "download")}
    text = yaml.safe_dump(found | rest, sort_keys=False, allow_unicode=True)
    return f"{note}{text}".encode()
