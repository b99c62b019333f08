"""Times as people write them."""

import math

from stylebatch.system.words import duration

# An estimate's texts are no finer than this (from, step): its figures would jump about.
ROUGH_S = ((36_000, 3600), (3600, 300), (600, 60), (60, 10), (0, 1))


def age(seconds: float) -> str:
    """Write how long ago something was: 40 s, 3 h, 12 d."""
    days = round(seconds / 86_400)
    return f"{days} d" if days > 1 else roughly(max(0.0, seconds))


def roughly(seconds: float) -> str:
    """Write an estimated time no finer than it is known: 40 s, 3 min 20 s, 2 h 05 min, 13 h."""
    step = next(step for start, step in ROUGH_S if seconds >= start)
    rounded = max(1, math.floor(seconds / step + 0.5) * step)
    if rounded < 60:
        return f"{rounded} s"
    return duration(rounded).removesuffix(" 00 min").removesuffix(" 0 s")
