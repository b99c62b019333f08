"""Where a photograph's points are in its results: turned upright, scaled, cut from the centre."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from stylebatch.pictures.sizes import covering_size

Point = tuple[float, float]
Size = tuple[int, int]
# A result has its photograph's size, another to which that is stretched, or is cut from its centre.
Fit = Literal["same", "scaled", "cut"]
# From a stored image of W × H to the upright one, by EXIF orientation: x and y there as
# (factor of x, factor of y, share of W, share of H).
_TURNS: dict[int, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    1: ((1, 0, 0, 0), (0, 1, 0, 0)),
    2: ((-1, 0, 1, 0), (0, 1, 0, 0)),
    3: ((-1, 0, 1, 0), (0, -1, 0, 1)),
    4: ((1, 0, 0, 0), (0, -1, 0, 1)),
    5: ((0, 1, 0, 0), (1, 0, 0, 0)),
    6: ((0, -1, 0, 1), (1, 0, 0, 0)),
    7: ((0, -1, 0, 1), (-1, 0, 1, 0)),
    8: ((0, 1, 0, 0), (-1, 0, 1, 0)),
}
# Of a box that is cut, so much has to be left in both directions, in pixels.
_LEAST_PX = 0.5


class GeometryError(Exception):
    """Annotations of which nobody can tell where they are in a result; its text says why."""


class Box(NamedTuple):
    """Edges in pixels from the upper left corner, continuous: a whole image is 0, 0, W, H."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        """Square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


@dataclass(frozen=True, slots=True)
class Placement:
    """The map from the pixels that annotations are told in to those of a result.

    Attributes:
        x, y: of a result's coordinates: factors of the photograph's x and y, and what is added.
        width, height: of the result.
        orientation: how the photograph was turned first; 1: it was not.
        covering: (width, height) to which it is scaled.
        left, top: of the result in that.
    """

    x: tuple[float, float, float]
    y: tuple[float, float, float]
    width: int
    height: int
    orientation: int
    covering: Size
    left: int
    top: int

    @property
    def is_same(self) -> bool:
        """Whether every point stays where it is, and none is cut off."""
        still = self.x == (1, 0, 0) and self.y == (0, 1, 0)
        return still and self.covering == (self.width, self.height)

    @property
    def scales(self) -> Point:
        """How much longer things are in a result, along its width and its height."""
        return abs(self.x[0] + self.x[1]), abs(self.y[0] + self.y[1])

    def point(self, x: float, y: float) -> Point:
        """Return where a point is; it may be outside."""
        return (
            self.x[0] * x + self.x[1] * y + self.x[2],
            self.y[0] * x + self.y[1] * y + self.y[2],
        )

    def has(self, point: Point) -> bool:
        """Whether a point of the result's plane is inside of it."""
        return 0 <= point[0] <= self.width and 0 <= point[1] <= self.height

    def box(self, box: Box) -> tuple[Box | None, bool]:
        """Return where a box is, cut at the edges, None where it is outside; whether it was cut."""
        (x0, y0), (x1, y1) = self.point(box.left, box.top), self.point(box.right, box.bottom)
        whole = Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        left, top = max(0.0, whole.left), max(0.0, whole.top)
        cut = Box(left, top, min(self.width, whole.right), min(self.height, whole.bottom))
        if cut == whole:
            return whole, False
        is_left = min(cut.right - cut.left, cut.bottom - cut.top) >= _LEAST_PX
        return (cut if is_left else None), True

    def polygon(self, points: Iterable[Point]) -> tuple[list[Point], bool]:
        """Return a polygon, cut at the edges, [] where it is outside; whether it was cut.

        Source: Sutherland and Hodgman, Reentrant polygon clipping (1974).
        """
        whole = [self.point(*point) for point in points]
        if all(self.has(point) for point in whole):
            return whole, False
        cut = whole
        for axis, limit, sign in ((0, 0, 1), (0, self.width, -1), (1, 0, 1), (1, self.height, -1)):
            cut = _cut(cut, axis, float(limit), sign)
        return (cut if len(cut) >= 3 and _area(cut) >= _LEAST_PX**2 else []), True


