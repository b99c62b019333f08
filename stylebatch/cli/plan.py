"""`stylebatch plan`: what a run would do."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.filesize import decimal

from stylebatch.annotations.report import Report
from stylebatch.cli.annotations import annotation_lines
from stylebatch.cli.arguments import Changes, Rehash, check_writable
from stylebatch.cli.inputs import passed_over_text, staying
from stylebatch.cli.several import Manifests, WrittenPlan, check_alone, load_all
from stylebatch.cli.tables import first_few, print_table, say
from stylebatch.extractors.weights import NamedWeights
from stylebatch.ledger import (
    Ledger,
    PairCounts,
    PlannedJobs,
    StaleFound,
    Waiting,
)
from stylebatch.manifest import Manifest
from stylebatch.plan import PlanFile, PlannedFolder, PlanSummary
from stylebatch.preview.disk_space import DiskSpace, mean_pixels, measure_space
from stylebatch.records import Group, Style
from stylebatch.run import (
    RunRequest,
    check_output,
    check_start,
    describe_download,
    make_plan,
    open_to_plan,
    survey_annotations,
)
from stylebatch.system.words import counted

# Exact sizes can give a folder of photographs thousands of them.
MAX_SIZES = 20
BACK, NOT_KNOWN = "to take back", "not known"


def plan(
    paths: Manifests = None,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="Write every job that waits, one JSON object a line.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Count what has failed as to be done.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write which image gets which style, for --plan and `assign: {map: FILE}`.",
            dir_okay=False,
        ),
    ] = None,
    rehash: Rehash = False,
    written: WrittenPlan = None,
    changes: Changes = None,
) -> None:
    """Show what a run would do. Writes nothing but the file that --write names."""
    if write is not None:
        check_alone(paths, "--write")
        check_writable(write)
    manifests = load_all(paths, changes, written)
    request = RunRequest(retry_failed=retry_failed, rehash=rehash)
    for manifest in manifests:
        file = PlanFile(manifest)
        note = file.note if write is not None else _forget
        if jobs:
            _print_jobs(manifest, request, note)
        else:
            if len(manifests) > 1:
                typer.echo(f"{manifest.path}:")
            show_plan(manifest, request, note)
        if write is not None:
            file.write(write)


def _forget(planned: PlannedFolder) -> None:
    pass


def _print_jobs(
    manifest: Manifest, request: RunRequest, note: Callable[[PlannedFolder], object]
) -> None:
    with open_to_plan(manifest.dataset()) as ledger:
        planned, _, _ = _planned(manifest, ledger, request, note)
        for group in planned.groups():
            for job in _jobs_of(planned.take, group):
                typer.echo(json.dumps(asdict(job), ensure_ascii=False))


def _planned(
    manifest: Manifest,
    ledger: Ledger,
    request: RunRequest,
    note: Callable[[PlannedFolder], object],
) -> tuple[PlannedJobs, PlanSummary, dict[str, Style]]:
    return make_plan(
        manifest, ledger, retry_failed=request.retry_failed, rehash=request.rehash, note=note
    )


def _jobs_of(take: Any, group: Group) -> Any:
    taken = 0
    while block := take(group, 1000, taken):
        yield from block
        taken += len(block)


def show_plan(
    manifest: Manifest,
    request: RunRequest,
    note: Callable[[PlannedFolder], object] = _forget,
) -> None:
    """Print a plan: a table of the pairs, then of what waits, by size; `note` is told its jobs."""
    with open_to_plan(manifest.dataset()) as ledger:
        planned, summary, styles = _planned(manifest, ledger, request, note)
        foreseen = foresee(manifest, planned, summary, ledger, styles)
        print_plan(Console(highlight=False), manifest, foreseen)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a plan has to tell.

    Attributes:
        stale: what the plan no longer has; only a whole plan knows them.
        exchanged: images of earlier settings in whose place one is taken back.
        waiting: what is to be made.
        space: what is known of the sizes of its files.
        downloads: weights that a run would fetch first.
        annotations: of all photographs.
    """

    counts: Mapping[str, PairCounts]
    summary: PlanSummary
    stale: StaleFound
    exchanged: int
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
    request: RunRequest | None = None,
) -> Foreseen:
    """Ask a plan that was made for a request, and its ledger, for what there is to tell.

    Raises:
        UserError, Problems: what a run that makes it would be refused for.
    """
    request = request or RunRequest()
    waiting = ledger.sizes.waiting()
    ids = {each.group.settings_id for each in waiting}
    if waiting:
        check_output(manifest.output)
    return Foreseen(
        counts=planned.counts,
        summary=summary,
        stale=(
            StaleFound()
            if request.shard
            else planned.find_stale(allow_removals=request.allow_removals)
        ),
        exchanged=_exchanged(planned),
        waiting=waiting,
        downloads=check_start(manifest, ids) if waiting else (),
        space=measure_space(manifest, planned, ledger, styles),
        annotations=survey_annotations(manifest, ledger),
    )


def _exchanged(planned: PlannedJobs) -> int:
    if not sum(count.outdated for count in planned.counts.values()):
        return 0
    return sum(job.is_replacement for block in planned.returning() for job, _ in block)


