"""The commands that only tell: plan, status, schema, doctor."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from stylebatch.cli import checks, watch
from stylebatch.cli.arguments import DEFAULT_MANIFEST, find_output, table_of
from stylebatch.ledger import PairCounts, PlannedJobs, open_together, read_standing
from stylebatch.manifest import Manifest, json_schema, load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.plan import PlanSummary
from stylebatch.records import Group, Job, Shape
from stylebatch.run import make_plan
from stylebatch.system.words import counted

MAX_REASONS = 20
WATCH_S = 2.0


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
    for line in _moves(planned, stale):
        console.print(line, markup=False)
    console.print(_verdict(planned.counts), markup=False)


def _moves(planned: PlannedJobs, stale: int) -> Iterator[str]:
    """Say which images would be replaced, taken back and set aside."""
    counts = planned.counts.values()
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


def status(
    path: Annotated[
        Path, typer.Argument(metavar="MANIFEST|OUT", help="The manifest, or the output folder.")
    ] = DEFAULT_MANIFEST,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    is_watched: Annotated[
        bool, typer.Option("--watch", help="Again and again, until no run is going on, or Ctrl-C.")
    ] = False,
    every_s: Annotated[
        float | None,
        typer.Option(
            "--every",
            min=0.1,
            metavar="SECONDS",
            help=f"--watch looks as often, or less; else {WATCH_S:g}.",
        ),
    ] = None,
) -> None:
    """Show how far an output is. Reads the ledger only: also while a run goes on."""
    if every_s is not None and not is_watched:
        raise typer.BadParameter("is of watching: add --watch", param_hint="--every")
    every_s = every_s or WATCH_S
    dataset = find_output(path)

    def look() -> dict[str, Any]:
        return read_status(dataset)

    if is_watched and as_json:
        with suppress(KeyboardInterrupt):
            for found in watch.looks(look, every_s, lambda error: None):
                typer.echo(json.dumps(found, ensure_ascii=False))
    elif is_watched:
        watch.watch(look, _show_status, every_s)
    elif as_json:
        typer.echo(json.dumps(look(), ensure_ascii=False, indent=2))
    else:
        _show_status(look(), Console(highlight=False))


def read_status(dataset: Dataset) -> dict[str, Any]:
    """Return what `status --json` prints."""
    standing = read_standing(dataset)
    return {
        "output": str(dataset.root),
        "running": standing.running or None,
        "shards": {shard: holder or None for shard, holder in standing.shards.items()},
        "pairs": _pair_states(standing.counts, standing.planned),
        "failures": standing.failures,
    }


def _pair_states(
    counts: dict[str, dict[str, int]], plan_totals: dict[str, int]
) -> dict[str, dict[str, int]]:
    """Put the ledger's states and the last plan's totals together."""
    states = {}
    for pair in sorted({*counts, *plan_totals}):
        done, failed, outdated = (
            counts.get(pair, {}).get(state, 0) for state in ("done", "failed", "outdated")
        )
        planned = plan_totals.get(pair, done + failed)
        left = max(0, planned - done - failed)
        states[pair] = {"planned": planned, "done": done, "failed": failed, "left": left}
        states[pair]["outdated"] = outdated
    return states


def _show_status(found: Mapping[str, Any], console: Console) -> None:
    console.print(found["output"], style="bold", markup=False)
    if holder := found["running"]:
        console.print("  a run is going on: process {pid} on {host}".format(**holder))
    for shard, holder in found["shards"].items():
        state = "process {pid} on {host}".format(**holder) if holder else "not running, not merged"
        console.print(f"  shard {shard}: {state}", markup=False)
    table = table_of("pair", "jobs", "done", "failed", "to do")
    for pair, state in found["pairs"].items():
        numbers = (state["planned"], state["done"], state["failed"], state["left"])
        table.add_row(pair, *map(str, numbers))
    console.print(table)
    if outdated := sum(state["outdated"] for state in found["pairs"].values()):
        old = counted(outdated, "image", "stands", "stand")
        console.print(f"{old} that the plan wants otherwise, or no longer", markup=False)
    for reason, outputs in list(found["failures"].items())[:MAX_REASONS]:
        more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
        console.print(f"failed: {outputs[0]}{more}: {reason}", markup=False, soft_wrap=True)


def schema() -> None:
    """Print the manifest's JSON Schema, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def doctor() -> None:
    """Check this machine: packages, devices, weights, folders."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    results = checks.examine()
    for check in results:
        mark, style = ("ok", "green") if check.is_good else ("!!", "yellow")
        if check.is_fatal and not check.is_good:
            style = "red"
        table.add_row(f"[{style}]{mark}[/]", check.name, check.text)
    console.print(table)
    if any(check.is_fatal and not check.is_good for check in results):
        raise typer.Exit(2)
