"""The files that an output is for, images and what belongs to them: in its folder, or elsewhere.

`Dataset` says where each of them is, `Tree` looks and moves there.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from stylebatch.system import files, folders, listing
from stylebatch.system.listing import FileStat

T = TypeVar("T")
R = TypeVar("R")


class Tree(Protocol):
    """Paths are those that a `Dataset` gives; errors are OSError."""

    def size(self, path: Path) -> int | None:
        """Return how many bytes a file has, None where nothing is."""

    def sizes(self, folder: Path) -> dict[str, int]:
        """Return what is in a folder, as `listing.list_sizes` does."""

    def stands(self, path: Path) -> bool:
        """Whether anything has that name, also a link to nothing: it is somebody's."""

    def is_made(self, path: Path) -> bool:
        """Whether the file itself says that a run has made it."""

    def has_folder(self, folder: Path) -> bool:
        """Whether there is such a folder, be it empty."""

    def read(self, path: Path) -> bytes:
        """Return the bytes of a regular file."""

    def read_start(self, path: Path, size: int) -> bytes:
        """Return a file's first bytes, fewer where it is shorter."""

    def open(self, path: Path) -> BinaryIO:
        """Open a file to be read, of which only a part may be wanted."""

    def walk(self, folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, list[FileStat]]]:
        """Yield folders with their files, as `listing.walk_files` does; none of no folder."""

    def list_folders(self, folder: Path) -> list[str]:
        """Return the names of the folders in a folder; [] of none."""

    def tree_size(self, folder: Path) -> folders.TreeSize:
        """Return how much is in a folder and below it."""

    def make_folder(self, folder: Path) -> None:
        """Make a folder that may stay empty."""

    def link(self, source: Path, target: Path) -> None:
        """Give a file a second name, which is not taken."""

    def replace(self, source: Path, target: Path, temporary: Path) -> None:
        """Give a file a second name in one step, in the place of what has it.

        Args:
            temporary: a name that nobody else takes.
        """

    def move(self, source: Path, target: Path) -> None:
        """Let a file have another name only, in the place of what has it."""

    def move_all(self, moves: Iterable[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
        """Do so with those files that are there; return which they were."""

    def move_folder(self, source: Path, target: Path) -> None:
        """Let a folder with all that is in it have another name, which is not taken."""

    def remove(self, path: Path) -> None:
        """Remove a file; one that is not there is no error."""

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder with all that is in it; one that is not there is no error."""

    def shut_out(self, folder: Path) -> None:
        """Let whoever writes into a temporary folder put nothing in place any more."""

    def prune(self, folder: Path, root: Path) -> Path:
        """Remove a folder and those above it while they are empty, as `remove_empty_folders`."""

    def map(self, work: Callable[[T], R], each: Iterable[T]) -> list[R]:
        """Return what work makes of each, in order; at once where that is sooner."""

    def settle(self, grown: Iterable[Path]) -> None:
        """Wait until the entries of folders are where no power cut loses them."""


class FolderTree:
    """The files in the output's own folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def size(self, path: Path) -> int | None:
        found = files.stat_file(path)
        return found and found[0]

    def sizes(self, folder: Path) -> dict[str, int]:
        return listing.list_sizes(folder)

    def stands(self, path: Path) -> bool:
        return os.path.lexists(path)

    def is_made(self, path: Path) -> bool:
        return False

    def has_folder(self, folder: Path) -> bool:
        return folder.exists()

    def read(self, path: Path) -> bytes:
        return files.read_regular(path)

    def read_start(self, path: Path, size: int) -> bytes:
        return files.read_start(path, size)

    def open(self, path: Path) -> BinaryIO:
        return path.open("rb")

    def walk(self, folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, list[FileStat]]]:
        if folder.is_dir():
            yield from listing.walk_files(folder, suffixes)

    def list_folders(self, folder: Path) -> list[str]:
        return listing.list_folders(folder)

    def tree_size(self, folder: Path) -> folders.TreeSize:
        return folders.tree_size(folder)

    def make_folder(self, folder: Path) -> None:
        files.make_folders_below(self._root, folder)

    def link(self, source: Path, target: Path) -> None:
        files.make_folders_below(self._root, target.parent)
        files.link(source, target)

    def replace(self, source: Path, target: Path, temporary: Path) -> None:
        files.make_folders_below(self._root, temporary.parent)
        files.make_folders_below(self._root, target.parent)
        files.link(source, temporary)
        files.rename(temporary, target)
        files.remove_file(temporary)  # where both were names of one file, both are still there

    def move(self, source: Path, target: Path) -> None:
        files.make_folders_below(self._root, target.parent)
        files.rename(source, target)
        files.remove_file(source)  # as in `replace`

    def move_all(self, moves: Iterable[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
        moved = []
        for source, target in moves:
            if files.stat_file(source) is not None:
                files.move(source, target)
                moved.append((source, target))
        return moved

    def move_folder(self, source: Path, target: Path) -> None:
        files.make_folders_below(self._root, target.parent)
        files.rename(source, target)

    def remove(self, path: Path) -> None:
        files.remove_file(path)

    def remove_folder(self, folder: Path) -> None:
        folders.remove_tree(folder)

    def shut_out(self, folder: Path) -> None:
        folders.remove_tree(folder)

    def prune(self, folder: Path, root: Path) -> Path:
        return folders.remove_empty_folders(folder, root)

    def map(self, work: Callable[[T], R], each: Iterable[T]) -> list[R]:
        return list(map(work, each))

    def settle(self, grown: Iterable[Path]) -> None:
        for folder in grown:
            files.sync_folder(folder)
