"""`stylebatch recipes`: list them, show one, put their results side by side."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stylebatch.cli.arguments import (
    Arch,
    ArgumentError,
    WeightsOption,
    check_arch,
    fetch_weights,
    one_of,
)
from stylebatch.cli.tables import print_table
from stylebatch.errors import INTERRUPTED
from stylebatch.extractors.architectures import (
    ARCHITECTURES,
    DEFAULT_ARCHITECTURE,
    UnknownLayerError,
)
from stylebatch.pictures.contact_sheet import check_sheet_path
from stylebatch.recipes import Recipe, needs_network, recipe_fields, recipe_names, recipe_on
from stylebatch.system.files import stat_file, write_atomic
from stylebatch.system.words import counted

SIZE_PX = 256
WorkSize = Annotated[
    int | None,
    typer.Option(
        "--size",
        "--size-px",
        help=f"Longest edge of every recipe's work, px; else {SIZE_PX}.",
        min=16,
    ),
]


def recipes(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...", help="Show these whole.", autocompletion=one_of(recipe_names())
        ),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare",
            metavar="CONTENT STYLE",
            help="Run them (without NAME all) on these images and write one sheet.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The sheet, .png or .jpg; else recipes.png. Written after each recipe.",
            dir_okay=False,
        ),
    ] = None,
    arch: Arch = DEFAULT_ARCHITECTURE,
    weights: WeightsOption = None,
    size: WorkSize = None,
    steps: Annotated[
        int | None, typer.Option(help="Evaluations at most, instead of each recipe's own.", min=1)
    ] = None,
    strength: Annotated[
        list[float] | None,
        typer.Option(help="How much style, as in a manifest; several make a strip of each recipe."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cuda:0, mps, cpu; else a GPU if there is one.")
    ] = None,
) -> None:
    """List the recipes, show some whole, or compare what they make."""
    known = recipe_names()
    for name in names or ():
        if name not in known:
            raise ArgumentError("recipe", f"no recipe '{name}'", f"one of {', '.join(known)}")
    check_arch(arch)
    if compare is not None:
        sheet = output or Path("recipes.png")
        _compare(
            *compare, names or known, sheet, arch, weights, size, steps, strength or [], device
        )
    elif output or weights or size or steps or strength or device:
        raise typer.BadParameter("these options are of a comparison: add --compare CONTENT STYLE")
    elif names:
        typer.echo("\n\n".join(_whole(name, arch) for name in names))
    else:
        _list(known, arch)


def _list(names: list[str], arch: str) -> None:
    rows = []
    for name in names:
        recipe = recipe_on(arch, recipe_fields(name))
        how = ["none", "none", "none"]
        if recipe.needs_network:
            how = [recipe.optimizer, str(recipe.max_evaluations), _deepest_layer(recipe, arch)]
        rows.append((name, *how, recipe.title))
    header = ("recipe", "optimiser", "evaluations", "deepest layer", "what it is")
    print_table(Console(highlight=False), header, rows)


def _deepest_layer(recipe: Recipe, arch: str) -> str:
    try:
        needed = ARCHITECTURES[arch].up_to(recipe.layers)
    except UnknownLayerError:
        return f"not on {arch}"
    return [layer.name for layer in needed if layer.convolutions][-1]


def _whole(name: str, arch: str) -> str:
    """Every field, those at their defaults too, with what departs from the source."""
    fields = recipe_on(arch, recipe_fields(name)).model_dump(mode="json")
    text = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=96)
    return f"# {name}\n{text.rstrip()}"


def _compare(
    content: Path,
    style: Path,
    names: list[str],
    output: Path,
    arch: str,
    weights: str | None,
    size: int | None,
    steps: int | None,
    strengths: list[float],
    device: str | None,
) -> None:
    check_sheet_path(output)
    # Here and not above: it brings torch, and `--help` should not wait for that.
    from stylebatch.preview.comparison import compare, most_evaluations

    most = most_evaluations(names, arch, weights, steps, len(strengths))
    with _keeping_what_is_there(output), _Counted(most) as counting:
        typer.echo(_most_text(most, strengths, size or SIZE_PX))
        if any(map(needs_network, most)):
            fetch_weights(arch, weights)
        sheets = compare(
            content,
            style,
            names,
            arch=arch,
            weights=weights,
            size_px=size or SIZE_PX,
            steps=steps,
            strengths=strengths,
            device=device or "auto",
            suffix=output.suffix,
            on_step=lambda name, row: counting.evaluated(name),
        )
        # As it goes: all recipes take long, and who stops them keeps what there is.
        for sheet in sheets:
            write_atomic(output, sheet)
    typer.echo(str(output))


def _most_text(most: Mapping[str, int], strengths: list[float], size_px: int) -> str:
    what = counted(len(most), "recipe")
    if len(strengths) > 1:
        what += f" at {len(strengths)} strengths"
    return f"{what}, {size_px} px: {counted(sum(most.values()), 'evaluation')} at most"


@contextmanager
def _keeping_what_is_there(sheet: Path) -> Iterator[None]:
    """Say after Ctrl-C what there is of a sheet: nothing goes on from there."""
    before = stat_file(sheet)
    try:
        yield
    except KeyboardInterrupt:
        is_written = stat_file(sheet) not in (None, before)
        kept = f"{sheet} has the recipes until then" if is_written else "nothing was written"
        typer.echo(f"stylebatch: stopped; {kept}", err=True)
        raise typer.Exit(INTERRUPTED) from None


class _Counted:
    """A bar of all evaluations, shown on a terminal only."""

    def __init__(self, most: Mapping[str, int]) -> None:
        """Begin.

        Args:
            most: evaluations of each recipe, in their order; what one leaves over counts as done.
        """
        self._most, self._names = most, list(most)
        self._name, self._begun, self._evaluated = "", 0, 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,} evaluations at most,"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, transient=True, disable=not sys.stdout.isatty())
        self._task = self._progress.add_task("", total=sum(most.values()))

    def evaluated(self, name: str) -> None:
        """Note an evaluation of a recipe."""
        if name not in self._most:
            return
        self._progress.start()  # not before: a download has a bar of its own
        number = self._names.index(name)
        if name != self._name:
            self._name, self._evaluated = name, 0
            self._begun = sum(self._most[each] for each in self._names[:number])
        self._evaluated += 1
        self._progress.update(
            self._task,
            completed=self._begun + min(self._evaluated, self._most[name]),
            description=f"{name}, {number + 1} of {len(self._names)}",
        )

    def __enter__(self) -> "_Counted":
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
