"""Walk folders and list them: files with size and times, folders, and what can't be reached."""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import NamedTuple, TypeVar

from stylebatch.system.paths import escaped, on_disk
from stylebatch.system.read_ahead import is_transient

# What NAS, archives and file systems put beside people's folders: thumbnails, forks, what was lost.
SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"}
)
# Where the system tells of itself: links in there lead to every other folder, from each process.
_PSEUDO_FILE_SYSTEMS = ("/dev", "/proc", "/sys")
_T = TypeVar("_T")

# Why a link can't be followed that leads nowhere.
NO_TARGET = "a link to nothing"
# Pauses before what may pass (a disk that wakes up, a network folder) is asked again.
_PAUSES_S = (0.05, 0.2, 0.5)


class FileStat(NamedTuple):
    """A file below a folder: its POSIX path from there, its bytes, its times of change, its inode.

    Of an object of a store the ETag says all of these but path and bytes.

    Of a file that is there but can't be reached (a link to nothing, an error of its disk) the
    numbers are -1.
    """

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    etag: str = ""

    @classmethod
    def of(cls, path: str, found: os.stat_result) -> "FileStat":
        """Return what the system says of a file."""
        # Some file systems' inodes fill 64 bits; who keeps them has one less.
        inode = found.st_ino & (2**63 - 1)
        return cls(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, inode)

    @classmethod
    def unreachable(cls, path: str) -> "FileStat":
        """Return a file of which the system can't say anything."""
        return cls(path, -1, -1, -1, -1)


class Walked:
    """What a walk came across beside the files that it was to find.

    Attributes:
        passed_over: files that were left out, by suffix.
        unreachable: what can't be looked into, by POSIX path below the root, with the reason:
            folders, and links to nothing that may be folders.
        barren: of folders that hold other files, but neither files that were to be found nor
            folders, those files by suffix.
    """

    def __init__(self) -> None:
        self.passed_over: Counter[str] = Counter()
        self.unreachable: dict[str, str] = {}
        self.barren: dict[str, Counter[str]] = {}


def walk_files(
    root: Path, suffixes: frozenset[str], walked: Walked | None = None
) -> Iterator[tuple[str, list[FileStat]]]:
    """Yield each folder below `root` (POSIX, "" for `root`) with its files, sorted by name.

    Streams: one folder's files are held at a time. Links are followed, except into a folder that
    is already being walked. Names that start with a dot are passed over, `SYSTEM_FOLDERS`, and
    below `root` the system's own `/dev`, `/proc` and `/sys`; of a name that is not UTF-8 `escaped`
    writes the rest.
    What can't be reached stops nothing: a file has -1 for its numbers, a folder is noted.

    Args:
        suffixes: lower-case suffixes with their dot; other files are left out.
        walked: takes what is left out or can't be reached.

    Raises:
        OSError: `root` itself can't be listed.
    """
    walked, root = walked or Walked(), on_disk(root)
    above = {_identity(asked(lambda: root.stat()))}
    for place in _PSEUDO_FILE_SYSTEMS:
        with suppress(OSError):
            above.add(_identity(os.stat(place)))
    yield from _walk(root, "", suffixes, walked, frozenset(above))


def _walk(
    folder: Path,
    prefix: str,
    suffixes: frozenset[str],
    walked: Walked,
    above: frozenset[tuple[int, int]],
) -> Iterator[tuple[str, list[FileStat]]]:
    try:
        found, folders = asked(lambda: _list(folder, prefix, suffixes, walked))
    except OSError as error:
        if not prefix:
            raise
        walked.unreachable[prefix.rstrip("/")] = reason_of(error)
        return
    if found:
        found.sort()
        yield prefix.rstrip("/"), found
    for name in sorted(folders):
        try:
            here = _identity(asked(lambda name=name: (folder / name).stat()))  # type: ignore[misc]
        except OSError as error:
            walked.unreachable[prefix + escaped(name)] = reason_of(error)
            continue
        if here not in above:
            yield from _walk(
                folder / name, f"{prefix}{escaped(name)}/", suffixes, walked, above | {here}
            )


