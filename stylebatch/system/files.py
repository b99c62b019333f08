"""Stat, hash, write atomically, rename: only here, in `listing` and in `folders` beside it."""

import contextlib
import errno
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b, file_digest
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from stylebatch.system.crash_points import reached
from stylebatch.system.paths import on_disk

DIGEST_BYTES = 16
# What is being written takes a moment: what is older, nobody will finish.
UNFINISHED_S = 3600.0
# How a file system answers that has no second names, or no more of them.
WITHOUT_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
# How one answers that does not sync folders: SMB, VirtualBox, some FUSE.
_WITHOUT_FOLDER_SYNC = {
    *(errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF),
}


def default_cache_folder() -> Path:
    """Return the folder for what can be made again: $STYLEBATCH_CACHE, else the platform's.

    Of a user without a home folder, as in some containers, it is one for temporary files.
    """
    if told := os.environ.get("STYLEBATCH_CACHE"):
        return Path(told)
    try:
        found = user_cache_path("stylebatch")
    except RuntimeError:  # so newer versions of it say that there is none
        found = Path("~")
    if not found.is_absolute():
        return Path(tempfile.gettempdir()) / f"stylebatch-{os.getuid()}"
    return found


def stat_file(path: Path) -> tuple[int, int] | None:
    """Return the size in bytes and the mtime in ns of what is at a path, None where nothing is."""
    try:
        found = os.stat(on_disk(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_size, found.st_mtime_ns)


def digest_bytes(data: bytes) -> str:
    """Return the BLAKE2b-128 digest in hex: what `b2sum -l 128` prints."""
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes without holding them all."""
    with path.open("rb") as file:
        return file_digest(file, lambda: blake2b(digest_size=DIGEST_BYTES)).hexdigest()


def sha256_file(path: Path) -> str:
    """Return a file's SHA-256 in hex: what others name their files by."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; one that is there, or is removed meanwhile, is no error.

    Raises:
        FileExistsError: something else has that name.
    """
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            # Python found it there, looked whether it is a folder, and it was gone.
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISDIR(os.lstat(folder).st_mode):
                    raise
        else:
            return


def make_folders_below(root: Path, folder: Path) -> None:
    """Make a folder and those between it and `root`, which has to be there; all on the disk.

    Raises:
        FileNotFoundError: no `root`.
        OSError: a link in the way, which may lead out of it; just below `root` it may stand.
    """
    missing, between = [], folder
    while between != root and between.parent != root:
        if between.is_symlink():
            raise OSError(errno.ELOOP, "a link, where a folder was expected", str(between))
        between = between.parent
    while folder != root and not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def why_unreadable(path: Path) -> str | None:
    """Return why a file can't be read, in the system's words; None where it can."""
    try:
        if path.exists() and not path.is_file():
            return "a folder" if path.is_dir() else "no regular file"
        read_start(path, 0)
    except OSError as error:
        return error.strerror or str(error)
    return None


def why_unwritable(path: Path) -> str | None:
    """Return why no file can be written at a path, in the system's words; None where one can.

    It is tried, and nothing is left: permissions don't tell of a disk that is full or read-only.
    Of folders that would be made first, the nearest one that is there is tried.
    """
    try:
        if path.is_dir():
            return "a folder"
        folder = next(each for each in path.absolute().parents if stat_file(each) is not None)
        trial = _unfinished(folder / path.name)
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        return error.strerror or str(error)
    return None


def may_write(folder: Path) -> bool:
    """Whether a folder that is there may be written to; nothing is tried, its time stays."""
    return os.access(folder, os.W_OK | os.X_OK)


def read_start(path: Path, size: int) -> bytes:
    """Return a file's first bytes, fewer where it is shorter."""
    with path.open("rb") as file:
        return file.read(size)


def read_bytes(path: Path) -> bytes:
    """Return a file's bytes."""
    with on_disk(path).open("rb") as file:
        return file.read()


def read_regular(path: Path) -> bytes:
    """Return the bytes of a file that was listed as one, and may be a pipe or a device by now.

    Raises:
        OSError: it can't be read; EINVAL: it is no regular file, at which a reader might wait.
    """
    with open(open_regular(on_disk(path)), "rb") as file:
        return file.read()


def open_regular(path: Path | str) -> int:
    """Open a regular file to be read, and return its descriptor; errors as `read_regular`."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return handle


def write_synced(path: Path, data: bytes, *, make_folders: bool = True) -> None:
    """Write a file and wait until its bytes are on the disk.

    Args:
        make_folders: make those that are missing. In an output they are not: where it has been
            removed, or its disk unmounted, nothing of it may come back.
    """
    if make_folders:
        path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_new(path: Path, data: bytes) -> None:
    """Write a file in a folder that is there, not waiting for the disk: what can be made again."""
    with _naming(path), path.open("wb") as file:
        file.write(data)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors name the file: the system does so where it's opened, not where it's written."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_atomic(path: Path, data: bytes, *, make_folders: bool = True) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new, never half of them.

    Args:
        make_folders: as `write_synced` does.
    """
    temporary = _unfinished(path)
    try:
        write_synced(temporary, data, make_folders=make_folders)
        reached("atomic-written")
        os.replace(temporary, path)
        reached("atomic-replaced")
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_first(path: Path, data: bytes) -> None:
    """Write a file in one step, in a folder that is there, where none of that name is.

    Raises:
        FileExistsError: one is; it is left as it is.
    """
    if stat_file(path) is not None:
        raise FileExistsError(errno.EEXIST, "is there already", str(path))
    temporary = _unfinished(path)
    try:
        write_synced(temporary, data, make_folders=False)
        link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_json_atomic(path: Path, value: Mapping[str, Any]) -> None:
    """Replace a file of JSON in a folder that is there, as `write_atomic`; to be read by people."""
    text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
    write_atomic(path, text.encode(), make_folders=False)


def write_lines_atomic(path: Path, lines: Iterable[str]) -> None:
    """Replace a text file in a folder that is there, as `write_atomic`; lines come one by one."""
    with lines_atomic(path) as write:
        for line in lines:
            write(line)


@contextmanager
def lines_atomic(path: Path, beside: Path | None = None) -> Iterator[Callable[[str], object]]:
    """Let lines be written one by one; without an error they then replace a file as above.

    Args:
        beside: they are written beside this one, on the same file system, not beside `path`.
    """
    temporary = _unfinished(beside or path)
    try:
        with _naming(temporary), temporary.open("w", encoding="utf-8", newline="\n") as file:
            yield lambda line: file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
        reached("atomic-written")
        os.replace(temporary, path)
        reached("atomic-replaced")
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _unfinished(path: Path) -> Path:
    """Name a file beside another; machines that share a folder may share process ids too."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def sweep_unfinished(folder: Path, older_than_s: float) -> None:
    """Remove what a process left in a folder that was killed while it replaced a file there."""
    now = time.time()
    for path in folder.glob(".*.tmp"):
        with contextlib.suppress(OSError):
            if now - path.stat().st_mtime > older_than_s:
                path.unlink()


def move(source: Path, target: Path) -> None:
    """Rename a file within a file system; the target's folder is made, an old target replaced."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(source, target)


def rename(source: Path, target: Path) -> None:
    """Rename a file within a file system; the target's folder is there, an old target replaced."""
    os.replace(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, which is not taken; a file system without such names copies it."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        write_atomic(target, read_bytes(source), make_folders=False)


def remove_file(path: Path) -> None:
    """Remove a file of ours; one that is not there is no error."""
    path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries (new names, renames) are on the disk.

    Where a file system refuses that of a folder, there is nothing to wait for.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _WITHOUT_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def why_not_renamed(source: Path, target: Path) -> str | None:
    """Return why no file of one folder can be renamed into another, None where it can.

    It is tried, and nothing is left: two places of one disk may be mounted apart.
    """
    trial = _unfinished(source / "trial")
    moved = target / trial.name
    try:
        trial.touch(exist_ok=False)
        os.replace(trial, moved)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        return error.strerror
    finally:
        for each in (trial, moved):
            each.unlink(missing_ok=True)
    return None
