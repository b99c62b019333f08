"""What a ledger knows of annotations that were written: so only those are replaced or removed."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stylebatch.ledger.columns import marks
from stylebatch.ledger.database import Database

_BLOCK = 10_000


class AnnotationFile(NamedTuple):
    """A file of annotations.

    Attributes:
        path: from the output.
        pair: "" where it is of several.
        key: a hash of what it was made from.
        digest, size: of its bytes.
        before: digest of what it replaced, "" if nothing: after a kill that may still be there.
        note: what was counted, as JSON.
    """

    path: str
    pair: str
    kind: str
    key: str
    digest: str
    before: str
    size: int
    note: str


class LedgerAnnotations:
    """Queries of one connection to a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection = database.connection

    def begin(self) -> None:
        """Begin to see which files still belong to the output."""
        with self._database.transaction(is_temporary=True):
            self._connection.execute("DROP TABLE IF EXISTS temp.seen_annotations")
            self._connection.execute(
                "CREATE TEMP TABLE seen_annotations (path TEXT PRIMARY KEY) WITHOUT ROWID"
            )

    def find(self, path: str) -> AnnotationFile | None:
        """Return what is known of a path."""
        query = "SELECT * FROM main.annotations WHERE path = ?"
        row = self._connection.execute(query, (path,)).fetchone()
        return AnnotationFile(*row) if row else None

    def see(self, paths: Iterable[str]) -> None:
        """Note that files still belong to the output."""
        with self._database.transaction(is_temporary=True):
            self._connection.executemany(
                "INSERT OR IGNORE INTO temp.seen_annotations VALUES (?)",
                ((path,) for path in paths),
            )

    def see_all_of(self, pair: str, kind: str) -> None:
        """Note so of all files of a pair's kind."""
        with self._database.transaction(is_temporary=True):
            self._connection.execute(
                "INSERT OR IGNORE INTO temp.seen_annotations "
                "SELECT path FROM main.annotations WHERE pair = ? AND kind = ?",
                (pair, kind),
            )

    def note(self, rows: Iterable[AnnotationFile]) -> None:
        """Keep what is known of files, before they are written."""
        mark = marks(AnnotationFile._fields)
        with self._database.transaction():
            self._connection.executemany(
                f"INSERT OR REPLACE INTO main.annotations VALUES ({mark})", rows
            )

    def unseen(self) -> list[AnnotationFile]:
        """Return the files that no longer belong to the output."""
        rows = self._connection.execute(
            "SELECT * FROM main.annotations AS a WHERE NOT EXISTS "
            "(SELECT 1 FROM temp.seen_annotations AS s WHERE s.path = a.path) ORDER BY path"
        )
        return [AnnotationFile(*row) for row in rows]

    def forget(self, paths: Iterable[str]) -> None:
        """Drop what is known of files that were removed."""
        with self._database.transaction():
            self._connection.executemany(
                "DELETE FROM main.annotations WHERE path = ?", ((path,) for path in paths)
            )

    def all(self) -> Iterator[AnnotationFile]:
        """Yield what is known of all files, by path."""
        last = ""
        query = "SELECT * FROM main.annotations WHERE path > ? ORDER BY path LIMIT ?"
        while rows := self._connection.execute(query, (last, _BLOCK)).fetchall():
            yield from (AnnotationFile(*row) for row in rows)
            last = rows[-1][0]
