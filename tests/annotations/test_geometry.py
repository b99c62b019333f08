"""Where points go, against images whose pixels know where they come from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support.drawn import STORED

from stylebatch.annotations.geometry import (
    Box,
    Geometry,
    GeometryError,
    find_geometry,
    polygon_area,
)
from stylebatch.annotations.segmentation import place
from stylebatch.pictures.images import TRANSPOSES
from stylebatch.pictures.sizes import fit_pixels

EDGES = st.integers(3, 40)
SIZES = st.tuples(EDGES, EDGES)


def indices(width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return images of each pixel's x, and of its y."""
    ys, xs = np.mgrid[:height, :width].astype(np.uint8)
    return xs, ys


@settings(max_examples=60, deadline=None)
@given(SIZES, SIZES, st.booleans(), st.sampled_from(sorted(STORED)))
def test_a_pixel_s_centre_goes_where_the_pixel_goes(
    size: tuple[int, int], result: tuple[int, int], is_cut: bool, orientation: int
) -> None:
    upright = size if orientation < 5 else size[::-1]
    placement = Geometry(*upright, result, is_cut, lambda: orientation).placement(size)
    turned = placement.orientation
    # Where the sizes don't tell, annotations are about the upright photograph.
    assert turned == (orientation if orientation >= 5 and size[0] != size[1] else 1)
    moved = []
    for pixels in indices(*size):
        image = Image.fromarray(pixels)
        if turned != 1:
            image = image.transpose(TRANSPOSES[turned])
        fit = "crop" if is_cut else "longest"
        moved.append(fit_pixels(np.array(image), *result, fit=fit, resampling="nearest"))
        assert np.array_equal(np.array(place(Image.fromarray(pixels), placement)), moved[-1])
    scale_x, scale_y = placement.scales
    for y in range(result[1]):
        for x in range(result[0]):
            found = placement.point(moved[0][y, x] + 0.5, moved[1][y, x] + 0.5)
            # The nearest pixel is half a pixel off at most, in the photograph's own pixels.
            assert abs(found[0] - x - 0.5) <= scale_x / 2 + 1e-6
            assert abs(found[1] - y - 0.5) <= scale_y / 2 + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-20, 40), st.integers(-20, 40)), min_size=3, max_size=3))
def test_a_polygon_is_cut_at_the_edges(points: list[tuple[int, int]]) -> None:
    placement = Geometry(20, 10, (20, 10), False, lambda: 1).placement()
    cut, is_cut = placement.polygon([(float(x), float(y)) for x, y in points])
    assert is_cut or all(0 <= x <= 20 and 0 <= y <= 10 for x, y in points)
    assert all(-1e-9 <= x <= 20 + 1e-9 and -1e-9 <= y <= 10 + 1e-9 for x, y in cut)
    # Counted at points of a grid: which of the triangle's three sides they are left of.
    ys, xs = (np.mgrid[:100, :200] + 0.5) / 10
    sides = [
        (b[0] - a[0]) * (ys - a[1]) - (b[1] - a[1]) * (xs - a[0])
        for a, b in zip(points, points[1:] + points[:1], strict=True)
    ]
    inside = np.all([each >= 0 for each in sides], axis=0)
    inside |= np.all([each <= 0 for each in sides], axis=0)
    is_flat = polygon_area([(float(x), float(y)) for x, y in points]) == 0
    expected = 0.0 if is_flat else inside.sum() / 100
    assert (polygon_area(cut) if cut else 0.0) == pytest.approx(expected, abs=2.5)


def test_boxes_are_cut_and_dropped() -> None:
    # 60 × 40 covers 20 × 20 as 30 × 20: 5 px go at either side.
    placement = Geometry(60, 40, (20, 20), True, lambda: 1).placement()
    assert placement.box(Box(20, 10, 40, 30)) == ((5, 5, 15, 15), False)
    assert placement.box(Box(0, 0, 20, 40)) == ((0, 0, 5, 20), True)
    assert placement.box(Box(0, 0, 10, 40)) == (None, True)
    assert placement.box(Box(0, 0, 10.5, 40)) == (None, True), "hardly anything is left"


@pytest.mark.parametrize("orientation", sorted(STORED))
def test_sizes_tell_whether_annotations_are_upright(orientation: int) -> None:
    geometry = Geometry(60, 40, (60, 40), False, lambda: orientation)
    assert geometry.placement((60, 40)).orientation == 1
    assert geometry.placement().is_same
    with pytest.raises(GeometryError, match="61×40"):
        geometry.placement((61, 40))
    if orientation < 5:
        with pytest.raises(GeometryError, match="40×60 px, but the photograph has 60×40"):
            geometry.placement((40, 60))
    else:
        assert geometry.placement((40, 60)).orientation == orientation


def test_without_a_recipe_sizes_have_to_tell() -> None:
    def of(result: tuple[int, int]) -> Geometry:
        return find_geometry(lambda: (640, 427), result, None, lambda: 1)

    assert of((640, 427)).placement().is_same
    assert of((224, 149)).placement().scales == (224 / 640, 149 / 427)
    with pytest.raises(GeometryError, match="nobody knows how it was cut"):
        of((224, 224))
