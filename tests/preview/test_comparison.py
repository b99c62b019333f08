"""`stylebatch recipes`: the list, whole recipes, and their results on one sheet."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import save_file
from support import naive
from support.runs import COMMAND, command, end, picture, run_process, start, wait_until
from support.terminal import on_a_terminal
from torch import Tensor

from stylebatch import stylize
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.pictures.contact_sheet import Cell, contact_sheet
from stylebatch.preview import comparison
from stylebatch.preview.comparison import _size, most_evaluations
from stylebatch.recipes import Recipe, recipe_fields, recipe_names, recipe_on
from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

CELL_PX, GAP_PX = 320, 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a content, a style, and weights that end at conv3_3."""
    picture(1, 96, 64).save(tmp_path / "content.png")
    picture(2, 64, 64).save(tmp_path / "style.png")
    tensors: dict[str, Tensor] = {}
    for layer in ARCHITECTURES["vgg19"].convolutions(["conv3_3"]):
        weight, bias = naive.weights()[layer.name]
        tensors |= {f"{layer.parameters}.weight": weight, f"{layer.parameters}.bias": bias}
    save_file(tensors, tmp_path / "short.safetensors", {"mean": "0.5", "std": "0.25"})
    return tmp_path


def compare(
    folder: Path,
    *names: str,
    sheet: str = "sheet.png",
    strengths: Sequence[str] = (),
    size: int = 32,
) -> tuple[int, str]:
    """Run the command for a few evaluations of each recipe; return its exit code and complaint."""
    images = [str(folder / "content.png"), str(folder / "style.png")]
    weights = ["--weights", str(folder / "short.safetensors")]
    small = ["--size", str(size), "--steps", "4", "-o", str(folder / sheet)]
    told = [word for strength in strengths for word in ("--strength", strength)]
    ended = command("recipes", *names, "--compare", *images, *weights, *small, *told)
    return ended.code, ended.err


def cell(sheet: Path, row: int, column: int) -> np.ndarray:
    """Return the upper left of a cell's picture."""
    left = GAP_PX + column * (CELL_PX + GAP_PX)
    with Image.open(sheet) as image:
        return np.asarray(image.convert("RGB"), int)[GAP_PX + row : GAP_PX + row + 60, left:][
            :, :60
        ]


@pytest.mark.slow
@pytest.mark.parametrize("sheet", ["sheet.png", "sheet.jpg"])
def test_the_sheet_has_content_style_and_each_result_in_a_row(folder: Path, sheet: str) -> None:
    assert compare(folder, "balanced", "pytorch-tutorial", sheet=sheet) == (0, "")
    with Image.open(folder / sheet) as image:
        assert image.format == {"sheet.png": "PNG", "sheet.jpg": "JPEG"}[sheet]
        assert image.width == 4 * CELL_PX + 5 * GAP_PX
    for column, name in enumerate(["content.png", "style.png"]):
        with Image.open(folder / name) as image:
            wide = image.resize(
                (320, round(320 * image.height / image.width)), Image.Resampling.LANCZOS
            )
        shown = np.asarray(wide, int)[:60, :60]
        assert np.abs(cell(folder / sheet, 0, column) - shown).mean() < 4
    content, _, first, second = (cell(folder / sheet, 0, column) for column in range(4))
    assert np.abs(first - second).mean() > 1
    assert np.abs(first - content).mean() > 1


def test_a_recipe_that_the_weights_do_not_reach_is_left_out_of_the_pictures(folder: Path) -> None:
    assert compare(folder, "gatys", "balanced") == (0, "")
    with Image.open(folder / "sheet.png") as image:
        assert image.width == 3 * CELL_PX + 4 * GAP_PX


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[list[Cell]]:
    """Return what will be laid out in each row of the next sheet."""
    found: list[list[Cell]] = []

    def note(rows: Sequence[Sequence[Cell]], **options: Any) -> bytes:
        found[:] = [list(row) for row in rows]
        return contact_sheet(rows, **options)

    monkeypatch.setattr(comparison, "contact_sheet", note)
    return found


def first_lines(rows: list[list[Cell]]) -> list[list[str]]:
    return [[cell.caption.splitlines()[0] for cell in row] for row in rows]


