"""What several commands take and show in one way: arguments, their errors, bars."""

import re
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
from stylebatch.output.store import check_state, default_state
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


# A path has one slash where a URL has two.
_URL = re.compile(r"^(s3|gs|az):/+")
_DOWNLOADS = {"s3": "aws s3 sync", "gs": "gcloud storage rsync -r", "az": "azcopy sync"}


class ArgumentError(UserError):
    """An argument that names nothing."""


def find_output(path: Path, changes: Sequence[str] = ()) -> Dataset:
    """Return the output that a manifest's path, or its own, stands for.

    Args:
        changes: of the manifest, as `load_manifest` takes them.

    Raises:
        ArgumentError: no run has written there.
    """
    if is_output(path) and changes:
        raise typer.BadParameter(f"is of a manifest, and {path} is an output", param_hint="--set")
    dataset = open_output(path, changes)
    if not dataset.ledger.exists() and not dataset.shards():
        todo = "`stylebatch run` makes one; the argument is a manifest or an output folder"
        raise ArgumentError(dataset.place, "no run has written there yet", "", todo)
    return dataset


def open_output(path: Path, changes: Sequence[str] = ()) -> Dataset:
    """Return what an argument stands for, whether anything is there or not.

    Raises:
        ArgumentError: an output in an object store whose state is not here.
    """
    if not is_output(path):
        dataset = load_manifest(path, changes=changes).dataset()
        if dataset.store:
            check_state(dataset.state, dataset.store)
        return dataset
    if path.is_dir():
        return Dataset(path)
    url = _url(path)
    state = default_state(Path(), url)
    if not state.is_dir():
        found = f"what this machine knows of it is not in {state}"
        todo = f"name the manifest, or the folder of its `run: {{state: …}}`; or {_download(url)}"
        raise ArgumentError(url, found, "", todo)
    return Dataset(state)


def is_output(path: Path) -> bool:
    """Whether an argument is an output itself, and no manifest."""
    return path.is_dir() or bool(_URL.match(str(path)))


def _url(path: Path) -> str:
    return _URL.sub(r"\1://", str(path))


def check_in_folder(dataset: Dataset, command: str) -> None:
    """Refuse an output in an object store where its images are wanted as files.

    Raises:
        ArgumentError: it is one.
    """
    if dataset.store:
        found = f"is in an object store, and `stylebatch {command}` takes an output in a folder"
        raise ArgumentError(dataset.place, found, "", _download(dataset.store.url))


def _download(url: str) -> str:
    """Say how an output in a store becomes one in a folder."""
    tool = _DOWNLOADS[url.partition(":")[0]]
    return f"download it (`{tool} {url} out`, then `stylebatch adopt out`)"


def check_merged(dataset: Dataset) -> None:
    """Refuse an output with parts that are not merged.

    Raises:
        ArgumentError: there are some.
    """
    if shards := dataset.shards():
        found = f"{counted(len(shards), 'shard')} not merged"
        raise ArgumentError(dataset.place, found, "", "`stylebatch merge` first")


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
