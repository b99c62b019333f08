"""What still fits before a run's deadline, worker by worker."""

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

from stylebatch.records import Shape
from stylebatch.run.eta import Forecast
from stylebatch.run.limits import CAUTION, Limits


class Room(NamedTuple):
    """What a worker can still finish in time.

    Attributes:
        left_s: seconds to the deadline, and to commit; `inf` without one.
        free_s: of these, what the worker's own jobs leave.
        takes_s: how many of them a job of a shape takes.
        is_behind: whether what the worker has will not all be finished.
    """

    left_s: float
    free_s: float
    takes_s: Callable[[Shape], float]
    is_behind: bool


UNLIMITED = Room(inf, inf, lambda shape: 0.0, False)


class Deadline:
    """Weighs a worker's jobs, at its device's measured speed, against the time that is left."""

    def __init__(self, limits: Limits, forecast: Forecast) -> None:
        self._limits, self._forecast = limits, forecast

    def is_over(self, now_s: float) -> bool:
        """Whether nothing that is begun now would be finished, however small."""
        return self._limits.left_s(now_s) <= 0

    def room_of(self, worker: int, in_flight: Sequence[Shape], now_s: float) -> Room:
        """Return what a worker can still finish beside what it has.

        Args:
            in_flight: the shapes of its jobs, each as often as it has one.
        """
        left_s = self._limits.left_s(now_s)
        if left_s == inf:
            return UNLIMITED
        takes_s = partial(self._limits.image_s, self._forecast.pace(worker))
        begun_s = CAUTION * self._forecast.begun_s(worker)
        busy_s = max(0.0, sum(map(takes_s, in_flight)) - begun_s)
        return Room(left_s, left_s - busy_s, takes_s, busy_s > CAUTION * left_s)
