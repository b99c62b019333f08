"""POSIX paths as text: what users write, what travels in jobs and stands in the ledger."""

import os
import re
from pathlib import Path

# As `escaped` writes a byte that is no part of UTF-8: only those above 127 can be.
_ESCAPED = re.compile(rb"\\x([89a-f][0-9a-f])")


def expand_home(path: str) -> str:
    """Return a path with its leading `~` or `~NAME` replaced by that user's home folder.

    A shell does so, but not in a file, and not behind `--output=`. A home that nobody knows stays.
    """
    return os.path.expanduser(path)


def below(folder: str, path: str) -> str:
    """Join two POSIX paths, either of which may be "" or (the folder) "."."""
    if folder in ("", "."):
        return path
    return f"{folder}/{path}" if path else folder


def escaped(name: str) -> str:
    """Return a name as the system gives it with `\\xNN` for bytes that are not UTF-8.

    So that ledger and JSON can hold it; `on_disk` finds the file again.
    """
    if name.isascii():
        return name
    return os.fsencode(name).decode(errors="backslashreplace")


def on_disk(path: Path) -> Path:
    """Return the path of a file some of whose names `escaped` may have made; others as they are."""
    if "\\x" not in os.fspath(path):
        return path
    found = Path()
    for name in path.parts:
        if "\\x" in name and not os.path.lexists(found / name):
            raw = _ESCAPED.sub(lambda byte: bytes.fromhex(byte[1].decode()), os.fsencode(name))
            name = os.fsdecode(raw)
        found /= name
    return found
