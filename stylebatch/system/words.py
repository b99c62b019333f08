"""Counts, sizes and times as people write them."""

import re

# Units and from how many bytes on they are used: a tenth of one is still read at a glance.
_UNITS = ((2**30, "GiB", 2**30), (2**20, "MiB", 0.1 * 2**20), (2**10, "KiB", 0.1 * 2**10))


def counted(count: int, noun: str, *verbs: str) -> str:
    """Return `1 image` or `2 images`; with the verbs of one and of several, `1 image is there`.

    Args:
        noun: of one; several have an s more.
    """
    text = f"{count:,} {noun}{'' if count == 1 else 's'}"
    return f"{text} {verbs[count != 1]}" if verbs else text


def size_text(num_bytes: float) -> str:
    """Write a size in three digits: 548 MiB, 0.993 MiB, 12 KiB, 5 bytes."""
    for unit, name, least in _UNITS:
        if num_bytes >= least:
            size = num_bytes / unit
            return f"{size:.0f} {name}" if size >= 100 else f"{size:.3g} {name}"
    return counted(round(num_bytes), "byte")


def parse_size(text: str) -> int:
    """Return bytes from text such as 2GB, 500 MiB, 4096.

    Raises:
        ValueError: other text.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(?:([kmgt])(i?))?b?", text.strip().lower())
    if not found:
        raise ValueError(f"'{text}' is no size such as 2GB, 500MiB, 4096")
    number, unit, is_binary = found.groups()
    power = "_kmgt".index(unit) if unit else 0
    base = 1024 if is_binary else 1000
    return round(float(number) * float(base**power))


def duration(seconds: float) -> str:
    """Write a time as people do: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"
