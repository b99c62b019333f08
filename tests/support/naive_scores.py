"""Scores of pictures by their definitions, on SciPy's filters and in loops."""

import colorsys

import numpy as np
import scipy.ndimage

from stylebatch.pictures.images import Pixels

ROW = np.array([1, 4, 6, 4, 1]) / 16
# Of rounding to whole numbers, evenly spread over one: its variance, in units of 255.
ROUNDING = (1 / 12) / 255**2


def fine_chroma(pixels: Pixels) -> float:
    """Return the mean square of colour less what its half tells of it, channel by channel."""
    grey = pixels.astype(float).mean(2)
    squares = []
    for channel in np.moveaxis(pixels.astype(float), 2, 0):
        colour = (channel - grey) / 255
        kernel = np.outer(ROW, ROW)
        # SciPy's mirror does not repeat the border's own pixels.
        half = scipy.ndimage.convolve(colour, kernel, mode="mirror")
        kept = np.zeros(colour.shape, bool)
        kept[::2, ::2] = True
        full = scipy.ndimage.convolve(np.where(kept, half, 0), 4 * kernel, mode="mirror")
        squares.append((colour - full) ** 2)
    return float(np.mean(squares))


def speckle(result: Pixels, content: Pixels, style: Pixels) -> float:
    """Return the result's fine colour over that of its inputs."""
    return fine_chroma(result) / max(fine_chroma(content), fine_chroma(style), ROUNDING)


def saturation(pixels: Pixels) -> float:
    """Return the mean of what the standard library calls saturation times value."""
    found = []
    for rgb in pixels.reshape(-1, 3) / 255:
        _, saturation, value = colorsys.rgb_to_hsv(*rgb)
        found.append(saturation * value)
    return sum(found) / len(found)
