"""What Pillow would read as it is not comes out as it is, or is refused with its reason."""

import io
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from support.encoded import (
    GREY,
    RGB,
    bmp,
    chunk,
    cut_jpeg,
    display_profile,
    encode,
    gif_within,
    jpeg_segment,
    png,
    scene,
    srgb_encoded,
    tiff,
)

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import decode, upright_size

GREYS = np.arange(24 * 40, dtype=np.uint16).reshape(24, 40)


def difference(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def alpha_of(data: bytes) -> np.ndarray:
    alpha = decode(data, "x").alpha
    assert alpha is not None
    return alpha


# --- transparency of PNG


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_a_grey_that_is_transparent_is_so_at_every_depth(depth: int) -> None:
    samples = GREYS * 68 if depth == 16 else GREYS % 2**depth
    key = int(samples[3, 5])
    data = png(samples, depth, GREY, chunk(b"tRNS", key.to_bytes(2)))
    picture = decode(data, "x", "full")
    assert difference(alpha_of(data), np.where(samples == key, 0, 255)) == 0
    scaled = samples >> 8 if depth == 16 else samples * 255 // (2**depth - 1)
    assert difference(picture.rgb[..., 1], scaled) == 0


@pytest.mark.parametrize("depth", [8, 16])
def test_a_colour_that_is_transparent_is_compared_in_all_its_bits(depth: int) -> None:
    samples = scene().astype(np.uint16)
    if depth == 16:
        # Colours that 8 bits don't tell apart.
        samples = samples // 64 * 64 * 256 + (GREYS % 5)[..., None]
    key = samples[9, 17]
    data = png(samples, depth, RGB, chunk(b"tRNS", key.astype(">u2").tobytes()))
    wanted = np.where((samples == key).all(2), 0, 255)
    assert 1 <= (wanted == 0).sum() < 200
    assert difference(alpha_of(data), wanted) == 0
    assert difference(decode(data, "x").rgb, samples >> (depth - 8)) == 0


def test_transparency_is_turned_with_its_image() -> None:
    samples = GREYS % 4
    exif = Image.Exif()
    exif[0x0112] = 6
    chunks = [chunk(b"tRNS", b"\0\2"), chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))]
    data = png(samples, 2, GREY, *chunks)
    assert difference(alpha_of(data), np.where(np.rot90(samples, -1) == 2, 0, 255)) == 0


# --- TIFF


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_grey_whose_white_is_0_is_no_negative(compression: str | None) -> None:
    grey = GREYS * 68
    data = tiff(grey, photometric="miniswhite", byteorder="<", compression=compression)
    assert difference(decode(data, "x").rgb[..., 0], (65535 - grey) >> 8) == 0


def test_12_bit_grey_whose_white_is_0_is_inverted_in_its_12_bits() -> None:
    data = tiff(GREYS * 4, photometric="miniswhite", byteorder="<")
    assert difference(decode(data, "x").rgb[..., 0], 255 - (GREYS * 4 >> 4)) == 0


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planes_of_16_bits_are_read_as_such(
    byteorder: str, tile: tuple[int, int] | None, compression: str | None
) -> None:
    planes = np.moveaxis(scene().astype(np.uint16) * 257, 2, 0)
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression}
    data = tiff(planes, byteorder=byteorder, tile=tile, **options)
    assert difference(decode(data, "x").rgb, scene()) == 0


def test_planes_of_16_bits_with_alpha(tmp_path: Path) -> None:
    planes = np.concatenate([np.moveaxis(scene().astype(np.uint16) * 257, 2, 0), GREYS[None] * 68])
    data = tiff(planes, photometric="rgb", planarconfig="separate", extrasamples=["unassalpha"])
    (tmp_path / "x.tif").write_bytes(data)
    read = tifffile.imread(tmp_path / "x.tif")
    assert difference(decode(data, "x").rgb, np.moveaxis(read[:3] >> 8, 0, 2)) == 0
    assert difference(alpha_of(data), read[3] >> 8) == 0


def test_planes_of_16_bit_cmyk_are_refused() -> None:
    planes = np.zeros((4, 24, 40), np.uint16)
    data = tiff(planes, photometric="separated", planarconfig="separate")
    with pytest.raises(ImageError, match="a TIFF of 16-bit CMYK in planes, which isn't read"):
        decode(data, "x")


