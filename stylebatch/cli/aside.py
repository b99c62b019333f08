"""`stylebatch restore` and `stylebatch clean`: what lies in `stale/`."""

import time
from typing import Annotated

import typer
from rich.console import Console

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, find_output
from stylebatch.cli.durations import age
from stylebatch.cli.tables import print_table, say
from stylebatch.manifest import parse_duration
from stylebatch.output.layout import Dataset
from stylebatch.run import Restored, clean_output, list_aside, restore_output
from stylebatch.system.words import counted, size_text

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


def restore(
    path: OutputPath = DEFAULT_MANIFEST,
    is_replacing: Annotated[
        bool,
        typer.Option("--replace", help="Also where an image stands: that is set aside in turn."),
    ] = False,
    is_dry: DryRun = False,
) -> None:
    """Put images that were set aside back where none stands now, of each the last one.

    A run takes back by itself what its manifest wants: to undo a change, change the manifest back.
    And a run of a manifest that does not want what was restored replaces it, or sets it aside.
    """
    dataset = find_output(path)
    found = restore_output(dataset, is_replacing=is_replacing, is_dry=is_dry)
    told = _restored(found, "would be put back" if is_dry else "put back")
    typer.echo(f"{dataset.tell(dataset.images)}: {told}")


def _restored(found: Restored, put: str) -> str:
    told = f"{counted(found.images, 'image')} {put}"
    if found.replaced:
        told += f" ({found.replaced} in place of others, set aside in turn)"
    if found.standing:
        told += f" ({found.standing} left where images stand)"
    return told


def _list(dataset: Dataset) -> None:
    found = list_aside(dataset)
    if not found:
        typer.echo(f"{dataset.tell(dataset.stale)}: nothing lies there")
        return
    console, now_s = Console(highlight=False), time.time()
    rows = [
        (run_id, f"{size.num_files:,}", size_text(size.num_bytes), age(now_s - begun_s))
        for run_id, begun_s, size in found
    ]
    print_table(console, ("set aside by the run", "files", "size", "age"), rows)
    num_files, num_bytes = map(sum, zip(*(size for _, _, size in found), strict=True))
    todo = "add --older-than 30d, or --all, to remove it for good"
    told = f"{counted(num_files, 'file')}, {size_text(num_bytes)}; nothing is removed: {todo}"
    say(console, f"{dataset.tell(dataset.stale)}: {told}")


def clean(
    path: OutputPath = DEFAULT_MANIFEST,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only what runs have set aside that began so long ago: 30d, 12h."
        ),
    ] = None,
    is_all: Annotated[
        bool, typer.Option("--all", help="Whatever lies there, however young.")
    ] = False,
    is_dry: DryRun = False,
) -> None:
    """List what was set aside, or remove it for good: no run can take it back then.

    Without --older-than or --all it lists what lies there, and removes nothing.
    """
    if is_all and older_than is not None:
        raise typer.BadParameter("not together with --older-than", param_hint="--all")
    seconds = 0.0
    if older_than is not None:
        try:
            seconds = parse_duration(older_than)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--older-than") from error
    dataset = find_output(path)
    if not is_all and older_than is None:
        _list(dataset)
        return
    size = clean_output(dataset, older_than_s=seconds, is_dry=is_dry)
    removed = "would be removed" if is_dry else "removed"
    told = counted(size.num_files, "file")
    typer.echo(f"{dataset.tell(dataset.stale)}: {told}, {size_text(size.num_bytes)}, {removed}")
