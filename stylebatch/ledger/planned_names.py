"""The names that a plan gives, by folder: what collides in them, and what is not among them.

A row holds the names of some thousand jobs: a row for each of a million took seconds.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stylebatch.ledger.database import Database
from stylebatch.output import naming
from stylebatch.system.paths import below

# Names are parts of paths: none has one.
_SEPARATOR = "/"


class Collision(NamedTuple):
    """An output that two pairs would make, the one planned first before the other."""

    one: str
    other: str
    output: str


class Other(NamedTuple):
    """An output that the ledger has and a plan has not; content and style as in `records.Job`."""

    folder: str
    name: str
    state: str
    content: str
    style: str


class PlannedNames:
    """The outputs of a plan, in a temporary table; one folder's at a time are in memory."""

    def __init__(self, database: Database) -> None:
        self._database, self._connection = database, database.connection

    def add(self, folder: str, pair: str, names: Iterable[str]) -> None:
        """Take some of a pair's names in a folder; within a pair they are distinct."""
        row = (folder, naming.folded(folder), pair, _SEPARATOR.join(names))
        self._connection.execute("INSERT INTO temp.planned VALUES (?, ?, ?, ?)", row)

    def collisions(self) -> Iterator[Collision]:
        """Yield the outputs that are another's too, where case is ignored, in planned order."""
        shared = self._connection.execute(
            "SELECT folded FROM temp.planned GROUP BY folded HAVING count(DISTINCT pair) > 1 "
            "ORDER BY min(rowid)"
        )
        for (folded,) in shared.fetchall():
            pairs: dict[str, str] = {}
            for folder, pair, names in self._connection.execute(
                "SELECT folder, pair, names FROM temp.planned WHERE folded = ? ORDER BY rowid",
                (folded,),
            ):
                for name in names.split(_SEPARATOR):
                    one = pairs.setdefault(naming.folded(name), pair)
                    if one != pair:
                        yield Collision(one, pair, below(folder, name))

    def find_others(self, pairs: Iterable[str]) -> Iterator[Other]:
        """Yield what the ledger has of pairs and the plan has not."""
        wanted = json.dumps(sorted(pairs))
        for folder in self._ledger_folders():
            found = {
                row[0]: Other(folder, *row)
                for row in self._connection.execute(
                    "SELECT name, state, content, style FROM main.jobs WHERE folder = ? "
                    "AND pair IN (SELECT value FROM json_each(?))",
                    (folder, wanted),
                )
            }
            for name in sorted(found.keys() - self._names_in(folder)):
                yield found[name]

    def _ledger_folders(self) -> Iterator[str]:
        """Yield each folder that the ledger has outputs in, by a jump to the next, not a scan."""
        query = "SELECT min(folder) FROM main.jobs"
        (folder,) = self._connection.execute(query).fetchone()
        while folder is not None:
            yield folder
            (folder,) = self._connection.execute(f"{query} WHERE folder > ?", (folder,)).fetchone()

    def _names_in(self, folder: str) -> set[str]:
        names: set[str] = set()
        for (some,) in self._connection.execute(
            "SELECT names FROM temp.planned WHERE folder = ?", (folder,)
        ):
            names.update(some.split(_SEPARATOR))
        return names
