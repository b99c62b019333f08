"""`stylebatch status`: how far an output is."""

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stylebatch.cli import watch
from stylebatch.cli.arguments import DEFAULT_MANIFEST, Changes, check_in_folder, find_output
from stylebatch.cli.durations import roughly
from stylebatch.cli.report import Fresh
from stylebatch.cli.tables import print_table, say
from stylebatch.cli.wording import furthest_text, left_text, stop_text
from stylebatch.ledger import Ledger, open_together, read_standing
from stylebatch.output.activity import read_activity
from stylebatch.output.layout import Dataset
from stylebatch.run import Finishing, annotation_failures
from stylebatch.system.words import counted

MAX_REASONS = 20
WATCH_S = 2.0
# A run tells what it is doing once a second; a disk or a busy machine may make it wait.
SILENT_S = 60.0
STATES = ("planned", "done", "failed", "rejected", "left", "outdated")
KINDS = ("original", "stylised")


def status(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[MANIFEST|OUT]...",
            help=f"Manifests, or output folders; else {DEFAULT_MANIFEST}.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="For programs; of several a line each.")
    ] = False,
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
    is_page: Annotated[
        bool, typer.Option("--html", help="--watch keeps report/index.html fresh as well.")
    ] = False,
    changes: Changes = None,
) -> None:
    """Show how far an output is. Reads the ledger only: also while a run goes on."""
    if every_s is not None and not is_watched:
        raise typer.BadParameter("is of watching: add --watch", param_hint="--every")
    if is_page and not is_watched:
        todo = "is of watching: add --watch, or call `stylebatch report`"
        raise typer.BadParameter(todo, param_hint="--html")
    datasets = [find_output(path, changes or ()) for path in paths or [DEFAULT_MANIFEST]]
    for dataset in datasets:
        if is_page:
            check_in_folder(dataset, "status --html")
    if len(datasets) == 1:
        page = Fresh(datasets[0]) if is_page else None
        _show_one(datasets[0], every_s or WATCH_S, page, as_json=as_json, is_watched=is_watched)
    elif is_watched:
        raise typer.BadParameter("watches one output: name one", param_hint="--watch")
    else:
        _show_several(datasets, as_json=as_json)


def _show_several(datasets: Sequence[Dataset], *, as_json: bool) -> None:
    console = Console(highlight=False)
    for number, dataset in enumerate(datasets):
        found = read_status(dataset)
        if as_json:
            typer.echo(json.dumps(found, ensure_ascii=False))
        else:
            if number:
                say(console, "")
            _show_status(found, console)


def _show_one(
    dataset: Dataset, every_s: float, page: Fresh | None, *, as_json: bool, is_watched: bool
) -> None:
    def look() -> dict[str, Any]:
        return read_status(dataset, is_watched=is_watched)

    def renew(found: Mapping[str, Any]) -> None:
        if page:
            page.renew(is_running=watch.is_running(found))

    if is_watched and as_json:
        with suppress(KeyboardInterrupt):
            for found in watch.looks(look, every_s, lambda error: None):
                typer.echo(json.dumps(found, ensure_ascii=False))
                renew(found)
    elif is_watched:
        watch.watch(look, _show_status, every_s, renew)
    elif as_json:
        typer.echo(json.dumps(look(), ensure_ascii=False, indent=2))
    else:
        _show_status(look(), Console(highlight=False))


def read_status(dataset: Dataset, *, is_watched: bool = False) -> dict[str, Any]:
    """Return what `status --json` prints.

    Args:
        is_watched: leave out what takes a look at every image.
    """
    standing = read_standing(dataset)
    with Ledger.open(dataset.ledger, read_only=True) as ledger:
        failed_annotations = sum(1 for _ in annotation_failures(ledger))
    pairs = _pair_states(standing.counts, standing.planned)
    shards = {str(each.shard): each for each in dataset.shards()}
    return {
        "output": dataset.place,
        "running": _with_activity(standing.running, dataset),
        "shards": {
            shard: _with_activity(holder, shards.get(shard, dataset))
            for shard, holder in standing.shards.items()
        },
        "pairs": pairs,
        "total": {key: sum(state[key] for state in pairs.values()) for key in STATES},
        "splits": {} if is_watched else _splits(dataset),
        "failures": standing.failures,
        "failed_annotations": failed_annotations,
    }


