"""Grey of more than 8 bits → 8 bits: which of its bits hold something."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stylebatch.pictures.errors import ImageError

Levels = Literal["auto", "full"] | int
Grey = NDArray[np.uint16]

FULL_BITS = 16
# What cameras and scanners of 8, 10 and 12 bits fill of 16: other numbers are seldom, and a dark
# photograph of 16 bits is the more likely the more bits it has.
USUAL_BITS = (8, 10, 12)


def bits_of(grey: Grey, levels: Levels, where: str) -> int:
    """Return how many bits white has in grey of 16.

    Args:
        levels: auto: the smallest of `USUAL_BITS` that hold all values, else 16; full: 16; or so
            many, 8 to 16.
        where: the file's name, for the message.

    Raises:
        ImageError: a value that so many bits don't hold.
    """
    largest = int(grey.max(initial=0))
    if levels == "full":
        return FULL_BITS
    if levels == "auto":
        # An image that is all black is so at any number.
        fits = (bits for bits in USUAL_BITS if 0 < largest < 2**bits)
        return next(fits, FULL_BITS)
    if largest >= 2**levels:
        found = f"has 16-bit grey up to {largest:,}"
        allowed = f"allowed by `levels: {levels}` is {2**levels - 1:,}"
        raise ImageError(where, found, allowed, "correct `levels` of the pair")
    return levels


def to_8_bits(grey: Grey, bits: int, *, is_inverted: bool = False) -> NDArray[np.uint8]:
    """Return the highest 8 of so many bits, as Pillow itself does for 16-bit colour.

    Args:
        is_inverted: whether 0 is white.
    """
    narrow = (grey >> (bits - 8)).astype(np.uint8)
    return 255 - narrow if is_inverted else narrow
