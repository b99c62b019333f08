"""Hashes of texts, many at once, and numbers drawn by them: each depends on its own text alone."""

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def hashes_of(prefix: str, texts: Iterable[str]) -> Hashes:
    """Return a 64-bit hash of each text, with what stands before it."""
    state = blake2b(prefix.encode(), digest_size=8)
    digests = bytearray()
    for text in texts:
        one = state.copy()
        one.update(text.encode())
        digests += one.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").astype(np.uint64)


def mix(values: Hashes) -> Hashes:
    """Return SplitMix64's finaliser, made in place: each bit that comes in moves half of them."""
    values += np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def draw_numbers(purpose: str, seed: int, texts: Iterable[str]) -> Hashes:
    """Draw a number from 0 to 2⁶⁴ - 1 for each text, as good as evenly; equal ones for equals."""
    return hashes_of(f"{purpose}\0{seed}\0", texts)


def as_shares(numbers: Hashes) -> NDArray[np.float64]:
    """Return drawn numbers as numbers from 0 to below 1."""
    shares: NDArray[np.float64] = (numbers >> np.uint64(11)).astype(np.float64) / 2**53
    return shares
