"""What a run's summary says of inputs that it could not reach, or that it passed over."""

from stylebatch.ledger import StaleFound
from stylebatch.plan import PlanSummary
from stylebatch.run.session import RunSummary


def note_inputs(summary: RunSummary, found: PlanSummary) -> None:
    """Note what the plan came across in the folders of its pairs."""
    summary.unreachable |= found.unreachable()
    summary.passed_over = {name: dict(counts) for name, counts in found.passed_over().items()}


def note_stale(summary: RunSummary, stale: StaleFound, *, keeps_all: bool = False) -> None:
    """Note which images stay although the plan does not have them.

    Args:
        keeps_all: those of inputs that are gone stay as well, as they are to (`--keep-stale`).
    """
    for path, reason in stale.reasons.items():
        summary.unreachable.setdefault(path, reason)
    summary.kept = stale.unreachable.total()
    summary.withheld = stale.removed if stale.is_withheld and not keeps_all else 0
