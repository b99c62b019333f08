"""Formats of the files: what comes back of pixels and transparency, and what a file says of itself.

Read back by Pillow, and by the specifications: chunks, markers and tags, byte by byte.
"""

import io
import json
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.runs import picture

from stylebatch.pictures.formats import PNG, SUFFIXES, FileFormat, Provenance, encode
from stylebatch.pictures.images import Pixels, encode_png

FORMATS = {
    "png": PNG,
    "jpeg": FileFormat("jpeg", 95),
    "webp": FileFormat("webp"),
    "lossy webp": FileFormat("webp", 90),
}
LOSSLESS = ("png", "webp")
MADE = Provenance("stylebatch 9", json.dumps({"content": "Käse.png", "strength": 0.5}))
each_format = pytest.mark.parametrize("name", FORMATS)


def pixels(width: int = 40, height: int = 24) -> Pixels:
    return np.asarray(picture(3, width, height))


def alpha(width: int = 40, height: int = 24) -> Pixels:
    return np.asarray(picture(4, width, height))[..., 0].copy()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@each_format
def test_pixels_come_back_exactly_or_nearly(name: str) -> None:
    image = opened(encode(pixels(), None, FORMATS[name]))
    assert (image.format, image.mode, image.size) == (name.split()[-1].upper(), "RGB", (40, 24))
    difference = np.abs(np.asarray(image).astype(int) - pixels())
    assert difference.max() == 0 if name in LOSSLESS else 0 < difference.mean() < 12


@pytest.mark.parametrize("name", ["png", "webp", "lossy webp"])
def test_transparency_is_put_back(name: str) -> None:
    image = opened(encode(pixels(), alpha(), FORMATS[name]))
    assert image.mode == "RGBA"
    found = np.asarray(image)
    assert np.array_equal(found[..., 3], alpha())
    if name in LOSSLESS:
        # Also what nobody sees keeps its colours.
        assert (alpha() == 0).any()
        assert np.array_equal(found[..., :3], pixels())


def test_what_is_transparent_is_on_white_in_a_jpeg() -> None:
    shape = (64, 64)
    clear, solid = np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)
    half = np.full(shape, 128, np.uint8)
    red = np.zeros((*shape, 3), np.uint8)
    red[..., 0] = 200
    for opacity, wanted in (
        (clear, (255, 255, 255)),
        (solid, (200, 0, 0)),
        (half, (227, 127, 127)),
    ):
        found = np.asarray(opened(encode(red, opacity, FORMATS["jpeg"]))).astype(int)
        assert np.abs(found - wanted).max() <= 3


def test_a_jpeg_keeps_the_colour_of_every_pixel() -> None:
    data = encode(pixels(), None, FORMATS["jpeg"])
    at = data.index(b"\xff\xc0")
    # Of each of three components the sampling, horizontal and vertical: 4:4:4.
    assert data[at + 9] == 3
    assert [data[at + 11 + 3 * component] for component in range(3)] == [0x11] * 3


@pytest.mark.parametrize("name", ["jpeg", "webp"])
def test_a_lower_quality_is_a_smaller_file(name: str) -> None:
    sizes = [
        len(encode(pixels(200, 200), None, FileFormat(name, quality)))  # type: ignore[arg-type]
        for quality in (30, 60, 90)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] / 2


def test_a_png_that_says_nothing_has_the_bytes_that_it_always_had() -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels()).save(buffer, "PNG", compress_level=3, compress_type=3)
    assert encode(pixels(), None, PNG) == encode_png(pixels(), None) == buffer.getvalue()


@each_format
def test_the_same_gives_the_same_bytes_whatever_it_says_of_itself(name: str) -> None:
    first, second = (encode(pixels(), alpha(), FORMATS[name], MADE) for _ in range(2))
    assert first == second
    plain = opened(encode(pixels(), alpha(), FORMATS[name]))
    assert np.array_equal(np.asarray(opened(first)), np.asarray(plain))


