"""Reading inputs: many at a time, and what may be read another time where it can't be now."""

import errno
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

from stylebatch.system.files import open_regular
from stylebatch.system.paths import on_disk

# Open at once; half of the fewest descriptors that any system allows.
_FILES_AHEAD = 32

# What a busy machine, a network folder or a disk that wakes up says, and another time does not.
_TRANSIENT = {
    errno.EAGAIN,
    errno.EBUSY,
    errno.ECONNRESET,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.EMFILE,
    errno.ENETUNREACH,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


def is_transient(error: OSError) -> bool:
    """Whether an input that can't be read now may well be read in a moment."""
    return error.errno in _TRANSIENT


def read_each(paths: Iterable[str]) -> Iterator[bytes | None]:
    """Yield the bytes of files, None for one that can't be opened or read.

    The system is told of some files in advance, so that a disk fetches them while others are used.
    """
    opened: deque[FileIO | None] = deque()
    try:
        for path in paths:
            opened.append(_open_ahead(path))
            if len(opened) > _FILES_AHEAD:
                yield _read_and_close(opened.popleft())
        while opened:
            yield _read_and_close(opened.popleft())
    finally:
        for file in opened:
            if file is not None:
                file.close()


def _open_ahead(path: str) -> FileIO | None:
    try:
        file = FileIO(open_regular(on_disk(Path(path))))
    except OSError:
        return None
    if sys.platform != "darwin":  # which has no such call
        with suppress(OSError):  # a hint, which not every file system takes
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    return file


def _read_and_close(file: FileIO | None) -> bytes | None:
    if file is None:
        return None
    try:
        with file:
            return file.readall()
    except OSError:
        return None
