"""What comes of jobs, as rows: claims, deaths, images that are done, failures.

Where an image stands that is out of date, its row stays in `jobs`, and all that happens to the job
which is to replace it happens in `successors`, until that is done.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from stylebatch.ledger.absorb import copy_up, find_jobs, is_empty
from stylebatch.ledger.columns import KEPT_COLUMNS, Row, marks
from stylebatch.ledger.database import Database

Key = tuple[object, ...]
# Jobs whose image is in the folder.
STANDING = ("done", "outdated")


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


def claim(database: Database, rows: Sequence[Row], run_id: str) -> None:
    """Note jobs (rows of `KEPT_COLUMNS`) as under way; within a transaction."""
    copy_up(database, (row[:2] for row in rows))
    standing = find_jobs(database, (row[:2] for row in rows), "jobs", "j.state = 'outdated'")
    first = [row for row in rows if row[:2] not in standing]
    database.connection.executemany(_CLAIM.format("jobs", ", size = NULL"), first)
    if standing:
        after = [row for row in rows if row[:2] in standing]
        database.connection.executemany(_CLAIM.format("successors", ""), after)
        note = "UPDATE successors SET run_id = ? WHERE folder = ? AND name = ?"
        database.connection.executemany(note, ((run_id, *key) for key in standing))


def record(database: Database, done: Sequence[Done], failed: Sequence[Failed]) -> int:
    """Take what came of jobs; within a transaction.

    Returns:
        how many images were replaced: the ledger has them in `aside` from then on.
    """
    connection = database.connection
    succeeding: set[tuple[str, str]] = set()
    if not is_empty(database, "successors"):
        succeeding = find_jobs(database, (each[:2] for each in (*done, *failed)), "successors")
    replaced = [each[:2] for each in done if each[:2] in succeeding]
    for statement in (_REPLACED, _SUCCEED, _DROP_SUCCESSOR):
        connection.executemany(statement, replaced)
    rows = ((one.fingerprint, one.size, one.content_digest, *one[:2]) for one in done)
    connection.executemany(_DONE, rows)
    facts = ((*one[:2], one.facts) for one in done)
    connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", facts)
    for one in failed:
        values = (one.fingerprint, one.reason, *one[:2])
        is_after = one[:2] in succeeding
        connection.execute(_FAILED_AFTER if is_after else _FAILED, values)
    return len(replaced)


def forget_files(database: Database, keys: Iterable[Key]) -> None:
    """Let inputs be read again by the next plan; within a transaction.

    A row that no file is as: a shard has to hide what the ledger beneath it knows, too.
    """
    rows = ((*key, -2, 0, "", 0, 0) for key in keys)
    insert = (
        "INSERT OR REPLACE INTO main.files (folder, name, size, mtime_ns, digest, width, height) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)"
    )
    database.connection.executemany(insert, rows)


def add_death(database: Database, at: Key) -> int:
    """Count a death; within a transaction. Return how many there are now."""
    where = "WHERE folder = ? AND name = ?"
    # A job that is to replace an image has a row in both tables: it is in the second.
    for table in ("successors", "jobs"):
        database.connection.execute(f"UPDATE {table} SET deaths = deaths + 1 {where}", at)
        row = database.connection.execute(f"SELECT deaths FROM {table} {where}", at).fetchone()
        if row:
            return int(row[0])
    return 0


def note_aside(database: Database, keys: Sequence[Key], run_id: str) -> None:
    """Note that images, and what is told of them, lie aside; within a transaction."""
    rows = ((run_id, *key) for key in keys)
    database.connection.executemany(_ASIDE.format(run_id="?", more=""), rows)


def forget(database: Database, keys: Sequence[Key]) -> None:
    """Drop all rows of some outputs; within a transaction."""
    for table in ("jobs", "facts", "successors"):
        delete = f"DELETE FROM {table} WHERE folder = ? AND name = ?"
        database.connection.executemany(delete, keys)


def mark_outdated(database: Database, keys: Sequence[Key]) -> None:
    """Note that images which stand are not as the plan wants them; within a transaction."""
    database.connection.executemany(_OUTDATED, keys)


def distrust(database: Database, keys: Sequence[Key]) -> None:
    """Note that images which stand are not what any plan wants; within a transaction."""
    database.connection.executemany(_DISTRUSTED, keys)


def settle_successors(database: Database) -> bool:
    """Drop the successors of images that are up to date, or put them where none stands any more.

    Within a transaction.

    Returns:
        whether there were any.
    """
    if is_empty(database, "successors"):
        return False
    database.connection.execute(_TAKE_PLACE)
    return database.connection.execute(_DROP_SETTLED).rowcount > 0


_KEPT = ", ".join(KEPT_COLUMNS)
_CLAIM = f"""
    INSERT INTO {{}} ({_KEPT}, state, deaths)
    VALUES ({marks(KEPT_COLUMNS)}, 'pending', 0)
    ON CONFLICT (folder, name) DO UPDATE SET
        deaths = iif(fingerprint = excluded.fingerprint AND state <> 'failed', deaths, 0),
        {", ".join(f"{name} = excluded.{name}" for name in KEPT_COLUMNS[2:])},
        state = 'pending', reason = NULL{{}}
"""
_OUTDATED = """
    UPDATE jobs SET state = 'outdated' WHERE folder = ? AND name = ? AND state = 'done'
"""
_DISTRUSTED = f"""
    UPDATE jobs SET state = 'outdated', fingerprint = ''
    WHERE folder = ? AND name = ? AND state IN {STANDING}
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
_FAILED_AFTER = """
    UPDATE successors SET state = 'failed', fingerprint = ?, reason = ?
    WHERE folder = ? AND name = ?
"""
# An image with what is told of it, as it lies in the folder of a run's.
_ASIDE = f"""
    INSERT OR REPLACE INTO aside (run_id, size, facts, {_KEPT})
    SELECT {{run_id}}, size, f.json, {", ".join(f"j.{name}" for name in KEPT_COLUMNS)}
    FROM jobs AS j LEFT JOIN facts AS f USING (folder, name) {{more}}
    WHERE j.folder = ? AND j.name = ? AND j.state IN {STANDING}
"""
_REPLACED = _ASIDE.format(run_id="s.run_id", more="JOIN successors AS s USING (folder, name)")
_SUCCEED = f"""
    INSERT OR REPLACE INTO jobs ({_KEPT}, state, deaths, reason)
    SELECT {_KEPT}, state, deaths, reason FROM successors WHERE folder = ? AND name = ?
"""
_DROP_SUCCESSOR = "DELETE FROM successors WHERE folder = ? AND name = ?"
_STATE = "(SELECT state FROM jobs AS j WHERE (j.folder, j.name) = (s.folder, s.name))"
_TAKE_PLACE = f"""
    INSERT OR REPLACE INTO jobs ({_KEPT}, state, deaths, reason)
    SELECT {_KEPT}, state, deaths, reason FROM successors AS s
    WHERE {_STATE} NOT IN {STANDING}
"""
_DROP_SETTLED = f"DELETE FROM successors AS s WHERE {_STATE} IS NOT 'outdated'"
