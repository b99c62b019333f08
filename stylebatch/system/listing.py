"""Walk folders and list them: files with size and time of change, folders, sizes."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stylebatch.system.paths import escaped, on_disk

# What NAS, archives and file systems put beside people's folders: thumbnails, forks, what was lost.
SYSTEM_FOLDERS = frozenset(
    {"@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"}
)


class FileStat(NamedTuple):
    """A file below a folder: its POSIX path from there, its bytes and its time of change."""

    path: str
    size: int
    mtime_ns: int


def walk_files(
    root: Path, suffixes: frozenset[str], passed_over: Counter[str] | None = None
) -> Iterator[tuple[str, list[FileStat]]]:
    """Yield each folder below `root` (POSIX, "" for `root`) with its files, sorted by name.

    Streams: one folder's files are held at a time. Links are followed, except into a folder that
    is already being walked. Names that start with a dot are passed over, and `SYSTEM_FOLDERS`; of
    a name that is not UTF-8 `escaped` writes the rest.

    Args:
        suffixes: lower-case suffixes with their dot; other files are left out.
        passed_over: counts the files that were left out, by suffix.
    """
    passed_over = Counter() if passed_over is None else passed_over
    yield from _walk(on_disk(root), "", suffixes, passed_over, frozenset())


def _walk(
    folder: Path,
    prefix: str,
    suffixes: frozenset[str],
    passed_over: Counter[str],
    above: frozenset[tuple[int, int]],
) -> Iterator[tuple[str, list[FileStat]]]:
    found, folders = [], []
    with _entries(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            suffix = _suffix(name)
            told = escaped(name)
            if told != name and os.path.lexists(folder / told):
                passed_over[suffix] += 1  # another one is really called so
            elif suffix in suffixes and entry.is_file():
                stat = entry.stat()
                found.append(FileStat(prefix + told, stat.st_size, stat.st_mtime_ns))
            elif entry.is_dir():
                if name not in SYSTEM_FOLDERS:
                    folders.append(name)
            else:
                passed_over[suffix] += 1
    if found:
        found.sort()
        yield prefix.rstrip("/"), found
    if not folders:
        return
    here = folder.stat()
    above = above | {(here.st_dev, here.st_ino)}
    for name in sorted(folders):
        stat = (folder / name).stat()
        if (stat.st_dev, stat.st_ino) not in above:
            below = f"{prefix}{escaped(name)}/"
            yield from _walk(folder / name, below, suffixes, passed_over, above)


@contextmanager
def _entries(folder: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Scan a folder by its handle: then no file's stat looks up the folders above it again."""
    handle = os.open(on_disk(folder), os.O_RDONLY | os.O_DIRECTORY)
    try:
        with os.scandir(handle) as entries:
            yield entries
    finally:
        os.close(handle)


def list_files(folder: Path, suffixes: frozenset[str]) -> list[FileStat]:
    """Return the files of one folder as `walk_files` does; [] where there is no such folder."""
    try:
        with _entries(folder) as entries:
            found = [
                FileStat(escaped(entry.name), stat.st_size, stat.st_mtime_ns)
                for entry in entries
                if not entry.name.startswith(".")
                and _suffix(entry.name) in suffixes
                and entry.is_file()
                and (stat := entry.stat())
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)


def _suffix(name: str) -> str:
    """Return what `os.path.splitext` would, in lower case, of a name that starts with no dot."""
    dot = name.rfind(".")
    return name[dot:].lower() if dot > 0 else ""


def list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder that `walk_files` would look into; [] of none."""
    try:
        with _entries(folder) as entries:
            return [
                escaped(entry.name)
                for entry in entries
                if not entry.name.startswith(".")
                and entry.name not in SYSTEM_FOLDERS
                and entry.is_dir()
            ]
    except (FileNotFoundError, NotADirectoryError):
        return []


def list_sizes(folder: Path) -> dict[str, int]:
    """Return the regular files of a folder with their bytes; {} where there is no such folder."""
    try:
        with _entries(folder) as entries:
            return {e.name: e.stat().st_size for e in entries if e.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
