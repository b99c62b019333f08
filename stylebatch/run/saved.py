"""Images that a stopped run has saved half-made: which are gone on with, and which are of no use.

There are never more than workers have had slots: what is saved goes first in the next run, and
whatever the plan no longer wants is removed when a run of the whole has planned. A shard does not
know what others want: it leaves alone what is younger than `KEPT_BY_SHARDS_S`.
"""

import time
from collections.abc import Collection
from contextlib import suppress

from stylebatch.ledger import PlannedJobs
from stylebatch.output.layout import Dataset
from stylebatch.records import Job
from stylebatch.system import files, folders
from stylebatch.system.log import logger
from stylebatch.system.words import counted

KEPT_BY_SHARDS_S = 30 * 24 * 3600.0


def find_begun(dataset: Dataset, planned: PlannedJobs, *, is_all_there: bool) -> list[Job]:
    """Return the jobs of a plan whose images were saved; remove what was saved of others.

    Args:
        is_all_there: whether all inputs can be reached; else what the plan lacks may come back.
    """
    found = dataset.list_saved()
    if not found:
        return []
    jobs = planned.waiting_for(found)
    unwanted = found - {job.fingerprint for job in jobs}
    if dataset.shard:
        unwanted = {each for each in unwanted if _is_old(dataset, each)}
    elif not is_all_there:
        unwanted = set()
    remove_saved(dataset, unwanted)
    return jobs


def remove_saved(dataset: Dataset, fingerprints: Collection[str] | None = None) -> None:
    """Remove what was saved of images, of all if none are named."""
    unwanted = dataset.list_saved() if fingerprints is None else fingerprints
    for fingerprint in unwanted:
        with suppress(OSError):
            files.remove_file(dataset.saved_path(fingerprint))
    if unwanted:
        logger.info("%s removed that no job wants any more", counted(len(unwanted), "saved image"))
    folders.remove_if_empty(dataset.saved)


def _is_old(dataset: Dataset, fingerprint: str) -> bool:
    found = files.stat_file(dataset.saved_path(fingerprint))
    return found is not None and time.time() - found[1] / 1e9 > KEPT_BY_SHARDS_S
