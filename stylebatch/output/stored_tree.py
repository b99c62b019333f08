"""The files of an output that is in an object store, below a prefix.

What else a run keeps stands in a folder of this machine, the output's state: its layout is the
output's, so that a path of the one is a key of the other.
"""

import io
import mimetypes
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import BinaryIO, TypeVar

from stylebatch.system import folders, listing, object_stores, object_writes
from stylebatch.system.background import in_background
from stylebatch.system.folders import TreeSize
from stylebatch.system.listing import FileStat
from stylebatch.system.object_stores import AT_ONCE, StoredObject

# Stands for a folder that may stay empty.
_FOLDER_MARK = ".folder"
# The attribute by which an object says that a run has made it.
_MADE = "stylebatch"
# As many as a request may remove.
_BLOCK = 1000
T = TypeVar("T")
R = TypeVar("R")


class StoredTree:
    """Objects as files; folders are what their keys have in common.

    What is replaced or moved is copied by the store itself.
    """

    def __init__(self, root: Path, url: str) -> None:
        """Look below a prefix.

        Args:
            root: the state folder, which paths begin with.
            url: the prefix, without a slash at its end.
        """
        self._root, self.prefix = root, url

    def url(self, path: Path) -> str:
        """Return the URL of a path."""
        if path == self._root:
            return self.prefix
        return f"{self.prefix}/{path.relative_to(self._root).as_posix()}"

    def find(self, path: Path) -> StoredObject | None:
        """Return what the store tells of an object, None where none is."""
        try:
            return object_stores.head(self.url(path))
        except FileNotFoundError:
            return None

    def size(self, path: Path) -> int | None:
        found = self.find(path)
        return None if found is None else found.size

    def sizes(self, folder: Path) -> dict[str, int]:
        found = object_stores.list_folder(self.url(folder)).objects
        sizes = {each.key.rpartition("/")[2]: each.size for each in found}
        sizes.pop(_FOLDER_MARK, None)
        return sizes

    def stands(self, path: Path) -> bool:
        return self.find(path) is not None

    def put(self, path: Path, data: bytes, fingerprint: str, standing: StoredObject | None) -> str:
        """Put a file of an image in the place of an object, or of none, and return its ETag.

        Args:
            fingerprint: of the image's job, which the object says.

        Raises:
            OSError: it can't be; EEXIST, ESTALE, ENOENT: another one stands there, or none.
        """
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        told = {"Content-Type": kind, _MADE: fingerprint}
        url, is_new = self.url(path), standing is None
        return object_writes.put(url, data, is_new=is_new, replaces=standing, attributes=told)

    def is_made(self, path: Path) -> bool:
        return _MADE in object_stores.read_attributes(self.url(path))

    def has_folder(self, folder: Path) -> bool:
        return next(object_stores.list_below(self.url(folder)), None) is not None

    def read(self, path: Path) -> bytes:
        return object_stores.read(self.url(path))

    def read_start(self, path: Path, size: int) -> bytes:
        return self.read(path)[:size]

    def open(self, path: Path) -> BinaryIO:
        return io.BytesIO(self.read(path))

    def walk(self, folder: Path, suffixes: frozenset[str]) -> Iterator[tuple[str, list[FileStat]]]:
        """Yield folders with their files; one may come several times, with others of its files."""
        seen = (each for each in self._below(folder) if "/." not in f"/{each.path}")
        for name, stats in groupby(seen, lambda each: each.path.rpartition("/")[0]):
            found = (each for each in stats if listing.suffix_of(each.path) in suffixes)
            while block := list(islice(found, _BLOCK)):
                yield name, block

    def _below(self, folder: Path) -> Iterator[FileStat]:
        above = len(object_stores.split_url(self.url(folder))[2]) + 1
        for each in object_stores.list_below(self.url(folder)):
            yield FileStat(each.key[above:], each.size, 0)

    def list_folders(self, folder: Path) -> list[str]:
        """Return those of the state folder as well."""
        found = object_stores.list_folder(self.url(folder)).folders
        names = {key.rstrip("/").rpartition("/")[2] for key in found}
        return sorted(names | {*listing.list_folders(folder)})

    def tree_size(self, folder: Path) -> TreeSize:
        """Return how much is there, with what is in the state folder."""
        here = folders.tree_size(folder)
        sizes = [each.size for each in self._below(folder) if not each.path.endswith(_FOLDER_MARK)]
        return TreeSize(here.num_files + len(sizes), here.num_bytes + sum(sizes))

    def make_folder(self, folder: Path) -> None:
        object_writes.put(self.url(folder / _FOLDER_MARK), b"")

    def link(self, source: Path, target: Path) -> None:
        """Copy it: an object has one name."""
        object_writes.copy(self.url(source), self.url(target))

    def replace(self, source: Path, target: Path, temporary: Path) -> None:
        self.link(source, target)

    def move(self, source: Path, target: Path) -> None:
        self.link(source, target)
        self.remove(source)

    def move_all(self, moves: Iterable[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
        moved = []
        waiting = iter(moves)
        while block := list(islice(waiting, _BLOCK)):
            done = [move for move in at_once(self._copied, block) if move]
            # Only when the copies are there.
            object_writes.delete([self.url(source) for source, _ in done])
            moved += done
        return moved

    def _copied(self, move: tuple[Path, Path]) -> tuple[Path, Path] | None:
        try:
            self.link(*move)
        except FileNotFoundError:
            return None
        return move

    def move_folder(self, source: Path, target: Path) -> None:
        names = [each.path for each in self._below(source)]
        self.move_all((source / name, target / name) for name in names)

    def remove(self, path: Path) -> None:
        object_writes.delete([self.url(path)])

    def remove_folder(self, folder: Path) -> None:
        """Remove what is in the state folder as well."""
        folders.remove_tree(folder)
        urls = (self.url(folder / each.path) for each in self._below(folder))
        while block := list(islice(urls, _BLOCK)):
            object_writes.delete(block)

    def prune(self, folder: Path, root: Path) -> Path:
        """Return the folder: there are none that could be empty."""
        return folder

    def map(self, work: Callable[[T], R], each: Iterable[T]) -> list[R]:
        return at_once(work, each)

    def settle(self, grown: Iterable[Path]) -> None:
        """Wait for nothing: what a store has taken is there."""

    def try_out(self, folder: Path) -> None:
        """Write something into a temporary folder; an OSError says why that can't be done."""
        url = self.url(folder / "trial")
        object_writes.put(url, b"")
        object_writes.delete([url])

    def shut_out(self, folder: Path) -> None:
        folders.remove_tree(folder)
        self.make_folder(folder)

    def is_shut_out(self, folder: Path) -> bool:
        """Whether a worker was given up that may put in place what it has."""
        return self.stands(folder / _FOLDER_MARK)


def at_once(work: Callable[[T], R], each: Iterable[T]) -> list[R]:
    """Return what work makes of each, in order; many requests are under way at a time.

    Where one fails, those that are under way are waited for; not where a signal ends it.
    """
    waiting, found = deque[Future[R]](), list[R]()
    try:
        for item in each:
            waiting.append(in_background(partial(work, item)))
            if len(waiting) == AT_ONCE:
                found.append(waiting.popleft().result())
        while waiting:
            found.append(waiting.popleft().result())
    except Exception:
        wait(waiting)
        raise
    return found
