"""When a run gives up on an image, a worker, or itself; and what still fits before its deadline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf

from stylebatch.records import Shape
from stylebatch.run.pace import Pace

# Committing what is finished, and images that take longer than those before them.
COMMIT_S, CAUTION = 2.0, 1.1


def count_failures(limit: int | str | None, num_jobs: int) -> int | None:
    """Return a limit as a number of jobs: `5%` is that share of them, at least one."""
    if not isinstance(limit, str):
        return limit
    return max(1, ceil(num_jobs * float(limit.removesuffix("%")) / 100))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run puts up with.

    Attributes:
        max_deaths: deaths of a worker that was alone with a job after which it has failed.
        max_retries: of a job that failed for a reason that may pass.
        retry_s: before the first of them; twice as long before each further one.
        max_failures: failed jobs after which nothing more is begun; None: any number.
        image_timeout_s: in which a worker with images has to have made an evaluation.
        deadline_at: of `time.monotonic()`; None: none.
        most_evaluations: of an image, by settings.
        end_early: settings whose images may take fewer.
        alike: by settings, what those have in common whose evaluations take as long.
    """

    max_deaths: int = 2
    max_retries: int = 2
    retry_s: float = 2.0
    max_failures: int | None = None
    image_timeout_s: float = 1800.0
    deadline_at: float | None = None
    most_evaluations: Mapping[str, int] = field(default_factory=dict)
    end_early: frozenset[str] = frozenset()
    alike: Mapping[str, str] = field(default_factory=dict)

    def left_s(self, now_s: float) -> float:
        """Return seconds in which images may still be worked on; without a deadline any number."""
        return inf if self.deadline_at is None else self.deadline_at - COMMIT_S - now_s

    def image_s(self, pace: Pace, shape: Shape) -> float:
        """Return how many seconds of a device to allow for an image; 0 while nobody can tell."""
        each_s = pace.seconds_per_evaluation(shape) or 0.0
        return CAUTION * each_s * self.most_evaluations.get(shape.settings_id, 0)
