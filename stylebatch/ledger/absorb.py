"""Several ledgers of one output: a shard's that stands on another, and is taken into it."""

import json
from collections.abc import Iterable
from typing import Any

from stylebatch.ledger.columns import marks
from stylebatch.ledger.database import Database
from stylebatch.records import REJECTED
from stylebatch.system.crash_points import reached

# What of a ledger another takes, by its key; of `meta`, see below, the rest is about its own file.
_TABLES = {
    "jobs": ("folder", "name"),
    "facts": ("folder", "name"),
    "files": ("folder", "name"),
    "settings": ("id",),
    "successors": ("folder", "name"),
    "aside": ("run_id", "folder", "name"),
}
# What a ledger knows of a job: a shard's, once it has any of it, has all.
_OF_A_JOB = ("jobs", "facts", "successors")
_PLAN, _PLANNED_AT = "plan", "planned_at"
# Whose the pairs are, which each ledger knows of its own.
_MANIFESTS = "manifests"
# Of these, the ledger that was planned last is believed.
_LATEST = (_PLAN, _PLANNED_AT, "pace", "annotations", "acceptances")
_BLOCK = 10_000
# A job's state (of the row `j`) with those that were rejected told from those that failed.
OUTCOME = f"iif(j.state = 'failed' AND j.reason GLOB '{REJECTED}*', 'rejected', j.state)"
# Rows by their keys: a JSON array of [folder, name].
_KEYS = (
    "json_each(?) AS k CROSS JOIN main.{} AS j "
    "ON j.folder = json_extract(k.value, '$[0]') AND j.name = json_extract(k.value, '$[1]')"
)


def absorb(database: Database, source: Database) -> None:
    """Take what a ledger holds into another, in one transaction; the same again changes nothing.

    Its rows replace those that are there: a shard has read them before it went on.
    """
    with database.transaction():
        if not is_empty(database, "successors"):
            # What it has done or dropped it no longer has.
            drop = "DELETE FROM main.successors WHERE folder = ? AND name = ?"
            for keys in source.keys("main.jobs", _BLOCK):
                database.connection.executemany(drop, keys)
        for table, key in _TABLES.items():
            rows = source.connection.execute(f"SELECT * FROM main.{table}")
            columns = [column[0] for column in rows.description]
            others = [f"{name} = excluded.{name}" for name in columns if name not in key]
            database.connection.executemany(
                f"INSERT INTO main.{table} ({', '.join(columns)}) "
                f"VALUES ({marks(columns)}) "
                f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {', '.join(others)}",
                rows,
            )
        theirs, mine = (_meta(each, _PLANNED_AT) or 0 for each in (source, database))
        if theirs >= mine:
            database.connection.executemany(
                "INSERT OR REPLACE INTO main.meta VALUES (?, ?)",
                source.connection.execute(
                    f"SELECT key, value FROM main.meta WHERE key IN {_LATEST}"
                ),
            )
        manifests = (_meta(database, _MANIFESTS) or {}) | (_meta(source, _MANIFESTS) or {})
        if manifests:
            insert = "INSERT OR REPLACE INTO main.meta VALUES (?, ?)"
            database.connection.execute(insert, (_MANIFESTS, json.dumps(manifests)))
        database.count_change()
        reached("absorbing")


def note_plan(database: Database, totals: dict[str, int], at_s: float) -> None:
    """Note how many jobs of each pair there are in all; within a transaction.

    Args:
        at_s: seconds since 1970: of several ledgers the latest plan counts. Where a clock was ahead
            when one was made that is known here, this one counts as a moment later.
    """
    for each in (database, *database.beneath):
        at_s = max(at_s, (_meta(each, _PLANNED_AT) or 0.0) + 0.001)
    rows = [(_PLAN, json.dumps(totals)), (_PLANNED_AT, json.dumps(at_s))]
    database.connection.executemany("INSERT OR REPLACE INTO main.meta VALUES (?, ?)", rows)


def _meta(database: Database, key: str) -> Any:
    query = "SELECT value FROM main.meta WHERE key = ?"
    row = database.connection.execute(query, (key,)).fetchone()
    return json.loads(row[0]) if row else None


def is_empty(database: Database, table: str) -> bool:
    """Whether a table of a ledger has no rows."""
    return database.connection.execute(f"SELECT 1 FROM main.{table} LIMIT 1").fetchone() is None


def copy_up(database: Database, keys: Iterable[tuple[Any, ...]]) -> None:
    """Copy jobs (folder, name) from the ledgers beneath into this one, where it has none yet.

    So what is changed of them, and not only what is new, is kept: deaths count on.
    """
    if not database.beneath:
        return
    select = "SELECT * FROM main.{} WHERE folder = ? AND name = ?"
    for key in keys:
        if database.connection.execute(select.format("jobs"), key).fetchone():
            continue
        for table in _OF_A_JOB:
            for each in database.beneath:
                for row in each.connection.execute(select.format(table), key):
                    insert = f"INSERT OR IGNORE INTO main.{table} VALUES ({marks(row)})"
                    database.connection.execute(insert, row)


def count_replaced(database: Database, source: Database) -> dict[str, dict[str, int]]:
    """Count, by pair and state, the jobs of a ledger that another has too; as `Ledger.counts`."""
    counts: dict[str, dict[str, int]] = {}
    for table, condition in (("jobs", "1"), ("successors", "j.state = 'failed'")):
        if is_empty(database, table):
            continue
        query = (
            f"SELECT j.pair, {OUTCOME}, count(*) FROM {_KEYS.format(table)} WHERE {condition} "
            "GROUP BY 1, 2"
        )
        for keys in source.keys("main.jobs", _BLOCK):
            for pair, state, count in database.connection.execute(query, (json.dumps(keys),)):
                of_pair = counts.setdefault(pair, {})
                of_pair[state] = of_pair.get(state, 0) + count
    return counts


def find_jobs(
    database: Database,
    keys: Iterable[tuple[object, ...]],
    table: str = "jobs",
    condition: str = "1",
) -> set[tuple[str, str]]:
    """Return those of some jobs (folder, name) that a ledger has in a table.

    Args:
        condition: of SQL, on the table's row as `j`.
    """
    query = f"SELECT j.folder, j.name FROM {_KEYS.format(table)} WHERE {condition}"
    return set(database.connection.execute(query, (json.dumps(list(keys)),)))
