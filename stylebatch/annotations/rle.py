"""COCO's run lengths: a mask column by column, as numbers or packed into text.

Source: maskApi.c of cocoapi (rleToString, rleFrString).
"""

from collections.abc import Sequence

import numpy as np

from stylebatch.annotations.findings import MalformedError
from stylebatch.pictures.images import Pixels

# Numbers are packed in groups of 5 bits, each with a bit that says whether another comes; from the
# fourth on as the difference from the one before last.
_BITS, _MORE, _SIGN, _FIRST = 5, 0x20, 0x10, 48
_PLAIN_COUNTS = 3


def decode(counts: Sequence[int] | str, width: int, height: int) -> Pixels:
    """Return a mask (H, W), 0 or 1, from its run lengths: zeros first.

    Raises:
        MalformedError: they don't add up to the image.
    """
    runs = _unpack(counts) if isinstance(counts, str) else list(counts)
    if not all(type(run) is int and run >= 0 for run in runs) or sum(runs) != width * height:
        raise MalformedError(f"run lengths that don't add up to {width}×{height} px")
    values = np.arange(len(runs), dtype=np.uint8) % 2
    return np.repeat(values, runs).reshape(width, height).T


def encode(mask: Pixels) -> list[int]:
    """Return the run lengths of a mask (H, W) of 0 and 1: zeros first."""
    flat = mask.T.reshape(-1)
    borders = np.flatnonzero(np.diff(flat)) + 1
    runs: list[int] = np.diff(np.concatenate(([0], borders, [flat.size]))).tolist()
    return [0, *runs] if flat.size and flat[0] else runs


def pack(runs: Sequence[int]) -> str:
    """Pack run lengths into text."""
    text = []
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index >= _PLAIN_COUNTS else run
        is_more = True
        while is_more:
            bits = value & (_MORE - 1)
            value >>= _BITS
            is_more = value != -1 if bits & _SIGN else value != 0
            text.append(chr((bits | _MORE if is_more else bits) + _FIRST))
    return "".join(text)


def _unpack(text: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - _FIRST
        if not 0 <= bits < 2 * _MORE:
            raise MalformedError("run lengths that are not packed as COCO does")
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if bits & _MORE:
            continue
        if bits & _SIGN:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) >= _PLAIN_COUNTS else value)
        value = shift = 0
    if shift:
        raise MalformedError("run lengths that end too early")
    return runs
