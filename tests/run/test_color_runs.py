"""`recipe: color-transfer` in whole runs: no network, and all else as in any run."""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from support.runs import (
    COMMAND,
    SHALLOW,
    Small,
    color_project,
    command,
    lines,
    needs_proc,
    picture,
    run_process,
)

from stylebatch import stylize
from stylebatch.pictures.color_transfer import color_statistics, transfer_colors
from stylebatch.pictures.images import Pixels
from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return four images to make, by a recipe that needs none of the weights that are named."""
    return color_project(tmp_path)


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def expected(small: Small, photo: str, styles: dict[str, float], strength: float = 1) -> Pixels:
    weighted = [
        (color_statistics(pixels(small.root / "styles" / style), "mean_std"), weight)
        for style, weight in styles.items()
    ]
    return transfer_colors(pixels(small.root / "photos" / photo), weighted, "mean_std", strength)


def test_each_file_is_the_transfer_of_its_photograph_and_no_weights_are_looked_for(
    small: Small,
) -> None:
    assert len(small.again()) == 4
    for photo, stem in (("cats/a.png", "cats/a"), ("dogs/b.png", "dogs/b")):
        for style in "st":
            made = pixels(small.out / "images" / f"{stem}-{style}.png")
            assert np.array_equal(made, expected(small, photo, {f"{style}.png": 1}))
    assert small.again() == set()


def test_what_goes_out_beside_the_images(small: Small) -> None:
    small.run()
    for row in small.metadata().values():
        told: dict[str, object] = {
            "evaluations": 1,
            "losses": None,
            "status": None,
            "precision": None,
        }
        told |= {"restored": None, "retried_with_adam": None, "device": "cpu", "seed": None}
        assert {key: row[key] for key in told} == told
        assert row["strength"] == 1
        assert row["seconds"] >= 0
    assert list((small.out / "losses").rglob("*")) == [], "there are no losses"
    (entry,) = yaml.safe_load((small.out / "settings.json").read_text()).values()
    assert entry["extractor"] is entry["precision"] is None
    assert entry["recipe"]["color_transfer"] == "mean_std"
    assert "optimizer" not in entry["recipe"]
    card = (small.out / "README.md").read_text(encoding="utf-8")
    assert "the style's colours only" in card


@pytest.mark.parametrize("losses", ["parquet", "none"])
def test_no_losses_are_written_as_tables_either(small: Small, losses: str) -> None:
    small.document["run"]["losses"] = losses
    assert len(small.again()) == 4
    assert not any(row.get("loss_log") for row in small.metadata().values())


TORCHLESS = """
import sys
from stylebatch.cli import main
sys.argv = ["stylebatch", *sys.argv[1:]]
try:
    main()
except SystemExit as ending:
    print("code", ending.code or 0)
