"""Whether an input that a plan doesn't have was removed, or can only not be reached now."""

import os
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stylebatch.system import object_stores
from stylebatch.system.listing import NO_TARGET, SYSTEM_FOLDERS, asked, reason_of
from stylebatch.system.object_stores import is_remote
from stylebatch.system.paths import below, on_disk

_AT_ONCE = 4096
# Each with the names of all that is in it.
_PREFIXES = 16
# The reason of a barrier that may also be a folder which somebody has emptied.
EMPTY = "an empty folder; is a disk missing?"


class Reach(NamedTuple):
    """What there is at a path.

    Attributes:
        is_there: a file or folder.
        barrier: where nothing is and it may not have been removed: what stands between, the path
            itself or one above it. "" otherwise.
        reason: why it can't be passed.
        is_empty: the barrier is a folder with nothing in it. So looks a place where a disk is not
            mounted, but also a folder that somebody has emptied.
    """

    is_there: bool
    barrier: str = ""
    reason: str = ""
    is_empty: bool = False


_THERE, _REMOVED = Reach(is_there=True), Reach(is_there=False)


class Reaches:
    """Looks after paths below a root; of a folder's files the folder is asked once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.of = lru_cache(_AT_ONCE)(self._of)
        self._stored = lru_cache(_PREFIXES)(_stored_below)
        self._above = lru_cache(_AT_ONCE)(self._above_of)

    def _of(self, path: str) -> Reach:
        """Return what there is at a POSIX path from the root, an absolute one, or a URL."""
        if is_remote(path):
            return self._of_url(path)
        # First: a folder that does not answer is asked once, and not each of its files.
        above = self._above(path.rpartition("/")[0] or ".")
        if above.barrier and not above.is_empty:
            return above
        found = self._asked(path)
        if found == _THERE:
            return found
        return found if found and not above.barrier else above

    def _of_url(self, url: str) -> Reach:
        """Return what a store has: of a prefix that can't be listed nothing was removed."""
        folder = url.rpartition("/")[0]
        there = self._stored(folder)
        if isinstance(there, OSError):
            return Reach(False, folder, reason_of(there))
        return _THERE if url in there else _REMOVED

    def _above_of(self, folder: str) -> Reach:
        """Return why nothing is in a folder where something was."""
        found = self._asked(folder)
        if found != _THERE:
            is_top = folder in (".", "/")
            above = _REMOVED if is_top else self._above(folder.rpartition("/")[0] or ".")
            return found if found and not above.barrier else above
        try:
            names = asked(lambda: os.listdir(on_disk(self._root / folder)))
        except NotADirectoryError:
            return _REMOVED
        except OSError as error:
            return Reach(False, folder, reason_of(error))
        if any(not name.startswith(".") and name not in SYSTEM_FOLDERS for name in names):
            return _REMOVED
        return Reach(False, folder, EMPTY, is_empty=True)

    def _asked(self, path: str) -> Reach | None:
        """Ask for a path itself; None where nothing has its name."""
        place = on_disk(self._root / path)
        try:
            asked(place.stat)
        except (FileNotFoundError, NotADirectoryError):
            return Reach(False, path, NO_TARGET) if place.is_symlink() else None
        except OSError as error:
            return Reach(False, path, reason_of(error))
        return _THERE


def _stored_below(url: str) -> frozenset[str] | OSError:
    """Return the URLs of the objects just below one, or why they can't be listed."""
    try:
        listed = object_stores.list_folder(url)
    except OSError as error:
        return error
    return frozenset(below(url, each.key.rpartition("/")[2]) for each in listed.objects)
