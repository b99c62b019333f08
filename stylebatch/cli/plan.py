"""`stylebatch plan`: what a run would do."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stylebatch.cli.arguments import DEFAULT_MANIFEST, table_of
from stylebatch.ledger import PairCounts, PlannedJobs, open_together
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.plan import PlanSummary
from stylebatch.records import Group, Job, Shape
from stylebatch.run import make_plan
from stylebatch.system.words import counted


def plan(
    path: Annotated[
        Path, typer.Argument(metavar="MANIFEST", help="The manifest.")
    ] = DEFAULT_MANIFEST,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Write every job that waits, one JSON object a line.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Count what has failed as to be done.")
    ] = False,
) -> None:
    """Show what a run would do. Writes nothing."""
    manifest = load_manifest(path)
    if not jobs:
        show_plan(manifest, retry_failed=retry_failed)
        return
    with open_together(Dataset(manifest.output)) as ledger:
        planned, _, _ = make_plan(manifest, ledger, retry_failed=retry_failed)
        for group in planned.groups():
            for job in _jobs_of(planned.take, group):
                typer.echo(json.dumps(asdict(job), ensure_ascii=False))


def _jobs_of(take: Any, group: Group) -> Any:
    last: Job | None = None
    while block := take(group, 1000, last):
        yield from block
        last = block[-1]


def show_plan(manifest: Manifest, *, retry_failed: bool) -> None:
    """Print a plan: a table of the pairs, then of what waits, by shape."""
    with open_together(Dataset(manifest.output)) as ledger:
        planned, summary, _ = make_plan(manifest, ledger, retry_failed=retry_failed)
        print_plan(manifest, planned, summary, None, ledger.sizes.waiting_pixels)


def print_plan(
    manifest: Manifest,
    planned: PlannedJobs,
    summary: PlanSummary,
    shard: Shard | None,
    waiting_pixels: Callable[[], Mapping[Shape, int]],
) -> None:
    """Print a plan that was made; only a whole one has outputs that are out of date.

    Args:
        waiting_pixels: of the contents of all that waits, their sum by shape; a query that is
            asked only where files are as large as these.
    """
    groups = planned.groups()
    stale = 0 if shard else planned.find_stale()
    console = Console(highlight=False)
    pairs = table_of("pair", "content", "images", "styles", "jobs", "done", "failed", "to do")
    for pair in manifest.pairs:
        counts = planned.counts[pair.name]
        numbers = (counts.total, counts.done, counts.failed, counts.pending)
        images, styles = summary.pairs[pair.name].images, len(pair.styles)
        pairs.add_row(pair.name, pair.content, *map(str, (images, styles, *numbers)))
    console.print(pairs)
    if groups:
        console.print(_shapes(groups, manifest, waiting_pixels))
    for line in summary.warnings():
        console.print(f"warning: {line}", markup=False)
    for name, found in summary.pairs.items():
        if found.passed_over:
            console.print(f"{name}: passed over {_suffixes(found.passed_over)}", markup=False)
    if stale:
        old, them = counted(stale, "image", "is", "are"), "it" if stale == 1 else "them"
        console.print(f"{old} out of date: a run moves {them} to .stylebatch/stale")
    console.print(_verdict(planned.counts), markup=False)


def _verdict(counts: dict[str, PairCounts]) -> str:
    pending = sum(count.pending for count in counts.values())
    return f"{counted(pending, 'image')} to make" if pending else "nothing to do"


def _shapes(
    groups: list[Group], manifest: Manifest, waiting_pixels: Callable[[], Mapping[Shape, int]]
) -> Table:
    table = table_of("size while optimising", "images", "size of the files", "settings")
    asked = {key: each.recipe.output_size for key, each in manifest.all_settings().items()}
    is_as_content = any(asked[group.settings_id] == "content" for group in groups)
    pixels = waiting_pixels() if is_as_content else {}
    for group in sorted(groups, key=lambda group: (-group.width * group.height, group)):
        size = f"{group.width}×{group.height}" if group.width else "unreadable"
        mean = pixels.get(group.shape, 0) / group.num_jobs
        files = _file_size(asked[group.settings_id], mean)
        table.add_row(size, str(group.num_jobs), files if group.width else "", group.settings_id)
    return table


def _file_size(asked: str | int | tuple[int, int], content_pixels: float) -> str:
    """Say how large files come out, of contents with so many pixels in the mean."""
    if asked == "content":
        return f"as content, {content_pixels / 1e6:.2g} MP"
    if isinstance(asked, tuple):
        return f"{asked[0]}×{asked[1]}, cut"
    return "as optimised" if asked == "work" else f"{asked} px, longest edge"


def _suffixes(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {suffix or 'no suffix'}" for suffix, count in counts.most_common())
