"""Numbers drawn for texts, many at once: each depends on the seed and its own text alone."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.uint64]


def draw_numbers(purpose: str, seed: int, texts: Iterable[str]) -> Numbers:
    """Draw a number from 0 to 2⁶⁴ - 1 for each text, as good as evenly; equal ones for equals."""
    state = blake2b(f"{purpose}\0{seed}\0".encode(), digest_size=8)
    digests = bytearray()
    for text in texts:
        one = state.copy()
        one.update(text.encode())
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def as_shares(numbers: Numbers) -> NDArray[np.float64]:
    """Return drawn numbers as numbers from 0 to below 1."""
    shares: NDArray[np.float64] = (numbers >> np.uint64(11)).astype(np.float64) / 2**53
    return shares
