"""What a result is worth by its pixels: structure kept, colour, coloured speckle."""

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.images import Pixels

Floats = NDArray[np.float64]

# ITU-R BT.601, as Pillow's `L` has it.
_LUMA = np.array([0.299, 0.587, 0.114])
# Wang et al. 2004: a Gaussian window of 11×11 with a deviation of 1.5, and constants for 8 bits.
WINDOW = 11
_GAUSSIAN = np.exp(-np.square(np.arange(WINDOW) - WINDOW // 2) / (2 * 1.5**2))
_GAUSSIAN /= _GAUSSIAN.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
# What rounding to 8 bits alone gives: of two grey inputs nothing is to be divided by less.
FINE_CHROMA_OF_ROUNDING = 1 / (12 * 255**2)


def ssim(one: Pixels, other: Pixels) -> float | None:
    """Return the structural similarity of two images' luma: at most 1, that of the same twice.

    Only windows that lie within the images count; None where there are none (an edge below 11 px).
    Source: Wang, Bovik, Sheikh & Simoncelli 2004, "Image quality assessment: from error visibility
    to structural similarity", equation 13, with the weights of their section III-C.

    Args:
        one, other: (H, W, 3) in 8 bits, of one size.
    """
    if min(one.shape[:2]) < WINDOW:
        return None
    x, y = one @ _LUMA, other @ _LUMA
    mean_x, mean_y, xx, yy, xy = _windowed(np.stack([x, y, x * x, y * y, x * y]))
    variances = xx - mean_x**2 + yy - mean_y**2
    covariance = xy - mean_x * mean_y
    similar = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    return float((similar / ((mean_x**2 + mean_y**2 + _C1) * (variances + _C2))).mean())


def _windowed(images: Floats) -> Floats:
    """Return the mean under the window at each of its places within (N, H, W)."""
    for axis in (1, 2):
        length = images.shape[axis] - WINDOW + 1
        parts = (images.take(range(at, at + length), axis) for at in range(WINDOW))
        images = np.asarray(sum(weight * x for weight, x in zip(_GAUSSIAN, parts, strict=True)))
    return images


def saturation(pixels: Pixels) -> float:
    """Return how colourful an image is: the mean of max(R, G, B) - min(R, G, B), from 0 to 1.

    That is the chroma of HSV, which its saturation divides by the value: unlike that, it doesn't
    call what is nearly black colourful.

    Args:
        pixels: (H, W, 3) in 8 bits.
    """
    return float((pixels.max(2) - pixels.min(2)).mean()) / 255


def speckle(result: Pixels, content: Pixels, style_chroma: float) -> float:
    """Return how much fine colour a result has beside its inputs: 1 as much as either of them.

    The chroma energy of its finest Laplacian band over that of the style or of the content,
    whichever has more; of two grey ones over what rounding to 8 bits gives.

    Args:
        result, content: (H, W, 3) in 8 bits.
        style_chroma: `fine_chroma` of the style at the size at which it is looked at.
    """
    inputs = max(style_chroma, fine_chroma(content), FINE_CHROMA_OF_ROUNDING)
    return fine_chroma(result) / inputs


def fine_chroma(pixels: Pixels) -> float:
    """Return the mean square of the finest Laplacian band of an image's chroma, values in [0, 1].

    Chroma is what is left of each channel without the mean of the three. Source of the pyramid:
    Burt & Adelson 1983, "The Laplacian pyramid as a compact image code", with a = 0.375.

    Args:
        pixels: (H, W, 3) in 8 bits.
    """
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