print(sorted({"torch", "torchvision"} & sys.modules.keys()))
"""


@pytest.mark.parametrize("arguments", [("run",), ("run", "--dry-run"), ("run", "--preview", "2")])
def test_a_run_does_without_torch_whatever_devices_are_named(
    small: Small, arguments: tuple[str, ...]
) -> None:
    small.document["run"]["devices"] = ["cuda:7"]
    small.write()
    ended = run_process(TORCHLESS, arguments[0], str(small.manifest), *arguments[1:])
    assert ended.out.splitlines()[-1] == "[]", ended
    assert "code" not in ended.out or "code 0" in ended.out, ended
    if arguments == ("run",):
        assert len(small.images()) == 4


def test_a_worker_process_does_without_torch(small: Small) -> None:
    code = "import sys, stylebatch.worker.process, stylebatch.worker.plain\n"
    ended = run_process(code + 'print("torch" in sys.modules)')
    assert ended.out == "False\n"


@pytest.mark.slow
def test_images_are_the_same_whatever_the_number_of_workers(small: Small) -> None:
    for number in range(20):
        small.photo(f"cats/{number}.png", 20 + number, 16 + number, 40)
    small.pair["strength"] = [0.2, 1]
    small.run()
    alone, told = small.images(), small.metadata()
    for workers in (1, 3):
        small.document["output"] = f"out{workers}"
        small.out = small.root / f"out{workers}"
        small.document["run"] |= {"executor": "local", "cpu_workers": workers}
        assert small.run().code == 0
        assert small.images() == alone
        for name, row in small.metadata().items():
            assert {**row, "seconds": 0} == {**told[name], "seconds": 0}


@pytest.mark.slow
@needs_proc
@pytest.mark.parametrize("point", ["claimed@1", "temporary-written@1", "file-renamed@1"])
@pytest.mark.parametrize("executor", ["inline", "local"])
def test_a_killed_run_goes_on_and_ends_the_same(
    small: Small, tmp_path: Path, point: str, executor: str
) -> None:
    small.run()
    whole = small.images()
    small.document["output"], small.out = "again", small.root / "again"
    small.document["run"]["executor"] = executor
    small.write()
    at = {ENVIRONMENT_VARIABLE: f"{point}:{tmp_path / 'marker'}"}
    command_line = [*COMMAND, "run", str(small.manifest)]
    subprocess.run(command_line, env=os.environ | at, capture_output=True, check=False)
    assert (tmp_path / "marker").exists(), "it was killed there"
    assert small.run().code == 0
    assert small.images() == whole
    assert set(small.metadata()) == set(whole)
    small.again()
    assert not any((small.out / ".stylebatch/tmp").iterdir())


def test_another_method_makes_all_anew_and_what_has_no_part_in_it_nothing(small: Small) -> None:
    small.again()
    small.document["run"]["precision"] = "bfloat16"
    small.document["extractor"] = {"weights": "random", "arch": "vgg16"}
    assert small.again() == set()
    for method in ("covariance", "histogram"):
        small.pair["override"] = {"color_transfer": method}
        assert len(small.again()) == 4
    del small.pair["override"]
    assert len(small.again()) == 4, "each made anew or taken back"


def test_strengths_are_drawn_and_blends_weighted(small: Small) -> None:
    small.pair["strength"] = [0.1, 0.9]
    small.pair["styles"] = [
        {"name": "both", "blend": {"styles/s.png": 0.7, "styles/t.png": 0.3}},
        "styles/s.png",
    ]
    assert len(small.again()) == 4
    rows = small.metadata()
    assert len({row["strength"] for row in rows.values()}) == 4
    strength = rows["cats/a-both.png"]["strength"]
    wanted = expected(small, "cats/a.png", {"s.png": 0.7, "t.png": 0.3}, strength)
    assert np.array_equal(pixels(small.out / "images/cats/a-both.png"), wanted)


def test_strength_0_is_the_photograph(small: Small) -> None:
    small.pair["strength"] = 0
    small.again()
    made = pixels(small.out / "images/cats/a-s.png")
    assert np.array_equal(made, pixels(small.root / "photos/cats/a.png"))


def test_masks_alpha_and_sizes_are_as_for_other_recipes(small: Small) -> None:
    photo = picture(1, 40, 30, "RGBA")
    photo.save(small.root / "photos/cats/a.png")
    mask = np.zeros((30, 40), np.uint8)
    mask[:, 20:] = 255
    for name, size in (("cats/a.png", (40, 30)), ("dogs/b.png", (16, 16))):
        path = small.root / "masks" / name
        path.parent.mkdir(parents=True)
        Image.fromarray(mask).resize(size, Image.Resampling.NEAREST).save(path)
    small.pair["masks"] = "masks"
    small.again()
    with Image.open(small.out / "images/cats/a-s.png") as image:
        rgba, given = np.asarray(image), np.asarray(photo)
    assert np.array_equal(rgba[..., 3], given[..., 3]), "alpha is kept"
    assert np.array_equal(rgba[:, :20], given[:, :20]), "black in the mask: the photograph"
    inside = expected(small, "cats/a.png", {"s.png": 1})[:, 20:]
    assert np.array_equal(rgba[:, 20:, :3], inside), "white: its transfer, by all of its colours"

    small.pair |= {"output_size": [24, 20], "format": "webp"}
    small.again()
    assert {size_of(path) for path in (small.out / "images").rglob("*.webp")} == {(24, 20)}
    small.pair |= {"output_size": "work", "size_px": 20, "format": "png"}
    small.again()
    assert size_of(small.out / "images/cats/a-s.png") == (20, 15)


def test_a_small_size_px_blurs_nothing_that_comes_out_at_the_contents_size(small: Small) -> None:
    small.photo("cats/a.png", 1, 64, 48)
    small.pair["size_px"] = 16
    ended = command("plan", str(small.write()))
    assert "enlarged" not in ended.out + ended.err
    small.again()
    wanted = expected(small, "cats/a.png", {"s.png": 1})
    assert np.array_equal(pixels(small.out / "images/cats/a-s.png"), wanted)


def test_images_of_one_pixel_and_ones_that_are_none(small: Small) -> None:
    small.photo("cats/one.png", 5, 1, 1)
    (small.root / "photos/cats/none.png").write_bytes(b"no image")
    ended = small.run()
    assert ended.code == 3
    assert len(small.images()) == 6
    assert size_of(small.out / "images/cats/one-s.png") == (1, 1)
    reasons = {row["file_name"]: row["reason"] for row in lines(small.out / "failures.jsonl")}
    assert reasons.keys() == {"images/cats/none-s.png", "images/cats/none-t.png"}
    assert all("photos/cats/none.png" in reason for reason in reasons.values())


def test_one_manifest_has_it_beside_what_is_optimised(small: Small) -> None:
    """Their files are the same as alone; defaults that are meant for the others don't trouble."""
    small.run()
    alone = small.images()
    small.document["extractor"] = {"weights": "random"}
    small.document["defaults"] = {"steps": 3, "size_px": 16, "override": dict(SHALLOW)}
    optimised: dict[str, Any] = {"name": "optimised", "content": "photos", "styles": ["styles"]}
    small.document["pairs"].append({**optimised, "into": "more", "originals": "copy"})
    small.document["output"], small.out = "both", small.root / "both"
    ended = small.run()
    assert ended.code == 0, ended
    made = small.images()
    assert len(made) == 4 + 4 + 2
    assert {name: made[name] for name in alone} == alone
    assert small.again() == set()


