"""What a worker tells of its progress: evaluations, seconds, and what is not handed over yet."""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from stylebatch.records import Progress, Shape
from stylebatch.system.stopped import StoppedClock
from stylebatch.worker.spec import PROGRESS_EVERY_S

T = TypeVar("T")


class Meter:
    """Counts since the last report, and the evaluations behind images that are not done."""

    def __init__(self, worker: int, every_s: float = PROGRESS_EVERY_S) -> None:
        """Begin to count for a worker that reports so often."""
        self._worker, self._every_s, self._clock = worker, every_s, StoppedClock()
        self._evaluations, self._seconds, self._reported_s = 0, 0.0, 0.0
        self._behind: Counter[str] = Counter()

    def timed(self, act: Callable[[], T]) -> T:
        """Do what keeps the device busy; while the process was stopped it was not."""
        start, stopped_s = time.perf_counter(), self._clock.seconds()
        try:
            return act()
        finally:
            stopped_s = self._clock.seconds() - stopped_s
            self._seconds += max(0.0, time.perf_counter() - start - stopped_s)

    def close(self) -> None:
        """Let its clock end."""
        self._clock.close()

    def count(self, outputs: Iterable[str]) -> None:
        """Count one evaluation of each of some images."""
        outputs = list(outputs)
        self._evaluations += len(outputs)
        self._behind.update(outputs)

    def resume(self, output: str, evaluations: int) -> None:
        """Take that an earlier run has made some evaluations of an image."""
        self._behind[output] += evaluations

    def forget(self, output: str) -> None:
        """Count no more what lies behind an image that is done or has failed."""
        self._behind.pop(output, None)

    def forget_all(self) -> None:
        """As `forget`, of all images: they begin anew."""
        self._behind.clear()

    def report(
        self, running: Collection[str], shape: Shape | None, *, is_due: bool
    ) -> Progress | None:
        """Return what there is to tell if it is due, or time.

        Args:
            running: outputs of the images in slots.
            shape: of those that the evaluations were of.
        """
        now = time.monotonic()
        if not is_due and now - self._reported_s < self._every_s:
            return None
        made, seconds = self._evaluations, self._seconds
        self._evaluations, self._seconds, self._reported_s = 0, 0.0, now
        each = tuple(self._behind[output] for output in running)
        behind = self._behind.total()
        return Progress(self._worker, len(running), made, seconds, shape, behind, each)
