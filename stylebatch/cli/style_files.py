"""`stylebatch styles warm`, `export` and `import`: targets ahead of a run, styles as files."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stylebatch.cli.arguments import (
    DEFAULT_MANIFEST,
    ArgumentError,
    CacheOption,
    Changes,
    check_writable,
)
from stylebatch.cli.tables import say
from stylebatch.device.style_export import Label
from stylebatch.library.cached import FOLDER
from stylebatch.library.overview import find_entry, list_entries
from stylebatch.library.shelf import Library, is_of_library, unwritable
from stylebatch.library.style_file import SUFFIX, StyleFile
from stylebatch.manifest import load_manifest
from stylebatch.records import Notice
from stylebatch.run import choose_to_export, export_of_entry, warm_manifest
from stylebatch.system.bars import passing_bar
from stylebatch.system.files import default_cache_folder, read_bytes, write_atomic
from stylebatch.system.words import counted, size_text

# Some of what was asked for could not be made.
INCOMPLETE = 3


def _tell(notice: Notice) -> None:
    typer.echo(notice.text, err=True)


def warm(
    path: Annotated[Path, typer.Argument(metavar="MANIFEST")] = DEFAULT_MANIFEST,
    changes: Changes = None,
) -> None:
    """Compute the targets of all styles at all sizes that a manifest's images need; no image."""
    manifest = load_manifest(path, changes=changes or ())
    with passing_bar() as tell:
        _, warmed = warm_manifest(
            manifest, _tell, lambda done, total: tell("computing targets", done, total)
        )
    for problem in warmed.problems:
        typer.echo(f"stylebatch: {problem}", err=True)
    there = warmed.total - warmed.computed
    told = f"{counted(warmed.computed, 'set')} of targets computed, {there:,} were there"
    if warmed.problems:
        styles = counted(len(warmed.problems), "style", "can't be read", "can't be read")
        told = f"{counted(warmed.computed, 'set')} of targets computed; {styles}"
    if not warmed.total:
        told = "nothing to compute: no image of this manifest needs targets ahead of it"
    typer.echo(f"{manifest.cache / FOLDER}: {told}")
    if warmed.problems:
        raise typer.Exit(INCOMPLETE)


def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Of a manifest none is all of its styles."),
    ] = None,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=f"A {SUFFIX} file; of several styles, a folder."),
    ] = Path(),
    path: Annotated[
        Path | None,
        typer.Option(
            "--manifest",
            metavar="MANIFEST",
            help="Take its styles, with all targets that its images need; else what `styles list` "
            "shows.",
        ),
    ] = None,
    note: Annotated[str | None, typer.Option(help="Anything to be remembered of it.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the style image.")] = None,
    is_without_image: Annotated[
        bool,
        typer.Option("--without-image", help="Leave the image out: targets and a thumbnail only."),
    ] = False,
    is_forced: Annotated[bool, typer.Option("--force", help="Replace files.")] = False,
    cache: CacheOption = None,
    changes: Changes = None,
) -> None:
    """Write styles as files of their own: targets, image, where they come from."""
    label = Label(note, licence, with_image=not is_without_image)
    if path is None:
        if not names or changes:
            hint = "--set" if names else "NAME"
            raise typer.BadParameter("goes with a --manifest", param_hint=hint)
        folder = cache or default_cache_folder()
        entries = list_entries(folder)
        chosen = [find_entry(entries, name) for name in names]
        places = _places([entry.name for entry in chosen], output, is_forced)
        _write_all(places, (export_of_entry(entry, folder, label) for entry in chosen))
        return
    if cache is not None:
        raise typer.BadParameter("is the manifest's: --set run.cache=…", param_hint="--cache")
    to_export = choose_to_export(load_manifest(path, changes=changes or ()), names or [])
    places = _places(to_export.names, output, is_forced)
    with passing_bar() as tell:
        files = to_export.files(
            label, _tell, lambda done, total: tell("computing targets", done, total)
        )
        _write_all(places, files)


def _write_all(places: Iterable[Path], files: Iterable[bytes]) -> None:
    """Write files one by one: all at once may be more than fits into memory."""
    for place, data in zip(places, files, strict=True):
        _write(place, data)


def _places(names: list[str], output: Path, is_forced: bool) -> list[Path]:
    """Return where each style is written, where that can be."""
    if output.suffix == SUFFIX:
        if len(names) > 1:
            found = f"one file for {counted(len(names), 'style')}"
            raise ArgumentError(str(output), found, "a file is one style's", "name a folder")
        places = [output]
    else:
        places = [output / f"{name}{SUFFIX}" for name in names]
    for place in places:
        if place.is_dir() or (place.exists() and not is_forced):
            raise ArgumentError(str(place), "is there already", "", "name another, or add --force")
        check_writable(place)
    return places


def _write(place: Path, data: bytes) -> None:
    try:
        write_atomic(place, data)
    except OSError as error:
        raise unwritable(place, error) from error
    told = StyleFile.open(place, str(place)).told
    image = "with its image" if told.has_image else "without its image"
    sets = counted(len(told.targets), "set")
    typer.echo(f"{place}: {told.name}, {sets} of targets, {image}, {size_text(len(data))}")


def import_styles(
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="Another name than its own.")
    ] = None,
    is_replacing: Annotated[
        bool, typer.Option("--replace", help="Where the library has another of that name.")
    ] = False,
    cache: CacheOption = None,
) -> None:
    """Put files that `export` has written into the library, where manifests name them."""
    if name is not None and len(paths) > 1:
        raise typer.BadParameter("is of one file: name one", param_hint="--as")
    library = Library(cache or default_cache_folder())
    if name is not None and is_of_library(name):
        name = name.removeprefix("library:")
    for path in paths:
        file = StyleFile.open(path, str(path))
        file.check()
        data = read_bytes(path)
        called = name or file.told.name
        is_new = library.put(data, called, is_replacing=is_replacing)
        how = "imported" if is_new else "is there already"
        say(Console(highlight=False), f"library:{called}: {how}: {library.place(called)}")
