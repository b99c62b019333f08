"""`stylebatch plan`: what a run would do."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal

from stylebatch.annotations.report import Report
from stylebatch.cli.annotations import annotation_lines
from stylebatch.cli.arguments import Changes
from stylebatch.cli.several import Manifests, load_all
from stylebatch.cli.tables import first_few, print_table, say
from stylebatch.extractors.weights import NamedWeights
from stylebatch.ledger import Ledger, PairCounts, PlannedJobs, Waiting, open_together
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.plan import PlanSummary
from stylebatch.preview.disk_space import DiskSpace, mean_pixels, measure_space
from stylebatch.records import Group, Job, Style
from stylebatch.run import check_start, describe_download, make_plan, survey_annotations
from stylebatch.system.words import counted

# Exact sizes can give a folder of photographs thousands of them.
MAX_SIZES = 20


def plan(
    paths: Manifests = None,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Write every job that waits, one JSON object a line.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Count what has failed as to be done.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Show what a run would do. Writes nothing."""
    manifests = load_all(paths, changes)
    for manifest in manifests:
        if jobs:
            _print_jobs(manifest, retry_failed=retry_failed)
            continue
        if len(manifests) > 1:
            typer.echo(f"{manifest.path}:")
        show_plan(manifest, retry_failed=retry_failed)