def _splits(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return of each split how many images of each kind are there; none where there are none."""
    with open_together(dataset) as ledger:
        found = ledger.splits()
    return {
        split: {kind: counts.get(kind, 0) for kind in KINDS}
        for split, counts in found.items()
        if split is not None
    }


def _with_activity(holder: Mapping[str, Any], dataset: Dataset) -> dict[str, Any] | None:
    return {**holder, "activity": read_activity(dataset)} if holder else None


def _pair_states(
    counts: dict[str, dict[str, int]], plan_totals: dict[str, int]
) -> dict[str, dict[str, int]]:
    """Put the ledger's states and the last plan's totals together, in the manifest's order."""
    states = {}
    for pair in dict.fromkeys([*plan_totals, *sorted(counts)]):
        done, failed, rejected, outdated = (
            counts.get(pair, {}).get(state, 0)
            for state in ("done", "failed", "rejected", "outdated")
        )
        ended = done + failed + rejected
        planned = plan_totals.get(pair, ended)
        left = max(0, planned - ended)
        numbers = (planned, done, failed, rejected, left, outdated)
        states[pair] = dict(zip(STATES, numbers, strict=True))
    return states


def _show_status(found: Mapping[str, Any], console: Console) -> None:
    say(console, found["output"], "bold")
    if holder := found["running"]:
        say(console, "  a run is going on: process {pid} on {host}".format(**holder))
        _show_activity(console, holder["activity"])
    for shard, holder in found["shards"].items():
        state = "process {pid} on {host}".format(**holder) if holder else "not running, not merged"
        say(console, f"  shard {shard}: {state}")
        if holder:
            _show_activity(console, holder["activity"])
    shown = {"planned": "jobs", "done": "done", "failed": "failed", "rejected": "rejected"}
    shown["left"] = "to do"
    if not found["total"]["rejected"]:
        del shown["rejected"]
    rows = [(pair, *(str(state[key]) for key in shown)) for pair, state in found["pairs"].items()]
    print_table(console, ("pair", *shown.values()), rows)
    say(console, _total_text(found["total"]))
    if outdated := found["total"]["outdated"]:
        old = counted(outdated, "image", "stands", "stand")
        say(console, f"{old} that the plan wants otherwise, or no longer")
    if splits := found["splits"]:
        of_each = (
            f"{split} {' and '.join(f'{counts[kind]:,} {kind}' for kind in KINDS if counts[kind])}"
            for split, counts in splits.items()
        )
        say(console, f"images by split: {'; '.join(of_each)}")
    if failed := found["failed_annotations"]:
        say(console, f"{counted(failed, 'annotation')} failed: failures.jsonl says why")
    for reason, outputs in list(found["failures"].items())[:MAX_REASONS]:
        more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
        say(console, f"failed: {outputs[0]}{more}: {reason}")


def _total_text(total: Mapping[str, int]) -> str:
    # By the ledger: a file that was deleted by hand since is found by `plan` and `run`.
    beyond = max(0, total["done"] - total["planned"])
    done = total["done"] - beyond
    parts = [f"{done:,} of {counted(total['planned'], 'image', 'is', 'are')} done"]
    if beyond:
        parts.append(f"{counted(beyond, 'more image')} that the last plan did not have")
    if total["failed"]:
        parts.append(f"{total['failed']:,} failed")
    if total["rejected"]:
        parts.append(f"{total['rejected']:,} rejected")
    if total["left"]:
        parts.append(f"{total['left']:,} to make")
    return ", ".join(parts)


def _show_activity(console: Console, activity: Mapping[str, Any] | None) -> None:
    if activity is not None:
        say(console, f"    {activity_text(activity, time.time())}")


def activity_text(activity: Mapping[str, Any], now_s: float) -> str:
    """Say what a run does, and how long it still takes; or since when nothing was heard of it.

    Args:
        now_s: seconds since 1970, by a clock that need not be the run's.
    """
    age_s = max(0.0, now_s - activity["at"])
    silence = f"; nothing heard of it for {roughly(age_s)}" if age_s > SILENT_S else ""
    if "total" not in activity:
        return f"{activity['doing']}{silence}"
    if stopped_by := activity["stopped_by"]:
        finishing = activity["finishing"]
        text = stop_text(stopped_by, Finishing(**finishing) if finishing else None)
        return text.partition(";")[0] + silence
    parts = [activity["doing"]]
    if activity["running"]:
        parts.append(f"{activity['running']:,} at once")
    if activity["furthest"]:
        parts.append(furthest_text(activity["furthest"]))
    known = (
        None if left_s is None or silence else max(0.0, left_s - age_s)
        # A run of an earlier version tells no most.
        for left_s in (activity["left_s"], activity.get("most_left_s"))
    )
    return f"{', '.join(parts)}; {left_text(*known)}{silence}"
