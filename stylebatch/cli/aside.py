"""`stylebatch restore` and `stylebatch clean`: what lies in `stale/`."""

from typing import Annotated

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, find_output
from stylebatch.manifest import parse_duration
from stylebatch.run import Restored, clean_output, restore_output
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
    typer.echo(
        f"{dataset.images}: {_restored(found, 'would be put back' if is_dry else 'put back')}"
    )


def _restored(found: Restored, put: str) -> str:
    told = f"{counted(found.images, 'image')} {put}"
    if found.replaced:
        told += f" ({found.replaced} in place of others, set aside in turn)"
    if found.standing:
        told += f" ({found.standing} left where images stand)"
    return told


def clean(
    path: OutputPath = DEFAULT_MANIFEST,
    older_than: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only what runs have set aside that began so long ago: 30d, 12h."
        ),
    ] = None,
    is_dry: DryRun = False,
) -> None:
    """Remove for good what was set aside; no run can take it back then."""
    seconds = 0.0
    if older_than is not None:
        try:
            seconds = parse_duration(older_than)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--older-than") from error
    dataset = find_output(path)
    size = clean_output(dataset, older_than_s=seconds, is_dry=is_dry)
    removed = "would be removed" if is_dry else "removed"
    told = counted(size.num_files, "file")
    typer.echo(f"{dataset.stale}: {told}, {size_text(size.num_bytes)}, {removed}")
