"""Ledgers as earlier versions have left them."""

import sqlite3
from contextlib import closing
from pathlib import Path

from stylebatch.ledger.schema import MIGRATIONS

Schema = dict[str, tuple[str, list[str]]]


def age(ledger: Path, version: int) -> None:
    """Take out of a ledger again what one of an earlier version has not."""
    assert 0 < version < len(MIGRATIONS)
    with closing(sqlite3.connect(":memory:")) as connection:
        for script in MIGRATIONS[:version]:
            connection.executescript(script)
        old = _schema(connection)
    # To use a connection in a `with` commits, and does not close it.
    with closing(sqlite3.connect(ledger)) as connection, connection:
        now = _schema(connection)
        # What stands on a column goes before it.
        for kind in ("trigger", "index", "table"):
            for name in (name for name in now.keys() - old.keys() if now[name][0] == kind):
                connection.execute(f"DROP {kind} {name}")
        for name in now.keys() & old.keys():
            for column in (each for each in now[name][1] if each not in old[name][1]):
                connection.execute(f"ALTER TABLE {name} DROP COLUMN {column}")
        connection.execute(f"PRAGMA user_version = {version}")
        assert _schema(connection) == old


def _schema(connection: sqlite3.Connection) -> Schema:
    """Return the kind and, of tables, the columns of all that is in a database, by name."""
    found = connection.execute(
        "SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    ).fetchall()
    return {
        name: (kind, [row[1] for row in connection.execute(f"PRAGMA table_info({name})")])
        for kind, name in found
    }
