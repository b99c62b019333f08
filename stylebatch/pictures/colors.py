"""Colours: one image's given to another, and a result's replaced by its content's."""

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.images import Pixels

Matrix = NDArray[np.float64]

# Of values in [0, 1]: keeps the root of a covariance that is nearly flat from blowing noise up.
VARIANCE_FLOOR = 1e-5
_LUMINANCE = np.array([0.299, 0.587, 0.114])


def match_colors(pixels: Pixels, reference: Pixels, counted: Pixels | None = None) -> Pixels:
    """Give an image the mean and the covariance of another's colours.

    Source: Gatys, Bethge, Hertzmann & Shechtman 2016, "Preserving Color in Neural Artistic Style
    Transfer", section 3.1 with the symmetric roots of Image Analogies; clipped to 8 bits.

    Args:
        pixels, reference: (H, W, 3), 8-bit sRGB, of any sizes.
        counted: likewise, of the image's pixels those whose colours count; None: all.
    """
    mean, covariance = _statistics(pixels if counted is None else counted)
    wanted_mean, wanted_covariance = _statistics(reference)
    transform = symmetric_root(wanted_covariance) @ np.linalg.inv(symmetric_root(covariance))
    values = pixels.reshape(-1, 3) / 255.0
    matched = (values - mean) @ transform.T + wanted_mean
    rounded = np.rint(np.clip(matched, 0, 1) * 255).astype(np.uint8)
    return rounded.reshape(pixels.shape)


def _statistics(pixels: Pixels) -> tuple[Matrix, Matrix]:
    values = pixels.reshape(-1, 3) / 255.0
    covariance = np.cov(values, rowvar=False, bias=True)
    return values.mean(0), covariance + VARIANCE_FLOOR * np.eye(3)


def symmetric_root(covariance: Matrix) -> Matrix:
    """Return the symmetric square root of a covariance (3, 3)."""
    values, vectors = np.linalg.eigh(covariance)
    root: Matrix = (vectors * np.sqrt(values)) @ vectors.T
    return root


def keep_colors(result: Pixels, content: Pixels) -> Pixels:
    """Return the result's luminance with the content's chrominance, both (H, W, 3).

    Source: the same paper, section 3.2, in the YCbCr of JPEG (ITU-R BT.601): there the same
    chrominance at another luminance is the same difference in red, green and blue.
    """
    luminance = (result.astype(np.float64) - content) @ _LUMINANCE
    kept = np.rint(np.clip(content + luminance[..., None], 0, 255))
    pixels: Pixels = kept.astype(np.uint8)
    return pixels
