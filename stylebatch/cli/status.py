"""`stylebatch status`: how far an output is."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stylebatch.cli import watch
from stylebatch.cli.arguments import DEFAULT_MANIFEST, find_output
from stylebatch.cli.tables import print_table, say
from stylebatch.ledger import read_standing
from stylebatch.output.layout import Dataset

MAX_REASONS = 20
WATCH_S = 2.0


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
        done, failed = (counts.get(pair, {}).get(state, 0) for state in ("done", "failed"))
        planned = plan_totals.get(pair, done + failed)
        left = max(0, planned - done - failed)
        states[pair] = {"planned": planned, "done": done, "failed": failed, "left": left}
    return states


def _show_status(found: Mapping[str, Any], console: Console) -> None:
    say(console, found["output"], "bold")
    if holder := found["running"]:
        say(console, "  a run is going on: process {pid} on {host}".format(**holder))
    for shard, holder in found["shards"].items():
        state = "process {pid} on {host}".format(**holder) if holder else "not running, not merged"
        say(console, f"  shard {shard}: {state}")
    rows = [
        (pair, *(str(state[key]) for key in ("planned", "done", "failed", "left")))
        for pair, state in found["pairs"].items()
    ]
    print_table(console, ("pair", "jobs", "done", "failed", "to do"), rows)
    for reason, outputs in list(found["failures"].items())[:MAX_REASONS]:
        more = f" and {len(outputs) - 1} more" if len(outputs) > 1 else ""
        say(console, f"failed: {outputs[0]}{more}: {reason}")
