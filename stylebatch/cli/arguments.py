"""What several commands take and show in one way: arguments, their errors, bars."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stylebatch.errors import UserError
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import fetch, find_download, find_weights
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.run import describe_download
from stylebatch.system.files import why_unwritable
from stylebatch.system.words import counted

DEFAULT_MANIFEST = Path("pipeline.yaml")
OutputPath = Annotated[
    Path, typer.Argument(metavar="MANIFEST|OUT", help="The manifest, or the output folder.")
]
WeightsOption = Annotated[
    str | None,
    typer.Option(help="A named set, random, or a file; else imagenet, of slim its own."),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Instead of what the manifest says, as in pairs.0.steps=50, pairs.NAME.size_px=256 or "
        "run.executor=inline; any key, a YAML value, repeatable. A run makes anew what it affects.",
    ),
]

CacheOption = Annotated[
    Path | None,
    typer.Option(
        "--cache",
        metavar="FOLDER",
        help="As a manifest's run.cache; else $STYLEBATCH_CACHE, or the platform's.",
    ),
]

Rehash = Annotated[
    bool,
    typer.Option("--rehash", help="Read all inputs again, also those that seem unchanged."),
]


def one_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Return what a shell's completion asks for the names that begin with what is typed."""
    known = list(names)

    def complete(incomplete: str) -> list[str]:
        return [name for name in known if name.startswith(incomplete)]

    return complete


Arch = Annotated[
    str,
    typer.Option(help=f"{', '.join(ARCHITECTURES)}.", autocompletion=one_of(ARCHITECTURES)),
]


class ArgumentError(UserError):
    """An argument that names nothing."""


def find_output(path: Path, changes: Sequence[str] = ()) -> Dataset:
    """Return the output that a manifest's path, or its own, stands for.

    Args:
        changes: of the manifest, as `load_manifest` takes them.

    Raises:
        ArgumentError: no run has written there.
    """
    if path.is_dir() and changes:
        raise typer.BadParameter(f"is of a manifest, and {path} is a folder", param_hint="--set")
    dataset = Dataset(path if path.is_dir() else load_manifest(path, changes=changes).output)
    if not dataset.ledger.exists() and not dataset.shards():
        todo = "`stylebatch run` makes one; the argument is a manifest or an output folder"
        raise ArgumentError(str(dataset.root), "no run has written there yet", "", todo)
    return dataset


def check_merged(dataset: Dataset) -> None:
    """Refuse an output with parts that are not merged.

    Raises:
        ArgumentError: there are some.
    """
    if shards := dataset.shards():
        found = f"{counted(len(shards), 'shard')} not merged"
        raise ArgumentError(str(dataset.root), found, "", "`stylebatch merge` first")


def check_arch(arch: str) -> None:
    """Refuse an architecture that there isn't.

    Raises:
        ArgumentError: with those that there are.
    """
    if arch not in ARCHITECTURES:
        found, allowed = f"'{arch}' is no known architecture", f"one of {', '.join(ARCHITECTURES)}"
        raise ArgumentError("--arch", found, allowed)


def fetch_weights(arch: str, weights: str | None) -> None:
    """Download a named set that is not there, telling so first: it is some hundred MiB.

    Raises:
        UserError: no such weights, no download.
    """
    if named := find_download(find_weights(arch, weights, Path.cwd())):
        typer.echo(f"downloads first: {describe_download(named)}", err=True)
        fetch(named, progress=sys.stderr.isatty())


def check_writable(path: Path) -> None:
    """Refuse a file that could not be written in the end: before it is made, not after.

    Raises:
        ArgumentError: with the system's reason.
    """
    if reason := why_unwritable(path):
        raise ArgumentError.unwritable(str(path), reason)
