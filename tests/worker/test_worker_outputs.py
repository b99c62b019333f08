"""What a run leaves besides plain images: masked ones, progress, pictures side by side, colours."""

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.runs import SHALLOW, Small, contents, lines, one_core, picture, small_project
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

import stylebatch

pytestmark = pytest.mark.slow

A_S, A_T, B_S, B_T = ALL = ("cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png")
LEFT = np.tile(np.repeat(np.array([0, 255], np.uint8), 8), (16, 1))


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.array(image)


def photo(small: Small, name: str) -> np.ndarray:
    return pixels((small.root / "photos" / name).read_bytes())


def mask(small: Small, name: str, values: np.ndarray | int) -> None:
    """Write a mask; of a number, one that is all of it."""
    if isinstance(values, int):
        values = np.full((16, 16), values, np.uint8)
    path = small.root / "masks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)


def made(small: Small) -> dict[str, np.ndarray]:
    ended = small.run()
    assert ended.code == 0, ended
    return {path: pixels(data) for path, data in small.images().items()}


# --- masks -----------------------------------------------------------------------------------


def test_a_mask_keeps_the_content_s_bytes_where_it_is_black(small: Small) -> None:
    small.pair["masks"] = "masks"
    mask(small, "cats/a.png", LEFT)
    mask(small, "dogs/b.png", 0)
    found = made(small)
    for style in ("s", "t"):
        image, content = found[f"cats/a-{style}.png"], photo(small, "cats/a.png")
        assert np.array_equal(image[:, :8], content[:, :8])
        assert (image[:, 8:] != content[:, 8:]).mean() > 0.5
        assert np.array_equal(found[f"dogs/b-{style}.png"], photo(small, "dogs/b.png"))


def test_a_mask_of_white_is_as_good_as_none(small: Small) -> None:
    plain = made(small)
    small.pair["masks"] = "masks"
    mask(small, "cats/a.png", 255)
    mask(small, "dogs/b.png", 255)
    assert small.again() == set(ALL)
    for path, data in small.images().items():
        assert np.array_equal(pixels(data), plain[path])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "1", "L"])
def test_a_mask_may_be_of_any_mode(small: Small, mode: str) -> None:
    small.pair.update(masks="masks", styles=["styles/s.png"])
    for name in ("cats/a.png", "dogs/b.png"):
        path = small.root / "masks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(LEFT).convert(mode).save(path)
    found = made(small)[A_S]
    assert np.array_equal(found[:, :8], photo(small, "cats/a.png")[:, :8])
    assert (found[:, 8:] != photo(small, "cats/a.png")[:, 8:]).any()


def test_a_mask_counts_at_the_content_s_own_size_however_small_the_work_is(small: Small) -> None:
    small.photo("cats/a.png", 1, 50, 34)
    small.pair.update(masks="masks", styles=["styles/s.png"])
    fine = np.zeros((34, 50), np.uint8)
    fine[::3, 10:] = 255
    mask(small, "cats/a.png", fine)
    mask(small, "dogs/b.png", 255)
    found, content = made(small)[A_S], photo(small, "cats/a.png")
    assert np.array_equal(found[fine == 0], content[fine == 0])
    assert (found[fine == 255] != content[fine == 255]).any()


def test_what_a_masked_image_becomes_differs_from_the_plain_one_cut_out(small: Small) -> None:
    """The style is matched within the mask, not before cutting it out."""
    plain = made(small)[A_S]
    small.pair["masks"] = "masks"
    mask(small, "cats/a.png", LEFT)
    mask(small, "dogs/b.png", 255)
    assert (made(small)[A_S][:, 8:] != plain[:, 8:]).any()


def _is_missing(small: Small) -> str:
    return r"photos/cats/a\.png: has no mask: no image masks/cats/a\.png; add it"


def _is_of_another_size(small: Small) -> str:
    mask(small, "cats/a.png", np.zeros((9, 16), np.uint8))
    return r"masks/cats/a\.png: is 16×9 px, its image is not; allowed is its 16×16 px"


def _is_no_image(small: Small) -> str:
    (small.root / "masks/cats").mkdir(parents=True)
    (small.root / "masks/cats/a.png").write_bytes(b"no image")
    return r"masks/cats/a\.png: no image: text"


def _is_cut(small: Small) -> str:
    mask(small, "cats/a.png", np.random.default_rng(0).integers(0, 255, (16, 16), np.uint8))
    path = small.root / "masks/cats/a.png"
    path.write_bytes(path.read_bytes()[:-60])
    return r"masks/cats/a\.png: a damaged image"


