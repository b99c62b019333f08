"""Shards' work made one: their ledgers into the output's own, then its records."""

import time
from dataclasses import asdict

from stylebatch.ledger import Ledger
from stylebatch.output.layout import Dataset
from stylebatch.run.annotations import annotate
from stylebatch.run.metadata import write_records
from stylebatch.run.session import RunSummary, new_summary, write_summary, writing
from stylebatch.system.log import logger


def merge_output(dataset: Dataset, manifest: str = "") -> RunSummary:
    """Merge the ledgers of an output's shards and write its records; also where there are none.

    Args:
        manifest: what `run.json` is to name as such.

    Returns:
        the summary, as in `run.json`: `done_before` is what is there, whoever made it.

    Raises:
        UserError: a run of it, or of one of its shards, goes on (10); the output is lost (5).
    """
    summary = new_summary(dataset, manifest)
    with writing(dataset, summary) as started_s, Ledger.open(dataset.ledger) as ledger:
        counts = ledger.counts().values()
        summary.done_before = sum(states.get("done", 0) for states in counts)
        summary.failed = sum(states.get("failed", 0) for states in counts)
        summary.rejected = sum(states.get("rejected", 0) for states in counts)
        ended = summary.done_before + summary.failed + summary.rejected
        summary.planned = max(ended, sum((ledger.get("plan") or {}).values()))
        summary.remaining = summary.planned - ended
        summary.exit_code = 3 if summary.failed else 0
        annotate(dataset, ledger, summary)
        write_records(dataset, ledger)
        summary.seconds = round(time.monotonic() - started_s, 3)
        write_summary(dataset, summary)
        logger.info("merge %s: %s", summary.run_id, asdict(summary))
    return summary
