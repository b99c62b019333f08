"""`benchmarks.pictures.quality` for a moment on one real pair, and the pairs that it works on."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.paths import ROOT

from benchmarks.pictures.pairs import PAIRS, load_pairs

FIELDS = ("chr", "line", "style", "content", "seconds")
NUMBER = r"(\d[\d.e+-]*)"
FIGURES = ", ".join(rf"{name} {NUMBER} \({NUMBER}\)" for name in FIELDS)


def run(shared: Path, *arguments: str) -> list[str]:
    """Run the command on one pair for two evaluations; return its lines below the machine's."""
    small = ["--shared", str(shared), "--pairs", "1", "--sizes", "64", "--steps", "2"]
    command = [sys.executable, "-m", "benchmarks.pictures.quality", *small, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    _, *lines = done.stdout.splitlines()
    return lines


def figures(line: str, what: str) -> dict[str, float]:
    """Return a line's medians, which of one pair are also the worst."""
    matched = re.fullmatch(rf"{re.escape(what)}: {FIGURES}", line)
    assert matched is not None, line
    numbers = [float(number) for number in matched.groups()]
    assert numbers[::2] == numbers[1::2]
    return dict(zip(FIELDS, numbers[::2], strict=True))


@pytest.mark.slow
def test_it_tells_each_recipe_start_and_strength_on_a_line(shared: Path) -> None:
    both = ["--recipes", "balanced", "balanced-2026-11"]
    plain, none, old, old_none = run(shared, *both, "--strengths", "1", "0")
    found = figures(plain, "64 px, balanced from content")
    assert all(value > 0 for value in found.values())
    assert figures(old, "64 px, balanced-2026-11 from content") != found
    # The photograph itself.
    for line, recipe in ((none, "balanced"), (old_none, "balanced-2026-11")):
        photograph = figures(line, f"64 px, {recipe} from content, strength 0")
        assert photograph["content"] == 0
        assert photograph["style"] > found["style"]
    (noisy,) = run(shared, "--which", "development", "--starts", "noise", "--arch", "slim")
    assert figures(noisy, "64 px, balanced from noise")["chr"] > 1


@pytest.mark.slow
def test_pictures_that_are_kept_are_measured_again_beside_a_peers(
    shared: Path, tmp_path: Path
) -> None:
    kept = ["--out", str(tmp_path / "out")]
    (first,) = run(shared, *kept)
    (path,) = (tmp_path / "out").iterdir()
    before = path.stat()
    identity = (before.st_ino, before.st_mtime_ns)
    (pair,) = load_pairs(shared, "report", 64, 1)
    assert path.name == f"{pair.name} 64 px, balanced from content vgg19.png"
    with Image.open(path) as image:
        assert image.size == pair.content.shape[1::-1]
        seconds = float(image.info["seconds"])
    # A peer that gives the photograph back, in twice the time.
    peer = tmp_path / "peer"
    peer.mkdir()
    Image.fromarray(pair.content).save(peer / f"{pair.name} 64.png")
    (peer / "times.json").write_text(json.dumps({f"{pair.name} 64": 2 * seconds}))
    again, beside, ours, theirs, time = run(shared, *kept, "--peer", str(peer))
    assert again == first
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == identity
    mine, other = beside.strip().removeprefix(f"{pair.name}: ").split(" | ")
    assert first.endswith(mine)
    assert figures(ours.strip(), "1 pairs, ours") == figures(first, "64 px, balanced from content")
    found = figures(theirs.strip(), "1 pairs, peer")
    assert other.removeprefix("peer: ") in theirs
    assert found["content"] == 0
    assert time.strip() == "CPU time, ours / peer's: median 1/2.0"
    # Made by other settings it is not what is asked for, whatever its name.
    (more,) = run(shared, *kept, "--steps", "3")
    assert (
        figures(more, "64 px, balanced from content")["style"]
        < figures(first, "64 px, balanced from content")["style"]
    )
    assert path.stat().st_mtime_ns > before.st_mtime_ns


@pytest.mark.slow
def test_peers_recipes_run_on_layers_that_there_are_and_stand_on_a_sheet(
    shared: Path, tmp_path: Path
) -> None:
    recipes = ["--recipes", "pytorch-tutorial", "neural-style"]
    lines = run(shared, "--out", str(tmp_path), *recipes)
    for line, name in zip(lines, recipes[1:], strict=True):
        figures(line, f"64 px, {name} from content")
    sheet = tmp_path / "sheet.png"
    command = [sys.executable, "-m", "benchmarks.pictures.sheet", "--shared", str(shared)]
    command += [str(tmp_path), str(sheet), "--size", "64", "--pairs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "1 pairs" in done.stdout
    (pair,) = load_pairs(shared, "report", 64, 1)
    with Image.open(sheet) as opened:
        cells = np.array(opened)
    height, width, _ = pair.content.shape
    for column, recipe in enumerate((None, None, "balanced", *recipes[1:])):
        # The middle of each pixel's square; 64 px are enlarged eight times.
        cell = cells[14 + 4 :: 8, column * 518 + 4 :: 8][:height, :width]
        if recipe is None:
            wanted = pair.content if column == 0 else cell
        elif recipe == "balanced":
            # It was not made: a gap.
            wanted = np.full_like(cell, 255)
        else:
            name = f"{pair.name} 64 px, {recipe} from content vgg19.png"
            with Image.open(tmp_path / name) as made:
                wanted = np.array(made)
        assert np.array_equal(cell, wanted), (column, recipe)


@pytest.mark.slow
def test_without_the_shared_folder_it_says_what_it_needs(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.pictures.quality", "--shared", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 1
    assert "vgg19_conv3_4.safetensors: not there; this benchmark needs a folder" in done.stderr


# --- the pairs -------------------------------------------------------------------------------


def test_nothing_that_objectives_are_tuned_on_stands_in_the_report() -> None:
    entries = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))
    assert set(entries) == {"development", "report"}
    for part in ("content", "style"):
        development, report = ({each[part] for each in pairs} for pairs in entries.values())
        assert development
        assert report
        assert development & report == set()


@pytest.mark.slow
def test_all_pairs_load_at_a_size(shared: Path) -> None:
    sizes = {"development": 6, "report": 8}
    names = []
    for which, count in sizes.items():
        pairs = load_pairs(shared, which, 128)
        assert len(pairs) == count
        names += [pair.name for pair in pairs]
        for pair in pairs:
            height, width, _ = pair.content.shape
            assert max(height, width) == 128
            assert (height % 32, width % 32) == (0, 0)
            # As large as a style is looked at for 128 px.
            assert max(pair.style_at_size.shape) == 128
            for image in (pair.content, pair.style, pair.style_at_size):
                assert image.dtype == np.uint8
                assert image.shape[2] == 3
                assert image.std() > 10
    assert len(set(names)) == 14


def test_a_crop_is_cut_before_the_image_is_made_smaller(shared: Path) -> None:
    entries = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))["report"]
    pairs = load_pairs(shared, "report", 256)
    ratios = {
        entry["crop"]: pair.content.shape[1] / pair.content.shape[0]
        for entry, pair in zip(entries, pairs, strict=True)
        if "crop" in entry
    }
    assert len(ratios) == 2
    for crop, ratio in ratios.items():
        # Edges are multiples of 32 px.
        assert ratio == pytest.approx(crop, rel=0.2)
