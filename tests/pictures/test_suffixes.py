"""Every suffix that Pillow writes a readable image under is found, and decodes as Pillow does."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features
from support.runs import picture, small_project

from stylebatch.pictures.images import IMAGE_SUFFIXES, decode, upright_size

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jif", ".jfif"), "JPEG"),
    ".mpo": "MPO",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "DIB",
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pnm"), "PPM"),
    ".gif": "GIF",
    ".avif": "AVIF",
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "JPEG2000"),
}


def encoded(suffix: str) -> bytes:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow was built without AVIF")
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": [picture(2, 24, 20)]} if suffix == ".mpo" else {}
    picture(1, 24, 20).save(buffer, FORMATS[suffix], **more)
    return buffer.getvalue()


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_image_is_read_as_pillow_reads_it(suffix: str) -> None:
    data = encoded(suffix)
    assert suffix in IMAGE_SUFFIXES
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(decode(data, "x").rgb, expected)
    assert upright_size(data, "x") == (24, 20)


@pytest.mark.parametrize("suffix", [".avif", ".jpe", ".jfif", ".mpo", ".webp", ".tif"])
def test_an_orientation_is_obeyed(suffix: str) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    encoded(suffix)  # skips
    picture(1, 24, 20).save(buffer, FORMATS[suffix], exif=exif)
    assert upright_size(buffer.getvalue(), "x") == (20, 24)
    assert decode(buffer.getvalue(), "x").rgb.shape == (24, 20, 3)


def test_a_run_makes_one_of_each_and_of_styles_likewise(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    for suffix in FORMATS:
        (small.root / "photos/cats" / f"n{suffix[1:]}{suffix}").write_bytes(encoded(suffix))
    (small.root / "styles/u.avif").write_bytes(encoded(".avif"))
    # Two photographs were there, and two styles.
    assert len(small.again()) == (2 + len(FORMATS)) * 3
