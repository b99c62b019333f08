"""How fast a run goes now: what its workers have reported over the last minute."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from stylebatch.records import JobDone, Progress
from stylebatch.run import Pace, Tally

WINDOW_S = 60.0
# What is reported before says more of how a worker starts than of how fast it goes.
LEAST_S = 3.0


class _Report(NamedTuple):
    at_s: float
    settings_id: str | None
    evaluations: int


@dataclass(slots=True)
class _Reports:
    """One worker's, since its first one, which ends an interval that nobody knows."""

    since_s: float
    latest: deque[_Report] = field(default_factory=deque)


class Speed:
    """Counts in evaluations: in a batch all images finish at nearly one time."""

    def __init__(self, most: Mapping[str, int], now: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing.

        Args:
            most: evaluations of an image at most, by settings.
            now: a clock, in seconds.
        """
        self._most, self._now = most, now
        self._workers: dict[int, _Reports] = {}
        self._images, self._evaluations = 0, 0

    def progressed(self, event: Progress) -> None:
        """Take what a worker reports."""
        now = self._now()
        reports = self._workers.get(event.worker)
        if reports is None:
            self._workers[event.worker] = _Reports(now)
            return
        settings_id = event.shape.settings_id if event.shape else None
        reports.latest.append(_Report(now, settings_id, event.evaluations))

    def lost(self, worker: int) -> None:
        """Forget a worker; one that replaces it begins anew."""
        self._workers.pop(worker, None)

    def finished(self, event: JobDone) -> None:
        """Take that an image is done."""
        self._images += 1
        self._evaluations += event.facts.get("evaluations", 0)

    def evaluations_per_second(self, worker: int) -> float | None:
        """Return a worker's speed over the last minute; None while too little is known of it."""
        return self._per_second(worker, lambda report: report.evaluations)

    def images_per_minute(self, pace: Pace) -> float | None:
        """Return images a minute, of all workers: evaluations over those that an image takes."""
        speeds = [
            self._per_second(worker, lambda report: self._share(report, pace))
            for worker in self._workers
        ]
        known = [speed for speed in speeds if speed is not None]
        return 60 * sum(known) if known else None

    def images(self, tally: Tally) -> float:
        """Return how many images are finished, those in slots counted by their share."""
        begun = max(0, tally.evaluations - self._evaluations) / self._per_image
        running = sum(tally.running.values())
        return min(tally.total, tally.ended + min(begun, running))

    def _per_second(self, worker: int, count: Callable[[_Report], float]) -> float | None:
        reports, now = self._workers.get(worker), self._now()
        if reports is None or now - reports.since_s < LEAST_S:
            return None
        while reports.latest and reports.latest[0].at_s <= now - WINDOW_S:
            reports.latest.popleft()
        # Up to now, and not to the last report: who reports nothing gets slower.
        return sum(map(count, reports.latest)) / min(WINDOW_S, now - reports.since_s)

    def _share(self, report: _Report, pace: Pace) -> float:
        """Return how many images a report's evaluations are."""
        if report.settings_id is None:
            return report.evaluations / self._per_image
        most = self._most.get(report.settings_id, self._per_image)
        return report.evaluations / max(
            1.0, pace.evaluations_per_image(report.settings_id, round(most))
        )

    @property
    def _per_image(self) -> float:
        """Evaluations of an image, whatever its settings."""
        if not self._images:
            return max([1, *self._most.values()])
        return max(1.0, self._evaluations / self._images)
