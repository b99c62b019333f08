"""16-bit grey that holds 8, 10 or 12 bits, by numbers that are worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.encoded import GREY, chunk, encode, png, tiff

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import decode
from stylebatch.pictures.levels import Levels


def ramp(largest: int) -> np.ndarray:
    """Values (24, 40) from 0 to the largest."""
    return np.linspace(0, largest, 24 * 40).round().astype(np.uint16).reshape(24, 40)


def grey(data: bytes, levels: Levels = "auto") -> tuple[np.ndarray, int | None]:
    picture = decode(data, "x", levels)
    assert (picture.rgb == picture.rgb[..., :1]).all()
    return picture.rgb[..., 0], picture.told.get("levels")


# The largest value and what is found. A dark photograph of 16 bits is not brightened.
FOUND = [
    *((255, 8), (200, 8), (256, 10), (1023, 10), (1024, 12), (4095, 12)),
    *((4096, None), (16383, None), (65535, None), (1, 8), (0, None)),
]


@pytest.mark.parametrize(("largest", "bits"), FOUND)
@pytest.mark.parametrize("kind", ["png", "tiff <", "tiff >", "pillow"])
def test_the_fewest_usual_bits_that_hold_all_values_are_found(
    largest: int, bits: int | None, kind: str
) -> None:
    values = ramp(largest)
    data = {
        "png": lambda: png(values, 16, GREY),
        "tiff <": lambda: tiff(values, byteorder="<"),
        "tiff >": lambda: tiff(values, byteorder=">"),
        "pillow": lambda: encode(Image.fromarray(values), "TIFF"),
    }[kind]()
    found, told = grey(data)
    assert told == bits
    assert (found == (values.astype(int) * 256) // 2 ** (bits or 16)).all()
    full, told = grey(data, "full")
    assert told is None
    assert (full == values // 256).all()


@given(st.integers(8, 16), st.data())
def test_bits_that_are_told_are_those_of_white(bits: int, data: st.DataObject) -> None:
    values = ramp(data.draw(st.integers(0, 2**bits - 1)))
    found, told = grey(png(values, 16, GREY), bits)
    assert (found == values.astype(int) * 256 // 2**bits).all()
    assert told == (None if bits == 16 else bits)


def test_values_beyond_the_bits_that_are_told_are_refused() -> None:
    message = r"^ct/1\.png: has 16-bit grey up to 4,096; allowed by `levels: 12` is 4,095; correct"
    with pytest.raises(ImageError, match=message):
        decode(png(ramp(4096), 16, GREY), "ct/1.png", 12)


def test_a_tiff_of_12_bits_has_12_whatever_is_told() -> None:
    values = ramp(900)
    # Two values in three bytes, from the highest bit on.
    pairs = values.reshape(-1, 2).astype(int)
    joined = (pairs[:, 0] << 12) | pairs[:, 1]
    data = b"".join(int(pair).to_bytes(3) for pair in joined)
    whole = tiff_of_12_bits(data)
    for levels in ("auto", "full", 16):
        found, told = grey(whole, levels)
        assert told == 12
        assert (found == values // 16).all()


def tiff_of_12_bits(data: bytes) -> bytes:
    def entry(tag: int, value: int) -> bytes:
        return tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little")

    fields = {256: 40, 257: 24, 258: 12, 259: 1, 262: 1, 273: 134, 277: 1, 278: 24}
    fields[279] = len(data)
    table = b"".join(entry(tag, value) for tag, value in fields.items())
    head = b"II*\0\x08\0\0\0" + len(fields).to_bytes(2, "little") + table + bytes(4)
    return head.ljust(134, b"\0") + data


def test_what_is_no_16_bit_grey_is_as_it_was() -> None:
    eight = ramp(200).astype(np.uint8)
    colour = np.stack([ramp(900)] * 3, axis=2)
    for levels in ("auto", "full", 12):
        for data in (png(eight, 8, GREY), encode(Image.fromarray(eight), "JPEG", quality=98)):
            found, told = grey(data, levels)
            assert told is None
            assert np.abs(found.astype(int) - eight).max() <= 3
        assert (decode(png(colour, 16, 2), "x", levels).rgb == colour // 256).all()


def test_transparency_goes_by_the_values_that_are_stored() -> None:
    picture = decode(png(ramp(900), 16, GREY, chunk(b"tRNS", (450).to_bytes(2))), "x")
    assert picture.alpha is not None
    assert ((picture.alpha == 0) == (ramp(900) == 450)).all()
