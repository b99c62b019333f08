"""`stylize()`: as the README shows it, and in every shape of its arguments."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support.paths import ROOT
from support.runs import SHALLOW, Small, picture, small_project

import stylebatch
from stylebatch.api import make_recipe
from stylebatch.demo import write_demo
from stylebatch.errors import UserError
from stylebatch.extractors.weights import NORMALISATIONS
from stylebatch.recipes import PROSE, Recipe
from stylebatch.transfer.problem import Row

pytestmark = pytest.mark.usefixtures("on_one_core")

A_B_AND_STYLE = ("photos/cats/a.png", "photos/dogs/b.png", "styles/s.png")
CHEAP: dict[str, Any] = {
    "weights": "random",
    "size_px": 32,
    "steps": 3,
    "override": SHALLOW,
    "device": "cpu",
    "precision": "float32",
}


def stylize(contents: Any, style: Any, **options: Any) -> list[Image.Image]:
    return stylebatch.stylize(contents, style, **(CHEAP | options))


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


@pytest.mark.slow
def test_the_example_in_the_readme_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(from stylebatch import stylize.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_demo(Path("demo"))
    exec(compile(example, "README.md", "exec"), {})
    with (
        Image.open("chelsea.png") as made,
        Image.open("demo/photos/animals/chelsea.png") as content,
    ):
        assert made.size == content.size


def test_one_image_gives_a_list_of_one(small: Small) -> None:
    path = small.root / "photos/cats/a.png"
    (made,) = stylize(path, small.root / "styles/s.png")
    assert (made.size, made.mode) == ((16, 16), "RGB")
    with Image.open(path) as content:
        assert (pixels(made) != pixels(content)).any()


def test_paths_and_images_are_the_same_to_it(small: Small) -> None:
    content, style = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    with Image.open(content) as image, Image.open(style) as style_image:
        image.load(), style_image.load()
        (by_path,) = stylize(str(content), str(style))
        (by_image,) = stylize([image], style_image)
    assert (pixels(by_path) == pixels(by_image)).all()


@pytest.mark.slow
def test_results_are_of_the_contents_sizes_in_the_order_given() -> None:
    sizes = [(40, 24), (16, 16), (24, 40), (100, 30), (40, 24), (16, 16), (33, 17), (7, 61)]
    made = stylize([picture(n, *size) for n, size in enumerate(sizes)], picture(50))
    assert [image.size for image in made] == sizes
    apart = [stylize(picture(n, *size), picture(50))[0] for n, size in enumerate(sizes)]
    for one, other in zip(made, apart, strict=True):
        assert (pixels(one) == pixels(other)).all()


@pytest.mark.slow
def test_more_images_than_slots_come_out_as_each_alone() -> None:
    contents = [picture(n) for n in range(20)]
    made = stylize(contents, picture(50))
    (last,) = stylize(contents[-1], picture(50))
    assert len(made) == 20
    assert (pixels(made[-1]) == pixels(last)).all()


def test_alpha_comes_back_as_it_was() -> None:
    content = picture(1, 24, 16, "RGBA")
    (made,) = stylize(content, picture(2))
    assert made.mode == "RGBA"
    assert (pixels(made)[..., 3] == pixels(content)[..., 3]).all()
    (opaque,) = stylize(content.convert("RGB"), picture(2))
    assert (pixels(made)[..., :3] == pixels(opaque)).all()


def test_a_grey_image_becomes_a_coloured_one() -> None:
    (made,) = stylize(picture(1).convert("L"), picture(2))
    assert made.mode == "RGB"


def test_no_images_are_no_work() -> None:
    assert stylize([], picture(2)) == []


def test_it_makes_the_pixels_that_a_run_makes(small: Small) -> None:
    small.photo("dogs/wide.png", 5, 50, 20)
    small.pair["size_px"] = 32
    assert small.run().code == 0
    names = ["cats/a", "dogs/b", "dogs/wide"]
    contents = [small.root / "photos" / f"{name}.png" for name in names]
    made = stylize(contents, small.root / "styles/s.png")
    for name, image in zip(names, made, strict=True):
        with Image.open(small.out / "images" / f"{name}-s.png") as output:
            assert (pixels(image) == pixels(output)).all()


def test_a_blend_is_neither_of_its_styles(small: Small) -> None:
    one, other = (str(small.root / "styles" / name) for name in ("s.png", "t.png"))
    small.pair["styles"] = [{"name": "dusk", "blend": {"styles/s.png": 0.7, "styles/t.png": 0.3}}]
    assert small.run().code == 0
    content = small.root / "photos/cats/a.png"
    (blend,) = stylize(content, {one: 0.7, other: 0.3})
    (scaled,) = stylize(content, {one: 7, other: 3})
    (pure,) = stylize(content, one)
    assert (pixels(blend) == pixels(scaled)).all()
    assert (pixels(blend) != pixels(pure)).any()
    with Image.open(small.out / "images/cats/a-dusk.png") as output:
        assert (pixels(blend) == pixels(output)).all()


def test_each_evaluation_of_each_image_is_reported() -> None:
    seen: list[tuple[int, Row]] = []
    contents = [picture(1), picture(2, 32, 16), picture(3)]
    stylize(contents, picture(50), on_step=lambda index, row: seen.append((index, row)))
    assert Counter(index for index, _ in seen) == {0: 3, 1: 3, 2: 3}
    for index in range(3):
        totals = [row.total for number, row in seen if number == index]
        assert totals[-1] < totals[0]


def test_progress_counts_images_and_evaluations(capsys: pytest.CaptureFixture[str]) -> None:
    contents = [picture(1), picture(2, 32, 16)]
    stylize(contents, picture(50))
    assert capsys.readouterr() == ("", "")
    # They stop after their first evaluations: what they had left counts as done.
    stylize(
        contents, picture(50), override=SHALLOW | {"tolerance": 0.9, "window": 1}, progress=True
    )
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("2 of 2 images ")
    assert "6 of 6 evaluations at most" in line


def test_a_noise_start_is_decided_by_the_seed() -> None:
    noise = {"override": SHALLOW | {"start": "noise"}}
    first, again, other = (
        pixels(stylize(picture(1), picture(2), seed=seed, **noise)[0]) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_an_output_of_the_work_size_is_what_was_optimised() -> None:
    (made,) = stylize(picture(1, 100, 50), picture(2), override=SHALLOW | {"output_size": "work"})
    assert made.size == (32, 16)


def test_a_normalisation_can_be_given() -> None:
    (plain,) = stylize(picture(1), picture(2))
    (caffe,) = stylize(picture(1), picture(2), normalisation=NORMALISATIONS["caffe"])
    assert (pixels(plain) != pixels(caffe)).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recipe": "nonesuch"}, "recipe: no recipe 'nonesuch'; one of augment, balanced"),
        ({"override": {"style_wieght": 2}}, "no field 'style_wieght'; did you mean 'style_weight'"),
        ({"override": {"style_weight": -2}}, "style_weight: -2; "),
        ({"steps": 0}, "steps: 0; "),
        ({"override": {"scales": [0, 0]}}, "override: scales: at least one weight above 0"),
        ({"strength": -0.1}, "strength: -0.1; "),
        ({"device": "cuda:63"}, "no device 'cuda:63'"),
        ({"weights": "nowhere.safetensors"}, "no such weights for vgg19"),
        ({"arch": "resnet"}, "'resnet' is no known architecture"),
    ],
    ids=str,
)
def test_what_can_not_be_used_is_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        stylize(picture(1), picture(2), **options)
    assert message in str(caught.value)


def test_a_style_without_images_is_refused() -> None:
    for style in ({}, {"a.png": 0.0}):
        with pytest.raises(UserError, match="weights above 0"):
            stylize(picture(1), style)


def test_a_file_that_is_no_image_is_named(small: Small) -> None:
    broken = small.root / "broken.png"
    broken.write_bytes(b"no image")
    for contents, style in ((broken, picture(2)), (picture(1), broken)):
        with pytest.raises(UserError, match=r"broken\.png"):
            stylize(contents, style)


def test_it_reads_nothing_of_a_changed_style_from_the_cache(small: Small) -> None:
    content, style = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    (before,) = stylize(content, style)
    small.style("s.png", 99)
    (after,) = stylize(content, style)
    assert (pixels(before) != pixels(after)).any()


def test_a_precision_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="precision"):
        stylize(picture(1), picture(2), precision="half")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"fit": "crop"}, "override: fit: crop cuts edges off: it needs output_size: work"),
        ({"start": "nois"}, "start: 'nois'; allowed is one of content, style, noise or a mapping"),
        (
            {"pixel_scale": -1},
            "pixel_scale: -1; allowed is a number above 0 to 1000000 or a list [a number above 0",
        ),
        ({"tolerance": 1.5}, "tolerance: 1.5; allowed is a number from 0 below 1; it is: stop"),
        ({"steps": "many"}, "steps: 'many'; allowed is a whole number from 1 to 100000; it is: "),
        (
            {"second_pass": {"size_px": 4, "steps": 1}},
            "second_pass: 4; allowed is a whole number from 16 to 16384; it is: larger",
        ),
        (
            {"style_layers": {"conv1_1": -1}},
            "style_layers: -1; allowed is one of default, before_activation or a mapping of names "
            "to a number above 0; it is: layers",
        ),
    ],
)
def test_what_a_field_does_not_take_is_told_in_one_line(
    small: Small, override: dict[str, Any], message: str
) -> None:
    paths = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    with pytest.raises(UserError) as told:
        stylize(*paths, override=override)
    assert str(told.value).startswith(message)
    assert "title" not in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", [name for name in Recipe.model_fields if name not in PROSE])
def test_what_each_field_takes_is_told_in_words_of_ours(name: str) -> None:
    with pytest.raises(UserError) as told:
        make_recipe("balanced", {name: {"nonesuch": -1.5}}, "vgg19")
    assert re.match(rf"{name}: .*; allowed is \w.*; it is: \w", str(told.value))
    assert not re.search(r"Input|valid|should", str(told.value).partition("; it is: ")[0])


def test_arrays_are_images(small: Small) -> None:
    content, style = small.root / "photos/cats/a.png", small.root / "styles/s.png"
    mask = np.zeros((16, 16), np.uint8)
    mask[:, 8:] = 255
    (by_path,) = stylize(content, style)
    (by_mask,) = stylize(content, style, masks=Image.fromarray(mask))
    a, s = (pixels(Image.open(path).convert("RGB")) for path in (content, style))
    for contents in (a, [a], a[None], a[::-1][::-1]):
        (by_array,) = stylize(contents, s)
        assert np.array_equal(pixels(by_array), pixels(by_path))
    (masked,) = stylize(a, s, masks=mask)
    assert np.array_equal(pixels(masked), pixels(by_mask))
    (with_alpha,) = stylize(np.dstack([a, mask]), s)
    assert (with_alpha.mode, pixels(with_alpha).shape) == ("RGBA", (16, 16, 4))
    assert len(stylize(np.stack([a, a, a]), s)) == 3


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (np.zeros((16, 16, 3)), "array: found float64 (16, 16, 3); allowed is uint8 (H, W), (H, "),
        (np.zeros((3, 16, 16), np.uint8), "array: found uint8 (3, 16, 16); allowed is uint8"),
        (np.zeros((0, 16, 3), np.uint8), "array: found uint8 (0, 16, 3); allowed is uint8"),
        (np.zeros(16, np.uint8), "array: found uint8 (16,); allowed is uint8"),
        (torch.zeros(16, 16, 3), "image: found torch.Tensor; allowed is a path, a Pillow image or"),
        (7, "image: found int; allowed is a path, a Pillow image or a uint8 array"),
        (None, "image: found NoneType; allowed is a path"),
        (b"bytes", "image: found bytes; allowed is a path"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_image_is_told_with_what_is_one(image: Any, found: str) -> None:
    for contents, style in ((image, picture(2)), (picture(1), image)):
        with pytest.raises(UserError) as told:
            stylize(contents, style)
        assert str(told.value).startswith(found if contents is image else found[:5])


def test_a_mask_keeps_its_content_and_leaves_other_images_alone(small: Small) -> None:
    a, b, style = (small.root / path for path in A_B_AND_STYLE)
    left = Image.new("L", (16, 16), 255)
    left.paste(0, (0, 0, 8, 16))
    plain_a, plain_b = stylize([a, b], style)
    masked, free = stylize([a, b], style, masks=[left, None])
    (alone,) = stylize(a, style, masks=left)
    assert np.array_equal(pixels(masked), pixels(alone))
    assert np.array_equal(pixels(free), pixels(plain_b))
    content = np.asarray(Image.open(a).convert("RGB"))
    assert np.array_equal(pixels(masked)[:, :8], content[:, :8])
    assert (pixels(masked)[:, 8:] != content[:, 8:]).mean() > 0.5
    assert not np.array_equal(pixels(masked), pixels(plain_a))


def test_masks_that_do_not_fit_are_refused(small: Small) -> None:
    a, b, style = (small.root / path for path in A_B_AND_STYLE)
    with pytest.raises(UserError, match="masks: 1 for 2 contents"):
        stylize([a, b], style, masks=[a])
    with pytest.raises(UserError, match="is 4×16 px, its image is not; allowed is its 16×16 px"):
        stylize(a, style, masks=Image.new("L", (4, 16)))


def test_images_of_one_size_are_optimised_together(small: Small) -> None:
    a, b, style = (small.root / path for path in A_B_AND_STYLE)
    seen: list[int] = []
    stylize([a, b, a], style, on_step=lambda index, row: seen.append(index))
    assert sorted(seen[:3]) == [0, 1, 2]


@pytest.mark.parametrize(
    "override",
    [
        {"content_layers": {"relu5_2": 1}, "bucket_px": 1},
        {"content_layers": {"conv3_1": 1}, "padding": "reflect", "bucket_px": 1, "levels": 3},
        {"fit": "stretch", "aspect": [100, 1], "content_layers": {"conv4_1": 1}, "bucket_px": 1},
        {"second_pass": {"size_px": 640, "steps": 1}, "content_layers": {"conv3_1": 1}},
    ],
)
def test_a_ribbon_is_no_thinner_than_the_layers_can_do_with(
    small: Small, override: dict[str, Any]
) -> None:
    ribbon = Image.new("RGB", (40, 2), (200, 100, 50))
    (made,) = stylize(ribbon, small.root / "styles/s.png", size_px=16, steps=1, override=override)
    assert made.size == ribbon.size


def test_a_style_start_has_the_matched_colours_too(small: Small) -> None:
    blue, red = (Image.new("RGB", (32, 32), color) for color in ("blue", "red"))
    override = {"start": "style", "color": "matched"}
    (made,) = stylize(blue, red, steps=1, override=CHEAP["override"] | override)
    assert np.abs(pixels(made).astype(int) - (0, 0, 255)).max() <= 2
