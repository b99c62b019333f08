"""Prefixes of object stores as `listing` has folders: in the same order, by the same rules."""

import errno
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from stylebatch.system import object_stores
from stylebatch.system.listing import SYSTEM_FOLDERS, FileStat, Walked, reason_of, suffix_of
from stylebatch.system.object_stores import Listed
from stylebatch.system.paths import below

# Folders that are listed at once, before their turn: a request takes some 50 ms.
_AHEAD = 16
NOTHING_BELOW = "no object is below it"


@dataclass(slots=True)
class _Folder:
    path: str
    listed: Future[Listed] | None = None


def walk_objects(
    url: str, suffixes: frozenset[str], walked: Walked
) -> Iterator[tuple[str, list[FileStat]]]:
    """Yield each folder below a URL with its objects: see `listing.walk_files`.

    Raises:
        OSError: the URL can't be listed, or nothing is below it.
    """
    # The next one last. A class of a thousand images is held for each that is listed ahead.
    folders = [_Folder("")]
    while folders:
        for each in folders[-_AHEAD:]:
            each.listed = each.listed or object_stores.list_ahead(below(url, each.path))
        folder = folders.pop()
        assert folder.listed
        try:
            listed = folder.listed.result()
        except OSError as error:
            if not folder.path:
                raise
            walked.unreachable[folder.path] = reason_of(error)
            continue
        if not (folder.path or any(listed)):
            raise FileNotFoundError(errno.ENOENT, NOTHING_BELOW, url)
        found, inner = _sift(listed, folder.path, suffixes, walked)
        folders += [_Folder(below(folder.path, name)) for name in reversed(inner)]
        if found:
            yield folder.path, found


def _sift(
    listed: Listed, folder: str, suffixes: frozenset[str], walked: Walked
) -> tuple[list[FileStat], list[str]]:
    """Return a folder's objects and folders, and note what else is in it."""
    found, passed_over = [], Counter[str]()
    for key, size, etag in listed.objects:
        name = key.rpartition("/")[2]
        if name.startswith("."):
            continue
        if (suffix := suffix_of(name)) in suffixes:
            found.append(FileStat(below(folder, name), size, 0, 0, 0, etag))
        else:
            passed_over[suffix] += 1
    inner = [key.rpartition("/")[2] for key in listed.folders]
    inner = [name for name in inner if not name.startswith(".") and name not in SYSTEM_FOLDERS]
    walked.passed_over.update(passed_over)
    if passed_over and not (found or inner):
        walked.barren[folder] = passed_over
    return found, inner


def list_objects(url: str, suffixes: frozenset[str]) -> list[FileStat]:
    """Return the objects just below a URL as `listing.list_files` does.

    Raises:
        OSError: it can't be listed.
    """
    return _sift(object_stores.list_folder(url), "", suffixes, Walked())[0]


def list_prefixes(url: str) -> list[str]:
    """Return the names of the folders just below a URL; errors as `list_objects`."""
    return _sift(object_stores.list_folder(url), "", frozenset(), Walked())[1]
