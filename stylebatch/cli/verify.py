"""`stylebatch verify`."""

import json
from typing import Annotated

import typer
from rich.console import Console

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, check_merged, find_output
from stylebatch.cli.tables import print_table, say
from stylebatch.output.layout import Dataset
from stylebatch.system.bars import passing_bar
from stylebatch.system.words import counted, size_text
from stylebatch.verify import KINDS, Difference, Found, repair_output, verify_output

_FOUND = 3
_MOST_OF_A_KIND = 20


def verify(
    path: OutputPath = DEFAULT_MANIFEST,
    is_repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Let the next run make again what is not as it was; records at once."
        ),
    ] = False,
    is_quick: Annotated[
        bool,
        typer.Option("--quick", help="By names and sizes: no image is read, nor a loss log."),
    ] = False,
    is_all: Annotated[
        bool, typer.Option("--all", help=f"List all, not {_MOST_OF_A_KIND} of a kind.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Hold every file of an output against its ledger and records.

    Images by the digest of their bytes, loss logs by their evaluations, metadata, settings,
    failures, annotations; images that no run has made; photographs on both sides of a split.
    Ends with 3 where anything differs. Also while a run goes on.
    """
    dataset = find_output(path)
    if is_repair:
        check_merged(dataset)
    look = repair_output if is_repair else verify_output
    with passing_bar() as tell:
        found = look(dataset, tell, is_quick=is_quick)
    if as_json:
        typer.echo(_json(dataset, found))
    else:
        _print(dataset, found, most=None if is_all else _MOST_OF_A_KIND)
    raise typer.Exit(_FOUND if found.differences else 0)


def _json(dataset: Dataset, found: Found) -> str:
    told = {
        "output": dataset.place,
        "images": found.images,
        "bytes": found.num_bytes,
        "loss_logs": found.loss_logs,
        "annotations": found.annotations,
        "counts": found.counts(),
        "differences": [
            {"kind": each.kind, "path": each.path, "found": each.found}
            for each in found.differences
        ],
        "to_make": found.to_make,
        "notes": found.notes,
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _print(dataset: Dataset, found: Found, most: int | None) -> None:
    console, by_kind = Console(highlight=False), dict[str, list[Difference]]()
    for each in found.differences:
        by_kind.setdefault(each.kind, []).append(each)
    for kind in found.counts():
        differences = by_kind[kind]
        meaning, todo = KINDS[kind]
        say(console, f"{kind}: {meaning}; {todo}", "bold")
        shown = differences[:most]
        print_table(console, ("found", "path"), [(each.found, each.path) for each in shown])
        if more := len(differences) - len(shown):
            say(console, f"and {more:,} more: --all lists them")
        say(console, "")
    for note in found.notes:
        say(console, note)
    say(console, f"{dataset.place}: {_looked_at(found)}: {_verdict(found)}")


def _looked_at(found: Found) -> str:
    size = f" ({size_text(found.num_bytes)})" if found.num_bytes else ""
    told = [f"{counted(found.images, 'image')}{size}"]
    if found.loss_logs:
        told.append(counted(found.loss_logs, "loss log"))
    if found.annotations:
        told.append(counted(found.annotations, "annotation file"))
    return ", ".join(told)


def _verdict(found: Found) -> str:
    if not found.differences:
        return "all is as it was written"
    told = [f"{count:,} {kind}" for kind, count in found.counts().items()]
    text = f"differences: {', '.join(told)}"
    if found.to_make:
        text += f"; {counted(found.to_make, 'image')} to be made again by the next run"
    if found.has_written:
        text += "; the records are written anew"
    return text
