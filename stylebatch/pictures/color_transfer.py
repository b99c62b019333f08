"""Colour transfer: an image's colours brought to those of a style by statistics of both.

Each method is a map of colours. Between the image and its map each pixel goes the straight way, and
a blend of styles averages their maps, so the same share of the distance is gone by all pixels. No
sum depends on the number of threads: counts and sums of 8-bit numbers are exact, the others are
numpy's own over pieces of one length.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.colors import VARIANCE_FLOOR, Matrix, symmetric_root
from stylebatch.pictures.images import Pixels

# Statistics of an image: mean and standard deviation of l, α and β (2, 3); mean and covariance of
# red, green and blue (4, 3); the shares of their 256 values (3, 256).
ColorStatistics = Matrix
Weighted = Sequence[tuple[ColorStatistics, float]]
_Planes = NDArray[np.float32]

# Reinhard et al. 2001, equation 4: linear RGB → LMS there; here, as usual, of RGB as it is stored.
RGB_TO_LMS = np.array(
    [[0.3811, 0.5783, 0.0402], [0.1967, 0.7244, 0.0782], [0.0241, 0.1288, 0.8444]]
)
# Equation 6: logarithms of LMS → lαβ. Its rows are orthonormal.
LOG_LMS_TO_LAB = np.array([[1, 1, 1], [1, 1, -2], [1, -1, 0]]) / np.sqrt([[3], [6], [2]])
# An image's own deviation of l, α or β counts as this at least, in natural logarithms: about a
# level of 8 bits. A grey image has next to none of α and β: its noise would become colours.
LEAST_DEVIATION = 0.01

_LAB_TO_LOG_LMS = LOG_LMS_TO_LAB.T
# Its exact inverse, and not the paper's, which is it to two digits: no change must change nothing.
_LMS_TO_RGB = np.linalg.inv(RGB_TO_LMS)
# Around these levels logarithms are small, and their sums exact enough in single precision.
_MIDDLE = 64.0
_LARGEST_LOG = 8.0
# What stays in a core's cache; and so that sums are over pieces of one length.
_PIECE = 2**14
# Pixels whose logarithms are kept between two looks at them.
_MOST_KEPT = 2**20


def color_statistics(pixels: Pixels, method: str) -> ColorStatistics:
    """Return what a method needs of an image; see `ColorStatistics`.

    Args:
        pixels: (H, W, 3), 8-bit sRGB.
        method: mean_std | covariance | histogram.
    """
    return METHODS[method][0](pixels)


def transfer_colors(pixels: Pixels, styles: Weighted, method: str, strength: float) -> Pixels:
    """Give an image the colours of styles, clipped to 8 bits: (H, W, 3).

    Args:
        pixels: (H, W, 3), 8-bit sRGB.
        styles: each style image's statistics by `method`, and its weight.
        strength: 0, every byte of the image, to 1, its colours' statistics those of the styles.
    """
    if strength == 0:
        return pixels
    total = sum(weight for _, weight in styles)
    shares = [(statistics, weight / total) for statistics, weight in styles]
    return METHODS[method][1](pixels, shares, strength)


def _mean(styles: Weighted) -> ColorStatistics:
    """Return the mean of statistics, by shares that sum to 1."""
    mean: ColorStatistics = np.sum([share * each for each, share in styles], axis=0)
    return mean


# --- mean_std: Reinhard, Ashikhmin, Gooch & Shirley 2001


def _lab_statistics(pixels: Pixels) -> ColorStatistics:
    return _lab_moments(map(_log_lms, _pieces(pixels)), pixels.size // 3)


def _lab_moments(pieces: Iterable[_Planes], count: int) -> ColorStatistics:
    """Return mean and standard deviation of l, α and β from pieces of logarithms of LMS."""
    sums, squares = np.zeros(3), np.zeros(3)
    for piece in pieces:
        lab = _mixed(LOG_LMS_TO_LAB, piece)
        sums += lab.sum(1, dtype=np.float64)
        squares += np.square(lab, out=lab).sum(1, dtype=np.float64)
    mean = sums / count
    return np.array([mean, np.sqrt(np.maximum(squares / count - mean**2, 0))])


def _match_lab(pixels: Pixels, styles: Weighted, strength: float) -> Pixels:
    # Logarithms take long; of large images they take more memory than they are worth.
    known = list(map(_log_lms, _pieces(pixels))) if pixels.size <= 3 * _MOST_KEPT else None
    logs = known or map(_log_lms, _pieces(pixels))
    mean, std = _lab_moments(logs, pixels.size // 3)
    wanted_mean, wanted_std = _mean(styles)
    scale = 1 + strength * (wanted_std / np.maximum(std, LEAST_DEVIATION) - 1)
    shift = mean + strength * (wanted_mean - mean) - scale * mean
    matrix = (_LAB_TO_LOG_LMS * scale) @ LOG_LMS_TO_LAB
    offset = _LAB_TO_LOG_LMS @ shift
    logs = known or map(_log_lms, _pieces(pixels))
    made = (_mixed(_LMS_TO_RGB, _lms(_mixed(matrix, piece, offset))) for piece in logs)
    return _to_pixels(made, pixels.shape)


def _log_lms(rgb: _Planes) -> _Planes:
    """Return logarithms of LMS that are a level brighter: black has none."""
    lms = _mixed(RGB_TO_LMS / _MIDDLE, rgb, np.full(3, 1 / _MIDDLE))
    return np.log(lms, out=lms)


def _lms(logs: _Planes) -> _Planes:
    lms = np.exp(np.minimum(logs, _LARGEST_LOG, out=logs), out=logs)
    lms *= _MIDDLE
    lms -= 1
    return lms


# --- covariance: Pitié & Kokaram 2007


def _rgb_statistics(pixels: Pixels) -> ColorStatistics:
    sums, products = np.zeros(3), np.zeros((3, 3))
    for piece in _pieces(pixels):
        # Sums of whole numbers below 2**53: exact in any order.
        values = piece.astype(np.float64)
        sums += values.sum(1)
        products += values @ values.T
    count = pixels.size // 3
    mean = sums / count
    covariance = products / count - np.outer(mean, mean)
    return np.vstack([mean, covariance + 255**2 * VARIANCE_FLOOR * np.eye(3)])


def _match_rgb(pixels: Pixels, styles: Weighted, strength: float) -> Pixels:
    mean, *covariance = _rgb_statistics(pixels)
    wanted_mean = _mean(styles)[0]
    root = symmetric_root(np.array(covariance))
    inverse, whole = np.linalg.inv(root), np.zeros((3, 3))
    for statistics, share in styles:
        whole += share * (inverse @ symmetric_root(root @ statistics[1:] @ root) @ inverse)
    matrix = np.eye(3) + strength * (whole - np.eye(3))
    offset = mean + strength * (wanted_mean - mean) - matrix @ mean
    made = (_mixed(matrix, piece, offset) for piece in _pieces(pixels))
    return _to_pixels(made, pixels.shape)


# --- histogram: histogram specification


def _histograms(pixels: Pixels) -> ColorStatistics:
    counts = [np.bincount(plane, minlength=256) for plane in pixels.reshape(-1, 3).T]
    return np.array(counts) / (pixels.size // 3)


def _match_histograms(pixels: Pixels, styles: Weighted, strength: float) -> Pixels:
    own, made = _histograms(pixels), np.empty_like(pixels)
    for channel in range(3):
        table = sum(
            share * _specified(own[channel], statistics[channel]) for statistics, share in styles
        )
        levels = np.arange(256)
        moved = np.rint(levels + strength * (table - levels)).astype(np.uint8)
        made[..., channel] = moved[pixels[..., channel]]
    return made


def _specified(shares: Matrix, wanted: Matrix) -> Matrix:
    """Return what 256 levels become so that their shares are those that are wanted.

    A level's quantile is the share of all up to it. A channel that has one level only has none:
    it becomes the wanted median.
    """
    quantiles, levels = np.cumsum(shares), np.flatnonzero(wanted)
    if np.count_nonzero(shares) == 1:
        quantiles = np.full(256, 0.5)
    return np.interp(quantiles, np.cumsum(wanted)[levels], levels)


# --- pieces of images as planes


def _pieces(pixels: Pixels) -> Iterator[_Planes]:
    """Yield an image's red, green and blue in order, (3, N) each, from 0 to 255."""
    flat = pixels.reshape(-1, 3)
    for start in range(0, len(flat), _PIECE):
        yield np.ascontiguousarray(flat[start : start + _PIECE].T).astype(np.float32)


