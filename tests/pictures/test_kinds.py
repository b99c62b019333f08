"""A file that can't be read is called what it is; `no image` is said of what is none."""

import io
import struct
import zipfile
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image
from support.encoded import RGB, bmp_4444, encode, heic_beginning, jpeg_segment, png, scene, tiff

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import FORMATS, decode, upright_size


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("a.png", b"x")
    return buffer.getvalue()


def jpeg_of(bits: int, layers: int) -> bytes:
    frame = struct.pack(">BHHB", bits, 8, 8, layers) + b"\1\x11\0" * layers
    return b"\xff\xd8" + jpeg_segment(0xC1, frame) + b"\xff\xd9"


GREY16 = np.zeros((8, 8), np.uint16)
NAMES = {
    "a TIFF of 16-bit grey with alpha": tiff(
        np.zeros((8, 8, 2), np.uint16), photometric="minisblack", extrasamples=["unassalpha"]
    ),
    "a TIFF of 8-bit CMYK with alpha": tiff(
        np.zeros((8, 8, 5), np.uint8), photometric="separated", extrasamples=["unassalpha"]
    ),
    "a TIFF of 32-bit floating-point RGB": tiff(np.zeros((8, 8, 3), np.float32), photometric="rgb"),
    "a TIFF of 32-bit floating-point grey": tiff(np.zeros((8, 8), np.float32)),
    "a TIFF of 64-bit floating-point grey": tiff(np.zeros((8, 8))),
    "a TIFF of 16-bit signed grey": tiff(np.zeros((8, 8), np.int16)),
    "a TIFF of 16-bit CIELAB": tiff(np.zeros((8, 8, 3), np.uint16), photometric="cielab"),
    "a TIFF of 16-bit grey with 1 more channel in planes": tiff(
        np.zeros((2, 8, 8), np.uint16), photometric="minisblack", planarconfig="separate"
    ),
    "a BigTIFF of 16-bit CIELAB": tiff(
        np.zeros((8, 8, 3), np.uint16), photometric="cielab", bigtiff=True
    ),
    "a BMP that can't be read (Unsupported BMP bitfields layout)": bmp_4444(),
    "a JPEG that can't be read (cannot handle 12-bit layers)": jpeg_of(12, 3),
    "a JPEG that can't be read (cannot handle 2-layer images)": jpeg_of(8, 2),
    "a PNG that can't be read": png(scene(), 8, RGB)[:20],
    "a WebP that can't be read": encode(Image.fromarray(scene()), "WEBP")[:20],
    "a Photoshop file, which isn't read": b"8BPS" + bytes(40),
    "a camera's raw file, which isn't read": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(80),
    "a JPEG XL image, which isn't read": b"\xff\x0a" + bytes(40),
    "a DICOM image, which isn't read": bytes(128) + b"DICM" + bytes(40),
    "no image: a video": b"\0\0\0\x18ftypmp42\0\0\0\1mp42isom" + bytes(80),
    "no image: a sound or a video": b"RIFF" + bytes(4) + b"AVI " + bytes(40),
    "no image: a web page": b"<!DOCTYPE html><html><body>404</body></html>",
    "no image: an SVG drawing": b"<?xml version='1.0'?>\n<svg xmlns='x'/>",
    "no image: a zip archive": archive(),
    "no image: a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
    "no image: text": "größe\n".encode() * 40,
    "no image; read are": bytes(range(256)),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_called_what_it_is(name: str) -> None:
    with pytest.raises(ImageError) as caught:
        decode(NAMES[name], "photos/x.jpg")
    assert str(caught.value).startswith(f"photos/x.jpg: {name}")


def test_a_bigtiff_of_a_usual_kind_is_read() -> None:
    data = tiff(scene(), photometric="rgb", bigtiff=True)
    assert (decode(data, "x").rgb == scene()).all()


@pytest.mark.skipif("HEIF" in FORMATS, reason="pillow-heif is installed")
def test_a_heic_says_which_extra_reads_it() -> None:
    for read in (decode, upright_size):
        with pytest.raises(ImageError, match=r"^x\.jpg: a HEIC image, which .*stylebatch\[heif\]"):
            read(heic_beginning(), "x.jpg")


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="needs the extra heif")
def test_a_heic_is_read_by_the_extra_and_turned_upright() -> None:
    import pillow_heif

    for orientation, upright in ((1, scene(64, 48)), (6, np.rot90(scene(64, 48), -1))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        made = pillow_heif.from_pillow(Image.fromarray(scene(64, 48)))
        made.info["exif"] = exif.tobytes()
        buffer = io.BytesIO()
        made.save(buffer, quality=95)
        picture = decode(buffer.getvalue(), "x.jpg")
        assert picture.rgb.shape == upright.shape
        assert np.abs(picture.rgb.astype(int) - upright).mean() < 6
        assert upright_size(buffer.getvalue(), "x") == upright.shape[1::-1]
