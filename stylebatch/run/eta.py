"""How fast a run's devices are, how busy, and when it will have ended."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping

from stylebatch.records import Group, Progress, Shape, device_kind
from stylebatch.run.pace import Pace


class Forecast:
    """Takes what workers report, and tells what is left."""

    def __init__(self, earlier: Mapping[str, Pace], most_evaluations: Mapping[str, int]) -> None:
        """Begin with what is known.

        Args:
            earlier: measured in earlier runs, by kind of device (cpu, cuda, mps).
            most_evaluations: of an image, by settings.
        """
        self._most = most_evaluations
        self.paces = {kind: Pace(earlier=known) for kind, known in earlier.items()}
        self._kinds: dict[int, str] = {}
        self._joined_at: dict[int, float] = {}
        self._begun: Counter[int] = Counter()
        self._shapes: dict[int, Shape] = {}
        self.there_s: dict[int, float] = {}
        self.busy_s: dict[int, float] = {}

    def joined(self, worker: int, device: str) -> None:
        """Count on a worker."""
        self._kinds[worker] = device_kind(device)
        self._joined_at[worker] = time.monotonic()

    def left(self, worker: int) -> None:
        """Count a worker out; how long it was there and busy stays counted."""
        if (joined_at := self._joined_at.pop(worker, None)) is not None:
            there_s = time.monotonic() - joined_at
            self.there_s[worker] = self.there_s.get(worker, 0.0) + there_s
        self._begun.pop(worker, None)

    def progress(self, event: Progress) -> None:
        """Take how far a worker is."""
        worker = event.worker
        self.busy_s[worker] = self.busy_s.get(worker, 0.0) + event.seconds
        self._begun[worker] = event.behind
        if not event.evaluations or event.shape is None or worker not in self._kinds:
            return
        self._shapes[worker] = event.shape
        self.pace(worker).add(event.shape, event.evaluations, event.seconds)

    def finished(self, worker: int, shape: Shape, evaluations: int) -> None:
        """Take that an image is finished."""
        if worker in self._kinds:
            self.pace(worker).finished(shape, evaluations)

    def pace(self, worker: int) -> Pace:
        """Return the pace of a worker's kind of device."""
        return self._pace_of(self._kinds[worker])

    def _pace_of(self, kind: str) -> Pace:
        return self.paces.setdefault(kind, Pace())

    def begun_s(self, worker: int) -> float:
        """Return how many seconds of work the images have behind them that a worker has now."""
        shape = self._shapes.get(worker)
        each_s = self.pace(worker).seconds_per_evaluation(shape) if shape else None
        return self._begun[worker] * (each_s or 0.0)

    def left_s(self, groups: Iterable[Group], num_jobs: int) -> float | None:
        """Return seconds to the end; None while nobody can tell.

        Args:
            groups: what is not finished, in flight included.
            num_jobs: how many of these will be made: with a limit not all.
        """
        groups = list(groups)
        # Workers of one kind would all take as long.
        kinds = Counter(self._kinds[worker] for worker in self._joined_at)
        alone_s = {kind: self._alone_s(kind, groups) for kind in kinds}
        rate = sum(
            kinds[kind] / max(each, 1e-3) for kind, each in alone_s.items() if each is not None
        )
        if not rate or None in alone_s.values():
            return None
        share = num_jobs / max(1, sum(group.num_jobs for group in groups))
        return share * self._waiting_factor() / rate

    def _alone_s(self, kind: str, groups: list[Group]) -> float | None:
        """Return how long one worker on such a device would take for everything."""
        pace = self._pace_of(kind)
        seconds = pace.seconds_of(groups, self._most)
        if seconds is None:
            return None
        for each, begun in self._begun.items():
            if shape := self._shapes.get(each):
                seconds -= begun * (pace.seconds_per_evaluation(shape) or 0.0)
        return seconds

    def _waiting_factor(self) -> float:
        """Return how many times as long it takes as devices are busy."""
        now, busy_s = time.monotonic(), sum(self.busy_s.values())
        there_s = sum(self.there_s.values()) + sum(now - at for at in self._joined_at.values())
        return min(2.0, max(1.0, there_s / busy_s)) if busy_s > 1 else 1.0
