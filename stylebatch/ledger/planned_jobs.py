"""A run's plan against the ledger: what is done, what is to do, what has no place any more.

It lives in temporary tables on disk, so that memory doesn't grow with the number of jobs.
"""

import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from stylebatch.errors import raise_all
from stylebatch.ledger import outcomes
from stylebatch.ledger.absorb import copy_up, is_empty, note_plan
from stylebatch.ledger.aside import AsideImage, Returning
from stylebatch.ledger.columns import (
    DESCRIBED,
    Row,
    column_types,
    described_row,
    job_of,
    marks,
    own_values,
    planned_row,
)
from stylebatch.ledger.database import Database
from stylebatch.ledger.known_outputs import KnownOutput, known_outputs, noted_state
from stylebatch.ledger.obstacles import FOREIGN, FOREIGN_LOG, Obstacles
from stylebatch.ledger.order import Order
from stylebatch.ledger.outcomes import STANDING
from stylebatch.ledger.planned_names import PlannedNames
from stylebatch.ledger.planned_verdicts import PlannedVerdicts
from stylebatch.ledger.stale import Stale, StaleFound
from stylebatch.manifest import Manifest, base_name
from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import is_log
from stylebatch.plan import Planned, PlannedFolder
from stylebatch.records import REJECTED, Group, Job, Shape
from stylebatch.system.paths import below

_BLOCK = 1000

# A plan lives as long as its connection.
PLAN_TABLES = f"""
    DROP TABLE IF EXISTS temp.planned;
    DROP TABLE IF EXISTS temp.waiting;
    DROP TABLE IF EXISTS temp.redescribed;
    DROP TABLE IF EXISTS temp.restated;
    -- names: of some thousand jobs in one; see `planned_names.py`.
    CREATE TABLE temp.planned (folder TEXT, folded TEXT, pair TEXT, names TEXT);
    CREATE INDEX temp.planned_folder ON planned (folder);
    CREATE INDEX temp.planned_folded ON planned (folded, pair);
    CREATE TABLE temp.waiting ({column_types()});
    CREATE TABLE temp.redescribed (folder, name, {", ".join(DESCRIBED)});
    CREATE TABLE temp.restated (folder, name, state);
"""


