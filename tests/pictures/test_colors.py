"""Colours given from one image to another, and kept from the content: against textbook formulas."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.runs import picture

from stylebatch.pictures.colors import keep_colors, match_colors
from stylebatch.pictures.images import Pixels

# ITU-R BT.601 for the full range, as in JPEG (JFIF 1.02): rows Y, Cb, Cr; the last two around 128.
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def muted(number: int, width: int = 60, height: int = 40) -> Pixels:
    """Draw a picture in the middle of the range, with a correlation between its channels."""
    drawn = np.asarray(picture(number, width, height), np.float64) - 127.5
    random = np.random.default_rng(number)
    mixed = drawn @ (np.eye(3) + random.uniform(-0.4, 0.4, (3, 3)))
    centre = random.uniform(110, 145, 3)
    return np.rint(0.15 * mixed + centre).clip(0, 255).astype(np.uint8)


def covariance(pixels: Pixels) -> np.ndarray:
    """Return (3, 3) in 8-bit steps, entry by entry."""
    found = np.zeros((3, 3))
    channels = [pixels[..., i].astype(np.float64).ravel() for i in range(3)]
    for i, one in enumerate(channels):
        for j, other in enumerate(channels):
            found[i, j] = ((one - one.mean()) * (other - other.mean())).mean()
    return found


def ycbcr(pixels: Pixels) -> np.ndarray:
    converted: np.ndarray = pixels @ YCBCR.T
    return converted


# --- matching --------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(6))
def test_a_matched_image_has_the_mean_and_the_covariance_of_the_other(number: int) -> None:
    image, other = muted(number), muted(number + 100, 33, 47)
    found = match_colors(image, other)
    assert (found.shape, found.dtype) == (image.shape, np.dtype(np.uint8))
    assert 0 < found.min() <= found.max() < 255, "nothing is clipped"
    assert found.mean((0, 1)) == pytest.approx(other.mean((0, 1)), abs=0.1)
    wanted = covariance(other)
    # The floor of the variance is 0.65 of these units, rounding adds a twelfth.
    assert np.abs(covariance(found) - wanted).max() < 1 + 0.02 * np.abs(wanted).max()


def test_where_channels_are_independent_each_is_shifted_and_scaled_on_its_own() -> None:
    steps = np.stack(np.meshgrid(*[np.linspace(-1, 1, 21)] * 3), axis=-1).reshape(21, -1, 3)
    image = np.rint(120 + steps * (40, 60, 20)).astype(np.uint8)
    other = np.rint(130 + steps * (20, 60, 50) + (0, 9, -9)).astype(np.uint8)
    found = match_colors(image, other)
    values = image.astype(np.float64)
    deviation = (values - values.mean((0, 1))) / values.std((0, 1))
    wanted = deviation * other.std((0, 1)) + other.mean((0, 1))
    assert np.abs(found - wanted).max() < 1


def test_an_image_matched_to_itself_stays_itself() -> None:
    for image in (muted(3), np.asarray(picture(4, 50, 30)), np.zeros((4, 5, 3), np.uint8)):
        assert np.abs(match_colors(image, image).astype(int) - image).max() <= 1


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_an_image_of_one_colour_takes_the_mean_of_the_other(colour: list[int]) -> None:
    flat, other = np.full((8, 9, 3), colour, np.uint8), muted(5)
    found = match_colors(flat, other)
    assert np.abs(found - other.mean((0, 1))).max() <= 0.51


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_an_image_matched_to_one_colour_is_all_but_of_that_colour(colour: list[int]) -> None:
    found = match_colors(muted(6), np.full((8, 9, 3), colour, np.uint8))
    # The floor of the variance lets a deviation of 0.8 of a step through.
    assert np.abs(found.astype(int) - colour).max() <= 3
    assert np.abs(found.mean((0, 1)) - colour).max() <= 1


def test_an_image_of_one_colour_but_for_noise_does_not_explode() -> None:
    noise = np.random.default_rng(0).integers(0, 2, (40, 40, 3), np.uint8)
    other = np.asarray(picture(7, 40, 40))
    found = match_colors(100 + noise, other).astype(np.float64)
    assert (found.std((0, 1)) <= other.std((0, 1))).all()
    assert found.mean((0, 1)) == pytest.approx(other.mean((0, 1)), abs=3)


def test_a_grey_image_can_be_matched_to_a_coloured_one() -> None:
    grey = np.repeat(muted(8)[..., :1], 3, axis=2)
    found = match_colors(grey, muted(9))
    assert found.mean((0, 1)) == pytest.approx(muted(9).mean((0, 1)), abs=0.2)


# --- keeping ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(4))
def test_kept_colours_are_the_content_s_under_the_result_s_luminance(number: int) -> None:
    result, content = muted(number), muted(number + 50)
    found = keep_colors(result, content)
    assert (found.shape, found.dtype) == (content.shape, np.dtype(np.uint8))
    assert 0 < found.min() <= found.max() < 255, "nothing is clipped"
    assert np.abs(ycbcr(found)[..., 0] - ycbcr(result)[..., 0]).max() <= 0.5
    assert np.abs(ycbcr(found)[..., 1:] - ycbcr(content)[..., 1:]).max() <= 0.5


def test_a_grey_content_makes_a_grey_result() -> None:
    grey = np.repeat(muted(1)[..., :1], 3, axis=2)
    found = keep_colors(muted(2), grey)
    assert (found == found[..., :1]).all()


def test_a_content_that_keeps_its_colours_and_its_luminance_stays_itself() -> None:
    content = np.asarray(picture(3, 40, 30))
    assert (keep_colors(content, content) == content).all()
