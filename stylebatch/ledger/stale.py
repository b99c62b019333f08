"""What a ledger has of a manifest's pairs, and its plan no longer."""

from collections.abc import Iterator

from stylebatch.ledger.database import Database
from stylebatch.ledger.outcomes import STANDING
from stylebatch.ledger.planned_names import PlannedNames
from stylebatch.manifest import base_name
from stylebatch.system.paths import below

_BLOCK = 1000
# Images, and jobs of which there is none.
_TABLES = ("stale", "unmade")


class Stale:
    """What was found, in temporary tables; a plan that begins forgets it."""

    def __init__(self, database: Database) -> None:
        self._database, self._connection = database, database.connection
        for table in _TABLES:
            self._connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
            self._connection.execute(
                f"CREATE TABLE temp.{table} (folder TEXT, name TEXT, "
                "PRIMARY KEY (folder, name)) WITHOUT ROWID"
            )

    def find(self, bases: set[str], names: PlannedNames) -> int:
        """Find it; a ledger that is written notes that the images are out of date.

        Args:
            bases: the pairs, without their points.
            names: what the plan has.

        Returns:
            how many images there are.
        """
        known = self._connection.execute("SELECT DISTINCT pair FROM main.counts").fetchall()
        ours = [pair for (pair,) in known if base_name(pair) in bases]
        found = 0
        with self._database.transaction(is_temporary=True):
            for folder, name, state in names.find_others(ours):
                table = "stale" if state in STANDING else "unmade"
                found += table == "stale"
                insert = f"INSERT OR IGNORE INTO temp.{table} VALUES (?, ?)"
                self._connection.execute(insert, (folder, name))
        if found and not self._database.is_read_only:
            with self._database.transaction():
                self._connection.execute(
                    "UPDATE main.jobs SET state = 'outdated' FROM temp.stale AS s WHERE "
                    "jobs.folder = s.folder AND jobs.name = s.name AND jobs.state = 'done'"
                )
        return found

    def outputs(self, table: str) -> Iterator[list[str]]:
        """Yield the paths in one of `stale` and `unmade`, a block at a time."""
        for rows in self._database.keys(f"temp.{table}", _BLOCK):
            yield [below(folder, name) for folder, name in rows]
