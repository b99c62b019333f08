"""Which workers have not answered for too long, by time in which anybody could have noticed."""

# A process that was stopped itself (Ctrl-Z, a suspended laptop) has not been waiting meanwhile.
MOST_AT_ONCE_S = 1.0
# To start, import torch, open a device and read weights, on a busy machine.
START_S = 300.0


class Watchdog:
    """Adds up how long each worker has been silent while it had something to do."""

    def __init__(self, limit_s: float) -> None:
        """Take how long a worker may be silent; at its start it has longer."""
        self._limit_s = limit_s
        self._silent_s: dict[int, float] = {}
        self._starting: set[int] = set()
        self._last_s: float | None = None

    def started(self, worker: int, *, is_on_its_way: bool = True) -> None:
        """Expect a worker, unless it only waits for a place."""
        if is_on_its_way:
            self._starting.add(worker)
            self._silent_s[worker] = 0.0

    def joined(self, worker: int) -> None:
        """Note that it is there."""
        self._starting.discard(worker)
        self._silent_s[worker] = 0.0

    @property
    def is_expecting(self) -> bool:
        """Whether any worker is there or on its way."""
        return bool(self._silent_s)

    @property
    def is_starting(self) -> bool:
        """Whether any worker is on its way."""
        return bool(self._starting)

    def heard(self, worker: int) -> None:
        """Note that it has made something: an evaluation, an image."""
        if worker in self._silent_s:
            self._silent_s[worker] = 0.0

    def lost(self, worker: int) -> None:
        """Expect nothing of a worker any more."""
        self._starting.discard(worker)
        self._silent_s.pop(worker, None)

    def silent(self, now_s: float, busy: set[int]) -> dict[int, float]:
        """Return the workers that are silent for too long, with their limits in seconds.

        Args:
            now_s: of a clock that does not jump.
            busy: the workers that have something to do.
        """
        passed = 0.0 if self._last_s is None else min(now_s - self._last_s, MOST_AT_ONCE_S)
        self._last_s = now_s
        found: dict[int, float] = {}
        for worker, before in self._silent_s.items():
            is_expected = worker in busy or worker in self._starting
            self._silent_s[worker] = before + passed if is_expected else 0.0
            limit_s = max(self._limit_s, START_S) if worker in self._starting else self._limit_s
            if self._silent_s[worker] > limit_s:
                found[worker] = limit_s
        return found