@pytest.mark.parametrize("wrong", [_is_missing, _is_of_another_size, _is_no_image, _is_cut])
def test_an_image_without_a_fitting_mask_fails_and_the_others_are_made(
    small: Small, wrong: Callable[[Small], str]
) -> None:
    small.pair["masks"] = "masks"
    mask(small, "dogs/b.png", LEFT)
    reason = wrong(small)
    ended = small.run()
    assert ended.code == 3, ended
    assert set(small.images()) == {B_S, B_T}
    failures = {
        row["file_name"].removeprefix("images/"): row["reason"]
        for row in lines(small.out / "failures.jsonl")
    }
    assert set(failures) == {A_S, A_T}
    for text in failures.values():
        assert re.search(reason, text), text


def test_a_missing_mask_that_is_added_redoes_only_its_own_images(small: Small) -> None:
    small.pair["masks"] = "masks"
    mask(small, "dogs/b.png", LEFT)
    assert small.run().code == 3
    before = small.images()
    mask(small, "cats/a.png", LEFT)
    assert small.again() == {A_S, A_T}
    assert {path: small.images()[path] for path in before} == before
    assert not (small.out / "failures.jsonl").exists()


def test_pairs_of_the_same_settings_with_and_without_masks_share_nothing(
    small: Small, tmp_path: Path
) -> None:
    mask(small, "cats/a.png", LEFT)
    mask(small, "dogs/b.png", 128)
    masked = {**small.pair, "name": "masked", "into": "masked", "masks": "masks"}
    plain = {**small.pair, "name": "plain", "into": "plain"}
    small.document["pairs"] = [masked, plain]
    together = made(small)
    apart: dict[str, np.ndarray] = {}
    for pair in (masked, plain):
        small.document.update(pairs=[pair], output=f"apart/{pair['name']}")
        small.out = small.root / "apart" / pair["name"]
        apart |= made(small)
    assert len(together) == 8
    assert together.keys() == apart.keys()
    for path, image in together.items():
        assert np.array_equal(image, apart[path]), path


# --- progress and side by side ---------------------------------------------------------------


def progress_of(small: Small) -> dict[str, bytes]:
    return contents(small.out / "progress")


def test_progress_is_saved_at_the_evaluations_asked_for_and_ends_with_the_image(
    small: Small,
) -> None:
    small.pair.update(steps=5, styles=["styles/s.png"], provenance=False)
    small.pair["override"].update(progress_at=[1], progress_every=5)
    assert small.run().code == 0
    found = progress_of(small)
    names = ("cats/a-s", "dogs/b-s")
    assert set(found) == {f"{name}/{at}.png" for name in names for at in ("00001", "00005")}
    for name in names:
        assert found[f"{name}/00005.png"] == small.images()[f"{name}.png"]
        assert found[f"{name}/00001.png"] != small.images()[f"{name}.png"]
    assert np.array_equal(pixels(found["cats/a-s/00001.png"]), photo(small, "cats/a.png"))


def test_progress_is_what_runs_of_so_many_evaluations_make(small: Small) -> None:
    small.photo("cats/a.png", 1, 40, 24)
    small.pair.update(steps=4, styles=["styles/s.png"], provenance=False)
    small.pair["override"].update(progress_every=1, brightness=1.3, color="content")
    assert small.run().code == 0
    found = progress_of(small)
    for steps in (1, 2, 3):
        small.pair["steps"] = steps
        small.document["output"] = f"out{steps}"
        small.out = small.root / f"out{steps}"
        assert small.run().code == 0
        for path, data in small.images().items():
            assert data == found[f"{path[:-4]}/{steps:05}.png"]


def test_progress_of_a_masked_image_keeps_the_content_too(small: Small) -> None:
    small.pair.update(masks="masks", styles=["styles/s.png"])
    small.pair["override"].update(progress_every=1)
    mask(small, "cats/a.png", LEFT)
    mask(small, "dogs/b.png", 0)
    assert small.run().code == 0
    for path, data in progress_of(small).items():
        content = photo(small, "cats/a.png" if path.startswith("cats") else "dogs/b.png")
        assert np.array_equal(pixels(data)[:, :8], content[:, :8]), path