@dataclass
class PairCounts:
    """How many jobs of a pair are in which state before the run.

    Attributes:
        failed: but for those that were rejected.
        returning: those whose images lie aside already; they are not among those that are pending.
        outdated: of all but those that are done, where an older image stands.
        outside: of those that are rejected: their images stand until they are taken out.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    rejected: int = 0
    pending: int = 0
    returning: int = 0
    outdated: int = 0
    outside: int = 0


class PlannedJobs:
    """The jobs of one plan by their state; a source of jobs for the scheduler."""

    def __init__(
        self,
        database: Database,
        manifest: Manifest,
        dataset: Dataset,
        *,
        retry_failed: bool = False,
        redo: bool = False,
        takes_out: bool = True,
    ) -> None:
        """Begin a plan; a plan that was begun before is forgotten.

        Args:
            dataset: where the output is now; a shard's, where its part is planned.
            retry_failed: what failed is to be done again.
            redo: everything is to be done again, as if nothing were there (a preview).
            takes_out: what stands and is not accepted is not done.
        """
        self._database, self._manifest = database, manifest
        self._retry_failed, self._redo = retry_failed, redo
        self._dataset = dataset
        self._sizes: tuple[str, dict[str, int]] | None = None
        self._logs: tuple[Path, Collection[str]] | None = None
        self._obstacles = Obstacles(manifest, dataset)
        self._has_jobs = not is_empty(database, "jobs")
        self.counts = {pair.name: PairCounts() for pair in manifest.pairs}
        # With the jobs of other shards.
        self._totals = dict.fromkeys(self.counts, 0)
        self._connection = database.connection
        self._connection.executescript(PLAN_TABLES)
        self._names = PlannedNames(database)
        self._order = Order(self._connection)
        acceptances = manifest.acceptances()
        unscored = {pair.name for pair in manifest.pairs if not pair.settings.needs_network}
        self._returning = Returning(database, dataset, acceptances, unscored)
        # A shard leaves it to a run of the whole.
        is_whole = dataset.shard is None
        self._verdicts = PlannedVerdicts(
            database, acceptances, unscored, takes_out=takes_out and is_whole, pardons=is_whole
        )
        self._stale = Stale(database, manifest.root)

    def add(self, planned: PlannedFolder) -> None:
        """Take some jobs into the plan and tell by the ledger and the files what they need."""
        rows = known_outputs(self._database, planned)
        sizes = self._output_sizes(planned.folder)
        above = below(planned.content_folder, "_")[:-1]
        waiting: list[Row] = []
        redescribed: list[Row] = []
        restated: list[Row] = []
        counts = self.counts[planned.pair]
        self._verdicts.look(planned)
        for job in planned.jobs:
            content = above + job.content
            row = rows.get(job.name)
            state, is_replacement = "pending", False
            if row is None:
                if job.name in sizes:
                    self._look_at_foreign(below(planned.folder, job.name))
                elif self._has_log(planned.folder, job):
                    self._obstacles.note(FOREIGN_LOG, below(planned.folder, job.name))
            else:
                state = self._state(row, planned, job, sizes)
                noted = noted_state(row, job.fingerprint, sizes)
                if state != "pending" and row.fingerprint == job.fingerprint:
                    noted = row.state if row.state not in STANDING else "done"
                is_other = row.fingerprint != job.fingerprint or noted == "outdated"
                is_replacement = is_other and not self._redo
                counts.outdated += noted == "outdated"
                if noted != row.state:
                    restated.append((planned.folder, job.name, noted))
                is_described = row.is_shared and row.own == own_values(job, content)
                if row.fingerprint == job.fingerprint and not is_described:
                    redescribed.append(described_row(planned, job, content))
            if state == "done":
                counts.done += 1
            elif state == "failed":
                counts.failed += 1
            elif state == "rejected":
                counts.rejected += 1
                counts.outside += row is not None and row.state in STANDING and not is_replacement
            else:
                counts.pending += 1
                waiting.append(planned_row(planned, job, content, is_replacement))
        counts.total += len(planned.jobs)
        self._totals[planned.pair] += len(planned.jobs) + len(planned.others)
        with self._database.transaction(is_temporary=True):
            # What other shards make collides just the same.
            names = [*(job.name for job in planned.jobs), *planned.others]
            self._names.add(planned.folder, planned.pair, names)
            self._many("waiting", waiting)
            self._many("redescribed", redescribed)
            self._many("restated", restated)
            self._verdicts.keep()

    def _state(
        self, row: KnownOutput, planned: PlannedFolder, job: Planned, sizes: dict[str, int]
    ) -> str:
        """Return the state of a job whose output the ledger knows."""
        if self._redo:
            return "pending"
        if row.fingerprint == job.fingerprint:
            is_there = row.state in STANDING and sizes.get(row.name) == row.size
            # A run that was killed may have moved it already.
            is_gone = row.state in STANDING and row.name not in sizes
            if (is_there or is_gone) and self._verdicts.is_outside(row.name):
                return self._verdicts.take_out(planned.folder, row.name)
            if is_there:
                return "done"
        is_next = (row.next_fingerprint, row.next_state) == (job.fingerprint, "failed")
        has_failed = is_next or (row.fingerprint, row.state) == (job.fingerprint, "failed")
        if has_failed and (row.reason or "").startswith(REJECTED):
            # It would come out the same: only other thresholds, or other pixels, try it again.
            return self._verdicts.judge_rejected(planned, job, row.reason or "")
        return "failed" if has_failed and not self._retry_failed else "pending"

    def _look_at_foreign(self, output: str) -> None:
        # What a run put into a store and did not get to record, before its state was lost, says so.
        # Where nothing at all is known it is not made again unasked.
        is_ours = self._has_jobs and self._dataset.tree.is_made(self._dataset.image_path(output))
        if not is_ours:
            self._obstacles.note(FOREIGN, output)

    def _output_sizes(self, folder: str) -> dict[str, int]:
        if self._sizes is None or self._sizes[0] != folder:
            self._sizes = (folder, self._dataset.tree.sizes(self._dataset.images / folder))
        return self._sizes[1]

    def _has_log(self, folder: str, job: Planned) -> bool:
        """Whether a file that we do not know is where a job's loss log will be."""
        if self._manifest.run.losses != "csv" or not job.style:
            return False
        path = self._dataset.log_path(below(folder, job.name))
        if self._logs is None or self._logs[0] != path.parent:
            self._logs = (path.parent, self._dataset.tree.sizes(path.parent).keys())
        # One of ours may be left of a ledger that is lost, or of an image that is gone.
        return path.name in self._logs[1] and not is_log(self._dataset.tree, path)

    def _many(self, table: str, rows: list[Row]) -> None:
        if rows:
            insert = f"INSERT OR IGNORE INTO temp.{table} VALUES ({marks(rows[0])})"
            self._connection.executemany(insert, rows)

    def finish(self) -> dict[str, PairCounts]:
        """Close the plan and return how many jobs of each pair are in which state.

        Raises:
            PlanError, Problems: two jobs with one output; outputs that stylebatch did not make.
        """
        for collision in self._names.collisions():
            self._obstacles.note(collision[:2], collision.output)
        raise_all(list(self._obstacles.errors(allows_foreign=self._redo)))
        if not self._redo:
            for pair, count in self._returning.find().items():
                self.counts[pair].returning += count
                self.counts[pair].pending -= count
        with self._database.transaction(is_temporary=True):
            self._order.settle()
        if not self._database.is_read_only:
            self._note_plan()
        return self.counts

    def _note_plan(self) -> None:
        """Note the plan's size, what is out of date, and what has another pair or input now."""
        renamed_keys, restated_keys = (
            f"SELECT folder, name FROM temp.{table}" for table in ("redescribed", "restated")
        )
        with self._database.transaction():
            note_plan(self._database, self._totals, time.time())
            copy_up(self._database, self._connection.execute(renamed_keys))
            renamed = self._connection.execute(
                f"UPDATE main.jobs SET ({', '.join(DESCRIBED)}) = "
                f"({', '.join(f'r.{name}' for name in DESCRIBED)}) FROM temp.redescribed AS r "
                "WHERE jobs.folder = r.folder AND jobs.name = r.name"
            ).rowcount
            copy_up(self._database, self._connection.execute(restated_keys))
            self._connection.execute(
                "UPDATE main.jobs SET state = r.state FROM temp.restated AS r "
                "WHERE jobs.folder = r.folder AND jobs.name = r.name"
            )
            pardoned = self._verdicts.pardon()
            lost = "SELECT 1 FROM temp.restated WHERE state = 'pending' LIMIT 1"
            has_lost = self._connection.execute(lost).fetchone() is not None
            if outcomes.settle_successors(self._database) or renamed or has_lost or pardoned:
                self._database.count_change()

    def groups(self) -> list[Group]:
        """Return what is to be done, by settings and shape."""
        return self._order.groups()

    def shapes_of(self, style: str) -> list[Shape]:
        """Return the shapes of what is to be done of a style, by its key."""
        return self._order.shapes_of(style)

    def middles(self) -> dict[Shape, float]:
        """Return where, from 0 to 1, the jobs of each group lie in the mean, of all jobs."""
        return self._order.middles()

    def take(self, group: Group, limit: int, taken: int = 0) -> list[Job]:
        """Return the next jobs of a group after so many; any beginning is balanced (`Order`)."""
        return self._order.take(group, limit, taken)

    def spread(self, limit: int) -> list[Job]:
        """Return a few jobs that wait and stylise, of as many pairs, styles, shapes as possible."""
        rows = self._connection.execute(
            "SELECT w.* FROM temp.waiting AS w JOIN (SELECT rowid AS id, row_number() OVER "
            "(PARTITION BY pair, style, settings_id, width, height ORDER BY folder, name) AS turn "
            "FROM temp.waiting WHERE style <> '') ON id = w.rowid "
            "ORDER BY turn, pair, width, height, style, folder, name LIMIT ?",
            (limit,),
        )
        return [job_of(*row) for row in rows.fetchall()]

    def waiting_for(self, fingerprints: Collection[str]) -> list[Job]:
        """Return the jobs that wait and have one of some fingerprints."""
        return self._order.waiting_for(fingerprints)

    def returning(self) -> Iterator[list[tuple[Job, AsideImage]]]:
        """Yield the jobs whose images lie aside already, with these, a block at a time."""
        return self._returning.blocks()

    def outside(self) -> Iterator[dict[str, str | None]]:
        """Yield what stands and is not accepted, as `PlannedVerdicts.outside` does."""
        return self._verdicts.outside()

    def find_stale(self, *, allow_removals: bool = False, is_noted: bool = True) -> StaleFound:
        """Find the outputs made for this manifest's pairs that the plan no longer has.

        Points of a sweep, also such as are no longer there, are their pair's. Images whose input
        can't be reached stay, and those of more gone inputs than `run.max_removals` as well.

        Args:
            allow_removals: so many may be gone, and what is empty was emptied.
            is_noted: whether a ledger that is written notes that they are out of date.
        """
        most = None if allow_removals else self._manifest.run.max_removals
        bases = {base_name(pair) for pair in self.counts}
        return self._stale.find(bases, self._names, most, is_noted=is_noted)

    def stale(self) -> Iterator[list[str]]:
        """Yield the images that `find_stale` found, a block at a time."""
        return self._stale.outputs("stale")

    def unmade(self) -> Iterator[list[str]]:
        """Yield what else it found: jobs that failed or were under way; a block at a time."""
        return self._stale.outputs("unmade")