def test_a_sweep_has_its_methods_and_other_recipes_side_by_side(small: Small) -> None:
    small.document["extractor"] = {"weights": "random"}
    small.pair |= {"steps": 2, "size_px": 16}
    del small.pair["recipe"]
    small.pair["override"] = {key: SHALLOW[key] for key in ("content_layers", "style_layers")}
    small.pair["sweep"] = [
        {"recipe": ["balanced", "color-transfer"]},
        {"recipe": ["color-transfer"], "color_transfer": ["covariance", "histogram"]},
    ]
    ended = small.run()
    assert ended.code == 0, ended
    assert len(small.images()) == 4 * 4


def test_stylize_makes_the_same_and_so_does_its_command(small: Small, tmp_path: Path) -> None:
    photo, style = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    wanted = expected(small, "cats/a.png", {"s.png": 1}, 0.5)
    (made,) = stylize(photo, style, "color-transfer", strength=0.5)
    assert np.array_equal(np.asarray(made), wanted)
    target = tmp_path / "made.png"
    arguments = ("--recipe", "color-transfer", "--strength", "0.5", "-o", str(target))
    ended = command("stylize", str(photo), str(style), *arguments)
    assert ended.code == 0, ended
    assert "download" not in ended.err
    assert np.array_equal(pixels(target), wanted)
    halves = np.zeros((16, 16), np.uint8)
    halves[8:] = 255
    (masked,) = stylize(np.asarray(picture(1)), {str(style): 2.0}, "color-transfer", masks=halves)
    assert np.array_equal(np.asarray(masked)[:8], pixels(photo)[:8])
    assert np.array_equal(np.asarray(masked)[8:], expected(small, "cats/a.png", {"s.png": 1})[8:])


def test_recipes_compares_it_without_weights(small: Small, tmp_path: Path) -> None:
    photo, style = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    sheet = tmp_path / "sheet.png"
    pair = ("--compare", str(photo), str(style), "-o", str(sheet), "--steps", "3")
    ended = command("recipes", "color-transfer", *pair)
    assert ended.code == 0, ended
    assert sheet.exists()


def test_a_side_by_side_has_all_three(small: Small) -> None:
    small.pair["override"] = {"side_by_side": True}
    small.again()
    assert size_of(small.out / "side_by_side/cats/a-s.png") == (48, 16)


def test_an_estimate_is_measured_and_goes_by_earlier_runs_then(small: Small) -> None:
    for number in range(10):
        small.photo(f"cats/{number}.png", 20 + number)
    measured = small.run("--dry-run").out
    assert "24 images" in measured
    assert "earlier runs" not in measured
    small.run("--limit", "12")
    known = small.run("--dry-run").out
    assert "12 images" in known
    assert "earlier runs" in known
