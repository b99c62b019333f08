"""What a ledger has of a manifest's pairs, and its plan no longer."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from stylebatch.ledger.database import Database
from stylebatch.ledger.outcomes import STANDING
from stylebatch.ledger.planned_names import Other, PlannedNames
from stylebatch.manifest import base_name
from stylebatch.system.paths import below
from stylebatch.system.reach import Reach, Reaches

_BLOCK = 1000
# Images, jobs of which there is none, and images of inputs that are gone.
_TABLES = ("stale", "unmade", "removed")


@dataclass
class StaleFound:
    """What a plan no longer has.

    Attributes:
        stale: images that have no place any more.
        removed: of these, those whose photograph or style image is gone.
        standing: all images of the manifest's pairs.
        unreachable: images that stay, as their input can't be reached now, by what can't be.
        reasons: why, by the same.
        is_withheld: more were removed than may be at once; those stay too.
    """

    stale: int = 0
    removed: int = 0
    standing: int = 0
    unreachable: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    is_withheld: bool = False


class Stale:
    """What was found, in temporary tables; a plan that begins forgets it."""

    def __init__(self, database: Database, root: Path) -> None:
        """Begin with nothing; inputs are below `root`."""
        self._database, self._connection, self._root = database, database.connection, root
        for table in _TABLES:
            self._connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
            self._connection.execute(
                f"CREATE TABLE temp.{table} (folder TEXT, name TEXT, "
                "PRIMARY KEY (folder, name)) WITHOUT ROWID"
            )

    def find(
        self,
        bases: set[str],
        names: PlannedNames,
        most: int | str | None,
        *,
        is_noted: bool = True,
    ) -> StaleFound:
        """Find it; a ledger that is written notes that the images are out of date.

        Args:
            bases: the pairs, without their points.
            names: what the plan has.
            most: images, or a share of all such as `20%`, above which those whose inputs are gone
                stay; None: any number, and what was in a folder that is empty now was removed.
            is_noted: whether it does.
        """
        known = self._connection.execute("SELECT DISTINCT pair FROM main.counts").fetchall()
        ours = [pair for (pair,) in known if base_name(pair) in bases]
        found = StaleFound(standing=self._count_standing(ours))
        reaches = Reaches(self._root)
        with self._database.transaction(is_temporary=True):
            for other in names.find_others(ours):
                if other.state in STANDING:
                    table = self._judge(other, reaches, found, is_emptied=most is None)
                else:
                    # What failed is told of as long as nobody knows that its input is gone.
                    table = "" if self._barriers(other, reaches, most is None) else "unmade"
                if table:
                    insert = f"INSERT OR IGNORE INTO temp.{table} VALUES (?, ?)"
                    self._connection.execute(insert, (other.folder, other.name))
            found.is_withheld = found.removed > _limit(most, found)
            if not found.is_withheld:
                self._connection.execute("INSERT INTO temp.stale SELECT * FROM temp.removed")
                found.stale += found.removed
        if found.stale and is_noted and not self._database.is_read_only:
            with self._database.transaction():
                self._connection.execute(
                    "UPDATE main.jobs SET state = 'outdated' FROM temp.stale AS s WHERE "
                    "jobs.folder = s.folder AND jobs.name = s.name AND jobs.state = 'done'"
                )
        return found

    @staticmethod
    def _judge(other: Other, reaches: Reaches, found: StaleFound, *, is_emptied: bool) -> str:
        """Return the table for an image, "" where it stays, and count it."""
        for each in Stale._barriers(other, reaches, is_emptied):
            found.unreachable[each.barrier] += 1
            found.reasons[each.barrier] = each.reason
            return ""
        looked = [reaches.of(path) for path in _inputs(other)]
        if all(each.is_there for each in looked):
            found.stale += 1
            return "stale"
        found.removed += 1
        return "removed"

    @staticmethod
    def _barriers(other: Other, reaches: Reaches, is_emptied: bool) -> list[Reach]:
        """Return what stands between us and an output's inputs."""
        looked = [reaches.of(path) for path in _inputs(other)]
        return [each for each in looked if each.barrier and not (each.is_empty and is_emptied)]

    def _count_standing(self, pairs: list[str]) -> int:
        marks = ", ".join("?" * len(pairs))
        query = (
            f"SELECT coalesce(sum(jobs), 0) FROM main.counts WHERE state IN {STANDING} "
            f"AND pair IN ({marks})"
        )
        return int(self._connection.execute(query, pairs).fetchone()[0])

    def outputs(self, table: str) -> Iterator[list[str]]:
        """Yield the paths in one of `stale` and `unmade`, a block at a time."""
        for rows in self._database.keys(f"temp.{table}", _BLOCK):
            yield [below(folder, name) for folder, name in rows]


def _inputs(other: Other) -> list[str]:
    style = [] if other.style.startswith(("blend:", "library:")) else [other.style]
    return [path for path in (other.content, *style) if path]


def _limit(most: int | str | None, found: StaleFound) -> float:
    if isinstance(most, str):
        return found.standing * float(most.removesuffix("%")) / 100
    return inf if most is None else most
