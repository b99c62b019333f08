"""Which of the images to make stand for the others: a few, of shapes from small to large."""

from collections.abc import Iterator, Sequence

from stylebatch.ledger import PlannedJobs
from stylebatch.records import Group, Job

MOST_SHAPES = 8
# Jobs at hand for a shape: the first may be one that can't be read.
MOST_JOBS = 3


def candidates(planned: PlannedJobs, groups: Sequence[Group]) -> Iterator[tuple[Group, list[Job]]]:
    """Yield some groups, each with a few of its jobs."""
    for group in spread(groups, MOST_SHAPES):
        yield group, planned.take(group, MOST_JOBS)


def spread(groups: Sequence[Group], count: int) -> list[Group]:
    """Choose groups: of each settings the one with most to do, then small and large ones."""
    if len(groups) <= count:
        return list(groups)
    by_work = sorted(groups, key=lambda each: -each.num_jobs * each.width * each.height)
    most: dict[str, Group] = {}
    for group in by_work:
        most.setdefault(group.settings_id, group)
    chosen = list(most.values())[:count]
    rest = sorted(set(groups) - set(chosen), key=lambda each: (each.width * each.height, each))
    free = count - len(chosen)
    # Evenly over the range of pixels, both ends included.
    at = [round(index * (len(rest) - 1) / max(1, free - 1)) for index in range(free)]
    return [*chosen, *(rest[index] for index in dict.fromkeys(at))]
