"""What comes of jobs, as rows: claims, deaths, images that are done, failures."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stylebatch.ledger.absorb import copy_up
from stylebatch.ledger.columns import KEPT_COLUMNS, Row, marks
from stylebatch.ledger.database import Database

Key = tuple[str, ...]


class Done(NamedTuple):
    """A job that is done; content_digest: None for the planned one; facts: as JSON."""

    folder: str
    name: str
    fingerprint: str
    size: int
    content_digest: str | None
    facts: str


class Failed(NamedTuple):
    """A job that failed."""

    folder: str
    name: str
    fingerprint: str
    reason: str


def claim(database: Database, rows: Sequence[Row]) -> None:
    """Note jobs (rows of `KEPT_COLUMNS`) as under way; within a transaction."""
    copy_up(database, (row[:2] for row in rows))
    database.connection.executemany(_CLAIM, rows)


def record(database: Database, done: Iterable[Done], failed: Iterable[Failed]) -> None:
    """Take what came of jobs; within a transaction."""
    for each in done:
        at = each[:2]
        database.connection.execute(_DONE, (each.fingerprint, each.size, each.content_digest, *at))
        database.connection.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", (*at, each.facts)
        )
    for one in failed:
        database.connection.execute(_FAILED, (one.fingerprint, one.reason, *one[:2]))


def add_death(database: Database, at: Key) -> int:
    """Count a death; within a transaction. Return how many there are now."""
    where = "WHERE folder = ? AND name = ?"
    database.connection.execute(f"UPDATE jobs SET deaths = deaths + 1 {where}", at)
    row = database.connection.execute(f"SELECT deaths FROM jobs {where}", at).fetchone()
    return int(row[0]) if row else 0


def forget(database: Database, keys: Sequence[Key]) -> None:
    """Drop all rows of some outputs; within a transaction."""
    for table in ("jobs", "facts"):
        delete = f"DELETE FROM {table} WHERE folder = ? AND name = ?"
        database.connection.executemany(delete, keys)


_CLAIM = f"""
    INSERT INTO jobs ({", ".join(KEPT_COLUMNS)}, state, deaths)
    VALUES ({marks(KEPT_COLUMNS)}, 'pending', 0)
    ON CONFLICT (folder, name) DO UPDATE SET
        deaths = iif(fingerprint = excluded.fingerprint AND state <> 'failed', deaths, 0),
        {", ".join(f"{name} = excluded.{name}" for name in KEPT_COLUMNS[2:])},
        state = 'pending', size = NULL, reason = NULL
"""
_DONE = """
    UPDATE jobs SET state = 'done', fingerprint = ?, size = ?, reason = NULL, deaths = 0,
        content_digest = coalesce(?, content_digest)
    WHERE folder = ? AND name = ?
"""
_FAILED = """
    UPDATE jobs SET state = 'failed', fingerprint = ?, reason = ?, size = NULL
    WHERE folder = ? AND name = ?
"""
