"""Who is told how a run goes: the commands show it, the log keeps it."""

from collections.abc import Mapping
from typing import Protocol

from stylebatch.ledger import PairCounts
from stylebatch.plan import PlanSummary
from stylebatch.run.loop import LoopWatcher


class Watcher(LoopWatcher, Protocol):
    """Is told how a run goes from its plan to its end."""

    def doing(self, text: str) -> None:
        """Take what a run is doing before workers are, or after; again and again."""

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        """Take what the plan found before the first job starts."""
