"""In which order what waits is made: wherever it stops, styles and classes have had their share."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection

from stylebatch.ledger.columns import JOB_COLUMNS, job_of
from stylebatch.records import Group, Job, Shape

# Images with masks and without share no batch: so many of one kind come together.
_OF_A_KIND = 64
_GROUP = "settings_id, width, height"
ORDER_TABLES = """
    DROP TABLE IF EXISTS temp.cells;
    DROP TABLE IF EXISTS temp.turns;
    CREATE TABLE temp.cells (
        pair TEXT, label TEXT, style TEXT, start REAL, jobs INTEGER,
        PRIMARY KEY (pair, label, style)
    ) WITHOUT ROWID;
    -- turn: of a group's jobs, from 1; place: from 0, the first of all, to 1, the last.
    CREATE TABLE temp.turns (
        settings_id TEXT, width INTEGER, height INTEGER, turn INTEGER, id INTEGER, place REAL,
        PRIMARY KEY (settings_id, width, height, turn)
    ) WITHOUT ROWID;
"""
# The fingerprint is the hash by which the jobs of a cell are drawn: it stays, whatever is added.
_FILL = f"""
    INSERT INTO temp.turns
    SELECT {_GROUP}, row_number() OVER (
        PARTITION BY {_GROUP} ORDER BY CAST(place * jobs / {_OF_A_KIND} AS INTEGER), is_masked,
            place, folder, name
    ), id, place
    FROM (
        SELECT w.settings_id, w.width, w.height, w.folder, w.name, w.mask <> '' AS is_masked,
            w.rowid AS id, g.jobs,
            (row_number() OVER (
                PARTITION BY w.pair, w.label, w.style ORDER BY w.fingerprint, w.folder, w.name
            ) - 1 + c.start) / c.jobs AS place
        FROM temp.waiting AS w
        JOIN temp.cells AS c ON
            c.pair = w.pair AND c.label = coalesce(w.label, '') AND c.style = w.style
        JOIN (SELECT {_GROUP}, count(*) AS jobs FROM temp.waiting GROUP BY {_GROUP}) AS g
            USING ({_GROUP})
    )
"""


class Order:
    """The jobs of `temp.waiting`, in turn."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Begin anew; outside of a transaction."""
        self._connection = connection
        connection.executescript(ORDER_TABLES)

    def settle(self) -> None:
        """Give each job its place, once all are there.

        The jobs of a cell (a class with a style) are spread evenly from the first to the last, each
        cell from a start of its own: those of a class lie evenly, and those of a style.
        """
        cells = self._connection.execute(
            "SELECT pair, coalesce(label, ''), style, count(*) FROM temp.waiting GROUP BY 1, 2, 3"
        ).fetchall()
        labels, styles = (_shares(cells, column) for column in (1, 2))
        rows = (
            (pair, label, style, (labels[pair, label] + styles[pair, style]) % 1, jobs)
            for pair, label, style, jobs in cells
        )
        insert = "INSERT INTO temp.cells VALUES (?, ?, ?, ?, ?)"
        self._connection.executemany(insert, rows)
        self._connection.execute(_FILL)

    def groups(self) -> list[Group]:
        """Return what there is, by settings and shape."""
        rows = self._connection.execute(
            f"SELECT {_GROUP}, count(*) FROM temp.turns GROUP BY {_GROUP}"
        )
        return [Group(*row) for row in rows]

    def shapes_of(self, style: str) -> list[Shape]:
        """Return the settings and sizes of what there is of a style."""
        query = f"SELECT DISTINCT {_GROUP} FROM temp.waiting WHERE style = ?"
        return [Shape(*row) for row in self._connection.execute(query, (style,))]

    def middles(self) -> dict[Shape, float]:
        """Return where, from 0 to 1, the jobs of each group lie in the mean."""
        rows = self._connection.execute(
            f"SELECT {_GROUP}, avg(place) FROM temp.turns GROUP BY {_GROUP}"
        )
        return {Shape(*shape): middle for *shape, middle in rows}

    def take(self, group: Group, limit: int, taken: int) -> list[Job]:
        """Return the next jobs of a group after so many."""
        rows = self._connection.execute(
            f"SELECT {', '.join(f'w.{name}' for name in JOB_COLUMNS)} "
            "FROM temp.turns AS t JOIN temp.waiting AS w ON w.rowid = t.id "
            "WHERE t.settings_id = ? AND t.width = ? AND t.height = ? AND t.turn > ? "
            "ORDER BY t.turn LIMIT ?",
            (*group.shape, taken, limit),
        )
        return [job_of(*row) for row in rows.fetchall()]

    def waiting_for(self, fingerprints: Collection[str]) -> list[Job]:
        """Return the jobs that have one of some fingerprints."""
        rows = self._connection.execute(
            f"SELECT {', '.join(JOB_COLUMNS)} FROM temp.waiting "
            "WHERE fingerprint IN (SELECT value FROM json_each(?)) ORDER BY folder, name",
            (json.dumps(list(fingerprints)),),
        )
        return [job_of(*row) for row in rows.fetchall()]


def _shares(cells: list[tuple[str, str, str, int]], column: int) -> dict[tuple[str, str], float]:
    """Share [0, 1) out among the classes, or the styles, of each pair."""
    names: defaultdict[str, set[str]] = defaultdict(set)
    for cell in cells:
        names[cell[0]].add(str(cell[column]))
    return {
        (pair, name): number / len(found)
        for pair, found in names.items()
        for number, name in enumerate(sorted(found))
    }
