"""`stylebatch weights`: what there is, downloads, conversion into small files."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import ArgumentError, check_writable
from stylebatch.errors import UserError, raise_all
from stylebatch.extractors.architectures import ARCHITECTURES, DEFAULT_ARCHITECTURE
from stylebatch.extractors.weights import (
    NAMED_WEIGHTS,
    NORMALISATIONS,
    SHIPPED_WEIGHTS,
    Normalisation,
    WeightsError,
    convert_weights,
    describe_normalisation,
    fetch,
    find_named,
    find_weights,
    read_normalisation,
)
from stylebatch.system.files import stat_file
from stylebatch.system.words import size_text

app = typer.Typer(
    help="List, download and convert weights.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command("list")
def list_weights(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[FILE]...", help="Tell what is in these .safetensors files."),
    ] = None,
) -> None:
    """List the named sets and where they are; the layers and the normalisation of files."""
    rows = [*_named_rows(), *map(_file_row, files or ())]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    for row in rows:
        columns = (text.ljust(width) for text, width in zip(row, widths, strict=False))
        typer.echo("  ".join([*columns, row[-1]]))


def _named_rows() -> Iterator[tuple[str, str, str]]:
    for (arch, name), named in NAMED_WEIGHTS.items():
        where = str(named.place) if named.place.exists() else "not fetched"
        size = size_text(named.size_mib * 2**20) if named.size_mib else ""
        yield f"{arch}/{name}", size, where
    yield from _shipped_rows()


def _shipped_rows() -> Iterator[tuple[str, str, str]]:
    for arch, name in SHIPPED_WEIGHTS:
        shipped = find_weights(arch, name, Path.cwd())
        assert shipped.path is not None
        yield f"{arch}/{name}", _file_size(shipped.path), f"comes with stylebatch: {shipped.path}"


def _file_size(path: Path) -> str:
    found = stat_file(path)
    return size_text(found[0]) if found else ""


def _file_row(path: Path) -> tuple[str, str, str]:
    """Describe a file for the architectures that it fits; what is wrong with it, if none."""
    fits, problem = [], ""
    for arch, table in ARCHITECTURES.items():
        try:
            found = find_weights(arch, str(path), Path.cwd())
        except WeightsError as error:
            problem = problem or f"{error.found}; {error.todo}"
            continue
        order = [part.name for part in table.convolutions() if part.name in (found.layers or ())]
        fits.append(
            f"{arch}, {order[0]} to {order[-1]}, {describe_normalisation(found.normalisation)}"
        )
    return str(path), _file_size(path), " or ".join(fits) or problem


@app.command("fetch")
def fetch_weights(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="As `weights list` names them.")
    ],
) -> None:
    """Download named sets into torch's folder, checked; those that are there are left alone."""
    shipped = {
        text: place for key, _, place in _shipped_rows() for text in (key, key.split("/")[0])
    }
    wanted = [None if text in shipped else find_named(text) for text in names]
    problems: list[UserError] = []
    for text, key in zip(names, wanted, strict=True):
        if key is None:
            typer.echo(f"{text}: {shipped[text]}")
            continue
        arch, name = key
        named = NAMED_WEIGHTS[key]
        try:
            how = "fetched" if fetch(named, progress=sys.stderr.isatty()) else "is there already"
        except WeightsError as error:
            problems.append(error)
            continue
        typer.echo(f"{arch}/{name}: {how}: {named.place}")
    raise_all(problems)


@app.command("convert")
def convert(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="A .pth, .pt or .safetensors file, or a named set.")
    ],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors file.")],
    arch: Annotated[
        str | None,
        typer.Option(
            help=f"{', '.join(ARCHITECTURES)}; else IN's, as in vgg16/imagenet, or "
            f"{DEFAULT_ARCHITECTURE}."
        ),
    ] = None,
    normalisation: Annotated[
        str | None, typer.Option(help=f"Of IN's input: {', '.join(NORMALISATIONS)}.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Instead, of RGB in [0, 1].")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="With --mean.")] = None,
    channels: Annotated[
        str | None, typer.Option(help="With --mean: the order that IN takes, rgb (else) or bgr.")
    ] = None,
    to: Annotated[
        str | None, typer.Option(metavar="LAYER", help="The last layer to keep; else the deepest.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT where it is.")] = False,
) -> None:
    """Keep only what style transfer needs: convolutions in float32, with their normalisation."""
    if target.suffix != ".safetensors":
        raise ArgumentError(str(target), f"'{target.suffix}' is no kind of OUT", ".safetensors")
    if target.is_dir() or (target.exists() and not force):
        found = "is a folder" if target.is_dir() else "is there already"
        raise ArgumentError(str(target), found, "", "choose another OUT, or add --force")
    check_writable(target)
    told = _told(normalisation, mean, std, channels)
    weights = find_weights(_arch_of(source, arch), source, Path.cwd(), told)
    if weights.path is None and weights.source == "random":
        raise ArgumentError(source, "is drawn, not read", "a file or a named set")
    layers = convert_weights(weights, target, to)
    typer.echo(f"{target}: {weights.arch}, {layers[0]} to {layers[-1]}, {_file_size(target)}")


def _arch_of(source: str, asked: str | None) -> str:
    """Return the architecture of what is converted: asked for, or that of a name's first half."""
    sets = (*NAMED_WEIGHTS, *SHIPPED_WEIGHTS)
    own = next((arch for arch, name in sets if source == f"{arch}/{name}"), None)
    if asked is not None and own not in (None, asked):
        raise ArgumentError(
            "--arch", f"'{asked}' is not that of {source}", own or "", "leave it out"
        )
    return own or asked or DEFAULT_ARCHITECTURE


def _told(
    normalisation: str | None, mean: str | None, std: str | None, channels: str | None
) -> Normalisation | None:
    if normalisation is None and mean is None and std is None and channels is None:
        return None
    if normalisation is None and mean is not None and std is not None:
        metadata = {"mean": mean, "std": std, "channels": channels or "rgb"}
        return read_normalisation(metadata, "--mean, --std and --channels")
    if mean is not None or std is not None or channels is not None:
        raise typer.BadParameter("give --normalisation, or --mean and --std")
    if normalisation not in NORMALISATIONS:
        allowed = f"one of {', '.join(NORMALISATIONS)}"
        raise ArgumentError("--normalisation", f"no '{normalisation}'", allowed)
    return NORMALISATIONS[normalisation]
