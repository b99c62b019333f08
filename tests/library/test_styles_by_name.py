"""Styles by name: what is made with `library:NAME` is what is made with the style's own file."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.libraries import Shelf, flip, header, told
from support.runs import SHALLOW, Small, color_project, command
from support.styles_computed import no_computing

from stylebatch import stylize
from stylebatch.library.errors import LibraryError


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def pixels(small: Small) -> dict[str, bytes]:
    """Return the pixels of all images, by path."""
    found = {}
    for path in small.images():
        with Image.open(small.out / "images" / path) as image:
            found[path] = np.asarray(image).tobytes()
    return found


def start_over(small: Small) -> None:
    shutil.rmtree(small.out)


# --- ahead of a run


def test_a_run_after_warm_computes_no_targets(shelf: Shelf) -> None:
    shelf.small.photo("cats/wide.png", 3, 80, 72)
    shelf.small.pair["size_px"] = 80
    ended = shelf.warm()
    assert "8 sets of targets computed, 0 were there" in ended.out
    before = shelf.grams()
    assert not shelf.small.out.exists()
    with no_computing():
        assert shelf.small.run().code == 0
    assert shelf.grams() == before
    assert "0 sets of targets computed, 8 were there" in shelf.warm().out


RECIPES = (
    *("balanced", "deep", "gatys", "neural-style", "pytorch-tutorial", "keras", "matlab"),
    *("perceptual", "feili"),
)


@pytest.mark.slow
def test_every_recipe_is_warmed_for(shelf: Shelf) -> None:
    small = shelf.small
    small.photo("cats/a.png", 1, 48, 40)
    small.document["pairs"] = [
        {
            **{"name": name, "into": name, "content": "photos", "styles": ["styles/s.png"]},
            **{"recipe": name, "steps": 1, "size_px": 40},
        }
        for name in RECIPES
    ]
    small.document["pairs"][0]["override"] = {"scales": [1, 1], "style_scales": [0.5, 1]}
    small.document["pairs"][1]["override"] = {"levels": 2, "style_size_px": "same"}
    shelf.warm()
    with no_computing():
        ended = small.run()
    assert ended.code == 0, ended
    assert len(small.images()) == 2 * len(RECIPES)


def test_what_no_targets_are_kept_of_is_not_warmed(shelf: Shelf) -> None:
    shelf.small.pair["override"] = {**shelf.small.pair["override"], "color": "matched"}
    assert "nothing to compute" in shelf.warm().out
    assert shelf.grams() == {}


def test_styles_that_can_not_be_read_are_told_and_the_others_are_warmed(shelf: Shelf) -> None:
    (shelf.root / "styles/t.png").write_bytes(b"no image")
    ended = shelf.warm(code=3)
    assert "styles/t.png: no image" in ended.err
    assert "1 set of targets computed; 1 style can't be read" in ended.out
    assert len(shelf.grams()) == 1


# --- by name


def test_a_night_needs_no_style_images_and_makes_the_same(shelf: Shelf) -> None:
    small = shelf.small
    assert small.run().code == 0
    wanted = small.images()
    shelf.export()
    shelf.move_to_library()
    shelf.use("library:s", "library:t")
    # The same fingerprints: nothing is made again, only what the records say of the style changes.
    assert small.again() == set()
    assert {row["style"] for row in small.metadata().values()} == {"library:s", "library:t"}
    start_over(small)
    with no_computing():
        assert small.run().code == 0
    assert small.images() == wanted
    assert shelf.grams() == {}


def test_what_was_not_exported_is_computed_from_the_image_in_the_file(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    small.photo("cats/a.png", 1, 60, 60)
    small.pair["size_px"] = 60
    assert small.run().code == 0
    wanted = small.images()
    shelf.move_to_library()
    shelf.use("library:s", "library:t")
    start_over(small)
    assert small.run().code == 0
    assert small.images() == wanted


NEEDING: list[dict[str, Any]] = [
    {"color": "matched"},
    {"start": "style"},
    {"start": {"style": 0.5, "content": 0.5}},
    {"side_by_side": True},
    {"color": "content"},
]


@pytest.mark.parametrize("override", NEEDING)
def test_whatever_looks_at_a_style_sees_its_image(shelf: Shelf, override: dict[str, Any]) -> None:
    small = shelf.small
    small.pair["override"] |= override
    assert small.run().code == 0
    wanted = small.images()
    beside = {path.name: path.read_bytes() for path in small.out.glob("side_by_side/**/*.png")}
    shelf.export()
    shelf.move_to_library()
    shelf.use("library:s", "library:t")
    start_over(small)
    assert small.run().code == 0
    assert small.images() == wanted
    made = {path.name: path.read_bytes() for path in small.out.glob("side_by_side/**/*.png")}
    assert made == beside


def test_one_style_is_switched_for_another_by_name(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    shelf.bring("s")
    shelf.bring("t")
    shelf.use("library:s")
    assert small.run().code == 0
    first = small.images()
    shelf.use("library:s", "library:t")
    assert small.again() == {path.replace("-s.png", "-t.png") for path in first}
    shelf.use("library:t")
    assert small.again() == set()
    assert {row["style"] for row in small.metadata().values()} == {"library:t"}


def test_a_name_that_means_another_image_now_makes_its_images_again(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    shelf.bring("s", "--as", "night")
    shelf.use("library:night")
    small.run()
    shelf.bring("t", "--as", "night", code=2)
    assert small.again() == set()
    shelf.bring("t", "--as", "night", "--replace")
    assert small.again() == {"cats/a-night.png", "dogs/b-night.png"}


def test_styles_of_the_library_stand_in_blends(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    shelf.use({"name": "both", "blend": {"styles/s.png": 0.7, "styles/t.png": 0.3}})
    assert small.run().code == 0
    wanted = small.images()
    shelf.bring("s")
    shelf.use({"name": "both", "blend": {"library:s": 0.7, "styles/t.png": 0.3}})
    assert small.again() == set()
    start_over(small)
    assert small.run().code == 0
    assert small.images() == wanted


def test_a_file_is_named_by_its_path_too(shelf: Shelf) -> None:
    small = shelf.small
    assert small.run().code == 0
    wanted = small.images()
    shelf.export()
    shelf.forget_images()
    shelf.use("library:files/./s.safetensors", "library:files/t.safetensors")
    start_over(small)
    assert small.run().code == 0
    assert small.images() == wanted
    styles = {row["style"] for row in small.metadata().values()}
    assert styles == {"library:files/s.safetensors", "library:files/t.safetensors"}


def test_colour_transfers_take_styles_by_name(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.small = small = color_project(tmp_path)
    assert small.run().code == 0
    wanted = pixels(small)
    shelf.export()
    shelf.bring("s")
    shelf.files.joinpath("s.safetensors").unlink()
    shelf.export("t", "--without-image")
    shelf.bring("t")
    for path in (tmp_path / "styles").iterdir():
        path.unlink()
    shelf.use("library:s", "library:t")
    start_over(small)
    assert small.run().code == 0
    assert pixels(small) == wanted


def test_tables_name_styles_of_the_library(shelf: Shelf) -> None:
    shelf.export()
    shelf.bring("s")
    shelf.bring("t")
    shelf.use("library:s", "library:t")
    table = "content,style\ncats/a.png,library:t\ndogs/b.png,s\n"
    (shelf.root / "map.csv").write_text(table)
    shelf.small.pair["assign"] = {"map": "map.csv"}
    assert shelf.small.run().code == 0
    assert set(shelf.small.images()) == {"cats/a-t.png", "dogs/b-s.png"}


def test_a_preview_and_an_estimate_know_styles_of_the_library(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    shelf.export("t", "--without-image")
    shelf.move_to_library()
    shelf.use("library:s", "library:t")
    ended = small.run("--preview", "4")
    assert ended.code == 0, ended
    ended = small.run("--dry-run")
    assert ended.code == 0, ended
    assert "4" in ended.out


# --- without the image


def test_without_its_image_a_style_makes_the_same(shelf: Shelf) -> None:
    small = shelf.small
    assert small.run().code == 0
    wanted, facts = small.images(), small.metadata()
    shelf.export("--without-image")
    shelf.forget_images()
    path = shelf.files / "s.safetensors"
    names = header(path.read_bytes())[0].keys() - {"__metadata__"}
    assert "image" not in names
    assert "thumbnail" in names
    shelf.bring("s")
    shelf.bring("t")
    shelf.use("library:s", "library:t")
    start_over(small)
    with no_computing():
        assert small.run().code == 0
    assert small.images() == wanted
    # Scores need the style's speckle, and have it.
    scores = ("closed", "structure", "color", "speckle")
    for output, row in small.metadata().items():
        assert [row.get(name) for name in scores] == [facts[output].get(name) for name in scores]


@pytest.mark.parametrize("override", NEEDING[:-1])
def test_what_needs_the_image_is_refused_where_there_is_none(
    shelf: Shelf, override: dict[str, Any]
) -> None:
    small = shelf.small
    shelf.export("--without-image")
    shelf.bring("s")
    shelf.use("library:s")
    small.pair["override"] |= override
    ended = small.run()
    assert ended.code == 2
    assert "pipeline.yaml" in ended.err
    assert "pairs[0].styles" in ended.err
    assert "'library:s' has no image in its file" in ended.err
    assert "without --without-image" in ended.err
    assert not small.out.exists()


def test_sizes_that_are_lacking_are_told_before_anything_is_made(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export("--without-image")
    shelf.forget_images()
    shelf.bring("s")
    shelf.use("library:s")
    small.photo("cats/large.png", 5, 100, 80)
    small.pair["size_px"] = 96
    ended = small.run()
    assert ended.code == 2
    assert "library:s: has no image, and lacks targets of 96, 96/2" in ended.err
    assert "has those of 64 px" in ended.err
    assert "styles export --manifest" in ended.err
    plan = small.manifest
    assert not small.out.exists()
    # Of other layers the size alone does not tell.
    small.pair |= {"size_px": 16, "override": {**small.pair["override"], "pooling": "average"}}
    assert "of other layers, weights or devices" in small.run().err
    assert plan.exists()


def test_what_is_done_needs_nothing_of_the_library(shelf: Shelf) -> None:
    """Lacking is what has to be made: sizes that stand already are not asked for."""
    small = shelf.small
    small.photo("cats/large.png", 5, 100, 80)
    assert small.run().code == 0
    shelf.export("s", "--without-image")
    small.pair["size_px"] = 96
    shelf.use("styles/s.png")
    assert small.run().code == 0
    shelf.forget_images()
    shelf.bring("s")
    shelf.use("library:s")
    assert small.again() == set()


# --- what is not there


def test_a_name_that_is_not_there_is_told_with_the_nearest(shelf: Shelf) -> None:
    shelf.export()
    shelf.bring("s", "--as", "wave")
    shelf.use("library:wawe")
    ended = shelf.small.run()
    assert ended.code == 2
    assert "pairs[0].styles[0]: no style 'wawe'" in ended.err
    assert "there are wave" in ended.err
    assert "did you mean 'library:wave'?" in ended.err
    shelf.use("library:up/outside", "library:files/none.safetensors", "library:")
    ended = shelf.small.run()
    assert ended.code == 2
    assert "'up/outside' holds what a name can't" in ended.err
    assert "no file" in ended.err
    assert "'' is empty" in ended.err
    shelf.use({"name": "both", "blend": {"library:wawe": 1, "styles/s.png": 1}})
    assert "blend" in shelf.small.run().err


def test_an_empty_library_says_how_to_fill_it(shelf: Shelf) -> None:
    shelf.use("library:wave")
    ended = shelf.small.run()
    assert ended.code == 2
    assert "there is none" in ended.err
    assert f"--cache {shelf.cache}" in ended.err


def test_a_file_that_is_no_style_is_refused(shelf: Shelf) -> None:
    shelf.small.run()
    gram = next((shelf.cache / "grams").glob("*.safetensors"))
    shelf.use(f"library:{gram}")
    assert "holds no style; allowed is what `stylebatch styles export`" in shelf.small.run().err
    (shelf.root / "x.safetensors").write_bytes(b"nothing of the kind")
    shelf.use("library:x.safetensors")
    assert "no whole safetensors file" in shelf.small.run().err


# --- damage


def test_damaged_targets_are_computed_again_from_the_image_and_told_once(shelf: Shelf) -> None:
    small = shelf.small
    assert small.run().code == 0
    wanted = small.images()
    shelf.export()
    shelf.move_to_library()
    flip(shelf.place("s"), "conv1_1")
    shelf.use("library:s", "library:t")
    start_over(small)
    ended = small.run()
    assert ended.code == 0
    assert small.images() == wanted
    assert small.log().count("is damaged: its targets of 64 px") == 1
    start_over(small)
    # It is in the cache now.
    with no_computing():
        assert small.run().code == 0
    assert "is damaged" not in small.log()


def test_without_an_image_damage_fails_the_jobs_of_that_style_only(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export("--without-image")
    shelf.move_to_library()
    flip(shelf.place("s"), "conv1_1")
    shelf.use("library:s", "library:t")
    ended = small.run()
    assert ended.code == 3
    assert "library:s" in ended.err
    assert "is damaged: its targets of 64 px; import it again" in ended.err
    assert set(small.images()) == {"cats/a-t.png", "dogs/b-t.png"}
    # Once it is mended they are tried again by themselves.
    shelf.bring("s", "--replace")
    assert small.again() == {"cats/a-s.png", "dogs/b-s.png"}


def test_a_damaged_image_is_told_where_it_is_needed(shelf: Shelf) -> None:
    small = shelf.small
    shelf.export()
    shelf.forget_images()
    shelf.bring("s")
    flip(shelf.place("s"), "image")
    shelf.use("library:s")
    small.pair["override"] |= {"side_by_side": True}
    ended = small.run()
    assert ended.code == 3
    assert "is damaged: its image" in ended.err


def test_a_damaged_header_is_refused_with_the_manifest(shelf: Shelf) -> None:
    shelf.export()
    shelf.bring("s")
    path = shelf.place("s")
    data = path.read_bytes()
    path.write_bytes(data.replace(told(path)["digest"].encode(), b"f" * 32))
    shelf.use("library:s")
    ended = shelf.small.run()
    assert ended.code == 2
    assert "is damaged: what it tells of itself" in ended.err
    path.write_bytes(data[:-3])
    assert "no whole safetensors file" in shelf.small.run().err


# --- as a library


def test_stylize_takes_styles_by_name(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    fields: dict[str, Any] = {"weights": "random", "size_px": 16, "steps": 2, "override": SHALLOW}
    photo = shelf.root / "photos/cats/a.png"
    (wanted,) = stylize(photo, shelf.root / "styles/s.png", **fields)
    shelf.export()
    shelf.forget_images()
    shelf.bring("s")
    monkeypatch.setenv("STYLEBATCH_CACHE", str(shelf.cache))
    (made,) = stylize(photo, "library:s", **fields)
    assert made.tobytes() == wanted.tobytes()
    (by_colours,) = stylize(photo, {"library:s": 1.0}, recipe="color-transfer")
    assert by_colours.size == wanted.size
    with pytest.raises(LibraryError, match=r"no style 'wave' in .*; there are s; "):
        stylize(photo, "library:wave", **fields)


def test_so_does_the_command(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.export()
    shelf.bring("s")
    monkeypatch.setenv("STYLEBATCH_CACHE", str(shelf.cache))
    for style in ("library:s", str(shelf.root / "styles/s.png")):
        target = shelf.root / f"{len(style)}.png"
        photo = str(shelf.root / "photos/cats/a.png")
        arguments = ("stylize", photo, style, "-o", str(target), "--recipe", "color-transfer")
        ended = command(*arguments)
        assert ended.code == 0, ended
    one, two = (path.read_bytes() for path in shelf.root.glob("*.png"))
    assert one == two