def _print_jobs(manifest: Manifest, *, retry_failed: bool) -> None:
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
    """Print a plan: a table of the pairs, then of what waits, by size."""
    with open_together(Dataset(manifest.output)) as ledger:
        planned, summary, styles = make_plan(manifest, ledger, retry_failed=retry_failed)
        foreseen = foresee(manifest, planned, summary, ledger, styles, None)
        print_plan(Console(highlight=False), manifest, foreseen)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a plan has to tell.

    Attributes:
        stale: images that the plan no longer has; only a whole plan knows them.
        waiting: what is to be made.
        space: what is known of the sizes of its files.
        downloads: weights that a run would fetch first.
        annotations: of all photographs.
    """

    counts: Mapping[str, PairCounts]
    summary: PlanSummary
    stale: int
    waiting: Sequence[Waiting]
    space: DiskSpace
    downloads: Sequence[NamedWeights]
    annotations: Report


def foresee(
    manifest: Manifest,
    planned: PlannedJobs,
    summary: PlanSummary,
    ledger: Ledger,
    styles: Mapping[str, Style],
    shard: Shard | None,
) -> Foreseen:
    """Ask a plan that was made, and its ledger, for what there is to tell.

    Raises:
        UserError, Problems: what a run that makes it would be refused for.
    """
    waiting = ledger.sizes.waiting()
    return Foreseen(
        counts=planned.counts,
        summary=summary,
        stale=0 if shard else planned.find_stale(),
        waiting=waiting,
        downloads=check_start(manifest) if waiting else (),
        space=measure_space(manifest, planned, ledger, styles),
        annotations=survey_annotations(manifest, ledger),
    )


def print_plan(console: Console, manifest: Manifest, foreseen: Foreseen) -> None:
    """Print what `foresee` has found."""
    summary, counts = foreseen.summary, foreseen.counts
    header = ("pair", "images", "styles", "jobs", "done", "failed", "to do", "bytes", "content")
    print_table(console, header, _pair_rows(manifest, foreseen))
    if foreseen.waiting:
        print_table(console, *_sizes(foreseen.waiting, manifest))
    for line in summary.warnings():
        say(console, f"warning: {line}")
    for name, found in summary.pairs.items():
        if found.passed_over:
            say(console, f"{name}: passed over {_suffixes(found.passed_over)}")
    for line in annotation_lines(foreseen.annotations):
        say(console, line)
    for named in foreseen.downloads:
        say(console, f"downloads first: {describe_download(named)}")
    for line in _moves(foreseen):
        say(console, line)
    say(console, _verdict(counts, _bytes_of(foreseen.space, foreseen.waiting)))


def _moves(foreseen: Foreseen) -> Iterator[str]:
    """Say which images would be replaced, taken back and set aside."""
    counts, stale = foreseen.counts.values(), foreseen.stale
    outdated, returning = (
        sum(getattr(count, name) for count in counts) for name in ("outdated", "returning")
    )
    if outdated:
        old, stays = counted(outdated, "image", "is", "are"), "it" if outdated == 1 else "each"
        yield f"{old} of earlier settings: {stays} stays until its successor is there"
    if returning:
        lying = counted(returning, "image", "lies", "lie")
        yield f"{lying} in .stylebatch/stale as wanted: a run takes {_them(returning)} back"
    if stale:
        old, moves = counted(stale, "image", "is", "are"), f"a run moves {_them(stale)}"
        yield f"{old} no longer in the plan: at its end {moves} to .stylebatch/stale"


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _pair_rows(manifest: Manifest, foreseen: Foreseen) -> Iterator[tuple[str, ...]]:
    waiting: dict[str, list[Waiting]] = {}
    for each in foreseen.waiting:
        waiting.setdefault(each.pair, []).append(each)
    for pair in manifest.pairs:
        counts = foreseen.counts[pair.name]
        numbers = (counts.total, counts.done, counts.failed, counts.pending)
        images, styles = foreseen.summary.pairs[pair.name].images, len(pair.styles)
        size = _bytes_of(foreseen.space, waiting.get(pair.name, ()))
        yield pair.name, *map(str, (images, styles, *numbers)), size, pair.content


def _bytes_of(space: DiskSpace, waiting: Sequence[Waiting]) -> str:
    """Say how much room images will take; "" where nothing is to be made."""
    if not waiting:
        return ""
    size = space.bytes_of([each.group for each in waiting], mean_pixels(waiting))
    return "not known" if size is None else f"about {decimal(size)}"


def _verdict(counts: Mapping[str, PairCounts], size: str) -> str:
    pending = sum(count.pending for count in counts.values())
    return f"{counted(pending, 'image')} to make, {size}" if pending else "nothing to do"


def _sizes(
    waiting: Sequence[Waiting], manifest: Manifest
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table of sizes with the pairs whose images have them, the largest first."""
    asked = {key: each.recipe.output_size for key, each in manifest.all_settings().items()}
    order = {pair.name: number for number, pair in enumerate(manifest.pairs)}
    rows: dict[tuple[str, str], tuple[int, list[str]]] = {}
    waiting = sorted(waiting, key=lambda each: order[each.pair])
    for each in sorted(waiting, key=lambda each: -each.group.width * each.group.height):
        width, height, jobs = each.group[1:]
        mean = each.content_pixels / jobs
        size = f"{width}×{height}" if width else "unreadable"
        files = _file_size(asked[each.group.settings_id], mean) if width else ""
        known, pairs = rows.get((size, files), (0, []))
        rows[size, files] = (known + jobs, [*pairs, each.pair])
    table: list[tuple[str, ...]] = [
        (size, str(jobs), files, first_few(list(dict.fromkeys(pairs))))
        for (size, files), (jobs, pairs) in rows.items()
    ]
    if (more := len(table) - MAX_SIZES) > 0:
        rest = sum(int(row[1]) for row in table[MAX_SIZES:])
        last = (f"and {counted(more, 'more size')}", str(rest), "", "")
        table = [*table[:MAX_SIZES], last]
    return ("size while optimising", "images", "size of the files", "pairs"), table


def _file_size(asked: str | int | tuple[int, int], content_pixels: float) -> str:
    """Say how large files come out, of contents with so many pixels in the mean."""
    if asked == "content":
        return f"as content, {content_pixels / 1e6:.2g} MP"
    if isinstance(asked, tuple):
        return f"{asked[0]}×{asked[1]}, cut"
    return "as optimised" if asked == "work" else f"{asked} px, longest edge"


def _suffixes(counts: Counter[str]) -> str:
    return ", ".join(f"{count} × {suffix or 'no suffix'}" for suffix, count in counts.most_common())
