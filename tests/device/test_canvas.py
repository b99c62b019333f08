"""From optimised pixels to those of a file: each part, and the order in which they come."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance
from support.runs import picture
from torchvision.transforms import CenterCrop, InterpolationMode, Resize

from stylebatch.device import canvas
from stylebatch.device.canvas import Canvas, finish, make_canvas, side_by_side
from stylebatch.device.tensors import to_pixels
from stylebatch.pictures.colors import keep_colors
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Recipe, recipe_fields, recipe_on

LANCZOS = Image.Resampling.LANCZOS
RESULT = np.asarray(picture(1, 24, 16))
CONTENT = np.asarray(picture(2, 36, 30))
PLAIN = Canvas(24, 16, None, None, None)


def recipe(**fields: Any) -> Recipe:
    return recipe_on("vgg19", recipe_fields("balanced") | fields)


def ramp(height: int, width: int) -> Pixels:
    """Draw a mask that is 0 at the left, 255 at the right and grey between."""
    row = np.linspace(-100, 355, width).clip(0, 255).astype(np.uint8)
    return np.tile(row, (height, 1))


# --- enhancement -----------------------------------------------------------------------------


def enhanced(image: Image.Image, brightness: float, saturation: float, sharpness: float) -> Pixels:
    image = ImageEnhance.Brightness(image).enhance(brightness)
    image = ImageEnhance.Color(image).enhance(saturation)
    return np.asarray(ImageEnhance.Sharpness(image).enhance(sharpness))


@pytest.mark.parametrize("factors", [(1.2, 1.2, 1.2), (0.6, 1, 1), (1, 0, 1), (1, 1, 3), (2, 2, 0)])
def test_brightness_then_colour_then_sharpness_are_pillow_s(factors: Any) -> None:
    names = ("brightness", "saturation", "sharpness")
    found = finish(RESULT, PLAIN, recipe(**dict(zip(names, factors, strict=True))))
    assert np.array_equal(found, enhanced(Image.fromarray(RESULT), *factors))
    assert not np.array_equal(found, RESULT)


def test_the_order_of_the_enhancements_is_one_that_shows() -> None:
    image = Image.fromarray(RESULT)
    turned = ImageEnhance.Brightness(ImageEnhance.Color(image).enhance(1.6)).enhance(1.6)
    assert not np.array_equal(enhanced(image, 1.6, 1.6, 1), np.asarray(turned))


def test_nothing_asked_for_leaves_every_bit() -> None:
    everything = np.arange(768, dtype=np.uint8).reshape(16, 16, 3)
    found = finish(everything, replace(PLAIN, width=16), recipe())
    assert np.array_equal(found, everything)


# --- size, colours, mask ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lanczos", "bicubic", "bilinear", "nearest"])
def test_the_output_s_own_filter_brings_it_to_the_output_s_size(name: str) -> None:
    found = finish(RESULT, Canvas(36, 30, None, None, None), recipe(output_resampling=name))
    wanted = Image.fromarray(RESULT).resize((36, 30), Image.Resampling[name.upper()])
    assert np.array_equal(found, np.asarray(wanted))


def test_resized_then_enhanced_then_given_colours_then_masked() -> None:
    mask = ramp(30, 36)
    canvas = Canvas(36, 30, CONTENT, None, mask)
    asked = {"brightness": 1.3, "saturation": 0.4, "sharpness": 2, "color": "content"}
    found = finish(RESULT, canvas, recipe(**asked))
    image = Image.fromarray(RESULT).resize((36, 30), LANCZOS)
    image = Image.fromarray(enhanced(image, 1.3, 0.4, 2))
    content = Image.fromarray(CONTENT)
    _, blue, red = content.convert("YCbCr").split()
    luminance = image.convert("YCbCr").getchannel("Y")
    image = Image.merge("YCbCr", [luminance, blue, red]).convert("RGB")
    share = mask[..., None] / 255
    wanted = share * np.asarray(image) + (1 - share) * CONTENT
    # Pillow's YCbCr has 8 bits.
    assert np.abs(found - wanted).max() <= 4
    assert np.array_equal(found[mask == 0], CONTENT[mask == 0])


def test_a_mask_gives_the_content_s_bytes_the_result_s_or_what_is_between() -> None:
    random = np.random.default_rng(0)
    result, content = (random.integers(0, 256, (16, 256, 3), np.uint8) for _ in range(2))
    mask = np.tile(np.arange(256, dtype=np.uint8), (16, 1))
    found = finish(result, Canvas(256, 16, content, None, mask), recipe())
    assert np.array_equal(found[:, 0], content[:, 0])
    assert np.array_equal(found[:, 255], result[:, 255])
    low, high = np.minimum(result, content), np.maximum(result, content)
    assert ((low <= found) & (found <= high)).all()
    share = mask[..., None] / 255
    assert np.abs(found - (share * result + (1 - share) * content)).max() <= 1


# --- the canvas ------------------------------------------------------------------------------

ALPHA, MASK = np.asarray(picture(3, 36, 30))[..., 0], np.asarray(picture(4, 36, 30))[..., 0]


def test_an_output_of_the_content_s_size_is_made_on_the_content_as_it_is() -> None:
    found = make_canvas(recipe(), CONTENT, ALPHA, MASK, 32, 32)
    assert (found.width, found.height) == (36, 30)
    assert found.content is CONTENT
    assert found.alpha is ALPHA
    assert found.mask is MASK


def test_an_output_of_the_work_size_is_made_on_all_parts_at_that_size() -> None:
    asked = recipe(output_size="work", resampling="bicubic")
    found = make_canvas(asked, CONTENT, ALPHA, MASK, 32, 20)
    assert (found.width, found.height) == (32, 20)
    for part, own in ((found.content, CONTENT), (found.alpha, ALPHA), (found.mask, MASK)):
        assert part is not None
        wanted = Image.fromarray(own).resize((32, 20), Image.Resampling.BICUBIC)
        assert np.array_equal(part, np.asarray(wanted))


def test_a_cropped_output_is_made_on_parts_that_are_cropped_the_same_way() -> None:
    asked = recipe(output_size="work", fit="crop", resampling="bilinear")
    found = make_canvas(asked, CONTENT, ALPHA, MASK, 20, 20)
    assert (found.width, found.height) == (20, 20)
    for part, own in ((found.content, CONTENT), (found.alpha, ALPHA), (found.mask, MASK)):
        assert part is not None
        whole = Resize(20, InterpolationMode.BILINEAR)(Image.fromarray(own))
        assert np.array_equal(part, np.asarray(CenterCrop(20)(whole)))


@pytest.mark.parametrize(("longest", "size"), [(18, (18, 15)), (72, (72, 60)), (20, (20, 17))])
def test_an_output_of_a_longest_edge_has_the_content_s_proportions(
    longest: int, size: tuple[int, int]
) -> None:
    asked = recipe(output_size=longest, output_resampling="bicubic")
    # Whatever it was worked on at.
    found = make_canvas(asked, CONTENT, ALPHA, MASK, 32, 32)
    assert (found.width, found.height) == size
    for part, own in ((found.content, CONTENT), (found.alpha, ALPHA), (found.mask, MASK)):
        assert part is not None
        wanted = Image.fromarray(own).resize(size, Image.Resampling.BICUBIC)
        assert np.array_equal(part, np.asarray(wanted))
    result = np.asarray(picture(5, 32, 32))
    plain = make_canvas(asked, CONTENT, None, None, 32, 32)
    wanted = Image.fromarray(result).resize(size, Image.Resampling.BICUBIC)
    assert np.array_equal(finish(result, plain, asked), np.asarray(wanted))


@pytest.mark.parametrize("box", [(20, 20), (40, 20), (17, 31), (50, 45)], ids=str)
def test_an_output_of_a_box_is_what_torchvision_cuts_from_the_centre(box: tuple[int, int]) -> None:
    asked = recipe(output_size=box, output_resampling="bilinear")
    found = make_canvas(asked, CONTENT, ALPHA, MASK, 36, 30)
    assert (found.width, found.height) == box

    def cut(pixels: Pixels) -> Pixels:
        # The size at which the whole just covers the box, then the box.
        scale = max(Fraction(box[0], 36), Fraction(box[1], 30))
        whole = Image.fromarray(pixels).resize(
            (max(box[0], int(36 * scale)), max(box[1], int(30 * scale))), Image.Resampling.BILINEAR
        )
        return np.asarray(CenterCrop(box[::-1])(whole))

    for part, own in ((found.content, CONTENT), (found.alpha, ALPHA), (found.mask, MASK)):
        assert part is not None
        assert np.array_equal(part, cut(own))
    # The result is cut where the content is: where the mask is black, every byte is its own.
    result = np.asarray(picture(5, 36, 30))
    black = make_canvas(asked, CONTENT, None, np.zeros_like(MASK), 36, 30)
    assert np.array_equal(finish(result, black, asked), cut(CONTENT))
    white = make_canvas(asked, CONTENT, None, np.full_like(MASK, 255), 36, 30)
    assert np.array_equal(finish(result, white, asked), cut(result))


@pytest.mark.parametrize("size", ["content", "work", 20, (20, 16)])
def test_a_canvas_holds_the_content_only_where_something_of_it_is_needed(size: Any) -> None:
    def content(mask: Pixels | None = None, **fields: Any) -> Pixels | None:
        asked = recipe(output_size=size, **fields)
        return make_canvas(asked, CONTENT, None, mask, 32, 32).content

    assert content() is None
    assert content(color="matched") is None
    assert content(MASK) is not None
    assert content(color="content") is not None
    assert content(side_by_side=True) is not None


# --- side by side, 8 bits --------------------------------------------------------------------


def test_side_by_side_are_content_result_and_style_at_the_result_s_height() -> None:
    style = np.asarray(picture(5, 50, 40))
    found = side_by_side(CONTENT, RESULT, style)
    widths = [round(36 * 16 / 30), 24, round(50 * 16 / 40)]
    assert found.shape == (16, sum(widths), 3)
    content, result, painting = np.split(found, np.cumsum(widths)[:2], axis=1)
    assert np.array_equal(result, RESULT)
    for part, own in ((content, CONTENT), (painting, style)):
        size = (part.shape[1], 16)
        assert np.array_equal(part, np.asarray(Image.fromarray(own).resize(size, LANCZOS)))


def test_a_ribbon_beside_a_result_is_at_least_one_pixel_wide() -> None:
    ribbon = np.zeros((400, 2, 3), np.uint8)
    assert side_by_side(RESULT, RESULT, ribbon).shape == (16, 49, 3)


def test_rounding_is_to_the_nearest_or_down_within_the_range() -> None:
    values = [-0.2, 0.0, 0.4, 0.6, 7.49, 7.51, 254.4, 254.6, 255.0, 300.0]
    image = torch.tensor(values).view(1, 1, 1, -1).expand(1, 3, 1, -1) / 255
    nearest, down = to_pixels(image, "nearest"), to_pixels(image, "truncate")
    assert nearest[0, :, 0].tolist() == [0, 0, 0, 1, 7, 8, 254, 255, 255, 255]
    assert down[0, :, 0].tolist() == [0, 0, 0, 0, 7, 7, 254, 254, 255, 255]


def test_8_bit_steps_survive_either_rounding() -> None:
    steps = np.arange(256, dtype=np.uint8)
    image = torch.from_numpy(steps).float().view(1, 1, 1, -1).expand(1, 3, 1, -1) / 255
    for rounding in ("nearest", "truncate"):
        assert np.array_equal(to_pixels(image, rounding)[0, :, 0], steps), rounding


def test_colours_kept_a_few_rows_at_a_time_are_the_same_bytes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        height, width = (int(number) for number in draw.integers(1, 300, 2))
        made, content = draw.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
        monkeypatch.setattr(canvas, "_PIXELS_AT_ONCE", int(draw.integers(1, 5000)))
        assert (canvas._keep_colors(made, content) == keep_colors(made, content)).all()
