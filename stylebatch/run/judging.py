"""Thresholds of now: what the metadata tell by them, and images that stand and are not accepted."""

from stylebatch.ledger import Ledger, PlannedJobs
from stylebatch.manifest import Manifest
from stylebatch.output import aside
from stylebatch.output.layout import Dataset
from stylebatch.system.crash_points import reached

# By which thresholds the metadata tell who is accepted.
TOLD = "acceptances"


def note_thresholds(ledger: Ledger, manifest: Manifest) -> None:
    """Let the metadata tell by a manifest's thresholds who is accepted."""
    now = {pair: each.described() for pair, each in manifest.acceptances().items()}
    if (ledger.get(TOLD) or {}) != now:
        ledger.put(TOLD, now)
        # The metadata may have to say so.
        ledger.verdicts.note_change()


def take_out(dataset: Dataset, ledger: Ledger, planned: PlannedJobs, run_id: str) -> int:
    """Set aside what stands and is not accepted: it is rejected, or waits to be made again.

    Returns:
        how many images were moved to the run's stale folder.
    """
    moved = 0
    for reasons in planned.outside():
        ledger.aside.note(reasons, run_id)
        reached("stale-noted")
        moved += aside.set_aside(dataset, list(reasons), run_id)
        reached("stale-moved")
        ledger.verdicts.take_down(reasons)
        reached("stale-forgotten")
    return moved
