"""Thresholds that have changed: what stands or was rejected is judged again by its scores."""

from stylebatch.ledger import Judged, Ledger
from stylebatch.manifest import Manifest
from stylebatch.output import aside
from stylebatch.output.acceptance import Acceptance, tell_rejection
from stylebatch.output.layout import Dataset
from stylebatch.system.crash_points import reached

# By which thresholds the metadata tell who is accepted, and by which those that stand were judged.
TOLD, JUDGED = "acceptances", "judged_by"


def judge_again(dataset: Dataset, ledger: Ledger, manifest: Manifest, run_id: str) -> int:
    """Judge what earlier thresholds have let through or rejected; before a plan is made.

    No pixel is looked at: the ledger has all scores. What is worth enough stays, at whatever
    strength it was made. What no longer is lies aside then, and is rejected, or made again at a
    strength that was not tried yet; so is what is no longer rejected, or taken back from there.
    A run of a shard leaves that to a whole run.

    Returns:
        how many images were moved to the run's stale folder.
    """
    acceptances = manifest.acceptances()
    now = {pair: each.described() for pair, each in acceptances.items()}
    if (ledger.get(TOLD) or {}) != now:
        ledger.put(TOLD, now)
        # The metadata may have to say so.
        ledger.verdicts.note_change()
    before = ledger.get(JUDGED) or {}
    if dataset.shard is not None or before == now:
        return 0
    moved = 0
    for pair in sorted({*before, *now}):
        if before.get(pair) != now.get(pair):
            moved += _judge_pair(dataset, ledger, pair, acceptances.get(pair), run_id)
    ledger.put(JUDGED, now)
    return moved


def _judge_pair(
    dataset: Dataset, ledger: Ledger, pair: str, acceptance: Acceptance | None, run_id: str
) -> int:
    ledger.verdicts.pardon(
        job.output
        for job in ledger.verdicts.rejected(pair)
        if acceptance is None or not acceptance.rejects(job.tries, job.strength, job.fingerprint)
    )
    if acceptance is None or acceptance.otherwise == "keep":
        return 0
    moved = 0
    for block in ledger.verdicts.standing(pair):
        reasons = {
            job.output: _reason(acceptance, job)
            for job in block
            if not acceptance.is_met(job.tries[-1].scores)
        }
        if not reasons:
            continue
        ledger.aside.note(reasons, run_id)
        reached("stale-noted")
        moved += aside.set_aside(dataset, list(reasons), run_id)
        reached("stale-moved")
        ledger.verdicts.take_down(reasons)
        reached("stale-forgotten")
    return moved


def _reason(acceptance: Acceptance, job: Judged) -> str | None:
    """Return why an image that stood is rejected; None where it is to be made again."""
    if not acceptance.rejects(job.tries, job.strength, job.fingerprint):
        return None
    return tell_rejection(acceptance, job.tries)
