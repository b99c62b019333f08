"""A run's signs of life: what it is doing, how far it is, and how long the rest takes."""

import time
from contextlib import suppress
from typing import Any

from stylebatch.output.activity import write_activity
from stylebatch.output.layout import Dataset
from stylebatch.run.progress import Tally

EVERY_S = 1.0


class Activity:
    """Writes them for `stylebatch status`: what is new at once, figures once a second."""

    def __init__(self, dataset: Dataset, run_id: str) -> None:
        self._dataset, self._run_id = dataset, run_id
        self._kind, self._written_at = "", -EVERY_S

    def doing(self, text: str) -> None:
        """Take what the run is doing where no images are in slots; after a colon, how far it is."""
        self._write(text.partition(":")[0], {"doing": text})

    def tick(self, tally: Tally) -> None:
        """Take the numbers of a run whose workers are starting, or at work."""
        facts = {
            "doing": "making images" if tally.devices else "starting workers",
            "total": tally.total,
            "done": tally.done,
            "failed": tally.failed,
            "rejected": tally.rejected,
            "running": sum(tally.running.values()),
            "furthest": tally.furthest,
            "left_s": tally.left_s,
            "most_left_s": tally.most_left_s,
            "stopped_by": tally.stopped_by,
            "finishing": tally.finishing._asdict() if tally.finishing else None,
        }
        self._write(f"{facts['doing']} {tally.stopped_by}", facts)

    def _write(self, kind: str, facts: dict[str, Any]) -> None:
        now = time.monotonic()
        if kind == self._kind and now - self._written_at < EVERY_S:
            return
        self._kind, self._written_at = kind, now
        # Whoever looks can do without it, and what is wrong with the output others find out.
        with suppress(OSError):
            write_activity(self._dataset, {"run_id": self._run_id, "at": time.time(), **facts})
