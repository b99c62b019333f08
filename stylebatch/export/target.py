"""Where an export goes: what it has written there, and what is still to be written."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from stylebatch.export.request import ExportError, ExportHeldError, ExportStoppedError
from stylebatch.system import files, folders
from stylebatch.system.placed import HashedFile, is_same_file, link_or_copy, placed_file

STATE, SUMMARY = ".export.sqlite", "export.json"
# A folder for what is being written.
_TEMPORARY = ".export.tmp"
_BLOCK = 1000
# `key` says what a file is made from; "" as long as it may not be whole. `digest` is "" of a link.
_TABLES = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, key TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    digest TEXT NOT NULL, num_images INTEGER NOT NULL, is_listed INTEGER NOT NULL,
    seen INTEGER NOT NULL
) WITHOUT ROWID;
"""


class Known(NamedTuple):
    """A file that an export has begun, and perhaps finished.

    Attributes:
        is_listed: whether `export.json` names it: not one of many images.
        seen: the last export that wanted it, by number.
    """

    path: str
    key: str
    size: int
    mtime_ns: int
    digest: str
    num_images: int
    is_listed: int
    seen: int


class Source(NamedTuple):
    """A file of the output that gets a second name, and its state when it was listed."""

    path: str
    file: Path
    size: int
    mtime_ns: int
    num_images: int = 0

    @property
    def key(self) -> str:
        """What tells it from what may take its place."""
        return f"{self.size} {self.mtime_ns}"


def check_target(root: Path, told: dict[str, Any]) -> None:
    """Refuse a folder that holds anything but the same export.

    Raises:
        ExportError: with what it holds.
    """
    if files.stat_file(root) is None:
        return
    if not root.is_dir():
        raise ExportError(str(root), "is no folder", "", "choose another place")
    if files.stat_file(root / STATE) is None:
        if any(root.iterdir()):
            allowed = "allowed is a new folder, an empty one, or one that an export has made"
            raise ExportError(str(root), "holds other files", allowed, "choose another place")
        return
    try:
        with closing(sqlite3.connect(f"file:{root / STATE}?mode=ro", uri=True)) as connection:
            known = dict(connection.execute("SELECT key, value FROM meta"))
    except sqlite3.Error as error:
        if _is_busy(error):
            raise _held(root) from error
        known = {}  # killed before it had written anything, or no file of ours
    before = json.loads(known.get("request", "{}"))
    if before and before != told:
        found = "; ".join(
            f"{key} {json.dumps(before.get(key))} and not {json.dumps(told.get(key))}"
            for key in sorted(before.keys() | told.keys())
            if before.get(key) != told.get(key)
        )
        todo = "choose another place, or remove it"
        raise ExportError(str(root), f"holds another export: {found}", "", todo)


