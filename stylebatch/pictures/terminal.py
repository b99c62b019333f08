"""Pictures on a terminal: kitty's graphics, sixel, and half blocks of text in two colours.

Sources: "The terminal graphics protocol" (kitty); DEC STD 070, chapter 9 (sixel graphics).
"""

from base64 import b64encode
from collections.abc import Iterator
from itertools import groupby

import numpy as np
from PIL import Image

from stylebatch.pictures.images import Pixels

# Of base64 in one escape sequence, as kitty takes it at most.
_CHUNK = 4096
_COLORS = 256
_BAND = 6  # rows of pixels in a row of sixels
# What each of red, green and blue is in xterm's cube of colours.
_CUBE = (0, 95, 135, 175, 215, 255)


def kitty(png: bytes, columns: int, rows: int) -> str:
    """Return what shows a PNG where the cursor is, in so many cells; the cursor stays.

    A terminal that knows it answers nothing (q=2).
    """
    text = b64encode(png).decode()
    chunks = [text[at : at + _CHUNK] for at in range(0, len(text), _CHUNK)]
    parts = []
    for number, chunk in enumerate(chunks):
        keys = f"a=T,f=100,q=2,C=1,c={columns},r={rows}," if number == 0 else ""
        parts.append(f"\x1b_G{keys}m={int(number + 1 < len(chunks))};{chunk}\x1b\\")
    return "".join(parts)


def sixel(pixels: Pixels) -> str:
    """Return what shows (H, W, 3) where the cursor is, pixel by pixel, in up to 256 colours."""
    height, width = pixels.shape[:2]
    flat = Image.fromarray(pixels).quantize(_COLORS, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.array(flat.getpalette(), np.float64).reshape(-1, 3)
    indices = np.asarray(flat)
    colors = "".join(
        f"#{index};2;{';'.join(str(round(part / 2.55)) for part in palette[index])}"
        for index in np.unique(indices)
    )
    bands = "-".join(
        "$".join(_plane(indices[top : top + _BAND], index) for index in _used(indices, top))
        for top in range(0, height, _BAND)
    )
    # 1: what is not painted stays as it is.
    return f'\x1bP0;1q"1;1;{width};{height}{colors}{bands}\x1b\\'


def _used(indices: Pixels, top: int) -> Iterator[int]:
    yield from map(int, np.unique(indices[top : top + _BAND]))


def _plane(band: Pixels, color: int) -> str:
    """Return one colour's part of up to six rows: a character for each column, repeats counted."""
    weights = 1 << np.arange(len(band))
    bits = ((band == color) * weights[:, None]).sum(0)
    runs = ((chr(63 + int(value)), len(list(same))) for value, same in groupby(bits))
    return f"#{color}" + "".join(_run(character, length) for character, length in runs)


def _run(character: str, length: int) -> str:
    return f"!{length}{character}" if length > 3 else character * length


def half_blocks(pixels: Pixels, *, is_true_color: bool = True) -> list[str]:
    """Return lines of text that show (H, W, 3): a character is two pixels, one above the other.

    Of an odd number of rows the last is repeated.

    Args:
        is_true_color: in 24-bit colours, else in the nearest of xterm's 256.
    """
    color = _true_color if is_true_color else _palette_color
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    lines = []
    for above, below in zip(pixels[::2], pixels[1::2], strict=True):
        cells = (
            f"\x1b[38;{color(top)};48;{color(bottom)}m▀"
            for top, bottom in zip(above.tolist(), below.tolist(), strict=True)
        )
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _true_color(pixel: list[int]) -> str:
    return f"2;{';'.join(map(str, pixel))}"


def _palette_color(pixel: list[int]) -> str:
    """Name the nearest of xterm's cube of 6×6×6 colours and its 24 greys."""
    steps = [min(range(6), key=lambda step: abs(_CUBE[step] - part)) for part in pixel]
    grey = min(range(24), key=lambda number: abs(8 + 10 * number - sum(pixel) / 3))
    cube = (_far(pixel, [_CUBE[step] for step in steps]), 16 + _in_base_6(steps))
    return f"5;{min(cube, (_far(pixel, [8 + 10 * grey] * 3), 232 + grey))[1]}"


def _far(pixel: list[int], other: list[int]) -> int:
    return sum((one - two) ** 2 for one, two in zip(pixel, other, strict=True))


def _in_base_6(steps: list[int]) -> int:
    red, green, blue = steps
    return 36 * red + 6 * green + blue