def test_side_by_side_are_content_image_and_style(small: Small) -> None:
    small.photo("cats/a.png", 1, 40, 24)
    small.pair["override"]["side_by_side"] = True
    assert small.run().code == 0
    found = contents(small.out / "side_by_side")
    assert set(found) == set(ALL)
    row = pixels(found[A_T])
    assert row.shape == (24, 40 + 40 + 24, 3)
    assert np.array_equal(row[:, :40], photo(small, "cats/a.png"))
    assert np.array_equal(row[:, 40:80], pixels(small.images()[A_T]))
    with Image.open(small.root / "styles/t.png") as style:
        wanted = np.asarray(style.resize((24, 24), Image.Resampling.LANCZOS))
    assert np.array_equal(row[:, 80:], wanted)


def test_a_picture_with_alpha_stands_side_by_side_without_it(small: Small) -> None:
    picture(1, 16, 16, "RGBA").save(small.root / "photos/cats/a.png")
    small.pair["override"]["side_by_side"] = True
    assert small.run().code == 0
    assert pixels(contents(small.out / "side_by_side")[A_S]).shape == (16, 48, 3)
    assert pixels(small.images()[A_S]).shape == (16, 16, 4)


def with_everything(small: Small) -> None:
    small.pair["override"].update(progress_every=1, side_by_side=True)


def test_images_hold_nothing_but_images(small: Small) -> None:
    with_everything(small)
    assert small.run().code == 0
    assert set(small.images()) == set(ALL)
    assert len(progress_of(small)) == 4 * 3
    assert not list(small.out.rglob("*.tmp"))


def stale(small: Small, kind: str) -> set[str]:
    runs = (small.out / ".stylebatch/stale").glob(f"*/{kind}")
    return {path for run in runs for path in contents(run)}


def test_what_belongs_to_a_stale_image_moves_aside_with_it(small: Small) -> None:
    with_everything(small)
    assert small.run().code == 0
    small.remove_photo("cats/a.png")
    assert small.again() == set()
    for kind in ("images", "side_by_side"):
        assert stale(small, kind) == {A_S, A_T}
        assert set(contents(small.out / kind)) - {"metadata.jsonl"} == {B_S, B_T}
    steps = {f"{n:05}.png" for n in (1, 2, 3)}
    assert stale(small, "progress") == {f"cats/a-{s}/{n}" for s in "st" for n in steps}
    assert set(progress_of(small)) == {f"dogs/b-{s}/{n}" for s in "st" for n in steps}
    assert not (small.out / "progress/cats").exists()


def test_an_image_that_is_made_anew_leaves_no_progress_of_the_one_before(small: Small) -> None:
    with_everything(small)
    assert small.run().code == 0
    small.pair["steps"] = 2
    assert small.again() == set(ALL)
    assert {Path(path).name for path in progress_of(small)} == {"00001.png", "00002.png"}
    assert set(contents(small.out / "side_by_side")) == set(ALL)
    assert stale(small, "side_by_side") == set(ALL)
    assert len(stale(small, "progress")) == 4 * 3


def test_what_belongs_to_an_image_comes_back_with_it(small: Small) -> None:
    kinds = ("images", "losses", "progress", "side_by_side")
    with_everything(small)
    assert small.run().code == 0
    before = [contents(small.out / kind) for kind in kinds]
    small.pair["override"] = dict(SHALLOW)
    small.again()
    plain = [contents(small.out / kind) for kind in kinds]
    assert plain[2:] == [{}, {}]
    for expected, change in ((before, with_everything), (plain, without_any)):
        change(small)
        assert small.again() == set(ALL)
        assert small.summary()["evaluations"] == 0
        assert [contents(small.out / kind) for kind in kinds] == expected


def without_any(small: Small) -> None:
    small.pair["override"] = dict(SHALLOW)


def test_an_image_without_pictures_gets_those_that_its_successor_has(small: Small) -> None:
    assert small.run().code == 0
    with_everything(small)
    assert small.again() == set(ALL)
    assert len(progress_of(small)) == 4 * 3
    assert set(contents(small.out / "side_by_side")) == set(ALL)
    assert stale(small, "progress") == stale(small, "side_by_side") == set()


def test_pictures_that_are_no_longer_asked_for_do_not_stay(small: Small) -> None:
    with_everything(small)
    assert small.run().code == 0
    small.pair["override"] = dict(SHALLOW)
    small.again()
    assert progress_of(small) == {}
    assert contents(small.out / "side_by_side") == {}


# --- colours ---------------------------------------------------------------------------------