def _list(
    folder: Path, prefix: str, suffixes: frozenset[str], walked: Walked
) -> tuple[list[FileStat], list[str]]:
    """Return a folder's files and folders, and note what else is in it once all is seen."""
    found, folders = [], []
    passed_over, unreachable, is_patient = Counter[str](), {}, True
    with _entries(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            suffix, told = suffix_of(name), escaped(name)
            kind = _kind(entry)
            if told != name and os.path.lexists(folder / told):
                passed_over[suffix] += 1  # another one is really called so
            elif kind is _Kind.FOLDER:
                if name not in SYSTEM_FOLDERS:
                    folders.append(name)
            elif suffix in suffixes and kind is not _Kind.OTHER:
                if stat := _stat(entry, prefix + told, is_patient=is_patient):
                    found.append(stat)
                    # A share that does not answer would be waited for at each of its files.
                    is_patient = is_patient and stat.size >= 0
            elif kind is _Kind.NOTHING and not suffix[1:].isalpha():
                # It may well lead to a folder, on a disk that is not mounted now.
                unreachable[prefix + told] = _why(entry)
            else:
                passed_over[suffix] += 1
    walked.passed_over.update(passed_over)
    walked.unreachable.update(unreachable)
    if passed_over and not (found or folders):
        walked.barren[prefix.rstrip("/")] = passed_over
    return found, folders


class _Kind(Enum):
    FILE, FOLDER, OTHER, NOTHING = range(4)


def _kind(entry: os.DirEntry[str]) -> _Kind:
    """Tell what an entry is, behind links; NOTHING where a link or the system's answer ends."""
    try:
        if entry.is_file():
            return _Kind.FILE
        if entry.is_dir():
            return _Kind.FOLDER
        if not entry.is_symlink():
            return _Kind.OTHER
        entry.stat()
    except OSError:
        return _Kind.NOTHING
    return _Kind.OTHER


def _stat(entry: os.DirEntry[str], path: str, *, is_patient: bool = True) -> FileStat | None:
    """Return what the system says of a file; None if it has gone since the folder was listed."""
    try:
        return FileStat.of(path, asked(entry.stat) if is_patient else entry.stat())
    except FileNotFoundError:
        return FileStat.unreachable(path) if entry.is_symlink() else None
    except OSError:
        return FileStat.unreachable(path)


def _why(entry: os.DirEntry[str]) -> str:
    try:
        entry.stat()
    except FileNotFoundError:
        return NO_TARGET
    except OSError as error:
        return reason_of(error)
    return NO_TARGET


def _identity(found: os.stat_result) -> tuple[int, int]:
    return (found.st_dev, found.st_ino)


def reason_of(error: OSError) -> str:
    """Return why something can't be reached, in few words."""
    return error.strerror or str(error)


def asked(ask: Callable[[], _T]) -> _T:
    """Ask the system; what may pass is asked again after a moment."""
    for pause_s in _PAUSES_S:
        try:
            return ask()
        except OSError as error:
            if not is_transient(error):
                raise
        time.sleep(pause_s)
    return ask()


@contextmanager
def _entries(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Scan a folder by its handle: then no file's stat looks up the folders above it again."""
    handle = os.open(on_disk(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def stat_file(path: Path, name: str) -> FileStat:
    """Return what the system says of one file, under this name."""
    try:
        return FileStat.of(name, asked(on_disk(path).stat))
    except OSError:
        return FileStat.unreachable(name)


def list_files(folder: Path, suffixes: frozenset[str]) -> list[FileStat]:
    """Return the files of one folder as `walk_files` does; [] where there is no such folder.

    Raises:
        OSError: there is one, and it can't be listed.
    """
    try:
        found, _ = asked(lambda: _list(folder, "", suffixes, Walked()))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def suffix_of(name: str) -> str:
    """Return what `os.path.splitext` would, in lower case, of a name that starts with no dot."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that `walk_files` would look into; [] of none."""
    try:
        _, folders = asked(lambda: _list(folder, "", frozenset(), Walked()))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return list(map(escaped, folders))


def list_sizes(folder: Path) -> dict[str, int]:
    """Return what is in a folder with its bytes, -1 of what is neither file nor folder.

    {} where there is no such folder. An entry that has gone meanwhile is not there; a link to
    nothing, or what the system can't tell the size of, is.

    Raises:
        OSError: there is such a folder, and it can't be listed.
    """
    try:
        return asked(lambda: _sizes(folder))
    except (FileNotFoundError, NotADirectoryError):
        return {}


def _sizes(folder: Path) -> dict[str, int]:
    sizes = {}
    with _entries(folder) as entries:
        for entry in entries:
            kind = _kind(entry)
            if kind is _Kind.OTHER:
                sizes[entry.name] = -1
            elif kind is not _Kind.FOLDER and (stat := _stat(entry, "")):
                sizes[entry.name] = stat.size
    return sizes
