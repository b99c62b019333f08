"""Which images a worker that is to end finishes, and which it saves, in bounded time."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from stylebatch.transfer.suspended import Underway

# An image that is done so soon is not saved.
FINISH_S = 10.0
# What saving may take altogether; what is left then is begun anew.
SAVE_FOR_S = 30.0
T = TypeVar("T")


class Ending:
    """Begins when a worker is told to end.

    An image has its first `save_after_s` seconds in any case: what takes less is not worth a file,
    and so is most of what small images take. Then it is saved, unless it is nearly done; so a
    worker ends within that time, whatever its images take, an evaluation, and `SAVE_FOR_S`.
    """

    def __init__(self, save_after_s: float) -> None:
        self._save_after_s = save_after_s
        self._since: float | None = None
        self._spent_s = 0.0

    def begin(self) -> None:
        """Let it count from now; a second time changes nothing."""
        if self._since is None:
            self._since, self._spent_s = time.monotonic(), 0.0

    def cancel(self) -> None:
        """Let it begin anew later."""
        self._since = None

    @property
    def has_begun(self) -> bool:
        """Whether it has."""
        return self._since is not None

    @property
    def has_time(self) -> bool:
        """Whether anything more may be saved."""
        return self._spent_s < SAVE_FOR_S

    def is_worth(self, seconds: float) -> bool:
        """Whether an image that took so long is worth a file."""
        return seconds >= self._save_after_s

    def due(self, images: Mapping[Hashable, Underway]) -> list[str]:
        """Return which images are to leave their slots now, the one that took longest first."""
        if self._since is None:
            return []
        is_over = time.monotonic() - self._since >= self._save_after_s
        found = [
            str(key)
            for key, far in images.items()
            if self.is_worth(far.seconds) and (is_over or far.left_s > FINISH_S)
        ]
        return sorted(found, key=lambda key: (-images[key].seconds, key))

    def timed(self, save: Callable[[], T]) -> T:
        """Save something, and count what that takes."""
        start = time.monotonic()
        try:
            return save()
        finally:
            self._spent_s += time.monotonic() - start