# --- JPEG


def photograph(mode: str = "RGB", size: int = 96) -> Image.Image:
    noise = np.random.default_rng(4).normal(0, 20, (size, size, 3))
    return Image.fromarray((scene(size, size) + noise).clip(0, 255).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("is_progressive", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97])
def test_a_jpeg_that_was_cut_is_refused_though_its_end_is_marked(
    mode: str, share: float, is_progressive: bool
) -> None:
    data = encode(photograph(mode), "JPEG", quality=90, progressive=is_progressive)
    assert decode(data, "x").rgb.shape == (96, 96, 3)
    with pytest.raises(ImageError, match="its data ends before the picture does"):
        decode(cut_jpeg(data, share), "x")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(0, 2), st.booleans(), st.booleans())
def test_a_whole_jpeg_is_never_taken_for_a_cut_one(
    width: int, height: int, subsampling: int, is_progressive: bool, is_grey: bool
) -> None:
    pixels = np.full((height, width, 3), 128, np.uint8) if is_grey else scene(width, height)
    options = {"subsampling": subsampling, "progressive": is_progressive}
    image = Image.fromarray(pixels)
    for more in ({}, {"restart_marker_blocks": 1}):
        data = encode(image, "JPEG", **options, **more) + b"what cameras leave behind it"
        with Image.open(io.BytesIO(data)) as read:
            assert difference(decode(data, "x").rgb, np.asarray(read)) == 0


def test_photographs_are_not_taken_for_cut_ones(shared: Path) -> None:
    for path in sorted(shared.glob("images/photos/*/*.jpg"))[::9]:
        again = encode(Image.open(path).convert("RGB"), "JPEG", progressive=True)
        for data in (path.read_bytes(), again):
            decode(data, path.name)
        with pytest.raises(ImageError):
            decode(cut_jpeg(again, 0.6), path.name)


# --- BMP and GIF


def test_the_profile_of_a_bmp_is_obeyed() -> None:
    data = bmp(scene(), display_profile(1.4))
    expected = np.round(srgb_encoded((scene() / 255) ** 1.4) * 255)
    assert difference(decode(data, "x").rgb, expected) <= 2
    for plain in (bmp(scene()), bmp(scene(), version=3)):
        assert difference(decode(plain, "x").rgb, scene()) == 0
    cut = bmp(scene(), display_profile(1.4))[:-100]
    assert difference(decode(cut, "x").rgb, scene()) == 0


def test_around_the_picture_of_a_gif_there_is_nothing() -> None:
    indices = np.arange(8 * 5).reshape(5, 8) % 4
    picture = decode(gif_within((20, 16), (4, 6), indices), "x")
    wanted = np.zeros((16, 20), int)
    wanted[6:11, 4:12] = 255
    assert picture.alpha is not None
    assert difference(picture.alpha, wanted) == 0
    colours = np.array([(90, 90, 90), (255, 0, 0), (0, 255, 0), (0, 0, 255)])
    assert difference(picture.rgb[6:11, 4:12], colours[indices]) == 0
    assert decode(gif_within((8, 5), (0, 0), indices), "x").alpha is None


# --- metadata that is broken costs the metadata


def ztxt(size: int) -> bytes:
    return chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(size)))


def itxt(size: int) -> bytes:
    return chunk(b"iTXt", b"Comment\0\1\0\0\0" + zlib.compress(b"a" * size))


BROKEN_CHUNKS = {
    "a zTXt of 100 MB": ztxt(100_000_000),
    "an iTXt of 3 MB": itxt(3_000_000),
    "a tEXt of 100 MB": chunk(b"tEXt", b"Comment\0" + b"a" * 100_000_000),
    "much text": b"".join(ztxt(900_000) for _ in range(90)),
    "a gAMA with a wrong sum": chunk(b"gAMA", (45455).to_bytes(4), crc=7),
    "a tEXt with a wrong sum": chunk(b"tEXt", b"Comment\0x", crc=7),
    "a short gAMA": chunk(b"gAMA", b"\0"),
    "a short pHYs": chunk(b"pHYs", b"\0\0"),
    "a short cHRM": chunk(b"cHRM", bytes(8)),
    "an empty sRGB": chunk(b"sRGB", b""),
    "a zTXt of another method": chunk(b"zTXt", b"Comment\0\7abc"),
    "an iCCP of another method": chunk(b"iCCP", b"name\0\7abc"),
    "an empty iCCP": chunk(b"iCCP", b""),
    "a short acTL": chunk(b"acTL", b"\0"),
    "a short fcTL": chunk(b"fcTL", b"\0"),
}