def test_of_several_strengths_each_recipe_has_a_strip_and_at_0_it_is_the_content(
    folder: Path, rows: list[list[Cell]]
) -> None:
    # Worked on as large as the content is.
    assert compare(folder, "balanced", "deep", strengths=["0", "1"], size=96) == (0, "")
    assert first_lines(rows) == [
        ["content", "style"],
        ["balanced, strength 0", "balanced, strength 1"],
        ["deep"],
    ]
    content, (none, full) = rows[0][0].rgb, (cell.rgb for cell in rows[1])
    assert np.array_equal(none, content)
    assert np.abs(full.astype(int) - content).mean() > 1
    with Image.open(folder / "sheet.png") as image:
        sheet = np.asarray(image.convert("RGB"))
    # Below the first row the content is there once more, leftmost, and the other beside it.
    height, left = round(CELL_PX * 64 / 96), slice(GAP_PX, GAP_PX + CELL_PX)
    first = sheet[GAP_PX : GAP_PX + height, left]
    tops = range(GAP_PX + height, len(sheet) - height + 1)
    (top,) = [at for at in tops if np.array_equal(sheet[at : at + height, left], first)]
    beside = slice(left.stop + GAP_PX, left.stop + GAP_PX + CELL_PX)
    other = sheet[top : top + height, beside]
    assert other.std() > 10
    assert not np.array_equal(other, first)


def test_a_strip_is_a_row_in_the_order_of_the_strengths(
    folder: Path, rows: list[list[Cell]]
) -> None:
    names, strengths = ("pytorch-tutorial", "balanced"), ["2", "0.5", "1"]
    assert compare(folder, *names, strengths=strengths) == (0, "")
    assert first_lines(rows) == [
        ["content", "style"],
        *([f"{name}, strength {strength}" for strength in strengths] for name in names),
    ]
    images = [cell.rgb for row in rows[1:] for cell in row]
    assert len({image.tobytes() for image in images}) == len(images)


@pytest.mark.parametrize(
    ("strengths", "caption"), [([], "balanced"), (["0.50"], "balanced, strength 0.5")]
)
def test_of_one_strength_or_none_there_are_no_strips(
    folder: Path, rows: list[list[Cell]], strengths: list[str], caption: str
) -> None:
    assert compare(folder, "balanced", strengths=strengths) == (0, "")
    assert first_lines(rows) == [["content", "style", caption]]


def test_the_sheet_is_there_from_the_first_recipe_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("balanced", "pytorch-tutorial")
    assert compare(folder, *names) == (0, "")  # style targets are in the cache from now on
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, f"atomic-replaced@1:{tmp_path / 'killed'}")
    images = [str(folder / "content.png"), str(folder / "style.png")]
    weights = ["--weights", str(folder / "short.safetensors"), "--size", "32", "--steps", "4"]
    sheet = folder / "first.png"
    ended = run_process(
        COMMAND[-1], "recipes", *names, "--compare", *images, *weights, "-o", str(sheet)
    )
    told = "2 recipes, 32 px: 8 evaluations at most\n"
    assert (ended.code, ended.out) == (-signal.SIGKILL, told)
    with Image.open(folder / "sheet.png") as whole, Image.open(sheet) as first:
        assert first.width == 3 * CELL_PX + 4 * GAP_PX < whole.width
        assert np.array_equal(cell(sheet, 0, 2), cell(folder / "sheet.png", 0, 2))


@pytest.mark.parametrize("is_late", [False, True])
def test_ctrl_c_says_what_there_is_and_promises_nothing(folder: Path, is_late: bool) -> None:
    images = [str(folder / "content.png"), str(folder / "style.png")]
    weights = ["--weights", str(folder / "short.safetensors"), "--size", "32", "--steps", "400"]
    sheet = folder / "sheet.png"
    names = ["balanced", "perceptual"]
    process = start("recipes", *names, "--compare", *images, *weights, "-o", str(sheet))
    assert process.stdout is not None
    assert process.stdout.readline() == "2 recipes, 32 px: 800 evaluations at most\n"
    if is_late:
        wait_until(sheet.exists, "the first sheet")
    os.kill(process.pid, signal.SIGINT)
    ended = end(process)
    kept = f"{sheet} has the recipes until then" if is_late else "nothing was written"
    assert (ended.code, ended.err) == (4, f"stylebatch: stopped; {kept}\n")
    assert sheet.exists() == is_late


