"""Colour transfer against its formulas, written with loops, and against other libraries."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm
from skimage.exposure import match_histograms
from support.runs import picture

from stylebatch.pictures import color_transfer
from stylebatch.pictures.color_transfer import (
    LEAST_DEVIATION,
    LOG_LMS_TO_LAB,
    RGB_TO_LMS,
    color_statistics,
    transfer_colors,
)
from stylebatch.pictures.images import Pixels

METHODS = ("mean_std", "covariance", "histogram")
Values = NDArray[np.float64]


def soft(number: int, width: int = 24, height: int = 16, low: int = 60, high: int = 190) -> Pixels:
    """Draw soft random colours that stay away from black and white."""
    values = np.asarray(picture(number, width, height)).astype(float)
    return np.rint(low + values * (high - low) / 255).astype(np.uint8)


def given(pixels: Pixels, style: Pixels, method: str, strength: float = 1.0) -> Pixels:
    return transfer_colors(pixels, [(color_statistics(style, method), 1.0)], method, strength)


# The paper's numbers, typed again from it: equations 4 and 6.
LMS = ((0.3811, 0.5783, 0.0402), (0.1967, 0.7244, 0.0782), (0.0241, 0.1288, 0.8444))


def naive_lab(pixel: Values) -> list[float]:
    """Return l, α and β of one pixel, in decadic logarithms of LMS one level brighter."""
    lms = [math.log10(sum(a * b for a, b in zip(row, pixel, strict=True)) + 1) for row in LMS]
    long, middle, short = lms
    return [
        (long + middle + short) / math.sqrt(3),
        (long + middle - 2 * short) / math.sqrt(6),
        (long - middle) / math.sqrt(2),
    ]


def naive_rgb(lab: list[float]) -> Values:
    light, yellow_blue, red_green = (
        each / math.sqrt(root) for each, root in zip(lab, (3, 6, 2), strict=True)
    )
    logs = (
        light + yellow_blue + red_green,
        light + yellow_blue - red_green,
        light - 2 * yellow_blue,
    )
    return np.linalg.solve(np.array(LMS), [10**each - 1 for each in logs])


def naive_moments(pixels: Pixels) -> list[tuple[float, float]]:
    """Return (mean, std) of l, α and β."""
    every = [naive_lab(pixel) for pixel in pixels.reshape(-1, 3).astype(float)]
    found = []
    for channel in zip(*every, strict=True):
        mean = sum(channel) / len(channel)
        variance = sum((each - mean) ** 2 for each in channel) / len(channel)
        assert math.sqrt(variance) * math.log(10) > LEAST_DEVIATION
        found.append((mean, math.sqrt(variance)))
    return found


def naive_reinhard(pixels: Pixels, style: Pixels, strength: float) -> Pixels:
    """Equations 10 and 11 of Reinhard et al. 2001, pixel by pixel."""
    own, wanted, made = naive_moments(pixels), naive_moments(style), []
    for pixel in pixels.reshape(-1, 3).astype(float):
        lab = []
        for value, (mean, std), (to_mean, to_std) in zip(
            naive_lab(pixel), own, wanted, strict=True
        ):
            there = (value - mean) * to_std / std + to_mean
            lab.append((1 - strength) * value + strength * there)
        made.append(np.clip(naive_rgb(lab), 0, 255))
    return np.rint(made).astype(np.uint8).reshape(pixels.shape)


@pytest.mark.parametrize("strength", [0.3, 1.0])
@pytest.mark.parametrize("numbers", [(1, 2), (3, 4)])
def test_mean_std_is_the_papers_formula_pixel_by_pixel(
    numbers: tuple[int, int], strength: float
) -> None:
    pixels, style = (np.asarray(picture(number, 24, 16)) for number in numbers)
    made, wanted = (
        given(pixels, style, "mean_std", strength),
        naive_reinhard(pixels, style, strength),
    )
    difference = np.abs(made.astype(int) - wanted)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.005, "single precision, at halves"


def test_the_matrices_are_the_papers() -> None:
    # Equation 5, which is the inverse roughly.
    inverse = [[4.4679, -3.5873, 0.1193], [-1.2186, 2.3809, -0.1624], [0.0497, -0.2439, 1.2045]]
    np.testing.assert_allclose(np.linalg.inv(RGB_TO_LMS), inverse, atol=0.02)
    np.testing.assert_allclose(LOG_LMS_TO_LAB @ LOG_LMS_TO_LAB.T, np.eye(3), atol=1e-15)


def covariance_of(pixels: Pixels) -> tuple[Values, Values]:
    values = pixels.reshape(-1, 3).astype(float)
    return values.mean(0), np.cov(values.T, bias=True)


def test_covariance_gives_the_styles_mean_and_covariance_over_the_shortest_ways() -> None:
    pixels, style = soft(1, 64, 64), soft(2, 64, 64)
    made = given(pixels, style, "covariance")
    (mean, covariance), (own_mean, own) = covariance_of(style), covariance_of(pixels)
    made_mean, made_covariance = covariance_of(made)
    np.testing.assert_allclose(made_mean, mean, atol=0.2)
    np.testing.assert_allclose(made_covariance, covariance, rtol=0.03, atol=8)
    # What Gaussians with these moments are apart (Wasserstein-2): no map has shorter ways.
    root = sqrtm(own)
    bures = np.trace(own + covariance - 2 * np.real(sqrtm(root @ covariance @ root)))
    apart = float(((own_mean - mean) ** 2).sum() + bures)
    went = float(((made.astype(float) - pixels) ** 2).sum(2).mean())
    assert went == pytest.approx(apart, rel=0.02)


@pytest.mark.parametrize("number", [3, 5, 7])
def test_histogram_is_scikit_images(number: int) -> None:
    pixels, style = np.asarray(picture(number, 40, 30)), np.asarray(picture(number + 1, 50, 20))
    wanted = match_histograms(pixels.astype(np.int32), style.astype(np.int32), channel_axis=-1)
    exact = np.stack(
        [
            match_histograms(pixels[..., channel].astype(float), style[..., channel].astype(float))
            for channel in range(3)
        ],
        axis=-1,
    )
    made = given(pixels, style, "histogram")
    assert np.abs(made - exact).max() <= 0.5 + 1e-9, "rounded to the nearest"
    assert np.abs(made.astype(int) - wanted).max() <= 1, "which it truncates"


def distance(found: Values, wanted: Values) -> float:
    """Of histograms how far levels have to go; of moments their difference."""
    difference = found - wanted
    if difference.shape == (3, 256):
        difference = difference.cumsum(1)
    return float(np.abs(difference).sum())


@pytest.mark.parametrize("method", METHODS)
def test_strength_goes_straight_from_the_photograph_to_the_style(method: str) -> None:
    pixels, style = soft(1, 48, 48), soft(2, 48, 48)
    wanted = color_statistics(style, method)
    apart, went = [], []
    for strength in (0, 0.25, 0.5, 0.75, 1):
        made = given(pixels, style, method, strength)
        apart.append(distance(color_statistics(made, method), wanted))
        went.append(float(np.abs(made.astype(float) - pixels).mean()))
    assert apart == sorted(apart, reverse=True)
    assert went == sorted(went)
    assert went[0] == 0
    if method != "mean_std":  # whose straight ways are those of lαβ
        assert went[2] == pytest.approx(went[4] / 2, rel=0.05)
    assert apart[4] < 0.1 * apart[0]


@pytest.mark.parametrize("method", METHODS)
def test_strength_0_is_the_photograph_and_its_own_colours_change_nothing(method: str) -> None:
    pixels, style = np.asarray(picture(1)), np.asarray(picture(2))
    assert np.array_equal(given(pixels, style, method, 0), pixels)
    assert np.array_equal(given(pixels, pixels, method), pixels)
    # Nor is there a leap where it begins.
    assert np.array_equal(given(pixels, style, method, 1e-4), pixels)


@pytest.mark.parametrize("method", METHODS)
def test_a_blend_averages_the_ways_to_its_images(method: str) -> None:
    pixels = soft(1, 40, 40)
    first, second = (color_statistics(soft(number), method) for number in (2, 3))

    def blended(a: float, b: float) -> Pixels:
        return transfer_colors(pixels, [(first, a), (second, b)], method, 1.0)

    assert np.array_equal(blended(1, 3), blended(2, 6)), "weights are shares"
    alone = transfer_colors(pixels, [(first, 5.0)], method, 1.0)
    same = transfer_colors(pixels, [(first, 1.0), (first, 2.0)], method, 1.0)
    assert np.abs(alone.astype(int) - same).max() <= 1
    other = transfer_colors(pixels, [(second, 1.0)], method, 1.0)
    if method == "mean_std":
        mean = np.mean([first, second], axis=0)
        np.testing.assert_allclose(color_statistics(blended(1, 1), method), mean, atol=0.02)
    else:
        mean = (alone.astype(float) + other) / 2
        assert np.abs(blended(1, 1) - mean).max() <= 1.01


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (10, 200, 90)])
def test_an_image_of_one_colour_becomes_the_styles_middle_colour(
    method: str, color: tuple[int, int, int]
) -> None:
    style = soft(2, 64, 64)
    middle = np.median if method == "histogram" else np.mean
    wanted = middle(style.reshape(-1, 3), axis=0)
    for size in ((1, 1, 3), (7, 5, 3)):
        made = given(np.full(size, color, np.uint8), style, method)
        assert len(np.unique(made.reshape(-1, 3), axis=0)) == 1
        # A mean of logarithms is below the mean.
        assert np.abs(made[0, 0] - wanted).max() <= (12 if method == "mean_std" else 1)
    # And as a style it leaves its own.
    made = given(style, np.full((3, 3, 3), color, np.uint8), method)
    assert np.abs(made.astype(float).mean((0, 1)) - color).max() <= 2


@pytest.mark.parametrize("method", ["mean_std", "covariance"])
def test_the_noise_of_a_grey_photograph_is_not_made_colours_of(method: str) -> None:
    grey = np.repeat(soft(1, 64, 64)[..., :1], 3, axis=2)
    noise = np.random.default_rng(0).integers(-1, 2, grey.shape)
    noisy = (grey.astype(int) + noise).astype(np.uint8)
    style = np.asarray(picture(2, 64, 64))

    def spread(pixels: Pixels) -> float:
        values = pixels.astype(float)
        return float((values - values.mean(2, keepdims=True)).std((0, 1)).max())

    for pixels in (grey, noisy):
        made = given(pixels, style, method)
        assert np.isfinite(made).all()
        assert spread(made) < spread(style), "not more than the style has"
    assert spread(given(grey, np.repeat(style[..., :1], 3, axis=2), method)) < 1.5


@pytest.mark.parametrize("is_large", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_large_image_has_the_same_bits_in_any_thread_beside_any_others(
    method: str, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (190, 201, 3), dtype=np.uint8)
    monkeypatch.setattr(color_transfer, "_MOST_KEPT", 10**3 if is_large else 10**6)
    style = np.asarray(picture(2, 64, 64))
    alone = given(pixels, style, method, 0.7)
    with ThreadPoolExecutor(4) as threads:
        beside = list(threads.map(lambda _: given(pixels, style, method, 0.7), range(8)))
    assert all(np.array_equal(alone, other) for other in beside)
    assert np.array_equal(given(np.asfortranarray(pixels), style, method, 0.7), alone)
    assert alone.dtype == np.uint8
    assert alone.shape == pixels.shape
