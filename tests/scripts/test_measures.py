"""What pictures are measured by: coloured speckle beside SciPy's filters, a frame beside loops."""

import numpy as np
import pytest
from support.naive_scores import fine_chroma
from support.runs import picture

from benchmarks.pictures.measures import INNER, OUTER, chroma_ratio, line_ratio
from stylebatch.pictures.images import Pixels


def noise(seed: int, *size: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


# --- coloured speckle ------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 52), (33, 47), (64, 21)], ids=str)
def test_speckle_is_that_of_scipys_filters(size: tuple[int, int]) -> None:
    result, style = noise(1, *size), np.array(picture(2, 60, 44))
    wanted = fine_chroma(result) / fine_chroma(style)
    assert chroma_ratio(result, style) == pytest.approx(wanted, rel=1e-6)
    assert wanted > 100


def test_a_style_has_its_own_speckle_and_a_grey_image_none() -> None:
    style = noise(3, 48, 40)
    assert chroma_ratio(style, style) == 1
    grey = np.repeat(style[..., :1], 3, 2)
    assert chroma_ratio(grey, style) < 1e-9


def test_half_of_the_colour_is_a_quarter_of_the_energy() -> None:
    style = noise(3, 48, 40)
    grey = style.astype(float).mean(2, keepdims=True)
    half = np.round(grey + (style - grey) / 2).astype(np.uint8)
    assert chroma_ratio(half, style) == pytest.approx(0.25, rel=0.01)


def test_a_flat_colour_is_no_speckle() -> None:
    flat = np.full((32, 32, 3), (200, 40, 90), np.uint8)
    assert chroma_ratio(flat, noise(3, 32, 32)) < 1e-9


# --- a frame ---------------------------------------------------------------------------------


def line_by_loops(pixels: Pixels) -> float:
    height, width = pixels.shape[:2]
    rings: dict[int, list[Pixels]] = {}
    for row in range(height):
        for column in range(width):
            distance = min(row, column, height - 1 - row, width - 1 - column)
            rings.setdefault(distance, []).append(pixels[row, column])
    means = [np.mean(rings[distance], axis=0) / 255 for distance in sorted(rings)]
    energy = []
    for here, mean in enumerate(means):
        one, other = means[max(0, here - 1)], means[min(len(means) - 1, here + 1)]
        energy.append(np.mean((mean - (one + other) / 2) ** 2))
    return float(np.mean(energy[0:8]) / np.mean(energy[16:40] or energy[-1:]))


# Of 32 px nothing is 16 px from the border.
@pytest.mark.parametrize("size", [(60, 90), (131, 100), (34, 60), (32, 64), (16, 16)], ids=str)
def test_a_line_is_that_of_loops_over_all_pixels(size: tuple[int, int]) -> None:
    for pixels in (noise(4, *size), np.array(picture(5, *size[::-1]))):
        assert line_ratio(pixels) == pytest.approx(line_by_loops(pixels), rel=1e-9)


def painted(pixels: Pixels, distance: int) -> Pixels:
    """Return an image with a white frame of 2 px at a distance from the border."""
    height, width = pixels.shape[:2]
    framed = pixels.copy()
    inside = framed[distance : height - distance, distance : width - distance]
    kept = inside[2:-2, 2:-2].copy()
    inside[:] = 255
    inside[2:-2, 2:-2] = kept
    return framed


def test_noise_has_no_frame_and_one_that_is_painted_stands_out_where_it_is() -> None:
    """A frame further in is what the border is compared with."""
    images = [noise(seed, 256, 256) for seed in range(12)]
    assert 0.5 < np.mean([line_ratio(image) for image in images]) < 1.5
    assert OUTER.stop <= INNER.start
    for image in images[:4]:
        assert all(line_ratio(painted(image, distance)) > 20 for distance in (0, 4))
        assert all(line_ratio(painted(image, distance)) < 0.1 for distance in (18, 30))
