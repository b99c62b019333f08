"""Globs on POSIX paths: `*`, `?` and `[…]` within a name, `**` for any folders."""

import re
from collections.abc import Iterable, Iterator
from functools import cache

# A set ends at its first `]` that is not also its first sign: `[]]`, `[!]]`.
_SIGN = re.compile(r"\*+|\?|\[(!?)(\]?[^\]]*)\]|.", re.DOTALL)


@cache
def glob_regex(*patterns: str) -> re.Pattern[str]:
    """Return what matches the whole of a path that one of some globs matches; case counts.

    As `glob.glob(…, recursive=True)` finds files: `**` as a whole part stands for any folders,
    also none; at the end for all that is below. `folder/` is `folder/**`, and `./` is nothing.
    """
    return re.compile("|".join(f"(?:{_translated(pattern)})" for pattern in patterns), re.DOTALL)


def _translated(pattern: str) -> str:
    *folders, name = pattern.split("/")
    parts = [*(part for part in folders if part != "."), name]
    if not name:
        parts[-1] = "**"
    last = len(parts) - 1
    return "".join(_of_part(part, is_last=number == last) for number, part in enumerate(parts))


def _of_part(part: str, *, is_last: bool) -> str:
    if part == "**":
        return ".+" if is_last else "(?:[^/]+/)*"
    return "".join(map(_of_sign, _SIGN.finditer(part))) + ("" if is_last else "/")


def _of_sign(found: re.Match[str]) -> str:
    sign = found[0]
    if sign.startswith("*"):
        return "[^/]*"
    if sign == "?":
        return "[^/]"
    if found[2]:
        signs = re.sub(r"([\\^\[\]&~|])", r"\\\1", found[2])
        return f"[{'^/' if found[1] else ''}{signs}]"
    return re.escape(sign)


def unmatched(patterns: Iterable[str], paths: Iterable[str]) -> Iterator[str]:
    """Yield the globs that match none of some paths."""
    left = list(patterns)
    for path in paths:
        if not left:
            return
        left = [pattern for pattern in left if not glob_regex(pattern).fullmatch(path)]
    yield from left
