"""Masks in every convention, worked out by hand."""

import numpy as np
import pytest
from PIL import Image
from support.encoded import GREY, chunk, encode, png, tiff

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.masks import read_mask

# A disc, so that no turn goes unseen.
Y, X = np.mgrid[0:20, 0:30]
SIDE = (X - 11) ** 2 + (Y - 8) ** 2 < 40
WANTED = np.where(SIDE, 255, 0)
# The first colours of VOC's palette.
VOC = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128)]


def grey(low: int, high: int) -> np.ndarray:
    return np.where(SIDE, high, low).astype(np.uint8)


def palette(indices: np.ndarray, colours: list[tuple[int, int, int]]) -> bytes:
    image = Image.fromarray(indices.astype(np.uint8)).convert("P")
    image.putpalette([value for colour in colours for value in colour])
    return encode(image)


def la(values: np.ndarray, alpha: np.ndarray) -> bytes:
    parts = [Image.fromarray(part.astype(np.uint8)) for part in (values, alpha)]
    return encode(Image.merge("LA", parts))


RGB_SIDES = np.where(SIDE[..., None], (0, 90, 200), (255, 250, 0)).astype(np.uint8)
READ = {
    "black and white": encode(Image.fromarray(grey(0, 255))),
    "0 and 1": encode(Image.fromarray(grey(0, 1))),
    "0 and 128": encode(Image.fromarray(grey(0, 128))),
    "1 and 2": encode(Image.fromarray(grey(1, 2))),
    "127 and 255": encode(Image.fromarray(grey(127, 255))),
    "1 bit": encode(Image.fromarray(grey(0, 255)).convert("1")),
    "1 bit in PNG's 2": png(SIDE * 1, 2, GREY),
    "0 and 1 in 16 bits": png(SIDE * 1, 16, GREY),
    "0 and 300 in 16 bits": png(SIDE * 300, 16, GREY),
    "0 and 4095 in a TIFF": tiff((SIDE * 4095).astype(np.uint16)),
    "0 and 65535 in a TIFF": tiff((SIDE * 65535).astype(np.uint16)),
    "VOC's cat": palette(SIDE * 5, VOC),
    "VOC's aeroplane": palette(SIDE * 1, VOC),
    "a palette of greys": palette(SIDE * 1, [(0, 0, 0), (255, 255, 255)]),
    "a palette of greys from white on": palette(~SIDE * 1, [(255, 255, 255), (0, 0, 0)]),
    "two colours, the lighter inside": encode(Image.fromarray(RGB_SIDES[::1]).convert("RGB")),
    "white on what is transparent": la(grey(255, 255), grey(0, 255)),
    "black on what is transparent": la(grey(0, 0), grey(0, 255)),
    "the same in grey and alpha": la(grey(0, 255), grey(0, 255)),
    "a grey that is transparent": png(SIDE * 1, 8, GREY, chunk(b"tRNS", b"\0\0")),
    "opaque alpha": la(grey(0, 255), grey(255, 255)),
}


@pytest.mark.parametrize("name", READ)
def test_two_sides_are_a_mask_in_every_convention(name: str) -> None:
    wanted = 255 - WANTED if name.startswith("two colours") else WANTED
    assert (read_mask(READ[name], "x") == wanted).all()


@pytest.mark.parametrize(("value", "wanted"), [(0, 0), (1, 255), (38, 255), (128, 255), (255, 255)])
def test_one_value_is_one_side(value: int, wanted: int) -> None:
    flat = np.full((20, 30), value, np.uint8)
    assert (read_mask(encode(Image.fromarray(flat)), "x") == wanted).all()
    assert (read_mask(palette(flat % 6, VOC), "x") == (255 if value % 6 else 0)).all()


def test_what_lies_between_is_kept_as_it_is() -> None:
    soft = np.clip(255 - 12 * np.hypot(X - 11, Y - 8), 0, 255).astype(np.uint8)
    assert (read_mask(encode(Image.fromarray(soft)), "x") == soft).all()
    assert (read_mask(encode(Image.fromarray(soft).convert("RGB")), "x") == soft).all()
    in_alpha = la(np.full((20, 30), 255), soft)
    assert (read_mask(in_alpha, "x") == soft).all()
    levels = np.choose(X % 3, [0, 128, 255]).astype(np.uint8)
    assert (read_mask(encode(Image.fromarray(levels)), "x") == levels).all()
    jpeg = encode(Image.fromarray(grey(0, 255)).convert("RGB"), "JPEG", quality=60)
    assert np.abs(read_mask(jpeg, "x").astype(int) - WANTED).mean() < 12


REFUSED = {
    "numbers of classes": (encode(Image.fromarray((X % 3).astype(np.uint8))), "values are 0, 1, 2"),
    "numbers of classes, and nothing at their edges": (
        encode(Image.fromarray(np.choose(X % 3, [0, 15, 255]).astype(np.uint8))),
        "values are 0, 15, 255: numbers of classes",
    ),
    "VOC's palette": (palette(X % 4, VOC), "a mask of 4 colours"),
    "a photograph": (encode(Image.fromarray(RGB_SIDES + X[..., None].astype(np.uint8))), "colours"),
    "colours that are transparent in parts": (
        la(grey(0, 255), np.where(X < 15, 255, 0)),
        "transparent in parts, and of several colours where it is not",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_tell_the_side_is_refused(name: str) -> None:
    data, message = REFUSED[name]
    with pytest.raises(ImageError, match=rf"^masks/a\.png: .*{message}.*allowed is white"):
        read_mask(data, "masks/a.png")
