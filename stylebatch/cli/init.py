"""`stylebatch init`: a first manifest for folders that are there."""

import shlex
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stylebatch.cli.arguments import DEFAULT_MANIFEST, ArgumentError, check_writable
from stylebatch.cli.dry_run import lines
from stylebatch.cli.tables import first_few, say
from stylebatch.errors import UserError
from stylebatch.manifest import (
    Candidates,
    Draft,
    Manifest,
    Photographs,
    choose_content,
    choose_styles,
    describe_classes,
    draft_manifest,
    find_candidates,
    load_manifest,
    survey_photographs,
    survey_styles,
    unreadable_styles,
)
from stylebatch.preview.sample_estimate import estimate_by_sample
from stylebatch.system.files import write_atomic
from stylebatch.system.object_stores import is_remote
from stylebatch.system.words import counted

HERE = Path()


def init(
    content: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CONTENT]",
            help="A folder of photographs, or of class folders; else the one below here that has "
            "most of them.",
            show_default=False,
        ),
    ] = None,
    styles: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[STYLES]...",
            help="Style images, or folders of them; else the folder below here that is called "
            "styles, paintings or art.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="MANIFEST", help="Where to write it.")
    ] = DEFAULT_MANIFEST,
    is_forced: Annotated[
        bool, typer.Option("--force", help="Overwrite a manifest that is there.")
    ] = False,
    is_timed: Annotated[
        bool,
        typer.Option(
            "--time/--no-time",
            help="Measure on a few photographs how long all would take here: up to two minutes.",
        ),
    ] = True,
) -> None:
    """Write a commented manifest for folders that are there, with sizes chosen for them."""
    _check_target(output, is_forced=is_forced)
    _check_on_disk([*filter(None, [content]), *(styles or [])])
    console = Console(highlight=False)
    candidates = Candidates([], [])
    if content is None or not styles:
        candidates = find_candidates(HERE)
    if content is None:
        content = choose_content(candidates, HERE)
        styles = styles or choose_styles(candidates, HERE, content)
        # First: counting, and looking into them, may take long.
        say(console, f"found here: {content}, styles in {first_few([*map(str, styles)])}")
    photographs = survey_photographs(content)
    counts = survey_styles(styles or choose_styles(candidates, HERE, content))
    draft = draft_manifest(output, photographs, counts)
    # Before it is written: what can't be drafted well leaves nothing behind.
    manifest = load_manifest(output, text=draft.text)
    write_atomic(output, draft.text.encode())
    others = [str(folder) for folder in candidates.contents if folder != content]
    for line in _found(photographs, counts, others):
        say(console, line)
    say(console, _drafted(output, draft))
    if is_timed:
        for line in _took(console, manifest, photographs, draft.images):
            say(console, line)
    _say_next(console, output)


def _check_on_disk(places: list[Path]) -> None:
    for told in map(str, places):
        # A path has lost one of its slashes.
        if is_remote(told.replace(":/", "://", 1)):
            allowed = "allowed are folders on a disk"
            todo = "begin with some of the photographs there, then write the URL into the manifest"
            raise ArgumentError(told, "is in an object store", allowed, todo)


def _check_target(output: Path, *, is_forced: bool) -> None:
    if output.is_dir():
        raise ArgumentError(str(output), "is a folder", "allowed is a file", "name a manifest")
    if output.exists() and not is_forced:
        todo = "--force overwrites it, -o names another"
        raise ArgumentError(str(output), "is there already", "nothing is overwritten", todo)
    check_writable(output)


def _found(photographs: Photographs, styles: dict[Path, int], others: list[str]) -> list[str]:
    size = photographs.median_size
    number = len(photographs.sizes) + photographs.num_unreadable
    told = [
        f"{photographs.train}: {counted(photographs.count, 'photograph')}, "
        f"{describe_classes(photographs)}"
    ]
    if size:
        told[0] += f"; {size[0]}×{size[1]} px in the median of {number:,}"
    if bad := photographs.num_unreadable:
        told.append(f"warning: {bad:,} of {counted(number, 'photograph')} can't be read")
    if photographs.others:
        splits = [f"{name} {count:,}" for name, count in photographs.others.items()]
        told.append(f"left as they are: {', '.join(splits)} (in {photographs.folder})")
    if others:
        told.append(f"passed over: {first_few(others)}")
    told += [f"{entry}: {counted(count, 'style')}" for entry, count in styles.items()]
    if unreadable := [str(path) for path in unreadable_styles(styles)]:
        names = first_few(unreadable)
        can_not = counted(len(unreadable), "style")
        told.append(f"warning: {can_not} can't be read ({names}): no run begins with them")
    return told


def _drafted(output: Path, draft: Draft) -> str:
    size = draft.output_size
    files = "as large as the photographs" if size == "content" else f"of {size} px"
    return (
        f"{output} written: {counted(draft.images, 'image')} ({counted(draft.of_each, 'style')} "
        f"for each photograph), optimised at {draft.size_px} px, files {files}"
    )


def _took(console: Console, manifest: Manifest, photographs: Photographs, images: int) -> list[str]:
    """Say how much a run would take here, or that it is not known."""
    # Those nearest to the median: they share a shape more often, and stand for most.
    median = photographs.median_size or (0, 0)
    by_size = sorted(
        zip(photographs.sizes, photographs.examples, strict=True),
        key=lambda each: abs(each[0][0] * each[0][1] - median[0] * median[1]),
    )
    with console.status("measuring …") if sys.stdout.isatty() else nullcontext() as status:
        tell = status.update if status else str
        try:
            found = estimate_by_sample(manifest, [path for _, path in by_size], images, tell)
        except UserError as error:
            return [f"time: not known ({error})"]
    return lines(found, manifest, None)[1:]


def _say_next(console: Console, output: Path) -> None:
    name = shlex.quote(str(output))
    say(console, "next:")
    for command, what in (
        (f"plan {name}", "what would be done"),
        (f"run {name} --preview 6", "six images on one sheet"),
        (f"run {name}", "all of them"),
    ):
        say(console, f"  stylebatch {command:<{len(name) + 16}}  # {what}")
