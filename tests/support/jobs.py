"""Jobs without a ledger, for schedulers."""

from collections.abc import Sequence

from stylebatch.records import Group, Job, Shape

BUDGET = 4 * 64 * 64
# What the ledger tells of an image whose scores nobody has recorded.
UNSCORED = {
    **dict.fromkeys(("closed", "ssim", "saturation", "speckle")),
    "retries": 0,
    "accepted": True,
}


class Jobs:
    """A source of jobs without a ledger."""

    def __init__(self, counts: dict[tuple[int, int], int]) -> None:
        self.jobs = {shape: [job(shape, i) for i in range(n)] for shape, n in counts.items()}

    def groups(self) -> list[Group]:
        return [Group("s", *shape, len(jobs)) for shape, jobs in self.jobs.items() if jobs]

    def middles(self) -> dict[Shape, float]:
        return {Shape("s", *shape): 0.5 for shape in self.jobs}

    def take(self, group: Group, limit: int, taken: int = 0) -> Sequence[Job]:
        return self.jobs[group.width, group.height][taken : taken + limit]


def job(shape: tuple[int, int], number: int) -> Job:
    output = f"{shape[0]}x{shape[1]}/{number:04d}.png"
    return Job(output, "f", "pair", "s", "c", "d", None, "style", 1, *shape, 1.0, None)