def _mixed(matrix: Matrix, planes: _Planes, offset: Matrix | None = None) -> _Planes:
    """Return matrix · planes + offset: by products of its own, as a BLAS has other bits at times.

    Args:
        matrix: (3, 3).
        planes: (3, N).
        offset: (3,).
    """
    made, product = np.empty_like(planes), np.empty_like(planes[0])
    for row, factors in enumerate(matrix.tolist()):
        np.multiply(planes[0], factors[0], out=made[row])
        for plane, factor in zip(planes[1:], factors[1:], strict=True):
            made[row] += np.multiply(plane, factor, out=product)
        if offset is not None:
            made[row] += float(offset[row])
    return made


def _to_pixels(pieces: Iterator[_Planes], shape: tuple[int, ...]) -> Pixels:
    made = np.empty((shape[0] * shape[1], 3), np.uint8)
    start = 0
    for piece in pieces:
        rounded = np.rint(np.clip(piece, 0, 255, out=piece), out=piece)
        made[start : start + piece.shape[1]] = rounded.T
        start += piece.shape[1]
    return made.reshape(shape)


METHODS: Mapping[
    str,
    tuple[Callable[[Pixels], ColorStatistics], Callable[[Pixels, Weighted, float], Pixels]],
] = {
    "mean_std": (_lab_statistics, _match_lab),
    "covariance": (_rgb_statistics, _match_rgb),
    "histogram": (_histograms, _match_histograms),
}
