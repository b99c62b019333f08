"""Jobs that failed for a reason that may pass: how often, and when they are tried again."""

from collections import Counter

from stylebatch.records import Job


class Retries:
    """Counts a run's attempts; each pause is twice as long as the one before."""

    def __init__(self, most: int, first_pause_s: float) -> None:
        """Allow a job so many attempts more than one."""
        self._most, self._first_pause_s = most, first_pause_s
        self._counts: Counter[str] = Counter()
        self._waiting: list[tuple[float, Job]] = []

    def attempts(self, output: str) -> int:
        """Return how often a job has failed and was to be tried again."""
        return self._counts[output]

    def is_allowed(self, output: str) -> bool:
        """Whether a job that has failed is to be tried again."""
        return self._counts[output] < self._most

    def put(self, job: Job, now_s: float) -> float:
        """Let a job wait for its next attempt; return for how long."""
        pause_s = self._first_pause_s * 2.0 ** self._counts[job.output]
        self._counts[job.output] += 1
        self._waiting.append((now_s + pause_s, job))
        return pause_s

    def due(self, now_s: float) -> list[Job]:
        """Return those that have waited long enough, once each."""
        found = [job for due_s, job in self._waiting if due_s <= now_s]
        self._waiting = [(due_s, job) for due_s, job in self._waiting if due_s > now_s]
        return found
