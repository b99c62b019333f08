"""Pascal VOC: an XML file for each image, boxes in pixels that count from 1.

Source: the development kit of VOC2012: `bndbox` holds the first and the last pixel of a box.
"""

import math
from pathlib import PurePosixPath
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement
from xml.parsers import expat

from stylebatch.annotations.findings import Converted, MalformedError
from stylebatch.annotations.geometry import Box, Geometry, Placement

SUFFIX = ".xml"
EDGES = ("xmin", "ymin", "xmax", "ymax")
# Results have red, green and blue, whatever the photograph has.
_DEPTH = 3
_TOLERANCE_PX = 1


class _Parsed:
    """An XML file with the line of each element."""

    def __init__(self, data: bytes) -> None:
        builder = ElementTree.TreeBuilder(insert_comments=True)
        self.lines: dict[Element, int] = {}
        parser = expat.ParserCreate()
        parser.buffer_text = True

        def start(tag: str, attributes: dict[str, str]) -> None:
            self.lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

        parser.StartElementHandler = start
        parser.EndElementHandler = builder.end
        parser.CharacterDataHandler = builder.data
        parser.CommentHandler = builder.comment
        parser.EntityDeclHandler = _refuse_entities
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            text = expat.errors.messages[error.code]
            raise MalformedError(f"is no XML ({text})", error.lineno) from None
        self.root = builder.close()


def _refuse_entities(*declared: object) -> None:
    raise MalformedError("declares entities, which annotations have no need of")


def convert(data: bytes, geometry: Geometry, image: str) -> Converted:
    """Return an image's file for a result of it: boxes, parts, polygons and points, size, names.

    Args:
        image: the result's path from the output.

    Raises:
        MalformedError: it is no XML, or none of Pascal VOC.
        GeometryError: it is about an image of another size.
    """
    parsed = _Parsed(data)
    root = parsed.root
    if root.tag != "annotation":
        raise MalformedError(f"holds <{root.tag}>; allowed is <annotation>", parsed.lines[root])
    placement = geometry.placement(_size(parsed))
    made = Converted()
    for entry in root.findall("object"):
        made.counts["objects"] += 1
        try:
            is_there, is_cut = _place(entry, geometry, placement, parsed.lines)
        except MalformedError as error:
            made.counts["objects"] -= 1
            made.problems.append(error.problem)
            root.remove(entry)
            continue
        made.counts["clipped" if is_there else "dropped"] += is_cut
        if not is_there:
            root.remove(entry)
    _rename(root, image)
    _resize(root, placement)
    ElementTree.indent(root)
    made.data = ElementTree.tostring(root, encoding="unicode").encode() + b"\n"
    return made


def _size(parsed: _Parsed) -> tuple[int, int] | None:
    size = parsed.root.find("size")
    if size is None:
        return None
    width, height = (_number(size, name, parsed.lines) for name in ("width", "height"))
    return int(width), int(height)


def _number(holder: Element, name: str, lines: dict[Element, int]) -> float:
    found = holder.find(name)
    text = "" if found is None else (found.text or "").strip()
    try:
        number = float(text)
        if math.isfinite(number):
            return number
        raise ValueError
    except ValueError:
        line = lines[holder if found is None else found]
        told = f"<{name}> is '{text}'" if found is not None else f"no <{name}> in <{holder.tag}>"
        raise MalformedError(f"{told}; allowed is a number", line) from None


