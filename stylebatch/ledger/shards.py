"""Shards' ledgers into the output's own, and what all of them tell together."""

from collections.abc import Iterable
from dataclasses import dataclass

from stylebatch.ledger.ledger import Ledger
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import find_running
from stylebatch.records import REJECTED
from stylebatch.system import files
from stylebatch.system.crash_points import reached

Counts = dict[str, dict[str, int]]


def merge_shards(dataset: Dataset) -> list[str]:
    """Merge the ledgers of all shards into the output's own; only who holds the whole may.

    Returns:
        the shards, as I/N.
    """
    shards = dataset.shards()
    merge_ledgers(dataset, shards)
    return [str(each.shard) for each in shards]


def merge_ledgers(dataset: Dataset, shards: Iterable[Dataset]) -> None:
    """Merge shards' ledgers into the output's own, and remove what they kept for themselves."""
    for shard in shards:
        if files.stat_file(shard.ledger) is not None:
            source = Ledger.open(shard.ledger, read_only=True)
            with source, Ledger.open(dataset.ledger) as ledger:
                ledger.absorb(source)
            # The file itself may be new.
            files.sync_folder(dataset.home)
            reached("absorbed")
        shard.remove_home()


def open_together(dataset: Dataset) -> Ledger:
    """Open what an output's ledgers hold together, to read: where there are shards, a copy."""
    if not dataset.shards():
        return Ledger.open(dataset.ledger, read_only=True)
    return copy_together(dataset)


def copy_together(dataset: Dataset) -> Ledger:
    """Open a copy of what an output's ledgers hold together: no run waits while it is read."""
    together = Ledger.open_copy(dataset.ledger)
    try:
        for shard in dataset.shards():
            with Ledger.open(shard.ledger, read_only=True) as own:
                together.absorb(own)
    except BaseException:
        together.close()
        raise
    return together


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an output is.

    Attributes:
        counts: jobs by pair and state.
        planned: jobs of each pair in the last plan, of all shards together.
        failures: the outputs that failed by their reason, the most frequent first; but for those
            that were rejected, each for its own scores.
        running: who holds the whole output, {} if nobody.
        shards: of each shard whose ledger is not merged yet (I/N), who runs it, {} if nobody.
    """

    counts: Counts
    planned: dict[str, int]
    failures: dict[str, list[str]]
    running: dict[str, object]
    shards: dict[str, dict[str, object]]


def read_standing(dataset: Dataset) -> Standing:
    """Add up what an output's ledgers tell; reads only, also while runs go on."""
    shards = dataset.shards()
    with Ledger.open(dataset.ledger, read_only=True) as whole:
        counts, plans = whole.counts(), [_plan(whole)]
        reasons = whole.reasons()
        for shard in shards:
            with Ledger.open(shard.ledger, read_only=True) as own:
                _add(counts, own.counts(), 1)
                _add(counts, whole.count_replaced(own), -1)
                plans.append(_plan(own))
                for output in own.has_jobs(reasons):
                    del reasons[output]
                reasons |= own.reasons()
    _, planned = max(plans, key=lambda plan: plan[0])
    running = {str(each.shard): find_running(each) for each in shards}
    return Standing(counts, planned, _by_reason(reasons), find_running(dataset), running)


def _by_reason(reasons: dict[str, str]) -> dict[str, list[str]]:
    outputs: dict[str, list[str]] = {}
    for output, reason in sorted(reasons.items()):
        if reason.startswith(REJECTED):
            continue
        outputs.setdefault(reason, []).append(output)
    return dict(sorted(outputs.items(), key=lambda item: -len(item[1])))


def _plan(ledger: Ledger) -> tuple[float, dict[str, int]]:
    return ledger.get("planned_at") or 0.0, ledger.get("plan") or {}


def _add(counts: Counts, more: Counts, sign: int) -> None:
    for pair, states in more.items():
        of_pair = counts.setdefault(pair, {})
        for state, count in states.items():
            of_pair[state] = of_pair.get(state, 0) + sign * count
