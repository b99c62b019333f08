"""Scores of pixels beside scikit-image, SciPy and the standard library."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from support import naive_scores
from support.runs import picture

from stylebatch.pictures.images import Pixels
from stylebatch.pictures.scores import fine_chroma, saturation, speckle, ssim

LUMA = np.array([0.299, 0.587, 0.114])
SIZES = [(40, 52), (33, 47), (11, 64), (96, 96)]


def noise(seed: int, *size: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def soft(seed: int, height: int, width: int) -> Pixels:
    return np.array(picture(seed, width, height))


def mixed(one: Pixels, other: Pixels, share: float) -> Pixels:
    return np.round(one * (1 - share) + other * share).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("share", [0.05, 0.5, 1.0])
def test_ssim_is_scikit_images(size: tuple[int, int], share: float) -> None:
    one = soft(1, *size)
    other = mixed(one, noise(2, *size), share)
    wanted = structural_similarity(  # type: ignore[no-untyped-call]
        one @ LUMA,
        other @ LUMA,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(one, other) == pytest.approx(wanted, abs=1e-6)


def test_an_image_is_like_itself_and_unlike_its_negative() -> None:
    one = soft(3, 40, 30)
    assert ssim(one, one) == pytest.approx(1, abs=1e-6)
    unlike = ssim(one, 255 - one)
    assert unlike is not None
    assert unlike < 0


def test_no_window_fits_into_less_than_eleven_pixels() -> None:
    assert ssim(soft(1, 10, 40), soft(2, 10, 40)) is None
    assert ssim(soft(1, 11, 11), soft(2, 11, 11)) is not None


def test_saturation_is_that_of_hsv_times_its_value() -> None:
    pixels = noise(4, 12, 9)
    assert saturation(pixels) == pytest.approx(naive_scores.saturation(pixels), rel=1e-12)
    assert saturation(np.full((4, 4, 3), 90, np.uint8)) == 0
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    assert saturation(red) == 1


@pytest.mark.parametrize("size", [(40, 52), (33, 47), (96, 96)], ids=str)
def test_speckle_is_as_it_is_defined(size: tuple[int, int]) -> None:
    content, style = soft(5, *size), noise(6, 50, 60)
    result = mixed(content, noise(7, *size), 0.5)
    found = speckle(result, content, fine_chroma(style))
    assert found == pytest.approx(naive_scores.speckle(result, content, style), rel=1e-6)


def test_inputs_have_no_more_speckle_than_themselves() -> None:
    quiet, loud = soft(8, 40, 40), noise(9, 40, 40)
    assert speckle(loud, loud, fine_chroma(quiet)) == 1
    assert speckle(loud, quiet, fine_chroma(loud)) == 1
    assert speckle(quiet, loud, fine_chroma(quiet)) < 0.1


def test_of_grey_inputs_speckle_is_beside_that_of_rounding() -> None:
    grey = np.repeat(noise(1, 40, 40)[..., :1], 3, 2)
    result = grey.copy()
    result[..., 0] ^= 1
    assert speckle(grey, grey, 0.0) == pytest.approx(0, abs=1e-6)
    assert 0.1 < speckle(result, grey, 0.0) < 10
