"""Pictures on a terminal: what a decoder of each way sees is the picture."""

import io
import re
from base64 import b64decode

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.runs import picture
from support.sixels import decode_sixel

from stylebatch.pictures.images import encode_png
from stylebatch.pictures.terminal import half_blocks, kitty, sixel


def pixels_of(number: int, width: int, height: int) -> NDArray[np.uint8]:
    return np.asarray(picture(number, width, height))


@pytest.mark.parametrize("size", [(40, 30), (7, 13), (1, 1), (128, 5)])
def test_sixels_paint_every_pixel_in_about_its_colour(size: tuple[int, int]) -> None:
    pixels = pixels_of(3, *size)
    seen = decode_sixel(sixel(pixels))
    assert seen.shape == pixels.shape
    assert seen.min() >= 0, "something was not painted"
    # What 256 colours, and percents of each, leave.
    assert np.abs(seen - pixels).mean() < 6


def test_sixels_of_few_colours_are_exact_to_a_percent() -> None:
    pixels = np.zeros((9, 8, 3), np.uint8)
    pixels[2:7, 3:] = (255, 128, 0)
    pixels[8] = (10, 20, 200)
    assert np.abs(decode_sixel(sixel(pixels)) - pixels).max() <= 2


@pytest.mark.parametrize("edge", [4, 128])
def test_kitty_gets_the_png_in_pieces_that_it_takes(edge: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (edge, edge, 3), np.uint8)
    png = encode_png(noise, None)
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(png, 16, 8))
    assert "".join(f"\x1b_G{keys};{data}\x1b\\" for keys, data in parts) == kitty(png, 16, 8)
    first = dict(each.split("=") for each in parts[0][0].split(","))
    assert {key: first[key] for key in "afcrqC"} == dict(
        zip("afcrqC", ["T", "100", "16", "8", "2", "1"], strict=True)
    )
    assert all(len(data) <= 4096 and (len(data) % 4 == 0) for _, data in parts)
    assert [keys.rpartition("m=")[2] for keys, _ in parts] == ["1"] * (len(parts) - 1) + ["0"]
    data = b64decode("".join(data for _, data in parts))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), noise)


def test_half_blocks_are_two_pixels_each() -> None:
    pixels = pixels_of(1, 6, 5)
    lines = half_blocks(pixels)
    seen = np.zeros((6, 6, 3), np.uint8)
    for row, line in enumerate(lines):
        cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", line)
        assert line.endswith("▀\x1b[0m")
        for column, cell in enumerate(cells):
            numbers = list(map(int, cell))
            seen[2 * row, column], seen[2 * row + 1, column] = numbers[:3], numbers[3:]
    assert np.array_equal(seen[:5], pixels)
    assert np.array_equal(seen[5], pixels[4])


def test_of_256_colours_the_nearest_is_taken() -> None:
    levels = [0, 95, 135, 175, 215, 255]
    cube = {16 + 36 * r + 6 * g + b: (levels[r], levels[g], levels[b])
            for r in range(6) for g in range(6) for b in range(6)}  # fmt: skip
    known = cube | {232 + n: (8 + 10 * n,) * 3 for n in range(24)}
    pixels = np.random.default_rng(5).integers(0, 256, (2, 200, 3), np.uint8)
    pixels[:, :50] = pixels[:, :50, :1]  # greys
    (line,) = half_blocks(pixels, is_true_color=False)
    cells = re.findall(r"\x1b\[38;5;(\d+);48;5;(\d+)m▀", line)
    for column, cell in enumerate(cells):
        for row, name in enumerate(map(int, cell)):
            pixel = pixels[row, column].astype(int)
            far = {key: int(((pixel - np.array(one)) ** 2).sum()) for key, one in known.items()}
            assert far[name] == min(far.values()), pixel
