"""What an eye minds and no loss tells: coloured speckle, and a frame inside the border."""

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.images import Pixels

Floats = NDArray[np.float64]

_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
# Distances from the border, px: where a frame would be, and what it is compared with.
OUTER, INNER = slice(0, 8), slice(16, 40)


def chroma_ratio(result: Pixels, style: Pixels) -> float:
    """Return the chroma energy of a result's finest Laplacian band over that of its style: chr.

    Above 1 a result has more coloured speckle than the painting has at the size at which it is
    looked at.

    Args:
        result, style: (H, W, 3) in 8 bits.
    """
    return _fine_chroma(result) / max(_fine_chroma(style), 1e-12)


def _fine_chroma(pixels: Pixels) -> float:
    image = pixels.astype(float) / 255
    chroma = image - image.mean(2, keepdims=True)
    coarse = _smooth(_smooth(chroma, 0), 1)[::2, ::2]
    return float(
        np.square(chroma - _double(_double(coarse, 0, len(image)), 1, image.shape[1])).mean()
    )


def _smooth(x: Floats, axis: int) -> Floats:
    padded = np.pad(x, [(2, 2) if dim == axis else (0, 0) for dim in range(3)], mode="reflect")
    length = x.shape[axis]
    return np.asarray(
        sum(
            weight * padded.take(range(at, at + length), axis)
            for at, weight in enumerate(_BINOMIAL)
        )
    )


def _double(x: Floats, axis: int, length: int) -> Floats:
    """Bring every second sample back to all, by Burt & Adelson's filter."""
    shape = list(x.shape)
    shape[axis] = length
    spread = np.zeros(shape)
    every_second = [slice(None)] * 3
    every_second[axis] = slice(None, None, 2)
    spread[tuple(every_second)] = x
    return 2 * _smooth(spread, axis)


def line_ratio(result: Pixels) -> float:
    """Return how much lines along the border stand out: line, about 1 or less without a frame.

    The mean colour of all pixels at a distance from the border, less that of its two neighbours;
    the energy of this at 0 to 7 px over that at 16 to 39 px, or as far in as there are any: at
    least the innermost.
    """
    image = result.astype(float) / 255
    rows, columns = (np.minimum(range(n), range(n)[::-1]) for n in image.shape[:2])
    distance = np.minimum(rows[:, None], columns[None])
    every = range(int(distance.max()) + 1)
    profile = np.stack([image[distance == each].mean(0) for each in every])
    padded = np.pad(profile, [(1, 1), (0, 0)], mode="edge")
    energy = np.square(profile - (padded[:-2] + padded[2:]) / 2).mean(1)
    inner = energy[min(INNER.start, len(energy) - 1) : INNER.stop]
    return float(energy[OUTER].mean() / max(inner.mean(), 1e-12))