def _cut(points: Sequence[Point], axis: int, limit: float, sign: int) -> list[Point]:
    kept: list[Point] = []
    for before, point in zip((*points[-1:], *points[:-1]), points, strict=True):
        was_in, is_in = (sign * (each[axis] - limit) >= 0 for each in (before, point))
        if was_in != is_in:
            share = (limit - before[axis]) / (point[axis] - before[axis])
            other = before[1 - axis] + share * (point[1 - axis] - before[1 - axis])
            kept.append((limit, other) if axis == 0 else (other, limit))
        if is_in:
            kept.append(point)
    return kept


def _area(points: Sequence[Point]) -> float:
    pairs = zip(points, (*points[1:], *points[:1]), strict=True)
    return abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs)) / 2


polygon_area = _area


@dataclass(frozen=True, slots=True)
class Geometry:
    """From an upright photograph to a result.

    Attributes:
        width, height: of the upright photograph.
        result: (width, height) of the result.
        is_cut: it is scaled until it covers the result, and cut from the centre; else stretched.
        orientation: reads the EXIF orientation of the photograph's file.
    """

    width: int
    height: int
    result: Size
    is_cut: bool
    orientation: Callable[[], int]

    @property
    def covering(self) -> Size:
        """(width, height) to which the photograph is scaled."""
        return covering_size(self.width, self.height, *self.result) if self.is_cut else self.result

    def placement(self, size: Size | None = None) -> Placement:
        """Return where annotations go that are about an image of some size.

        Args:
            size: (width, height) that they tell; None: they tell none, and are about the upright
                photograph.

        Raises:
            GeometryError: it is neither the upright photograph's size nor that of its file.
        """
        upright = (self.width, self.height)
        orientation = 1
        if size not in (None, upright):
            orientation = self.orientation() if size == upright[::-1] else 1
            if orientation < 5:
                told = "{}×{} px".format(*size or upright)
                raise GeometryError(
                    f"is about an image of {told}, but the photograph has {upright[0]}×{upright[1]}"
                )
        stored = size or upright
        covering = self.covering
        left, top = (
            round((whole - part) / 2) for whole, part in zip(covering, self.result, strict=True)
        )
        scales = (covering[0] / self.width, covering[1] / self.height)
        x, y = (
            (turn[0] * scale, turn[1] * scale, (turn[2] * stored[0] + turn[3] * stored[1]) * scale)
            for turn, scale in zip(_TURNS[orientation], scales, strict=True)
        )
        moved = (x[0], x[1], x[2] - left), (y[0], y[1], y[2] - top)
        return Placement(*moved, *self.result, orientation, covering, left, top)


def find_geometry(
    content: Callable[[], Size],
    result: Size,
    fit: Fit | None,
    orientation: Callable[[], int],
) -> Geometry:
    """Return the geometry of a result from what made it.

    Args:
        content: reads the upright photograph's (width, height).
        fit: how the result came of it; None where no recipe is known.

    Raises:
        GeometryError: the sizes don't tell how the one became the other.
    """
    if fit == "same":  # what was read, however the file is today
        return Geometry(*result, result, False, orientation)
    width, height = content()
    if fit is None and not _is_scaled((width, height), result):
        told = "{}×{} px, the photograph {}×{}".format(*result, width, height)
        raise GeometryError(f"the result has {told}, and nobody knows how it was cut")
    return Geometry(width, height, result, fit == "cut", orientation)


def _is_scaled(content: Size, result: Size) -> bool:
    """Whether one size is the other scaled, each edge rounded to whole pixels."""
    (width, height), (new_width, new_height) = content, result
    off = abs(new_width * height - new_height * width)
    return off <= max(width, height)
