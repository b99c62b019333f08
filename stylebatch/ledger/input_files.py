"""What a ledger remembers of inputs, so that only changed ones are read."""

from collections.abc import Iterable, Mapping
from typing import Any

from stylebatch.ledger.database import Database
from stylebatch.plan import KnownFile

# So many are kept in a temporary table before one transaction takes them.
_MAX_READ_FILES = 20_000


class InputFiles:
    """Inputs by folder and name; the side of a ledger that a plan reads and fills."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection
        self._num_read_files = 0
        self._reads_anew = False
        self._connection.execute(
            "CREATE TEMP TABLE read_files (folder TEXT, name TEXT, size, mtime_ns, digest, "
            "width, height, ctime_ns, inode, etag, PRIMARY KEY (folder, name)) WITHOUT ROWID"
        )

    def known_files(self, folder: str, first: str, last: str) -> dict[str, KnownFile]:
        """Return what is known of a folder's files from one name to another, by name.

        Folders are from the manifest's.
        """
        query = (
            f"SELECT name, {', '.join(KnownFile._fields)} FROM {{}} "
            "WHERE folder = ? AND name BETWEEN ? AND ?"
        )
        at = (folder, first, last)
        rows: Iterable[tuple[Any, ...]] = ()
        if not self._reads_anew:
            rows = self._database.select(query.format("main.files"), at)
        elif not self._database.is_read_only:
            # What this connection has read itself, and only that.
            rows = self._connection.execute(query.format("main.files"), at)
        known = {row[0]: KnownFile._make(row[1:]) for row in rows}
        if self._num_read_files:
            rows = self._connection.execute(query.format("temp.read_files"), at)
            known.update((row[0], KnownFile._make(row[1:])) for row in rows)
        return known

    def read_anew(self) -> None:
        """Forget all inputs: this connection reads them again."""
        self._reads_anew = True
        if not self._database.is_read_only:
            with self._database.transaction():
                self._connection.execute("DELETE FROM main.files")

    def remember_files(self, folder: str, known: Mapping[str, KnownFile]) -> None:
        """Keep what was read of a folder's files; for this connection only where it's read-only."""
        rows = ((folder, name, *file) for name, file in known.items())
        with self._database.transaction(is_temporary=True):
            marks = ", ".join("?" * (2 + len(KnownFile._fields)))
            self._connection.executemany(
                f"INSERT OR REPLACE INTO temp.read_files VALUES ({marks})", rows
            )
        self._num_read_files += len(known)
        if self._num_read_files >= _MAX_READ_FILES:
            self.keep_files()

    def keep_files(self) -> None:
        """Write what `remember_files` was given to the file, in one transaction."""
        if self._database.is_read_only or not self._num_read_files:
            return
        with self._database.transaction():
            self._connection.execute("INSERT OR REPLACE INTO main.files SELECT * FROM read_files")
            self._connection.execute("DELETE FROM temp.read_files")
        self._num_read_files = 0
