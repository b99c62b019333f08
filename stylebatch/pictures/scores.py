"""What a result is worth by its pixels: structure kept, colour, coloured speckle.

In float32, and without what is not needed: a GPU waits for it.
"""

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.images import Pixels

Floats = NDArray[np.float32]

# ITU-R BT.601, as Pillow's `L` has it.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Wang et al. 2004: a Gaussian window of 11×11 with a deviation of 1.5, and constants for 8 bits.
WINDOW = 11
_GAUSSIAN = np.exp(-np.square(np.arange(WINDOW) - WINDOW // 2) / (2 * 1.5**2))
_GAUSSIAN /= _GAUSSIAN.sum()
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Burt & Adelson's filter; brought back to all samples, those that were kept are met by its first,
# third and fifth weight, those between by the others, twice as high.
_BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16
_AT_KEPT, _BETWEEN = 2 * _BINOMIAL[::2], 2 * _BINOMIAL[1::2]
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
    # Around the middle of their range, so that squares keep their digits.
    x, y = (_luma(pixels) - np.float32(127.5) for pixels in (one, other))
    mean_x, mean_y, squares, products = map(_windowed, (x, y, x * x + y * y, x * y))
    both = mean_x * mean_y
    each = mean_x * mean_x + mean_y * mean_y
    variances, covariance = squares - each, products - both
    # Of the means themselves: (x + m)(y + m) = xy + m(x + y) + m².
    shift = 127.5 * (mean_x + mean_y) + 127.5**2
    means, energies = both + shift, each + 2 * shift
    similar = (2 * means + _C1) * (2 * covariance + _C2)
    similar /= (energies + _C1) * (variances + _C2)
    return float(similar.mean(dtype=np.float64))


def _luma(pixels: Pixels) -> Floats:
    # No product of matrices: its sums may depend on the number of threads.
    red, green, blue = np.moveaxis(pixels, 2, 0).astype(np.float32)
    return np.asarray(_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)


def _windowed(image: Floats) -> Floats:
    """Return the mean under the window at each of its places within (H, W)."""
    return _filtered(_filtered(image, _GAUSSIAN, 0), _GAUSSIAN, 1)


def saturation(pixels: Pixels) -> float:
    """Return how colourful an image is: the mean of max(R, G, B) - min(R, G, B), from 0 to 1.

    That is the chroma of HSV, which its saturation divides by the value: unlike that, it doesn't
    call what is nearly black colourful.

    Args:
        pixels: (H, W, 3) in 8 bits.
    """
    red, green, blue = np.moveaxis(pixels, 2, 0)
    high = np.maximum(np.maximum(red, green), blue)
    low = np.minimum(np.minimum(red, green), blue)
    return float((high - low).mean(dtype=np.float64)) / 255


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
    channels = np.moveaxis(pixels, 2, 0).astype(np.float32) / np.float32(255)
    mean = channels.mean(0)
    # The three add up to nothing, and so do their bands.
    red, green = (_fine(channel - mean) for channel in channels[:2])
    energy = 2 * (red * red + green * green + red * green)
    return float(energy.mean(dtype=np.float64)) / 3


def _fine(image: Floats) -> Floats:
    """Return the finest Laplacian band of (H, W): what its half of every second sample lacks."""
    coarse = image
    for axis in (0, 1):
        padded = np.pad(coarse, [(2, 2) if axis == dim else (0, 0) for dim in (0, 1)], "reflect")
        coarse = _filtered(padded, _BINOMIAL, axis, step=2)
    for axis in (0, 1):
        coarse = _double(coarse, axis, image.shape[axis])
    return image - coarse


def _double(x: Floats, axis: int, length: int) -> Floats:
    """Bring every second sample of (H, W) back to all, by Burt & Adelson's filter."""
    # Mirrored where the border is: at a sample that was kept, or at one behind the last of them.
    is_behind = length % 2 == 0
    widths = [(1, 0 if is_behind else 1) if axis == dim else (0, 0) for dim in (0, 1)]
    padded = np.pad(x, widths, "reflect")
    if is_behind:
        padded = np.concatenate([padded, x[-1:] if axis == 0 else x[:, -1:]], axis)
    at_kept = _filtered(padded, _AT_KEPT, axis)
    between = _filtered(padded[1:] if axis == 0 else padded[:, 1:], _BETWEEN, axis)
    shape = list(x.shape)
    shape[axis] = length
    found = np.empty(shape, np.float32)
    if axis == 0:
        found[::2], found[1::2] = at_kept, between[: length // 2]
    else:
        found[:, ::2], found[:, 1::2] = at_kept, between[:, : length // 2]
    return found


def _filtered(x: Floats, weights: NDArray[np.float64], axis: int, step: int = 1) -> Floats:
    """Return the weighted sum at every place, or every so-manieth, along an axis of (H, W)."""
    length = x.shape[axis] - len(weights) + 1
    parts = [
        x[at : at + length : step] if axis == 0 else x[:, at : at + length : step]
        for at in range(len(weights))
    ]
    found = parts[0] * np.float32(weights[0])
    share = np.empty_like(found)
    for weight, part in zip(weights[1:], parts[1:], strict=True):
        np.multiply(part, np.float32(weight), out=share)
        found += share
    return found