def chrominance(image: np.ndarray) -> np.ndarray:
    """Cb and Cr of ITU-R BT.601, around 0."""
    red, green, blue = (image[..., i].astype(float) for i in range(3))
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack([(blue - luminance) / 1.772, (red - luminance) / 1.402], axis=-1)


def soften(small: Small) -> None:
    """Bring the photographs to the middle of the range, where no colour is clipped."""
    for name in ("cats/a.png", "dogs/b.png"):
        dull = (photo(small, name) // 5 + 100).astype(np.uint8)
        Image.fromarray(dull).save(small.root / "photos" / name)


def test_an_image_in_the_content_s_colours_has_its_chrominance(small: Small) -> None:
    soften(small)
    # At so few pixels the style weighs little.
    small.pair.update(steps=12, strength=2)
    plain = made(small)
    small.pair["override"]["color"] = "content"
    assert small.again() == set(ALL)
    for path, data in small.images().items():
        content = photo(small, f"{path[:6]}.png")
        is_in_range = (plain[path] > 60).all(2) & (plain[path] < 195).all(2)
        assert is_in_range.mean() > 0.5
        found, wanted = chrominance(pixels(data)), chrominance(content)
        assert np.abs(found - wanted)[is_in_range].max() < 3
        assert np.abs(chrominance(plain[path]) - wanted).max() > 6


def test_matched_colours_are_the_content_s_on_average(small: Small) -> None:
    soften(small)
    small.pair.update(steps=30, strength=2)
    plain = made(small)
    small.pair["override"]["color"] = "matched"
    assert small.again() == set(ALL)
    for path, data in small.images().items():
        content = photo(small, f"{path[:6]}.png").mean((0, 1))
        off = np.abs(pixels(data).mean((0, 1)) - content).max()
        assert off < 0.5 * np.abs(plain[path].mean((0, 1)) - content).max()


def test_processes_make_the_same_files_as_one(small: Small) -> None:
    with_everything(small)
    small.pair["override"].update(color="matched")
    small.pair["masks"] = "masks"
    mask(small, "cats/a.png", LEFT)
    mask(small, "dogs/b.png", 200)
    kinds = ("images", "progress", "side_by_side")
    assert small.run().code == 0
    inline = [contents(small.out / kind) for kind in kinds]
    small.document["run"]["executor"] = "local"
    small.document["output"], small.out = "other", small.root / "other"
    assert small.run().code == 0
    assert [contents(small.out / kind) for kind in kinds] == inline


# --- in Python -------------------------------------------------------------------------------


def stylize(content: Any, **override: Any) -> np.ndarray:
    with one_core():
        (image,) = stylebatch.stylize(
            content, picture(2), weights="random", size_px=32, steps=3, device="cpu",
            precision="float32", override={**SHALLOW, **override},
        )  # fmt: skip
    return np.array(image)


def test_a_crop_comes_back_as_the_crop_with_its_alpha() -> None:
    content = picture(1, 61, 40, "RGBA")
    crop = {"fit": "crop", "output_size": "work", "resampling": "bilinear"}
    found = stylize(content, **crop)
    assert found.shape == (32, 32, 4)
    cut = CenterCrop(32)(Resize(32, InterpolationMode.BILINEAR)(content.getchannel("A")))
    assert np.array_equal(found[..., 3], np.asarray(cut))
    opaque = content.convert("RGB")
    cut = CenterCrop(32)(Resize(32, InterpolationMode.BILINEAR)(opaque))
    assert np.array_equal(stylize(opaque, **crop), stylize(cut, **crop))
    assert stylize(opaque, **crop, aspect=(2, 1)).shape == (16, 32, 3)


def test_a_content_s_own_colours_come_back_in_python_too() -> None:
    dull = (np.asarray(picture(1, 32, 24)) // 5 + 100).astype(np.uint8)
    found, plain = (stylize(Image.fromarray(dull), color=color) for color in ("content", "style"))
    is_in_range = (plain > 60).all(2) & (plain < 195).all(2)
    assert np.abs(chrominance(found) - chrominance(dull))[is_in_range].max() < 3
    matched = stylize(Image.fromarray(dull), color="matched")
    assert (matched != plain).any()


def test_a_free_adam_s_image_is_clipped_on_its_way_to_8_bits() -> None:
    wild = {"optimizer": "adam", "clamp": False, "learning_rate": 0.9, "keep": "after_last"}
    found = stylize(picture(1, 32, 32), **wild)
    assert (found == 0).any()
    assert (found == 255).any()
    assert torch.tensor(found).float().std() > 0
