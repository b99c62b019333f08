"""What lies in `stale/`, as the ledger knows it: what a plan wants of it, what can be put back."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from stylebatch.ledger import outcomes
from stylebatch.ledger.absorb import is_empty
from stylebatch.ledger.columns import JOB_COLUMNS, KEPT_COLUMNS, column_types, job_of
from stylebatch.ledger.database import Database
from stylebatch.ledger.planned_verdicts import ALWAYS_KNOWN
from stylebatch.output.acceptance import Acceptance, scores_in
from stylebatch.output.aside import image_aside
from stylebatch.output.layout import Dataset
from stylebatch.records import Job, JobDone
from stylebatch.system.paths import below

_BLOCK = 500

RETURNING_TABLE = f"""
    DROP TABLE IF EXISTS temp.at_hand;
    CREATE TABLE temp.at_hand (
        {column_types()}, run_id, from_folder, from_name, from_fingerprint, size, facts,
        UNIQUE (run_id, from_folder, from_name)
    );
"""


class AsideImage(NamedTuple):
    """An image in the stale folder of a run, under the path that it had.

    Attributes:
        facts: how it went with it, as JSON; None where that is not known.
    """

    run_id: str
    folder: str
    name: str
    fingerprint: str
    size: int
    facts: str | None

    @property
    def output(self) -> str:
        """Its path below `images/`."""
        return below(self.folder, self.name)

    def is_there(self, dataset: Dataset) -> bool:
        """Whether its file is, as it was when it was set aside."""
        return dataset.tree.size(image_aside(dataset, self.run_id, self.output)) == self.size

    def may_return(self, acceptance: Acceptance | None, *, needs_scores: bool) -> bool:
        """Whether it is worth enough to be in place again, and was measured where it has to be."""
        if acceptance is None:
            return True
        scores = scores_in(json.loads(self.facts or "{}"))
        if needs_scores and scores[ALWAYS_KNOWN] is None:
            return False
        return acceptance.otherwise == "keep" or acceptance.is_met(scores)

    def done_as(self, output: str) -> JobDone:
        """Return the event of its being in place as an output."""
        return JobDone(0, output, self.fingerprint, self.size, json.loads(self.facts or "{}"))


_OF_IMAGE = ", ".join(AsideImage._fields)


class Returning:
    """The jobs of a plan whose images lie aside already; in a temporary table."""

    def __init__(
        self,
        database: Database,
        dataset: Dataset,
        acceptances: Mapping[str, Acceptance],
        unscored: Collection[str],
    ) -> None:
        """Begin with none; the thresholds and pairs are those of `PlannedVerdicts`."""
        self._database, self._dataset = database, dataset
        self._acceptances, self._unscored = acceptances, unscored
        self._connection = database.connection
        self._connection.executescript(RETURNING_TABLE)

    def find(self) -> Counter[str]:
        """Take them out of `temp.waiting`; return how many they are, by pair.

        The image of one job may serve another with its fingerprint; not in a shard, as a sibling
        may take it at the same time.
        """
        ledgers = (*self._database.beneath, self._database)
        sources = [each for each in ledgers if not is_empty(each, "aside")]
        counts: Counter[str] = Counter()
        if sources:
            counts += self._find(sources, is_own=True)
            if self._dataset.shard is None:
                counts += self._find(sources, is_own=False)
        return counts

    def _find(self, sources: Sequence[Database], *, is_own: bool) -> Counter[str]:
        counts: Counter[str] = Counter()
        last = 0
        while rows := self._connection.execute(
            "SELECT rowid, folder, name, pair, fingerprint FROM temp.waiting "
            f"WHERE rowid > ? ORDER BY rowid LIMIT {_BLOCK}",
            (last,),
        ).fetchall():
            last = rows[-1][0]
            found = _candidates(sources, [row[4] for row in rows])
            with self._database.transaction(is_temporary=True):
                for row_id, folder, name, pair, fingerprint in rows:
                    acceptance, needs_scores = self._acceptances.get(pair), pair in self._unscored
                    images = [
                        image
                        for image in found.get(fingerprint, ())
                        if ((image.folder, image.name) == (folder, name)) == is_own
                        and image.may_return(acceptance, needs_scores=needs_scores)
                    ]
                    counts[pair] += any(self._take(row_id, image) for image in images)
        return counts

    def _take(self, row_id: int, image: AsideImage) -> bool:
        if not image.is_there(self._dataset):
            return False
        # Ignored, as it is taken already, where it is another job's.
        is_new = self._connection.execute(
            "INSERT OR IGNORE INTO temp.at_hand "
            "SELECT w.*, ?, ?, ?, ?, ?, ? FROM temp.waiting AS w WHERE w.rowid = ?",
            (*image, row_id),
        ).rowcount
        if is_new:
            self._connection.execute("DELETE FROM temp.waiting WHERE rowid = ?", (row_id,))
        return bool(is_new)

    def blocks(self) -> Iterator[list[tuple[Job, AsideImage]]]:
        """Yield them with their images, a block at a time."""
        last, count = 0, len(JOB_COLUMNS)
        while rows := self._connection.execute(
            f"SELECT rowid, * FROM temp.at_hand WHERE rowid > ? ORDER BY rowid LIMIT {_BLOCK}",
            (last,),
        ).fetchall():
            last = rows[-1][0]
            jobs = (job_of(*row[1 : count + 1]) for row in rows)
            yield list(zip(jobs, (AsideImage(*row[count + 1 :]) for row in rows), strict=True))


def _candidates(
    sources: Iterable[Database], fingerprints: Sequence[str]
) -> dict[str, list[AsideImage]]:
    """Return what lies aside with some fingerprints, what was set aside last before the others."""
    query = (
        f"SELECT {_OF_IMAGE} FROM json_each(?) AS k JOIN main.aside AS a ON a.fingerprint = k.value"
    )
    found: dict[str, dict[tuple[str, str, str], AsideImage]] = {}
    asked = (json.dumps(sorted(set(fingerprints))),)
    for source in sources:
        for row in source.connection.execute(query, asked):
            found.setdefault(row[3], {})[row[:3]] = AsideImage(*row)
    return {key: sorted(images.values(), reverse=True) for key, images in found.items()}


class LedgerAside:
    """What a ledger knows of images that lie aside, or are on their way there."""

    def __init__(self, database: Database) -> None:
        self._database, self._connection = database, database.connection

    def note(self, outputs: Iterable[str], run_id: str) -> None:
        """Note images as in a run's stale folder, before they are moved there."""
        with self._database.transaction():
            outcomes.note_aside(self._database, _keys(outputs), run_id)

    def drop(self, images: Iterable[AsideImage]) -> None:
        """Forget what is in its place again."""
        delete = "DELETE FROM aside WHERE run_id = ? AND folder = ? AND name = ?"
        with self._database.transaction():
            self._connection.executemany(delete, (image[:3] for image in images))

    def drop_run(self, run_id: str) -> None:
        """Forget all that lies in a run's folder."""
        with self._database.transaction():
            self._connection.execute("DELETE FROM aside WHERE run_id = ?", (run_id,))

    def unsettled(self) -> list[tuple[str, str]]:
        """Return the outputs, with a run each, that its workers may have replaced unrecorded."""
        rows = self._connection.execute(
            "SELECT folder, name, run_id FROM successors WHERE run_id IS NOT NULL"
        )
        return [(below(folder, name), run_id) for folder, name, run_id in rows]

    def settle(self) -> None:
        """Note that all of `unsettled` are what `jobs` tells of them."""
        with self._database.transaction():
            self._connection.execute("UPDATE successors SET run_id = NULL WHERE run_id IS NOT NULL")

    def newest(self, dataset: Dataset) -> Iterator[list[AsideImage]]:
        """Yield, a block at a time, of each output what was set aside last and is still there."""
        self._connection.executescript(
            "DROP TABLE IF EXISTS temp.seen;"
            "CREATE TABLE temp.seen (folder, name, PRIMARY KEY (folder, name)) WITHOUT ROWID;"
        )
        runs = self._connection.execute("SELECT DISTINCT run_id FROM aside ORDER BY run_id DESC")
        for (run_id,) in runs.fetchall():
            last: tuple[Any, ...] = ("", "")
            while rows := self._connection.execute(
                f"SELECT {_OF_IMAGE} FROM aside WHERE run_id = ? AND (folder, name) > (?, ?) "
                f"ORDER BY folder, name LIMIT {_BLOCK}",
                (run_id, *last),
            ).fetchall():
                last = rows[-1][1:3]
                images = (image for image in map(AsideImage._make, rows) if image.is_there(dataset))
                yield [image for image in images if self._is_first(image)]

    def _is_first(self, image: AsideImage) -> bool:
        insert = "INSERT OR IGNORE INTO temp.seen VALUES (?, ?)"
        return bool(self._connection.execute(insert, image[1:3]).rowcount)

    def claim(self, images: Iterable[AsideImage], run_id: str) -> None:
        """Note images as on their way back to the paths that they had."""
        kept = ", ".join(KEPT_COLUMNS)
        select = f"SELECT {kept} FROM aside WHERE run_id = ? AND folder = ? AND name = ?"
        with self._database.transaction():
            rows = [self._connection.execute(select, image[:3]).fetchone() for image in images]
            outcomes.mark_outdated(self._database, [row[:2] for row in rows])
            outcomes.claim(self._database, rows, run_id)

    def mark_outdated(self, outputs: Iterable[str]) -> None:
        """Note that images which stand are not as the plan wants them."""
        with self._database.transaction():
            outcomes.mark_outdated(self._database, _keys(outputs))


def _keys(outputs: Iterable[str]) -> list[outcomes.Key]:
    return [output.rpartition("/")[::2] for output in outputs]
