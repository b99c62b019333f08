"""What images are worth, as the ledger knows it: who stands, who was rejected, who is worth enough.

A job that was rejected has failed, for a reason of its own kind that holds all scores.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stylebatch.ledger import outcomes
from stylebatch.ledger.absorb import OUTCOME
from stylebatch.ledger.database import Database
from stylebatch.output.acceptance import acceptance_of, scores_in


class LedgerVerdicts:
    """What a ledger knows of scores; changes are one transaction each."""

    def __init__(self, database: Database) -> None:
        self._database, self._connection = database, database.connection

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


def _keys(outputs: Iterable[str]) -> list[outcomes.Key]:
    return [output.rpartition("/")[::2] for output in outputs]