class Target:
    """The folder of an export, while it is brought up to date; nobody else may do so."""

    def __init__(self, root: Path, told: dict[str, Any]) -> None:
        """Open the folder, which is made if it is not there.

        Raises:
            ExportError: as `check_target`.
            ExportHeldError: another export is writing there.
        """
        check_target(root, told)
        files.make_folder(root)
        self.root, self._is_changing = root, False
        self._connection = sqlite3.connect(root / STATE, isolation_level=None, timeout=0)
        try:
            # Held until it is closed, also by a kill.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT")
            self._number = int(self._get("number") or 0) + 1
            self._put_meta(request=json.dumps(told), number=str(self._number))
        except sqlite3.Error as error:
            self._connection.close()
            raise (_held(root) if _is_busy(error) else _lost(root, error)) from error
        folders.remove_tree(root / _TEMPORARY)  # of a killed one
        files.make_folder(root / _TEMPORARY)
        self._temporary = root / _TEMPORARY / "new"

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        folders.remove_tree(self.root / _TEMPORARY)
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise _lost(self.root, error) from error

    # One file at a time

    def put(
        self, path: str, key: str, write: Callable[[HashedFile], None], num_images: int = 0
    ) -> None:
        """Let a file be there that is made of what `key` stands for.

        Args:
            write: writes it, if it is not there.
            num_images: that are in it.
        """
        known = self._find(path)
        if known and known.key == key and files.stat_file(self.root / path) == known[2:4]:
            self._note([known])
            return
        target = self.root / path
        self._begin([path], [known], [None])
        files.make_folders_below(self.root, target.parent)
        with placed_file(target, self._temporary) as file:
            write(file)
        self._note([_known(target, path, key, file.sha256, num_images, is_listed=True)])

    def put_json(self, path: str, value: dict[str, Any]) -> None:
        """Let a small file hold JSON, for people to read."""
        text = json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        self.put_text(path, text)

    def put_text(self, path: str, text: str) -> None:
        """Let a small file hold text."""
        data = text.encode()
        self.put(path, files.digest_bytes(data), lambda file: _write(file, data))

    # Many files

    def put_files(self, sources: Iterable[Source]) -> Iterator[int]:
        """Let files of the output be there, as hard links where possible, else as copies.

        Yields:
            how many have come to their end, block by block.
        """
        sources = iter(sources)
        while block := list(islice(sources, _BLOCK)):
            known = {source.path: self._find(source.path) for source in block}
            new = [source for source in block if not self._stands(known[source.path], source)]
            if new:
                self._put_new(new, [known[source.path] for source in new])
            written = {source.path for source in new}
            self._note(each for path, each in known.items() if each and path not in written)
            yield len(block)

    def _stands(self, known: Known | None, source: Source) -> bool:
        there = files.stat_file(self.root / source.path)
        return known is not None and known.key == source.key and there == known[2:4]

    def _put_new(self, sources: list[Source], known: list[Known | None]) -> None:
        self._begin([s.path for s in sources], known, [s.file for s in sources])
        made, grown = [], set()
        for source in sources:
            target = self.root / source.path
            if target.parent not in grown:
                files.make_folders_below(self.root, target.parent)
                grown.add(target.parent)
            digest = link_or_copy(source.file, target, self._temporary)
            made.append(_known(target, source.path, source.key, digest, source.num_images))
            if made[-1][2:4] != (source.size, source.mtime_ns):
                raise changed(source.file)
        for folder in grown:
            files.sync_folder(folder)
        self._note(made)

    # The end

    def finish(self) -> int:
        """Remove what is no longer part of the export; return how many files stay that should go.

        They are no longer as they were written: somebody has changed them.
        """
        query = "SELECT * FROM files WHERE seen != ? AND path != ? ORDER BY path"
        left = 0
        for row in self._connection.execute(query, (self._number, SUMMARY)).fetchall():
            known = Known._make(row)
            path = self.root / known.path
            there = files.stat_file(path)
            if there is not None and known.key and there != known[2:4]:
                left += 1
            elif there is not None:
                self._change()
                files.remove_file(path)
                folders.remove_empty_folders(path.parent, self.root)
        gone = "DELETE FROM files WHERE seen != ? AND path != ?"
        self._connection.execute(gone, (self._number, SUMMARY))
        return left

    def check(self) -> Iterator[None]:
        """Read back what was written, file by file; of links look whether they are there.

        Raises:
            ExportStoppedError: something is not as it was written.
        """
        for known in self.known():
            path = self.root / known.path
            is_right = files.stat_file(path) == known[2:4] and (
                not known.digest or files.sha256_file(path) == known.digest
            )
            if not is_right:
                todo = "remove it and run it again"
                raise ExportStoppedError(str(path), "is not what was written", "", todo)
            yield

    def known(self) -> Iterator[Known]:
        """Yield all files but `export.json`, by their paths."""
        query = "SELECT * FROM files WHERE path != ? ORDER BY path"
        yield from map(Known._make, self._connection.execute(query, (SUMMARY,)))

    # What it remembers

    def _find(self, path: str) -> Known | None:
        found = self._connection.execute("SELECT * FROM files WHERE path = ?", (path,)).fetchone()
        return Known._make(found) if found else None

    def _begin(
        self, paths: list[str], known: Iterable[Known | None], sources: Iterable[Path | None]
    ) -> None:
        """Note files as ours before they are written: what a kill leaves is known then."""
        for path, each, source in zip(paths, known, sources, strict=True):
            self._check_ours(self.root / path, each, source)
        self._change()
        self._note(Known(path, "", 0, 0, "", 0, 0, 0) for path in paths)

    def _check_ours(self, path: Path, known: Known | None, source: Path | None) -> None:
        there = files.stat_file(path)
        if there is None or (source and is_same_file(path, source)):
            return
        if known is None or (known.key and there != known[2:4]):
            found = "was not written by this export" if known is None else "has been changed"
            raise ExportStoppedError(str(path), f"{found}: it stays as it is", "", "move it away")

    def _change(self) -> None:
        """Before anything changes: what says that all is there goes."""
        if not self._is_changing and self._find(SUMMARY):
            files.remove_file(self.root / SUMMARY)
        self._is_changing = True

    def _note(self, known: Iterable[Known]) -> None:
        rows = [each._replace(seen=self._number) for each in known]
        marks = ", ".join("?" * len(Known._fields))
        self._connection.execute("BEGIN")
        self._connection.executemany(f"INSERT OR REPLACE INTO files VALUES ({marks})", rows)
        self._connection.execute("COMMIT")

    def _get(self, key: str) -> str | None:
        query = "SELECT value FROM meta WHERE key = ?"
        found = self._connection.execute(query, (key,)).fetchone()
        return str(found[0]) if found else None

    def _put_meta(self, **values: str) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", values.items())


def changed(path: Path) -> ExportStoppedError:
    """Return the error for a file of the output that is not what was listed."""
    found = "has been replaced while it was exported: a run is at work"
    return ExportStoppedError(str(path), found, "", "run it again; what is done is kept")


def _known(
    target: Path, path: str, key: str, digest: str, num_images: int, *, is_listed: bool = False
) -> Known:
    stat = files.stat_file(target)
    assert stat is not None
    return Known(path, key, *stat, digest, num_images, int(is_listed), 0)


def _write(file: HashedFile, data: bytes) -> None:
    file.write(data)


def _is_busy(error: sqlite3.Error) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _held(root: Path) -> ExportHeldError:
    return ExportHeldError(str(root), "another export is writing there", "", "wait for its end")


def _lost(root: Path, error: sqlite3.Error) -> ExportStoppedError:
    where = str(root / STATE)
    return ExportStoppedError(where, f"can't be written ({error})", "", "mend it and run it again")
