"""The benchmark of what an image is worth: corruptions, parts, draws, and a whole small trial."""

import colorsys
import csv
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from support.paths import ROOT
from support.runs import PATIENCE_S

from benchmarks.augmentation import corruptions, networks, parts, sets, views
from benchmarks.augmentation.styles import STYLES
from benchmarks.pictures.pairs import PAIRS

EVERY = (*corruptions.REPORT, *corruptions.DEVELOPMENT)


def photograph(edge: int = 64) -> NDArray[np.uint8]:
    """Smooth masses, an edge and a texture, as a photograph has them."""
    y, x = np.mgrid[:edge, :edge] / edge
    red = 0.5 + 0.4 * np.sin(5 * x + 3 * y)
    green = np.where((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.1, 0.8, 0.3)
    blue = 0.4 + 0.2 * np.sin(60 * x) * np.sin(40 * y)
    return np.round(255 * np.stack([red, green, blue], axis=-1)).astype(np.uint8)


def test_what_is_tuned_on_is_not_reported() -> None:
    assert not set(corruptions.REPORT) & set(corruptions.DEVELOPMENT)
    assert len(set(EVERY)) == 18


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_a_corruption_changes_more_from_severity_to_severity(kind: corruptions.Corruption) -> None:
    images = np.stack([photograph()] * 12)
    changed = [corruptions.corrupted(images, kind, severity) for severity in (1, 3, 5)]
    for found in changed:
        assert found.shape == images.shape
        assert found.dtype == np.dtype(np.uint8)
    again = corruptions.corrupted(images, kind, 3)
    np.testing.assert_array_equal(changed[1], again)
    if kind not in (corruptions.elastic_transform, corruptions.saturate, corruptions.spatter):
        far = [np.abs(found.astype(float) - images).mean() for found in changed]
        assert far[0] < far[1] < far[2]


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in EVERY
        if "blur" in kind.__name__ or kind.__name__ in ("pixelate", "contrast")
    ],
    ids=lambda kind: kind.__name__,
)
def test_what_blurs_leaves_one_colour_as_it_is(kind: corruptions.Corruption, severity: int) -> None:
    flat = np.full((2, 64, 64, 3), (200, 90, 30), np.uint8)
    found = corruptions.corrupted(flat, kind, severity)
    assert np.abs(found.astype(int) - flat).max() <= 1


def test_corruptions_as_their_formulas_say() -> None:
    rng = np.random.default_rng(0)
    grey = np.full((200, 200, 3), 0.5, np.float32)
    assert corruptions.gaussian_noise(grey, 3, rng).std() == pytest.approx(0.08, rel=0.02)
    assert corruptions.shot_noise(grey, 3, rng).std() == pytest.approx((0.5 / 50) ** 0.5, rel=0.02)
    assert corruptions.speckle_noise(grey, 3, rng).std() == pytest.approx(0.125, rel=0.02)
    hit = corruptions.impulse_noise(grey, 5, rng) != 0.5
    assert hit.mean() == pytest.approx(0.14, rel=0.05)
    image = photograph().astype(np.float32) / np.float32(255)
    mean = image.mean(axis=(0, 1))
    faint = corruptions.contrast(image, 2, rng)
    np.testing.assert_allclose(faint, mean + 0.3 * (image - mean), atol=1e-6)
    light = corruptions.brightness(image, 1, rng)
    hue, saturation, value = colorsys.rgb_to_hsv(*image[5, 9])
    expected = colorsys.hsv_to_rgb(hue, saturation, min(1, value + 0.1))
    np.testing.assert_allclose(light[5, 9], expected, atol=0.03)  # HSV in 8 bits
    file = io.BytesIO()
    Image.fromarray(photograph()).save(file, "JPEG", quality=40)
    saved = np.asarray(Image.open(file), np.float32) / 255
    np.testing.assert_array_equal(corruptions.jpeg_compression(image, 4, rng), saved)


def test_the_pinned_parts_share_no_image_and_are_what_is_drawn(shared: Path) -> None:
    pacs = shared / "augmentation/pacs"
    pinned = parts.split_of(pacs)
    assert pinned == parts.draw(pacs)
    roles = [paths for part in pinned.values() for paths in part.values()]
    together = [path for paths in roles for path in paths]
    assert len(together) == len(set(together))
    assert all((pacs / path).exists() for path in together)
    classes = Counter(path.split("/")[1] for path in pinned["report"]["train"])
    assert len(classes) == 7
    assert set(classes.values()) == {parts.COUNTS["report"]["train"]}


