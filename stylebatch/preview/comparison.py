"""Recipes side by side: one content, one style, one sheet."""

import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from stylebatch.api import make_recipe, stylize
from stylebatch.errors import UserError, raise_all
from stylebatch.extractors.weights import check_layers, find_weights
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.pictures.images import Pixels, decode
from stylebatch.recipes import needs_network, recipe_fields, recipe_names
from stylebatch.system.files import read_bytes
from stylebatch.system.words import counted
from stylebatch.transfer.problem import Row

COLUMNS, CELL_PX = 4, 320
_EMPTY = (210, 210, 206)
_REASON_WIDTH = 36


def compare(
    content: Path,
    style: Path,
    names: Sequence[str],
    *,
    arch: str,
    weights: str | None,
    size_px: int,
    steps: int | None = None,
    strengths: Sequence[float] = (),
    device: str = "auto",
    suffix: str = ".png",
    on_step: Callable[[str, Row], None] | None = None,
) -> Iterator[bytes]:
    """Run recipes on one pair of images and lay what they make out on a sheet.

    Recipes that can't run with these weights are named at the end, with the reason.

    Yields:
        the sheet so far, from the first recipe that ran on; the last one is whole.

    Args:
        size_px: longest edge at which every recipe works, whatever its own is.
        steps: evaluations at most; None: each recipe's own number.
        strengths: none: each recipe's own; of several every recipe has a strip.
        suffix: of the sheet: .png, .jpg.
        on_step: called with the recipe's name after each evaluation.

    Raises:
        UserError: an image that can't be read, no such recipe, or none that runs.
    """
    fields: dict[str, Any] = {
        "arch": arch,
        "weights": weights,
        "steps": steps,
        "device": device,
    }
    cells = [_picture(content, "content"), _picture(style, "style")]
    strips: list[list[Cell]] = []
    reasons: list[UserError] = []
    refused: list[Cell] = []
    for name in names:
        try:
            size = _size(name, size_px, cells[0].rgb)
            own = fields if needs_network(name) else {"device": device}
            strip = [
                _run(content, style, name, on_step, size_px=size, strength=strength, **own)
                for strength in strengths or (None,)
            ]
        except UserError as reason:
            reasons.append(reason)
            refused.append(_refused(name, reason))
        else:
            strips.append(strip)
        if strips:
            rows = _rows(cells, strips, is_by_strip=len(strengths) > 1) + _in_rows(refused)
            yield contact_sheet(rows, cell_px=CELL_PX, suffix=suffix)
    if not strips:
        raise_all(list({str(reason): reason for reason in reasons}.values()))


def most_evaluations(
    names: Sequence[str], arch: str, weights: str | None, steps: int | None, num_strengths: int = 1
) -> dict[str, int]:
    """Return how many evaluations recipes take at most, of those that run with these weights."""
    most = {}
    for name in names:
        with suppress(UserError):
            is_cheap = steps is None or not needs_network(name)
            recipe = make_recipe(name, {} if is_cheap else {"steps": steps}, arch)
            if recipe.needs_network:
                check_layers(find_weights(arch, weights, Path.cwd()), recipe.layers)
            most[name] = recipe.max_evaluations * max(1, num_strengths)
    return most


def _rows(cells: list[Cell], strips: list[list[Cell]], *, is_by_strip: bool) -> list[list[Cell]]:
    if is_by_strip:
        return [cells, *strips]
    return _in_rows([*cells, *(cell for strip in strips for cell in strip)])


def _size(name: str, longest_px: int, content: Pixels) -> int:
    """Return the size_px that gives this longest edge, if the recipe is there and means another."""
    if name not in recipe_names() or recipe_fields(name).get("fit") != "shortest":
        return longest_px
    shortest, longest = sorted(int(edge) for edge in content.shape[:2])
    return max(16, round(longest_px * shortest / longest))


def _in_rows(cells: list[Cell]) -> list[list[Cell]]:
    return [cells[i : i + COLUMNS] for i in range(0, len(cells), COLUMNS)]


def _run(
    content: Path,
    style: Path,
    name: str,
    on_step: Callable[[str, Row], None] | None,
    **options: Any,
) -> Cell:
    num_rows = 0

    def note(_: int, row: Row) -> None:
        nonlocal num_rows
        num_rows += 1
        if on_step is not None:
            on_step(name, row)

    began = time.perf_counter()
    (image,) = stylize(content, style, name, on_step=note, **options)
    seconds = time.perf_counter() - began
    strength = options["strength"]
    named = name if strength is None else f"{name}, strength {strength:g}"
    caption = f"{named}\n{counted(num_rows, 'evaluation')}, {seconds:.0f} s"
    return Cell(np.asarray(image.convert("RGB")), caption)


def _picture(path: Path, what: str) -> Cell:
    try:
        data = read_bytes(path)
    except OSError as error:
        found, todo = f"can't be read ({error.strerror})", "correct the path"
        raise UserError(str(path), found, "", todo) from error
    return Cell(decode(data, str(path)).rgb, f"{what}\n{path.name}")


def _refused(name: str, reason: UserError) -> Cell:
    lines = textwrap.wrap(f"not run: {Path(reason.where).name} {reason.found}", _REASON_WIDTH)[:4]
    strip: Pixels = np.full((2, CELL_PX, 3), _EMPTY, np.uint8)
    return Cell(strip, "\n".join([name, *lines]))
