"""Where the project is."""

import contextlib
import os
from pathlib import Path

ROOT = Path(__file__).parents[2]


def remove_with_folder(path: Path) -> None:
    """Remove a file, and the folders above it that are empty then."""
    path.unlink()
    with contextlib.suppress(OSError):
        os.removedirs(path.parent)
