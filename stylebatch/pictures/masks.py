"""Masks as people have them → where a style applies: 255 there, 0 where the photograph is kept."""

import numpy as np

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import Pixels, decode

# Channels of a grey picture that was JPEG once differ by this at most.
_GREY_SPREAD = 8
# Numbers of classes are small, as few masks are so thin: levels of 255, 255 itself being none.
_MOST_CLASS, _FEW_VALUES = 31, 8
_ALLOWED = "allowed is white where to stylise and black where not, or two values for these"


def read_mask(data: bytes, where: str) -> Pixels:
    """Decode a mask: (H, W), 255 where the style applies, what lies between in parts.

    Two values are two sides, whichever they are (0 and 1, a palette's black and one colour): the
    higher is where the style applies, and so is one value alone unless it is 0. A mask may be the
    transparency of a picture in one colour.

    Args:
        where: the file's name, for the message.

    Raises:
        ImageError: no image that can be read, or one that does not tell what is to be stylised.
    """
    picture = decode(data, where)
    if picture.alpha is not None and picture.alpha.min() < 255:
        return _two_sides(_shape(picture.rgb, picture.alpha, where))
    grey = _grey(picture.rgb, where)
    values = np.unique(grey)
    inner = values[(values > 0) & (values < 255)]
    if len(values) <= 2:
        return _two_sides(grey)
    if inner[-1] <= _MOST_CLASS and (values[-1] < 255 or len(values) <= _FEW_VALUES):
        shown = ", ".join(map(str, values[:6])) + (", …" if len(values) > 6 else "")
        found = f"a mask whose values are {shown}: numbers of classes, it seems"
        raise ImageError(where, found, _ALLOWED, "make the classes to be stylised white")
    return grey


def _shape(rgb: Pixels, alpha: Pixels, where: str) -> Pixels:
    """Return the transparency of a picture that has no other shape."""
    visible = rgb[alpha > 0]
    is_plain = not len(visible) or bool((visible == visible[0]).all())
    if is_plain or bool((rgb == alpha[..., None]).all()):
        return alpha
    found = "a mask that is transparent in parts, and of several colours where it is not"
    todo = "remove the transparency, or paint what is not transparent in one colour"
    raise ImageError(where, found, _ALLOWED, todo)


def _grey(rgb: Pixels, where: str) -> Pixels:
    """Return the mean of the channels; of two colours 0 for the darker and 255 for the other."""
    spread = rgb.max(2) - rgb.min(2)
    if spread.max() <= _GREY_SPREAD:
        grey: Pixels = rgb.mean(2).round().astype(np.uint8)
        return grey
    packed = rgb.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > 2:
        found = f"a mask of {len(colours)} colours"
        todo = "make the classes to be stylised white, all else black"
        raise ImageError(where, found, _ALLOWED, todo)
    sums = ((colours[:, None] >> np.array([0, 8, 16], np.uint32)) & 255).sum(1)
    levels = np.where(sums == sums.max(), 255, 0).astype(np.uint8)
    if len(colours) == 2 and sums[0] == sums[1]:
        levels = np.array([0, 255], np.uint8)
    return levels[index].reshape(rgb.shape[:2])


def _two_sides(mask: Pixels) -> Pixels:
    """Return a mask of one or two values as one of 0 and 255; others as they are."""
    values = np.unique(mask)
    if len(values) > 2:
        return mask
    low = values[0] if len(values) == 2 else 0
    sides: Pixels = np.where(mask > low, 255, 0).astype(np.uint8)
    return sides