def png_texts(data: bytes) -> dict[str, str]:
    """Return the text chunks of a PNG, read by its specification."""
    found, at = {}, 8
    while at < len(data):
        (size,), kind = struct.unpack(">I", data[at : at + 4]), data[at + 4 : at + 8]
        if kind == b"tEXt":
            keyword, _, text = data[at + 8 : at + 8 + size].partition(b"\0")
            found[keyword.decode("latin-1")] = text.decode("latin-1")
        at += size + 12
    return found


def exif_block(data: bytes) -> bytes:
    """Return the TIFF block of a JPEG's APP1 segment, or of a WebP's EXIF chunk."""
    if data[:4] == b"RIFF":
        at = data.index(b"EXIF")
        (size,) = struct.unpack("<I", data[at + 4 : at + 8])
        return data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0")
    at = data.index(b"\xff\xe1")
    (size,) = struct.unpack(">H", data[at + 2 : at + 4])
    assert data[at + 4 : at + 10] == b"Exif\0\0"
    return data[at + 10 : at + 2 + size]


def exif_texts(block: bytes) -> dict[int, str]:
    """Return the texts of a TIFF block's first directory by their tags."""
    order = {b"II": "<", b"MM": ">"}[block[:2]]
    (at,) = struct.unpack(order + "I", block[4:8])
    (count,) = struct.unpack(order + "H", block[at : at + 2])
    found = {}
    for number in range(count):
        entry = block[at + 2 + 12 * number : at + 14 + 12 * number]
        tag, kind, size = struct.unpack(order + "HHI", entry[:8])
        assert kind == 2, "text"
        (start,) = struct.unpack(order + "I", entry[8:])
        found[tag] = block[start : start + size].rstrip(b"\0").decode("ascii")
    return found


@each_format
def test_a_file_says_how_it_was_made(name: str) -> None:
    data = encode(pixels(), alpha(), FORMATS[name], MADE)
    image = opened(data)
    if name == "png":
        told = png_texts(data)
        assert told == {"Software": MADE.software, "Description": MADE.description}
        assert image.text == told  # type: ignore[attr-defined]
        return
    exif = {tag: text for tag, text in image.getexif().items() if isinstance(text, str)}
    assert exif == exif_texts(exif_block(data))
    assert exif[ExifTags.Base.Software] == MADE.software
    assert json.loads(exif[ExifTags.Base.ImageDescription])["content"] == "Käse.png"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
@each_format
def test_another_program_reads_how_it_was_made(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{FORMATS[name].suffix}"
    path.write_bytes(encode(pixels(), alpha(), FORMATS[name], MADE))
    done = subprocess.run(["exiftool", "-j", str(path)], capture_output=True, check=True)
    (told,) = json.loads(done.stdout)
    assert told["Software"] == MADE.software
    assert told["Description" if name == "png" else "ImageDescription"] == MADE.description
    assert (told["ImageWidth"], told["ImageHeight"]) == (40, 24)
    if name == "jpeg":
        assert told["YCbCrSubSampling"] == "YCbCr4:4:4 (1 1)"


@each_format
def test_a_file_says_nothing_unless_it_is_told_to(name: str) -> None:
    image = opened(encode(pixels(), None, FORMATS[name]))
    assert not image.getexif()
    assert "icc_profile" not in image.info
    assert not getattr(image, "text", {})


def test_a_format_is_described_as_a_manifest_spells_it() -> None:
    assert [each.described() for each in FORMATS.values()] == [
        *("png", {"jpeg": {"quality": 95}}, "webp", {"webp": {"quality": 90}})
    ]
    assert {each.suffix for each in FORMATS.values()} == set(SUFFIXES.values())
    assert [each.has_alpha for each in FORMATS.values()] == [True, False, True, True]


@pytest.mark.parametrize("name", ["webp", "jpeg"])
def test_an_edge_that_a_format_can_hold_is_told_truly(name: str) -> None:
    most = FORMATS[name].max_edge_px
    strip = np.zeros((1, most, 3), np.uint8)
    assert opened(encode(strip, None, FORMATS[name])).size == (most, 1)
    longer = np.zeros((1, most + 1, 3), np.uint8)
    with pytest.raises((OSError, ValueError)):
        encode(longer, None, FORMATS[name])