def test_styles_are_those_that_pictures_are_tuned_and_reported_on() -> None:
    pairs = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))
    for part, names in STYLES.items():
        assert set(names) == {entry["style"] for entry in pairs[part]}
    assert not set(STYLES["development"]) & set(STYLES["report"])


def test_styles_are_dealt_evenly(tmp_path: Path) -> None:
    paths = [f"photo/{label}/{number}.jpg" for label in "ab" for number in range(10)]
    styles = [tmp_path / f"s{number}.png" for number in range(4)]
    work = sets.prepare(tmp_path, tmp_path, paths, styles, copies=3, edge=64)
    counts = Counter(style for _, style in work.pairs)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert max(Counter(work.pairs).values()) == 1, "versions of a photograph differ in style"
    with (tmp_path / sets.MAP).open(newline="") as file:
        rows = [(row["content"], row["style"]) for row in csv.DictReader(file)]
    assert rows == [(content, style.stem) for content, style in work.pairs]


def test_views_are_drawn_alike_and_noise_has_its_scale() -> None:
    images = np.stack([photograph()] * 3)
    one, other = (views.draw_views(images, views.strong(64), 2, seed=4) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert one.shape == (2, 3, 64, 64, 3)
    versions = np.stack([np.zeros_like(images), np.full_like(images, 255)])
    by_turns = views.draw_views(versions, views.plain(64), 4, seed=0)
    assert by_turns.mean(axis=(1, 2, 3, 4)).tolist() == [0, 255, 0, 255]
    grey = np.full((400, 16, 16, 3), 128, np.uint8)
    scales = (views.noisy(grey, seed=0, largest=0.1) - 128.0).std(axis=(1, 2, 3)) / 255
    assert scales.max() < 0.11
    assert scales.mean() == pytest.approx(0.05, abs=0.005)


def test_batches_are_drawn_by_the_banks_shares_from_the_chosen_items() -> None:
    banks = [(torch.zeros(2, 5, 1), 0.25), (torch.ones(3, 5, 1), 0.75)]
    labels = torch.tensor([0, 10, 20, 30, 40])
    draws = networks.Draws(banks, labels, torch.tensor([1, 3]))
    inputs, found = draws.batch(4000, torch.Generator().manual_seed(0))
    assert float(inputs.mean()) == pytest.approx(0.75, abs=0.03)
    assert set(found.tolist()) == {10, 30}


def coloured_data(folder: Path, domains: dict[str, int]) -> None:
    """Write domains of two classes that a network can tell apart: red and blue images."""
    generator = np.random.default_rng(0)
    for domain, count in domains.items():
        for label, channel in (("blue", 2), ("red", 0)):
            for number in range(count):
                image = generator.integers(0, 120, (32, 32, 3))
                image[..., channel] += 120
                path = folder / domain / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.astype(np.uint8)).save(path)


def benchmark(*arguments: str) -> list[str]:
    """Run the command; return the lines that it printed."""
    command = [sys.executable, "-m", "benchmarks.augmentation", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


@pytest.mark.slow
def test_a_whole_trial_on_a_folder_of_ones_own(tmp_path: Path) -> None:
    coloured_data(tmp_path / "data", {"photo": 20, "drawing": 12})
    style = tmp_path / "style.png"
    Image.fromarray(photograph()).save(style)
    arguments = (
        *(str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--part", "development"),
        *("--styles", str(style)),
        *("--networks", "scratch", "--seeds", "2", "--size", "32", "--steps", "60"),
        *("--arms", "photographs", "Reinhard", "Reinhard + noise + strong"),
    )
    told = benchmark(*arguments)
    table = [line for line in told if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in table[2:5]] == [
        "| photographs",
        "| Reinhard",
        "| Reinhard + noise + strong",
    ]
    lines = (tmp_path / "out/development-32-1/results.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 6
    assert all(row["accuracy"]["drawing"] > 90 for row in rows if row["arm"] == "photographs")
    assert benchmark(*arguments)[-12:] == told[-12:], "kept, not made again"
