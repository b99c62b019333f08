"""Where the project is."""

import contextlib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def remove_with_folder(path: Path) -> None:
    """Remove a file, and its folder if it was the last one in it."""
    path.unlink()
    with contextlib.suppress(OSError):
        path.parent.rmdir()