def _place(
    entry: Element, geometry: Geometry, placement: Placement, lines: dict[Element, int]
) -> tuple[bool, bool]:
    """Bring an object to a result; return whether it is still there, and whether it was cut."""
    for turned in entry.iter("robndbox"):
        if not placement.is_same:
            reason = "a turned box (<robndbox>) can't be brought to another size"
            raise MalformedError(reason, lines[turned])
    box = entry.find("bndbox")
    is_there, is_cut = True, False
    if box is not None:
        is_there, is_cut = _place_box(box, geometry, placement, lines)
    elif entry.find("robndbox") is None and entry.find("polygon") is None:
        raise MalformedError("an object without <bndbox>", lines[entry])
    for part in entry.findall("part"):
        box = part.find("bndbox")
        if box is not None and not _place_box(box, geometry, placement, lines)[0]:
            entry.remove(part)
    if placement.is_same or not is_there:
        return is_there, is_cut
    for points in list(entry.iter("polygon")):
        is_there = _place_polygon(points, placement, lines) and is_there
    for point in list(entry.iter("point")):
        _place_point(point, "x", "y", placement, lines)
    if is_cut and (truncated := entry.find("truncated")) is not None:
        truncated.text = "1"
    return is_there, is_cut


def _place_box(
    box: Element, geometry: Geometry, placement: Placement, lines: dict[Element, int]
) -> tuple[bool, bool]:
    left, top, right, bottom = (_number(box, name, lines) for name in EDGES)
    size = (geometry.width, geometry.height)
    width, height = size if placement.orientation < 5 else size[::-1]
    slack = _TOLERANCE_PX
    is_inside = left >= 0 and top >= 0 and right <= width + slack and bottom <= height + slack
    if not (is_inside and left <= right and top <= bottom):
        told = f"a box of {left:g}, {top:g} to {right:g}, {bottom:g}"
        raise MalformedError(f"{told} in an image of {width}×{height} px", lines[box])
    placed, is_cut = placement.box(Box(left - 1, top - 1, right, bottom))
    if placement.is_same:
        return True, False
    if placed is None:
        return False, True
    is_whole = all("." not in (box.findtext(name) or "") for name in EDGES)
    edges = (placed.left + 1, placed.top + 1, placed.right, placed.bottom)
    values = [round(edge) if is_whole else round(edge, 3) for edge in edges]
    values[2:] = max(values[0], values[2]), max(values[1], values[3])
    for name, value in zip(EDGES, values, strict=True):
        _child(box, name).text = f"{value:g}" if not is_whole else str(value)
    return True, is_cut


def _place_polygon(points: Element, placement: Placement, lines: dict[Element, int]) -> bool:
    """Bring `x1 y1 x2 y2 …` to a result; return whether anything of it is there."""
    numbers = range(1, len(points.findall("*")) // 2 + 1)
    found = [
        (_number(points, f"x{number}", lines), _number(points, f"y{number}", lines))
        for number in numbers
    ]
    placed, _ = placement.polygon(found)
    for child in list(points):
        points.remove(child)
    for number, (x, y) in enumerate(placed, 1):
        SubElement(points, f"x{number}").text = f"{round(x, 3):g}"
        SubElement(points, f"y{number}").text = f"{round(y, 3):g}"
    return bool(placed)


def _place_point(
    point: Element, x: str, y: str, placement: Placement, lines: dict[Element, int]
) -> None:
    """Bring a point, a pixel that counts from 1, to a result."""
    found = _number(point, x, lines) - 0.5, _number(point, y, lines) - 0.5
    for name, value, most in zip(
        (x, y), placement.point(*found), (placement.width, placement.height), strict=True
    ):
        _child(point, name).text = str(min(most, max(1, round(value + 0.5))))


def _rename(root: Element, image: str) -> None:
    path = PurePosixPath(image)
    names = {"folder": path.parent.as_posix(), "filename": path.name}
    for place, (name, value) in enumerate(names.items()):
        _child(root, name, place).text = value
    if root.find("path") is not None:
        _child(root, "path").text = image


def _resize(root: Element, placement: Placement) -> None:
    size = _child(root, "size", 2)
    told = {"width": placement.width, "height": placement.height, "depth": _DEPTH}
    for name, value in told.items():
        _child(size, name).text = str(value)


def _child(holder: Element, name: str, place: int | None = None) -> Element:
    """Return an element's child; one that is not there is made."""
    found = holder.find(name)
    if found is None:
        found = Element(name)
        holder.insert(len(holder) if place is None else place, found)
    return found
