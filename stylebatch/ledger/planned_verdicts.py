"""What a plan's thresholds say of what stands or was rejected: judged by the scores that are kept.

No pixel is looked at. Only images that the plan wants as they are come into question: one that is
out of date stays until its successor is there.
"""

import json
from collections.abc import Collection, Iterator, Mapping

from stylebatch.ledger.database import Database
from stylebatch.ledger.outcomes import STANDING
from stylebatch.output.acceptance import Acceptance, Try, scores_in, tell_rejection, tries_of
from stylebatch.plan import Planned, PlannedFolder
from stylebatch.system.paths import below

_BLOCK = 1000
# Of every image that was measured at all.
ALWAYS_KNOWN = "saturation"


class PlannedVerdicts:
    """What is judged otherwise than the ledger has it, in temporary tables."""

    def __init__(
        self,
        database: Database,
        acceptances: Mapping[str, Acceptance],
        unscored: Collection[str],
        *,
        takes_out: bool,
        pardons: bool,
    ) -> None:
        """Begin with none; a plan that was begun before is forgotten.

        Args:
            acceptances: by pair.
            unscored: pairs whose images get scores only where thresholds ask for them: one without
                is to be made again, which costs next to nothing.
            takes_out: whether what stands is judged.
            pardons: whether what was rejected is.
        """
        self._database, self._connection = database, database.connection
        self._acceptances, self._unscored = acceptances, unscored
        self._takes_out, self._pardons = takes_out, pardons
        self._found: dict[str, str | None] = {}
        self._outside: list[tuple[str, str, str | None]] = []
        self._pardoned: list[tuple[str, str]] = []
        self._connection.executescript(
            "DROP TABLE IF EXISTS temp.outside; DROP TABLE IF EXISTS temp.pardoned;"
            "CREATE TABLE temp.outside (folder TEXT, name TEXT, reason TEXT);"
            "CREATE TABLE temp.pardoned (folder TEXT, name TEXT);"
        )

    def look(self, planned: PlannedFolder) -> None:
        """Find which images stand outside their thresholds among the outputs of some jobs."""
        self._found = {}
        acceptance = self._acceptances.get(planned.pair)
        if acceptance is None or not (self._takes_out and planned.jobs):
            return
        condition, values = self._condition(planned.pair, acceptance)
        names = [job.name for job in planned.jobs]
        rows = self._connection.execute(
            "SELECT j.name, j.fingerprint, j.strength, f.json "
            "FROM main.jobs AS j LEFT JOIN main.facts AS f USING (folder, name) "
            "WHERE j.folder = ? AND j.name BETWEEN ? AND ? "
            f"AND j.state IN {STANDING} AND j.style <> '' AND ({condition})",
            (planned.folder, min(names), max(names), *values),
        )
        for name, fingerprint, strength, facts in rows:
            told = json.loads(facts or "{}")
            tries = [Try(told.get("strength", strength), scores_in(told))]
            is_rejected = acceptance.rejects(tries, strength, fingerprint)
            self._found[name] = tell_rejection(acceptance, tries) if is_rejected else None

    def _condition(self, pair: str, acceptance: Acceptance) -> tuple[str, list[float]]:
        """Return what of SQL is true of an image that can't stay; one that is not known can."""
        parts, values = ["0"], []
        if pair in self._unscored:
            parts.append(f"json_extract(f.json, '$.{ALWAYS_KNOWN}') IS NULL")
        if acceptance.otherwise != "keep":
            for name, least, most in acceptance.bounds:
                for sign, bound in (("<", least), (">", most)):
                    if bound is not None:
                        parts.append(f"json_extract(f.json, '$.{name}') {sign} ?")
                        values.append(bound)
        return " OR ".join(parts), values

    def is_outside(self, name: str) -> bool:
        """Whether an image can't stay, of those that `look` has looked at."""
        return name in self._found

    def take_out(self, folder: str, name: str) -> str:
        """Note that such an image is to go; return the state of its job."""
        reason = self._found[name]
        self._outside.append((folder, name, reason))
        return "rejected" if reason else "pending"

    def judge_rejected(self, planned: PlannedFolder, job: Planned, reason: str) -> str:
        """Return the state of a job that was rejected: it is so still, or is to be made again."""
        acceptance, tries = self._acceptances.get(planned.pair), tries_of(reason)
        if acceptance and acceptance.rejects(tries, job.strength, job.fingerprint):
            return "rejected"
        if not self._pardons:
            return "rejected"
        self._pardoned.append((planned.folder, job.name))
        return "pending"

    def keep(self) -> None:
        """Put what was noted into the tables; within a transaction."""
        insert = self._connection.executemany
        insert("INSERT INTO temp.outside VALUES (?, ?, ?)", self._outside)
        insert("INSERT INTO temp.pardoned VALUES (?, ?)", self._pardoned)
        self._outside, self._pardoned = [], []

    def pardon(self) -> bool:
        """Let the ledger have what is no longer rejected as waiting; within a transaction.

        Returns:
            whether there was any.
        """
        count = 0
        for table in ("jobs", "successors"):
            count += self._connection.execute(
                f"UPDATE main.{table} SET state = 'pending', reason = NULL "
                f"FROM temp.pardoned AS p WHERE {table}.folder = p.folder "
                f"AND {table}.name = p.name AND {table}.state = 'failed'"
            ).rowcount
        return count > 0

    def outside(self) -> Iterator[dict[str, str | None]]:
        """Yield the images to take out, a block at a time: why they are rejected.

        None where one is to be made again.
        """
        last = 0
        while rows := self._connection.execute(
            "SELECT rowid, folder, name, reason FROM temp.outside WHERE rowid > ? "
            f"ORDER BY rowid LIMIT {_BLOCK}",
            (last,),
        ).fetchall():
            last = rows[-1][0]
            yield {below(folder, name): reason for _, folder, name, reason in rows}
