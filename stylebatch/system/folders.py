"""Folders of ours as wholes: how large they are, swept, and gone."""

import glob
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class TreeSize(NamedTuple):
    """How much is in a folder and below it: files, and their bytes."""

    num_files: int
    num_bytes: int


def tree_size(folder: Path) -> TreeSize:
    """Count the files in a folder and below it; none where it is not there."""
    sizes = [
        os.lstat(Path(above, name)).st_size for above, _, names in os.walk(folder) for name in names
    ]
    return TreeSize(len(sizes), sum(sizes))


def remove_empty_folders(folder: Path, root: Path) -> Path:
    """Remove a folder below `root` and those above it while they are empty; return the next one."""
    while root in folder.parents:
        try:
            folder.rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            break
        folder = folder.parent
    return folder


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing; one that holds something stays."""
    with suppress(OSError):
        folder.rmdir()


def remove_tree(folder: Path) -> None:
    """Remove a folder of ours with all that is in it; one that is not there is no error."""
    shutil.rmtree(folder, ignore_errors=True)


def sweep_unfinished(path: Path) -> None:
    """Remove what killed processes left of writing a file atomically."""
    sweep_unfinished_like(path.parent, glob.escape(path.name))


def sweep_unfinished_like(folder: Path, names: str) -> None:
    """Remove the same of all files of a folder whose names match a glob."""
    for left in folder.glob(f".{names}.*.tmp"):
        left.unlink(missing_ok=True)
