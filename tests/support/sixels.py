"""A decoder of sixel images, by DEC's description of them (STD 070, chapter 9)."""

import re

import numpy as np
from numpy.typing import NDArray


def decode_sixel(text: str) -> NDArray[np.int64]:
    """Paint a sixel image, character by character, by DEC's description of them."""
    found = re.fullmatch(r'\x1bP[0-9;]*q"1;1;(\d+);(\d+)(.*)\x1b\\', text, re.DOTALL)
    assert found
    canvas = np.full((int(found[2]), int(found[1]), 3), -1, np.int64)
    palette: dict[int, tuple[int, ...]] = {}
    color, x, y, at, body = 0, 0, 0, 0, found[3]
    while at < len(body):
        if part := re.compile(r"#(\d+)(?:;2;(\d+);(\d+);(\d+))?").match(body, at):
            color = int(part[1])
            if part[2]:
                palette[color] = tuple(round(int(part[n]) * 2.55) for n in (2, 3, 4))
        elif part := re.compile(r"(?:!(\d+))?([?-~])").match(body, at):
            bits, count = ord(part[2]) - 63, int(part[1] or 1)
            for row in (row for row in range(6) if bits >> row & 1):
                canvas[y + row, x : x + count] = palette[color]
            x += count
        elif part := re.compile(r"[$-]").match(body, at):
            x, y = 0, y + 6 * (part[0] == "-")
        assert part, body[at : at + 20]
        at = part.end()
    return canvas
