"""What images are worth, as the ledger knows it: who stands, who was rejected, who is worth enough.

A job that was rejected has failed, for a reason of its own kind that holds all scores.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from stylebatch.ledger import outcomes
from stylebatch.ledger.absorb import OUTCOME
from stylebatch.ledger.database import Database
from stylebatch.output.acceptance import Try, acceptance_of, scores_in, tries_of
from stylebatch.records import REJECTED
from stylebatch.system.paths import below

_BLOCK = 1000
_JUDGED = "j.folder, j.name, j.pair, j.fingerprint, j.strength"


class Judged(NamedTuple):
    """A job and the tries that are known of it; `strength`: its own, that of the first."""

    output: str
    pair: str
    fingerprint: str
    strength: float
    tries: list[Try]


class LedgerVerdicts:
    """What a ledger knows of scores; changes are one transaction each."""

    def __init__(self, database: Database) -> None:
        self._database, self._connection = database, database.connection

    def standing(self, pair: str) -> Iterator[list[Judged]]:
        """Yield a pair's stylised images that are up to date, a block at a time."""
        last = ("", "")
        while rows := self._connection.execute(
            f"SELECT {_JUDGED}, f.json FROM main.jobs AS j LEFT JOIN main.facts AS f "
            "USING (folder, name) WHERE (j.folder, j.name) > (?, ?) AND j.pair = ? "
            f"AND j.state = 'done' AND j.style <> '' ORDER BY j.folder, j.name LIMIT {_BLOCK}",
            (*last, pair),
        ).fetchall():
            last = rows[-1][:2]
            yield [_standing(*row) for row in rows]

    def rejected(self, pair: str) -> list[Judged]:
        """Return a pair's jobs that were rejected, also where an older image stands."""
        found = []
        for table in ("jobs", "successors"):
            rows = self._connection.execute(
                f"SELECT {_JUDGED}, j.reason FROM main.{table} AS j WHERE j.state = 'failed' "
                f"AND j.pair = ? AND j.reason GLOB '{REJECTED}*'",
                (pair,),
            )
            found += [
                Judged(below(folder, name), pair, fingerprint, strength, tries_of(reason))
                for folder, name, _, fingerprint, strength, reason in rows
            ]
        return found

    def pardon(self, outputs: Iterable[str]) -> None:
        """Let jobs that were rejected be made again."""
        for_each = (
            "UPDATE main.{} SET state = 'pending', reason = NULL "
            "WHERE folder = ? AND name = ? AND state = 'failed'"
        )
        keys = _keys(outputs)
        with self._database.transaction():
            for table in ("jobs", "successors"):
                self._connection.executemany(for_each.format(table), keys)

    def note_change(self) -> None:
        """Note that the metadata may tell otherwise who is worth enough."""
        with self._database.transaction():
            self._database.count_change()

    def take_down(self, reasons: Mapping[str, str | None]) -> None:
        """Note that images which stood lie aside: rejected for a reason, or to be made again."""
        update = (
            "UPDATE main.jobs SET state = ?, reason = ?, size = NULL WHERE folder = ? AND name = ?"
        )
        with self._database.transaction():
            rows = [
                ("failed" if reason else "pending", reason, *key)
                for key, reason in zip(_keys(reasons), reasons.values(), strict=True)
            ]
            self._connection.executemany(update, rows)
            self._connection.executemany(
                "DELETE FROM main.facts WHERE folder = ? AND name = ?", _keys(reasons)
            )
            self._database.count_change()


def count_failures(database: Database, counts: dict[str, dict[str, int]]) -> None:
    """Count, by pair and state, failed successors too, and tell what was rejected from the rest."""
    query = "SELECT j.pair, {}, count(*) FROM main.{} AS j WHERE j.state = 'failed' GROUP BY 1, 2"
    for table in ("jobs", "successors"):
        for pair, state, count in database.connection.execute(query.format(OUTCOME, table)):
            of_pair = counts.setdefault(pair, {})
            if table == "jobs" and state != "failed":
                of_pair["failed"] -= count
            if table == "successors" or state != "failed":
                of_pair[state] = of_pair.get(state, 0) + count


def with_verdicts(
    rows: Iterable[dict[str, Any]], told: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield rows of `Ledger.done` whose facts say all scores, and whether they are worth enough.

    Args:
        told: by pair, as `Acceptance.described` tells the thresholds of the last run.
    """
    acceptances = {pair: acceptance_of(each) for pair, each in told.items()}
    for row in rows:
        if row["kind"] == "stylised":
            facts, acceptance = row["facts"], acceptances.get(row["pair"])
            scores = scores_in(facts)
            is_accepted = acceptance is None or acceptance.is_met(scores)
            row["facts"] = {**facts, **scores, "retries": facts.get("retries", 0)}
            row["facts"]["accepted"] = is_accepted
        yield row


def _standing(
    folder: str, name: str, pair: str, fingerprint: str, strength: float, facts: str | None
) -> Judged:
    told = json.loads(facts or "{}")
    last = Try(told.get("strength", strength), scores_in(told))
    return Judged(below(folder, name), pair, fingerprint, strength, [last])


def _keys(outputs: Iterable[str]) -> list[outcomes.Key]:
    return [output.rpartition("/")[::2] for output in outputs]