@pytest.mark.parametrize("name", BROKEN_CHUNKS)
@pytest.mark.parametrize("is_after", [False, True])
def test_a_broken_chunk_costs_a_png_that_chunk_alone(name: str, is_after: bool) -> None:
    broken = BROKEN_CHUNKS[name]
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    if is_after:
        data = png(scene(), 8, RGB, turned, after=broken)
    else:
        data = png(scene(), 8, RGB, broken, turned)
    assert upright_size(data, "x") == (40, 24)
    assert difference(decode(data, "x").rgb, scene()[::-1, ::-1]) == 0


@pytest.mark.parametrize("before", [b"", ztxt(2_000_000)])
def test_a_profile_of_more_than_a_megabyte_is_obeyed(before: bytes) -> None:
    noise = np.random.default_rng(0).bytes(1_200_000)
    profile = display_profile(1.4, more=noise)
    iccp = chunk(b"iCCP", b"printer\0\0" + zlib.compress(profile))
    data = png(scene(), 8, RGB, iccp, before)
    expected = np.round(srgb_encoded((scene() / 255) ** 1.4) * 255)
    assert difference(decode(data, "x").rgb, expected) <= 2


def test_a_profile_that_would_fill_the_memory_counts_as_none() -> None:
    inflated = zlib.compress(display_profile(1.4) + bytes(200_000_000))
    data = png(scene(), 8, RGB, chunk(b"iCCP", b"bomb\0\0" + inflated))
    assert difference(decode(data, "x").rgb, scene()) == 0


@pytest.mark.parametrize("crc", [7, None])
def test_transparency_that_is_broken_is_refused_as_it_is_part_of_the_picture(
    crc: int | None,
) -> None:
    data = png(scene(), 8, RGB, chunk(b"tRNS", b"\0\1" * (1 if crc is None else 3), crc=crc))
    with pytest.raises(ImageError, match="a PNG that can't be read"):
        decode(data, "x")


@pytest.mark.parametrize(
    "segment",
    [
        jpeg_segment(0xEE, b"Adobe"),
        jpeg_segment(0xEE, b"Adobe\0"),
        jpeg_segment(0xE0, b"JFIF\0"),
        jpeg_segment(0xE2, b"ICC_PROFILE\0"),
        jpeg_segment(0xE1, b"Exif\0\0"),
        jpeg_segment(0xED, b"Photoshop 3.0\x008BIM\4"),
        jpeg_segment(0xE2, b"MPF\0"),
    ],
)
def test_a_broken_segment_costs_a_jpeg_that_segment_alone(segment: bytes) -> None:
    whole = encode(Image.fromarray(scene()), "JPEG", quality=98, subsampling=0)
    data = whole[:2] + segment + whole[2:]
    assert upright_size(data, "x") == (40, 24)
    assert difference(decode(data, "x").rgb, decode(whole, "x").rgb) == 0


def test_decoders_say_nothing_on_stderr(tmp_path: Path) -> None:
    fax = Image.fromarray(np.random.default_rng(0).integers(0, 2, (64, 64), np.uint8) * 255)
    data = bytearray(encode(fax.convert("1"), "TIFF", compression="group4"))
    for at in range(50, 90):
        data[at] ^= 0x5A
    (tmp_path / "fax.tif").write_bytes(data)
    exif = b"Exif\0\0II*\0\x08\0\0\0\x40\0" + b"\xff" * 30
    (tmp_path / "exif.jpg").write_bytes(encode(Image.fromarray(scene()), "JPEG", exif=exif))
    (tmp_path / "apng.png").write_bytes(png(scene(), 8, RGB, chunk(b"acTL", bytes(8))))
    code = """
import sys, pathlib
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import decode
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        decode(path.read_bytes(), path.name)
    except ImageError:
        pass
"""
    ended = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
