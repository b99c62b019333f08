"""How many evaluations images take that can end early: by those that are finished, and the others.

Who ends early is finished early: the mean of those that are finished is too low while many are
not, and the budget is too high. Images in slots tell that they take more than they have had.

Source: Kaplan & Meier 1958, "Nonparametric estimation from incomplete observations".
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

# Fewer are chance: single images of one recipe differ by a fifth (docs/cron.md).
LEAST_ENDED = 5
# A middle between bounds that far apart is at most a quarter off.
MOST_APART = 1.5


class Bounds(NamedTuple):
    """Evaluations of an image in the mean: at least, and at most."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """What to count on."""
        return (self.low + self.high) / 2

    @property
    def is_narrow(self) -> bool:
        """Whether the middle can be told."""
        return self.high <= MOST_APART * self.low


class Stopping:
    """When images end, by those that have ended and those that have not."""

    def __init__(self, ended: Mapping[int, int], running: Collection[int], most: int) -> None:
        """Take what is known.

        Args:
            ended: how many images ended after so many evaluations.
            running: how many each image has had that has not ended.
            most: of an image.
        """
        self._most, self._longest = most, max(running, default=0)
        self._num_ended = sum(ended.values())
        # After each of these times, the share that is left of those that had come so far.
        self._kept: list[tuple[int, float]] = []
        still, at_risk = sorted(running), self._num_ended + len(running)
        for time in sorted(each for each, count in ended.items() if count):
            while still and still[0] < time:
                del still[0]
                at_risk -= 1
            self._kept.append((time, 1 - ended[time] / at_risk))
            at_risk -= ended[time]

    def bounds(self, had: int = 0) -> Bounds:
        """Return how many evaluations an image takes in the mean that has had some."""
        share, last, area = 1.0, had, float(had)
        for time, kept in self._kept:
            if time > had:
                area += share * (time - last)
                share, last = share * kept, time
        longest = min(max(last, self._longest), max(last, self._most))
        return Bounds(
            area + share * (longest - last), area + share * (max(last, self._most) - last)
        )

    def mean(self) -> float | None:
        """Return how many evaluations an image takes, None while that can't be told."""
        if self._num_ended < LEAST_ENDED:
            return None
        bounds = self.bounds()
        return bounds.middle if bounds.is_narrow else None
