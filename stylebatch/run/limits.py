"""When a run gives up on an image, a worker, or itself; and what still fits before its deadline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf

from stylebatch.manifest import Manifest
from stylebatch.records import Shape
from stylebatch.run.pace import Pace
from stylebatch.worker.spec import SAVE_AFTER_S

# Committing what is finished, and images that take longer than those before them.
COMMIT_S, CAUTION = 2.0, 1.1
# With half of that nothing would be won: it is as long as an image has to take to be saved.
WORTH_BEGINNING_S = 2 * SAVE_AFTER_S


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
        worth_beginning_s: to the deadline, in which also an image is begun that takes longer: it is
            saved then.
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
    worth_beginning_s: float = WORTH_BEGINNING_S
    alike: Mapping[str, str] = field(default_factory=dict)

    def left_s(self, now_s: float) -> float:
        """Return seconds in which images may still be worked on; without a deadline any number."""
        return inf if self.deadline_at is None else self.deadline_at - COMMIT_S - now_s

    def image_s(self, pace: Pace, shape: Shape) -> float:
        """Return how many seconds of a device to allow for an image; 0 while nobody can tell."""
        each_s = pace.seconds_per_evaluation(shape) or 0.0
        return CAUTION * each_s * self.most_evaluations.get(shape.settings_id, 0)


def limits_of(
    manifest: Manifest,
    num_jobs: int,
    deadline_at: float | None,
    max_failures: int | str | None = None,
) -> Limits:
    """Return what a run of a manifest puts up with.

    Args:
        num_jobs: to make.
        deadline_at: as in `Limits`.
        max_failures: in the place of the manifest's.
    """
    options, settings = manifest.run, manifest.all_settings()
    return Limits(
        max_deaths=options.max_deaths,
        max_retries=options.max_retries,
        max_failures=count_failures(max_failures or options.max_failures, num_jobs),
        image_timeout_s=options.image_timeout_s,
        deadline_at=deadline_at,
        worth_beginning_s=WORTH_BEGINNING_S,
        most_evaluations=manifest.most_evaluations(),
        end_early=frozenset(key for key, each in settings.items() if each.recipe.ends_early),
        alike={key: each.time_key for key, each in settings.items()},
    )
