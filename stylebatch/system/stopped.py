"""How long this process has been stopped: by SIGSTOP, Ctrl-Z, a frozen control group."""

import threading
import time

# A thread of its own that wakes so often finds that it did not: everything stood still then.
TICK_S = 0.25
# What is shorter is a busy machine, and part of how fast that is.
LEAST_S = 2.0


class StoppedClock:
    """Counts the seconds in which no thread of this process could run."""

    def __init__(self) -> None:
        """Begin to count."""
        self._stopped_s, self._awake_at = 0.0, time.monotonic()
        self._lock, self._is_over = threading.Lock(), threading.Event()
        threading.Thread(target=self._watch, name="stopped-clock", daemon=True).start()

    def _watch(self) -> None:
        while not self._is_over.wait(TICK_S):
            self.seconds()
            with self._lock:
                self._awake_at = time.monotonic()

    def seconds(self) -> float:
        """Return how long it has been stopped so far, also where that is only just over."""
        with self._lock:
            now = time.monotonic()
            if (passed := now - self._awake_at) > LEAST_S:
                self._stopped_s += passed
                self._awake_at = now
            return self._stopped_s

    def close(self) -> None:
        """Count no more."""
        self._is_over.set()
