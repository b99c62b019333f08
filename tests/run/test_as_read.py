"""What a run says of photographs that it reads otherwise than may be meant: `levels:`, pages."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.encoded import GREY, png
from support.runs import Small, color_project, lines

from stylebatch.pictures.color_transfer import color_statistics, transfer_colors


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return a project with a slice of 12 bits in 16 beside two photographs."""
    small = color_project(tmp_path)
    values = np.linspace(0, 4000, 24 * 40).astype(np.uint16).reshape(24, 40)
    (small.root / "photos/cats/ct.png").write_bytes(png(values, 16, GREY))
    return small


def made(small: Small) -> np.ndarray:
    return np.asarray(Image.open(small.out / "images/cats/ct-s.png").convert("RGB"))


def expected(small: Small, bits: int) -> np.ndarray:
    with Image.open(small.root / "photos/cats/ct.png") as image:
        grey = (np.asarray(image).astype(int) * 256 // 2**bits).astype(np.uint8)
    style = np.asarray(Image.open(small.root / "styles/s.png").convert("RGB"))
    weighted = [(color_statistics(style, "mean_std"), 1.0)]
    return transfer_colors(np.stack([grey] * 3, axis=2), weighted, "mean_std", 1)


def warnings(small: Small) -> list[str]:
    found: list[str] = json.loads((small.out / "run.json").read_text())["warnings"]
    return [each for each in found if "16-bit" in each]


def test_bits_that_are_found_are_used_and_said(small: Small) -> None:
    assert len(small.again()) == 6
    assert np.array_equal(made(small), expected(small, 12))
    (warning,) = warnings(small)
    assert warning.startswith("2 images are of 16-bit grey in which 12 bits are used (such as cats")
    rows = small.metadata()
    assert {Path(name).stem: row.get("levels") for name, row in rows.items()} == {
        **{"ct-s": 12, "ct-t": 12, "a-s": None, "a-t": None, "b-s": None, "b-t": None}
    }
    settings = json.loads((small.out / "settings.json").read_text())
    assert all("levels" not in entry for entry in settings.values())


@pytest.mark.parametrize(("levels", "bits"), [("full", 16), (12, 12), (14, 14)])
def test_levels_that_are_written_make_other_images_under_another_fingerprint(
    small: Small, levels: str | int, bits: int
) -> None:
    small.again()
    small.document["pairs"][0]["levels"] = levels
    assert len(small.again()) == 6, "all of the pair"
    assert np.array_equal(made(small), expected(small, bits))
    told = {row.get("levels") for name, row in small.metadata().items() if "ct-" in name}
    assert told == {None if bits == 16 else bits}
    settings = json.loads((small.out / "settings.json").read_text())
    assert {entry["levels"] for entry in settings.values()} == {levels}


def test_auto_is_what_is_not_written(small: Small) -> None:
    small.again()
    small.document["pairs"][0]["levels"] = "auto"
    assert small.again() == set()


def test_fewer_levels_than_there_are_fail_that_image_alone(small: Small) -> None:
    small.document["pairs"][0]["levels"] = 10
    assert small.run().code == 3
    failures = lines(small.out / "failures.jsonl")
    assert {failure["content"] for failure in failures} == {"photos/cats/ct.png"}
    assert "16-bit grey up to 4,000; allowed by `levels: 10` is 1,023" in failures[0]["reason"]
    assert len(small.metadata()) == 4


def test_photographs_that_are_carried_over_have_the_same_levels(small: Small) -> None:
    small.document["pairs"][0]["originals"] = "copy"
    small.again()
    with Image.open(small.root / "photos/cats/ct.png") as image:
        grey = np.asarray(image) // 16
    carried = np.asarray(Image.open(small.out / "images/cats/ct.png").convert("RGB"))
    assert np.array_equal(carried, np.stack([grey] * 3, axis=2))


def several(path: Path, pages: int, **options: Any) -> None:
    """Write a file of several pages or frames, the first of them red."""
    first, *others = (
        Image.new("RGB", (16, 16), color) for color in ["red", "green", "blue", "white"][:pages]
    )
    first.save(path, save_all=True, append_images=others, **options)


def test_pages_that_are_passed_over_are_said(tmp_path: Path) -> None:
    small = color_project(tmp_path)
    cats = small.root / "photos/cats"
    several(cats / "scan.tif", 3)
    several(cats / "moving.gif", 4, duration=50)
    several(cats / "moving.webp", 2, duration=50, lossless=True)
    several(cats / "moving.png", 2, duration=50)
    several(cats / "one.tif", 1)
    # The second picture of a camera's file is none that anybody would miss.
    several(cats / "camera.mpo", 2)
    assert len(small.again()) == 16
    ended = small.summary()["warnings"]
    (warning,) = (each for each in ended if "pages" in each)
    assert warning.startswith("8 images are of files with several pages or frames (such as cats/")
    rows = small.metadata().items()
    assert {name: row["pages"] for name, row in rows if "pages" in row} == pages_in(small)
    several(cats / "another.tif", 2)
    ended = small.run()
    assert "2 of the first page or frame of several" in ended.out
    assert small.summary()["first_pages"] == 2
    assert "first page" not in small.run().out


def pages_in(small: Small) -> dict[str, int]:
    """Return what Pillow itself counts in the photograph of each image, where there are several."""
    found = {}
    for name, row in small.metadata().items():
        with Image.open(small.root / row["content"]) as image:
            frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":
            found[name] = frames
    return found