@pytest.mark.slow
def test_a_terminal_shows_which_recipe_is_at_work_and_a_pipe_does_not(folder: Path) -> None:
    images = [str(folder / "content.png"), str(folder / "style.png")]
    weights = ["--weights", str(folder / "short.safetensors"), "--size-px", "64", "--steps", "60"]
    sheet = str(folder / "sheet.png")
    names = ["balanced", "pytorch-tutorial"]
    asked = ["recipes", *names, "--compare", *images, *weights, "-o", sheet]
    code, written = on_a_terminal(*asked)
    assert code == 0
    assert "balanced, 1 of 2" in written
    assert "pytorch-tutorial, 2 of 2" in written
    assert "of 120 evaluations at most" in written
    told = "2 recipes, 64 px: 120 evaluations at most"
    assert command(*asked) == (0, f"{told}\n{sheet}\n", "")


def test_evaluations_are_counted_of_what_runs(folder: Path) -> None:
    short = str(folder / "short.safetensors")
    names = ["balanced", "gatys", "pytorch-tutorial"]
    assert most_evaluations(names, "vgg19", short, None) == {
        name: recipe_fields(name)["steps"] for name in ("balanced", "pytorch-tutorial")
    }
    assert most_evaluations(names, "slim", None, 7, 3)["balanced"] == 21


def test_a_strength_below_0_is_refused(folder: Path) -> None:
    code, complaint = compare(folder, "balanced", strengths=["0", "-1"])
    assert code == 2
    assert "strength: -1.0; " in complaint


def test_where_no_recipe_runs_the_reason_is_told(folder: Path) -> None:
    code, complaint = compare(folder, "gatys", "deep")
    assert code == 2
    assert "does not have conv3_4, conv4_1" in complaint
    assert "it has conv1_1 to conv3_3" in complaint
    assert not (folder / "sheet.png").exists()


@pytest.mark.parametrize(
    ("names", "sheet", "told"),
    [
        (
            ["nonesuch"],
            "sheet.png",
            "recipe: no recipe 'nonesuch'; one of augment, balanced, balanced-2026-11, ",
        ),
        (["balanced"], "sheet.txt", "no sheet can be a '.txt'; a sheet is one of .png, .jpg"),
    ],
)
def test_what_can_t_be_meant_is_refused_before_any_work(
    folder: Path, names: list[str], sheet: str, told: str
) -> None:
    code, complaint = compare(folder, *names, sheet=sheet)
    assert code == 2
    assert told in complaint


def test_a_missing_image_is_named(folder: Path) -> None:
    (folder / "style.png").unlink()
    code, complaint = compare(folder, "balanced")
    assert code == 2
    assert "style.png: can't be read (No such file or directory)" in complaint


def test_a_recipe_is_shown_with_every_field_those_at_their_defaults_too() -> None:
    out = command("recipes", "balanced", "gatys").out
    parts = dict(zip(("balanced", "gatys"), out.split("\n\n# "), strict=True))
    for name, text in parts.items():
        shown = yaml.safe_load(text.removeprefix(name))
        assert shown.keys() == Recipe.model_fields.keys()
        assert Recipe(**shown) == recipe_on("vgg19", recipe_fields(name))


def test_the_list_says_how_deep_each_recipe_reaches() -> None:
    listed = command("recipes").out
    assert all(name in listed for name in recipe_names())
    assert "conv5_2" in listed
    assert "2500" in listed


def test_every_recipe_works_at_one_longest_edge(folder: Path) -> None:
    """`pytorch-tutorial` counts the shortest: of a 96×64 content that is 21 px of 32."""
    made = []
    kwargs: dict[str, Any] = {
        "weights": str(folder / "short.safetensors"),
        "steps": 1,
        "device": "cpu",
    }
    for name in ("balanced", "pytorch-tutorial"):
        edge = _size(name, 32, np.zeros((64, 96, 3), np.uint8))
        override = {"output_size": "work", "bucket_px": 1}
        (image,) = stylize(
            folder / "content.png", folder / "style.png", name,
            size_px=edge, override=override, **kwargs,
        )  # fmt: skip
        made.append(image.size)
    assert made == [(32, 21), (31, 21)]
