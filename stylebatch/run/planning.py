"""A manifest planned against what its output's ledger knows."""

from collections.abc import Callable
from functools import partial

from stylebatch.ledger import Ledger, PlannedJobs
from stylebatch.manifest import Manifest
from stylebatch.output.shard import Shard
from stylebatch.plan import PlannedFolder, PlanSummary, plan_jobs, resolve_styles
from stylebatch.records import Style
from stylebatch.run.manifests import check_only_manifest
from stylebatch.run.targets import check_library


def make_plan(
    manifest: Manifest,
    ledger: Ledger,
    *,
    retry_failed: bool = False,
    rehash: bool = False,
    redo: bool = False,
    takes_out: bool = True,
    shard: Shard | None = None,
    check: Callable[[PlanSummary], object] = lambda summary: None,
    note: Callable[[PlannedFolder], object] = lambda planned: None,
) -> tuple[PlannedJobs, PlanSummary, dict[str, Style]]:
    """Plan a manifest, or a shard of it, against a ledger: what is done, failed, to do.

    Writes no output.

    Args:
        rehash: read all inputs again, also those that seem unchanged.
        check: is called between folders with what was found so far, and may raise.
        note: is told all jobs, some at a time.
        takes_out: as of `PlannedJobs`.

    Raises:
        UserError: inputs that can't be read, outputs that collide or that are not ours, styles of
            the library that lack what is needed.
    """
    check_only_manifest(manifest, ledger)
    summary = PlanSummary()
    if rehash:
        ledger.read_anew()
    styles = resolve_styles(manifest, ledger, summary.unreadable_styles)
    dataset = manifest.dataset(shard)
    planned = ledger.begin_plan(
        manifest, styles, dataset, retry_failed=retry_failed, redo=redo, takes_out=takes_out
    )
    tick = partial(check, summary)
    for folder in plan_jobs(manifest, ledger, styles, summary, shard, tick):
        planned.add(folder)
        note(folder)
        check(summary)
    planned.finish()
    check_library(manifest, styles, planned)
    return planned, summary, styles
