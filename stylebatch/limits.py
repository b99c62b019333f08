"""When a run gives up on an image, a worker, or itself; and what still fits before its deadline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf

from stylebatch.pace import Pace
from stylebatch.records import Shape

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
    """

    max_deaths: int = 2
    max_retries: int = 2
    retry_s: float = 2.0
    max_failures: int | None = None
    image_timeout_s: float = 1800.0
    deadline_at: float | None = None
    most_evaluations: Mapping[str, int] = field(default_factory=dict)

    def num_in_time(
        self, now_s: float, pace: Pace, shape: Shape | None, begun: float, caution: float = CAUTION
    ) -> float:
        """Return how many images a device can have in flight so that all end by the deadline.

        As long as nothing was measured, any number.

        Args:
            pace: of the device.
            shape: of the images.
            begun: evaluations that those in flight have behind them.
            caution: images may take so many times what was measured.
        """
        if self.deadline_at is None:
            return inf
        left_s = self.deadline_at - now_s
        if left_s <= 0 or shape is None:
            return 0 if left_s <= 0 else inf
        each_s = pace.seconds_per_evaluation(shape)
        most = self.most_evaluations.get(shape.settings_id)
        if not each_s or not most:
            return inf
        return max(0.0, ((left_s - COMMIT_S) / (caution * each_s) + begun) // most)
