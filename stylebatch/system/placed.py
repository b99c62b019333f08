"""Files that come into place whole: written piece by piece and hashed, linked, or copied."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from stylebatch.system.crash_points import reached
from stylebatch.system.files import WITHOUT_LINKS, sync_folder

_PIECE = 2**20


class HashedFile:
    """A file that is only written, from its start to its end."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._state, self.size = file, sha256(), 0

    def write(self, data: bytes) -> int:
        """Write bytes behind those that are there."""
        self._state.update(data)
        # Of a view `len` counts items, not bytes.
        written = self._file.write(data)
        self.size += written
        return written

    def tell(self) -> int:
        """Return how many bytes there are."""
        return self.size

    def flush(self) -> None:
        """Hand them to the system."""
        self._file.flush()

    @property
    def sha256(self) -> str:
        """The SHA-256 in hex of what was written."""
        return self._state.hexdigest()


@contextmanager
def placed_file(path: Path, temporary: Path) -> Iterator[HashedFile]:
    """Write a file in a folder that is there; it has its name once it is whole and on the disk.

    Args:
        temporary: where it is until then, on the same file system; whatever is there goes.
    """
    try:
        with temporary.open("wb") as file:
            yield HashedFile(file)
            file.flush()
            os.fsync(file.fileno())
        reached("atomic-written")
        os.replace(temporary, path)
        reached("atomic-replaced")
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def link_or_copy(source: Path, path: Path, temporary: Path) -> str:
    """Give a file a second name, in place of what has it; copy it where that can't be done.

    Whoever calls syncs the folder.

    Args:
        temporary: as in `placed_file`; nothing is there.

    Returns:
        the SHA-256 in hex of what was copied, "" of a link.
    """
    digest = ""
    try:
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno not in {*WITHOUT_LINKS, errno.EXDEV}:
                raise
            digest = _copy(source, temporary)
        reached("atomic-written")
        os.replace(temporary, path)
        reached("atomic-replaced")
    finally:
        # Where both were names of one file, renaming has done nothing.
        temporary.unlink(missing_ok=True)
    return digest


def _copy(source: Path, target: Path) -> str:
    """Copy bytes and times."""
    with source.open("rb") as read, target.open("wb") as written:
        file = HashedFile(written)
        while data := read.read(_PIECE):
            file.write(data)
        written.flush()
        os.fsync(written.fileno())
        stat = os.fstat(read.fileno())
    os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    return file.sha256


def is_same_file(one: Path, other: Path) -> bool:
    """Whether two paths are names of one file."""
    try:
        return os.path.samefile(one, other)
    except (FileNotFoundError, NotADirectoryError):
        return False
