"""`stylebatch recipes`: list them, show one, put their results side by side."""

import sys
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from stylebatch.cli.arguments import (
    Arch,
    ArgumentError,
    WeightsOption,
    check_arch,
    one_of,
)
from stylebatch.cli.tables import print_table
from stylebatch.extractors.architectures import (
    ARCHITECTURES,
    DEFAULT_ARCHITECTURE,
    UnknownLayerError,
)
from stylebatch.pictures.contact_sheet import check_sheet_path
from stylebatch.recipes import Recipe, recipe_fields, recipe_names, recipe_on
from stylebatch.system.files import write_atomic

SIZE_PX = 256


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
    size: Annotated[
        int | None,
        typer.Option(help=f"Longest edge of every recipe's work, px; else {SIZE_PX}.", min=16),
    ] = None,
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
        deepest = _deepest_layer(recipe, arch)
        rows.append((name, recipe.optimizer, str(recipe.max_evaluations), deepest, recipe.title))
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
    from stylebatch.preview.comparison import compare

    with _evaluations_bar() as progress:
        task = progress.add_task("comparing", total=None)
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
            on_step=lambda name, row: progress.update(
                task, advance=1, description=f"{name}, {names.index(name) + 1} of {len(names)}"
            ),
        )
        # As it goes: all recipes take long, and who stops them keeps what there is.
        for sheet in sheets:
            write_atomic(output, sheet)
    typer.echo(str(output))


def _evaluations_bar() -> Progress:
    """Make a bar that counts evaluations, shown on a terminal only."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("evaluations: {task.completed}"),
    )
    return Progress(*columns, transient=True, disable=not sys.stdout.isatty())
