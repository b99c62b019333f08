"""Inputs where they are, on a disk or in an object store: the one way to find and to read them.

A path as a manifest or a job has it is relative to a folder, absolute, or a URL; `at` says where
that is. What is on a disk goes to `listing`, `files` and `read_ahead`, as if this was not here.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylebatch.system import files, listing, object_stores, read_ahead, stored_listing
from stylebatch.system.listing import FileStat, Walked
from stylebatch.system.object_stores import is_remote
from stylebatch.system.paths import below


@dataclass(frozen=True, slots=True)
class StorePath:
    """An object of a store, or a prefix: to be joined as a `Path` is."""

    url: str

    def __truediv__(self, path: str) -> "StorePath":
        return StorePath(below(self.url, path))

    def __str__(self) -> str:
        return self.url


Place = Path | StorePath


def at(root: Path, path: str) -> Place:
    """Return where an input is whose path starts at `root`, if it does not say otherwise."""
    return StorePath(path) if is_remote(path) else root / path


def normalised(path: str) -> str:
    """Return a path without dots and doubled or trailing slashes; of a URL only the latter go.

    To a store they are parts of names.
    """
    if not is_remote(path):
        return posixpath.normpath(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{rest.rstrip('/')}"


def walk_files(
    place: Place, suffixes: frozenset[str], walked: Walked | None = None
) -> Iterator[tuple[str, list[FileStat]]]:
    """Yield each folder below a place with its files: see `listing.walk_files`.

    Raises:
        OSError: the place itself can't be listed; of a store also where nothing is below it.
    """
    if isinstance(place, Path):
        return listing.walk_files(place, suffixes, walked)
    return stored_listing.walk_objects(place.url, suffixes, walked or Walked())


def list_files(folder: Place, suffixes: frozenset[str]) -> list[FileStat]:
    """Return the files of one folder: see `listing.list_files`."""
    if isinstance(folder, Path):
        return listing.list_files(folder, suffixes)
    return stored_listing.list_objects(folder.url, suffixes)


def list_folders(folder: Place) -> list[str]:
    """Return the names of the folders in a folder: see `listing.list_folders`."""
    if isinstance(folder, Path):
        return listing.list_folders(folder)
    return stored_listing.list_prefixes(folder.url)


def is_folder(place: Place) -> bool:
    """Whether a place is a folder; of a store: whether anything is below it.

    Raises:
        OSError: a store that can't be asked.
    """
    if isinstance(place, Path):
        return place.is_dir()
    return any(object_stores.list_folder(place.url))


def is_file(place: Place) -> bool:
    """Whether a place is a file, or an object.

    Raises:
        OSError: it can't be asked.
    """
    if isinstance(place, Path):
        return place.is_file()
    try:
        object_stores.head(place.url)
    except FileNotFoundError:
        return False
    return True


def read(place: Place) -> bytes:
    """Return the bytes of a file that was listed as one: see `files.read_regular`."""
    if isinstance(place, Path):
        return files.read_regular(place)
    return object_stores.read(place.url)


def read_each(
    folder: Place, names: Iterable[str], tick: Callable[[], object] = lambda: None
) -> Iterator[bytes | None]:
    """Yield the bytes of a folder's files, None for one that can't be read; many are under way.

    Args:
        tick: is called while a store is waited for, and may raise.
    """
    if isinstance(folder, Path):
        yield from read_ahead.read_each(f"{folder}/{name}" for name in names)
        return
    for data in object_stores.read_each((below(folder.url, name) for name in names), tick):
        yield data if isinstance(data, bytes) else None
