"""`stylebatch stylize` and `stylebatch demo`."""

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from PIL import Image

from stylebatch.cli.arguments import (
    Arch,
    ArgumentError,
    WeightsOption,
    check_arch,
    check_writable,
    fetch_weights,
    one_of,
)
from stylebatch.cli.tables import first_few
from stylebatch.demo import write_demo
from stylebatch.device.cpu_memory import count_room
from stylebatch.errors import RunError
from stylebatch.extractors.architectures import DEFAULT_ARCHITECTURE
from stylebatch.recipes import needs_network, recipe_names
from stylebatch.system.files import write_atomic
from stylebatch.system.heap import keep_freed_memory
from stylebatch.system.memory import available_bytes
from stylebatch.system.words import counted
from stylebatch.transfer.tiles import WHOLE_PIXELS

RecipeName = Annotated[
    str, typer.Option(help="See `stylebatch recipes`.", autocompletion=one_of(recipe_names()))
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field of the recipe; repeatable."),
]
Masks = Annotated[
    list[Path] | None,
    typer.Option(
        help="White where the style applies, black where the content stays; repeatable, one "
        "for each content."
    ),
]
SizePx = Annotated[
    int | None, typer.Option("--size", "--size-px", help="Longest edge while optimising, px.")
]
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")


def stylize(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="CONTENT... STYLE", help="Images; the last is the style."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A file; of several contents, a folder.")
    ],
    recipe: RecipeName = "balanced",
    arch: Arch = DEFAULT_ARCHITECTURE,
    weights: WeightsOption = None,
    size: SizePx = None,
    steps: Annotated[int | None, typer.Option(help="Evaluations at most.")] = None,
    strength: Annotated[float | None, typer.Option(help="How much style.")] = None,
    override: Fields = None,
    mask: Masks = None,
    seed: Annotated[int, typer.Option(help="Of a noise start.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cuda:0, mps, cpu.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32, bfloat16.")] = "auto",
    is_forced: Annotated[
        bool, typer.Option("--force", help="Overwrite files that are there.")
    ] = False,
) -> None:
    """Stylise one image or a few, without a manifest."""
    if len(paths) < 2:
        raise typer.BadParameter("give at least one content image and a style image")
    check_arch(arch)
    *contents, style = paths
    targets = _targets(contents, style, output)
    if not is_forced:
        _check_new(targets, output)
    fields = dict(_field(text) for text in override or [])
    # Here and not above: it brings torch, and `--help` should not wait for that.
    from stylebatch.api import stylize as stylize_images

    _keep_memory()
    if needs_network(recipe):
        fetch_weights(arch, weights)
    made = stylize_images(
        contents,
        style,
        recipe,
        arch=arch,
        weights=weights,
        size_px=size,
        steps=steps,
        strength=strength,
        override=fields,
        masks=mask or None,
        seed=seed,
        device=device,
        precision=precision,
        progress=sys.stderr.isatty(),
    )
    for target, image in zip(targets, made, strict=True):
        _save(image, target)
        typer.echo(str(target))


def _keep_memory() -> None:
    """Keep what evaluations free, where there is room for any image that is taken as a whole."""
    if count_room(WHOLE_PIXELS, available_bytes()):
        keep_freed_memory()


def _targets(contents: list[Path], style: Path, output: Path) -> list[Path]:
    """Return a path for each result, where it can be; nothing that is read may be overwritten."""
    for path in (*contents, style):
        if path.is_dir():
            todo = "for folders `stylebatch init` writes a manifest, `stylebatch run` makes it"
            raise ArgumentError(str(path), "is a folder", "allowed are images", todo)
    if len(contents) > 1 and output.suffix.lower() in SUFFIXES:
        found = f"one file for {len(contents)} contents"
        raise ArgumentError(str(output), found, "", "name a folder")
    if len(contents) == 1 and output.suffix:
        targets = [output]
    else:
        targets = [output / f"{content.stem}.png" for content in contents]
    if len(set(targets)) < len(targets):
        raise ArgumentError(str(output), "two contents have one name", "", "stylise them apart")
    for target in targets:
        if target.suffix.lower() not in SUFFIXES:
            allowed = f"one of {', '.join(SUFFIXES)}, or a folder"
            raise ArgumentError(str(target), f"'{target.suffix}' is no image format", allowed)
        if target.resolve() in {path.resolve() for path in (*contents, style)}:
            raise ArgumentError(str(target), "is one of the inputs", "", "choose another output")
        check_writable(target)
    return targets


def _check_new(targets: list[Path], output: Path) -> None:
    """Refuse to overwrite what may be somebody's picture."""
    if not (taken := [target for target in targets if target.exists()]):
        return
    found = "is there already"
    if output not in targets:
        names = first_few([target.name for target in taken])
        found = f"{names} {'is' if len(taken) == 1 else 'are'} there already"
    todo = "--force overwrites, -o names another place"
    raise ArgumentError(str(output), found, "nothing is overwritten", todo)


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"'{text}' is not FIELD=VALUE", param_hint="--set")
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise typer.BadParameter(f"'{value}' is not YAML", param_hint="--set") from error


def _save(image: Image.Image, target: Path) -> None:
    suffix = target.suffix.lower()
    has_alpha = image.mode == "RGBA" and suffix in (".jpg", ".jpeg", ".bmp")
    buffer = io.BytesIO()
    kind = Image.registered_extensions()[suffix]
    (image.convert("RGB") if has_alpha else image).save(buffer, kind, quality=95)
    try:
        write_atomic(target, buffer.getvalue())
    except OSError as error:  # a disk that has filled up since it was looked at
        todo = "mend it, run it again"
        raise RunError(str(target), f"can't be written ({error.strerror})", "", todo) from error


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it is missing.")] = Path(
        "demo"
    ),
) -> None:
    """Write photographs, styles and a manifest to try things on."""
    check_writable(folder / "pipeline.yaml")
    written = write_demo(folder)
    if written:
        files = counted(len(written), "file")
        typer.echo(f"{files} written to {folder}; next: stylebatch run {folder}/pipeline.yaml")
    else:
        typer.echo(f"{folder}: everything is there already")
