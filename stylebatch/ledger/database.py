"""The ledger's file: opening, schema, transactions."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stylebatch.errors import RunError, UserError
from stylebatch.ledger.schema import MIGRATIONS
from stylebatch.system import files

_APPLICATION_ID = 0x53544C42  # "STLB": tells a ledger from other SQLite files
_BUSY_TIMEOUT_S = 60
_CACHE_KIB = 16_384
_DISK_ERRORS = (
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_BUSY,
)
# Not what a folder in the ledger's place, or a file that is closed to us, says as well.
_DISK_ERRORS_ON_OPENING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)

REMEDY = (
    "`stylebatch adopt` of the output makes a new one of what metadata.jsonl and the files tell, "
    "and keeps this one beside it"
)


class LedgerError(UserError):
    """A ledger that can't be used: of a newer stylebatch, or no ledger at all."""


def is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether SQLite says that a file is not, or not as a whole, a database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def damaged_ledger(path: Path, error: sqlite3.DatabaseError) -> RunError:
    """Return the error of a ledger that was found to be damaged while it was used."""
    return RunError(str(path), f"is damaged ({error})", "", REMEDY)


class Database:
    """A connection to a ledger's file, or to a private copy of it.

    Rollback journal, not WAL, which network file systems can't do. Read-only writes nothing
    beside the file either: what has to be written for reading happens in a private copy.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, is_read_only: bool) -> None:
        self.path, self.connection, self.is_read_only = path, connection, is_read_only
        # What a shard's ledger stands on: a row of its own replaces theirs.
        self.beneath: list[Database] = []
        opened = None if is_read_only else os.stat(path)
        self._identity = (opened.st_dev, opened.st_ino) if opened else None
        connection.execute("PRAGMA temp_store = FILE")
        connection.execute(f"PRAGMA temp.cache_size = -{_CACHE_KIB}")
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        # So that a row which is replaced leaves the counts too.
        connection.execute("PRAGMA recursive_triggers = ON")

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, migrations: Sequence[str] = MIGRATIONS
    ) -> "Database":
        """Open a ledger, made or brought up to date where needed.

        Raises:
            LedgerError: no ledger, a newer one, or one that can't be opened.
            RunError: the disk is full, it can't be written, or others have it locked.
        """
        try:
            if read_only:
                return cls(path, _connect_to_read(path, migrations), True)
            return cls(path, _connect_to_write(path, migrations), False)
        except sqlite3.Error as error:
            code = error.sqlite_errorcode & 0xFF
            is_of_disk = not read_only and code in _DISK_ERRORS_ON_OPENING
            if is_of_disk or code == sqlite3.SQLITE_BUSY:
                raise _unwritable(path, error) from error
            raise LedgerError(str(path), f"can't be opened ({error})", "", REMEDY) from error

    @classmethod
    def open_copy(cls, path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> "Database":
        """Copy a ledger into a private database that may be changed, and is gone when closed.

        Raises:
            LedgerError: as in `open`.
        """
        with closing(cls.open(path, read_only=True, migrations=migrations)) as source:
            return cls(path, _private_copy(source.connection, path, migrations), True)

    def is_in_place(self) -> bool:
        """Whether the file that was opened to be written is still the one at its path."""
        if self.is_read_only:
            return True
        now = os.stat(self.path) if self.path.exists() else None
        return now is not None and (now.st_dev, now.st_ino) == self._identity

    def close(self) -> None:
        """Close the connection; a private copy is gone then."""
        for each in (self, *self.beneath):
            each.connection.close()

    def select(self, query: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """Yield what a query finds in the ledgers beneath, then in this one."""
        for each in (*self.beneath, self):
            yield from each.connection.execute(query, values)

    def keys(self, table: str, block: int) -> Iterator[list[tuple[str, str]]]:
        """Yield a table's folders and names in order, in blocks: it may change meanwhile."""
        last = ("", "")
        while rows := self.connection.execute(
            f"SELECT folder, name FROM {table} WHERE (folder, name) > (?, ?) "
            f"ORDER BY folder, name LIMIT {block}",
            last,
        ).fetchall():
            yield rows
            last = rows[-1]

    @contextmanager
    def transaction(self, *, is_temporary: bool = False) -> Iterator[None]:
        """Make what is written within it one step; inside another it belongs to that one.

        Args:
            is_temporary: only temporary tables are written: takes no lock on the file.

        Raises:
            RunError: the disk is full, the file read-only or locked, or it has vanished.
        """
        if self.connection.in_transaction:
            yield
            return
        try:
            self.connection.execute("BEGIN" if is_temporary else "BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise
            self.connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _DISK_ERRORS:
                raise
            raise _unwritable(self.path, error) from error

    def count_change(self) -> None:
        """Note that the metadata would now read otherwise; within a transaction."""
        self.connection.execute(
            "INSERT INTO main.meta VALUES ('changes', 1) "
            "ON CONFLICT (key) DO UPDATE SET value = value + 1"
        )


def _unwritable(path: Path, error: sqlite3.Error) -> RunError:
    todo = "free space or mend the disk, then run again: it continues"
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
        found = f"is locked by another process, for more than {_BUSY_TIMEOUT_S} s"
        todo = "end what has it open (a database browser, a backup), then run again: it continues"
        return RunError(str(path), found, "", todo)
    return RunError(str(path), f"can't be written ({error})", "", todo)


def _connect_to_write(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    files.make_folder(path.parent)
    connection = _connect(str(path))
    try:
        # Reads the header: a file that is no database ends here.
        _check_kind(path, connection, migrations)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        connection.execute("PRAGMA synchronous = FULL")
        _migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _connect_to_read(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    if files.stat_file(path) is None:
        return _private_copy(None, path, migrations)
    connection = _connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
    try:
        version = _check_kind(path, connection, migrations)
        if version == len(migrations):
            return connection
        copy = _private_copy(connection, path, migrations)
    except sqlite3.OperationalError:
        # A killed run's journal is still to be rolled back, which takes writing.
        connection.close()
        return _rolled_back_copy(path, migrations)
    except BaseException:
        connection.close()
        raise
    connection.close()
    return copy


def _private_copy(
    source: sqlite3.Connection | None, path: Path, migrations: Sequence[str]
) -> sqlite3.Connection:
    """Copy a ledger into a temporary database of SQLite's own, up to date; None: an empty one."""
    copy = _connect("")
    try:
        if source is not None:
            source.backup(copy)
        _check_kind(path, copy, migrations)
        _migrate(copy, migrations)
    except BaseException:
        copy.close()
        raise
    return copy


def _rolled_back_copy(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    journal = path.with_name(path.name + "-journal")
    with tempfile.TemporaryDirectory(prefix="stylebatch-") as folder:
        for source in (path, journal):
            if files.stat_file(source) is not None:
                shutil.copyfile(source, Path(folder, source.name))
        with closing(_connect(str(Path(folder, path.name)))) as connection:
            return _private_copy(connection, path, migrations)


def _connect(name: str, *, uri: bool = False) -> sqlite3.Connection:
    return sqlite3.connect(name, timeout=_BUSY_TIMEOUT_S, isolation_level=None, uri=uri)


def _check_kind(path: Path, connection: sqlite3.Connection, migrations: Sequence[str]) -> int:
    """Return the schema's version; refuse what is no ledger, or one of a newer stylebatch."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (kind,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and kind != _APPLICATION_ID:
        todo = "move it away, or choose another output"
        raise LedgerError(str(path), "a database, but no ledger of stylebatch", "", todo)
    if version > len(migrations):
        found = f"a ledger of version {version}, which a newer stylebatch wrote"
        todo = "upgrade stylebatch, or choose another output"
        raise LedgerError(str(path), found, f"this one knows up to {len(migrations)}", todo)
    return int(version)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.executescript(
            f"BEGIN IMMEDIATE; {script};"
            f"PRAGMA application_id = {_APPLICATION_ID};"
            f"PRAGMA user_version = {number}; COMMIT;"
        )