def print_plan(console: Console, manifest: Manifest, foreseen: Foreseen) -> None:
    """Print what `foresee` has found."""
    summary, counts = foreseen.summary, foreseen.counts
    # Columns that most plans can do without.
    some = {"rejected": "rejected", "returning": BACK}
    shown = [key for key in some if any(getattr(count, key) for count in counts.values())]
    more = (some[key] for key in shown)
    header = ("pair", "photographs", "styles", "jobs", "done", "failed", *more, "to do", "bytes")
    rows = _pair_rows(manifest, foreseen, shown)
    print_table(console, (*header, "content"), rows)
    if foreseen.waiting:
        print_table(console, *_sizes(foreseen.waiting, manifest))
    if splits := list(summary.split_rows()):
        print_table(console, ("pair", "split", "images", ""), splits)
    for line in (*summary.split_lines(), *summary.left_out()):
        say(console, line)
    for line in summary.warnings():
        say(console, f"warning: {line}")
    for name, found in summary.pairs.items():
        if found.originals:
            carried = counted(found.originals, "photograph", "is", "are")
            say(console, f"{name}: {carried} carried over beside what is made of them")
    for name, suffixes in summary.passed_over().items():
        say(console, f"{name}: passed over {passed_over_text(suffixes)}")
    for line in annotation_lines(foreseen.annotations):
        say(console, line)
    for named in foreseen.downloads:
        say(console, f"downloads first: {describe_download(named)}")
    for line in (*_moves(foreseen), *_stays(manifest, foreseen)):
        say(console, line)
    say(console, _verdict(counts.values(), _bytes_of(foreseen.space, foreseen.waiting)))


def _moves(foreseen: Foreseen) -> Iterator[str]:
    """Say which images would be replaced, taken back and set aside."""
    counts, stale = foreseen.counts.values(), foreseen.stale.stale
    outdated, returning = (
        sum(getattr(count, name) for count in counts) for name in ("outdated", "returning")
    )
    if outdated := outdated - foreseen.exchanged:
        old, stays = counted(outdated, "image", "is", "are"), "it" if outdated == 1 else "each"
        yield f"{old} of earlier settings: {stays} stays until its successor is there"
    if returning:
        lying = counted(returning, "image", "lies", "lie")
        yield f"{lying} in .stylebatch/stale as wanted: a run takes {_them(returning)} back"
    if stale:
        old, moves = counted(stale, "image", "is", "are"), f"a run moves {_them(stale)}"
        yield f"{old} no longer in the plan: at its end {moves} to .stylebatch/stale"


def _stays(manifest: Manifest, foreseen: Foreseen) -> Iterator[str]:
    """Say what can't be reached, and which images stay although the plan does not have them."""
    stale = foreseen.stale
    unreachable = stale.reasons | foreseen.summary.unreachable()
    withheld = stale.removed if stale.is_withheld else 0
    kept = stale.unreachable.total()
    yield from staying(unreachable, kept, withheld, manifest.run.max_removals)


def _them(count: int) -> str:
    return "it" if count == 1 else "them"


def _pair_rows(
    manifest: Manifest, foreseen: Foreseen, shown: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    waiting: dict[str, list[Waiting]] = {}
    for each in foreseen.waiting:
        waiting.setdefault(each.pair, []).append(each)
    for pair in manifest.pairs:
        counts = foreseen.counts[pair.name]
        more = (getattr(counts, key) for key in shown)
        numbers = (counts.total, counts.done, counts.failed, *more, counts.pending)
        images, styles = foreseen.summary.pairs[pair.name].images, len(pair.styles)
        size = _bytes_of(foreseen.space, waiting.get(pair.name, ()))
        yield pair.name, *map(str, (images, styles, *numbers)), size, pair.content


def _bytes_of(space: DiskSpace, waiting: Sequence[Waiting]) -> str:
    """Say how much room images will take; "" where nothing is to be made."""
    if not waiting:
        return ""
    size = space.bytes_of([each.group for each in waiting], mean_pixels(waiting))
    return NOT_KNOWN if size is None else f"about {decimal(size)}"


def _verdict(counts: Collection[PairCounts], size: str) -> str:
    pending, returning = (
        sum(getattr(count, name) for count in counts) for name in ("pending", "returning")
    )
    if not pending:
        return f"{counted(returning, 'image')} to take back" if returning else "nothing to do"
    bytes_text = "bytes not known yet" if size == NOT_KNOWN else size
    back = f", {returning:,} to take back" if returning else ""
    return f"{counted(pending, 'image')} to make, {bytes_text}{back}"


def _sizes(
    waiting: Sequence[Waiting], manifest: Manifest
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return a table of sizes with the pairs whose images have them, the largest first."""
    carried = manifest.carrying_settings()
    asked = {key: each.recipe.output_size for key, each in manifest.all_settings().items()}
    order = {pair.name: number for number, pair in enumerate(manifest.pairs)}
    rows: dict[tuple[str, str], tuple[int, list[str]]] = {}
    waiting = sorted(waiting, key=lambda each: order[each.pair])
    for each in sorted(waiting, key=lambda each: -each.group.width * each.group.height):
        width, height, jobs = each.group[1:]
        mean = each.content_pixels / jobs
        is_carried = each.group.settings_id in carried
        size = f"{width}×{height}" if width else "originals" if is_carried else "unreadable"
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
