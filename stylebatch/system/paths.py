"""POSIX paths as text: what users write, what travels in jobs and stands in the ledger."""

import os


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
