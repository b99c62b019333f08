"""What a file is that can't be read as an image, in words."""

import io
import re
from typing import Any

from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

# Where and how files begin of what people mistake for images that are read.
_BEGINNINGS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "no image: a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"II\xbc\x01", "a JPEG XR image"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"PK\x03\x04", "no image: a zip archive"),
    (0, b"\x1f\x8b", "no image: a gzip archive"),
    (0, b"\x93NUMPY", "no image: a NumPy array"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x1aE\xdf\xa3", "no image: a video"),
    (0, b"version https://git-lfs", "no image: a pointer of Git LFS, whose file was not fetched"),
)
_KNOWN_FORMATS: tuple[tuple[str, tuple[bytes, ...]], ...] = (
    ("PNG", (b"\x89PNG\r\n\x1a\n",)),
    ("JPEG", (b"\xff\xd8\xff",)),
    ("GIF", (b"GIF87a", b"GIF89a")),
    ("BMP", (b"BM",)),
    ("TIFF", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    ("JPEG2000", (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")),
    ("PPM", (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")),
)
# Of ISO base media files, by the brands that their first box names.
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "a HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
    b"crx ": "a camera's raw file",
}
# Pillow's names of those that it may have a reader for.
_READ_BRANDS = {"a HEIC image": "HEIF", "an AVIF image": "AVIF"}
_TEXT = re.compile(rb"[\t\n\r\f\x20-\x7e\x80-\xff]+")
_PHOTOMETRIC = {
    **{0: "grey", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr"},
    **{8: "CIELAB", 9: "ICCLab", 10: "ITULab", 32803: "camera's raw", 34892: "camera's raw"},
}
_TIFF_ALPHA = (1, 2)
_SAMPLES = {1: "", 2: "signed ", 3: "floating-point ", 4: "", 5: "complex ", 6: "complex "}
_HEAD_BYTES = 512


def is_heif(data: bytes) -> bool:
    """Whether a file's bytes are those of a HEIF image whose pictures are HEVC: a HEIC."""
    return _brand(data) == "a HEIC image"


def what_it_is(data: bytes) -> tuple[str, str]:
    """Return what a file is that is not read as an image, and why it is not: "" if unknown.

    What is returned first begins with `no image` only of what is none.
    """
    if not data:
        return "no image: an empty file", ""
    if brand := _brand(data):
        can_be_read = _READ_BRANDS.get(brand, "") in Image.OPEN
        return brand, "damaged or incomplete" if can_be_read else ""
    for offset, begins, kind in _BEGINNINGS:
        if data.startswith(begins, offset):
            return kind, ""
    if data.startswith(b"RIFF") and len(data) >= 12:
        if data[8:12] == b"WEBP":
            return "a WebP", "damaged or incomplete"
        return "no image: a sound or a video", ""
    for name, beginnings in _KNOWN_FORMATS:
        if data.startswith(beginnings):
            return _of_format(name, data)
    return f"no image{_of_text(data[:_HEAD_BYTES])}", ""


def _brand(data: bytes) -> str:
    if data[4:8] != b"ftyp":
        return ""
    end = max(16, min(int.from_bytes(data[:4]), 128))
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, end, 4))]
    known = (_BRANDS[brand] for brand in brands if brand in _BRANDS)
    return next(known, "no image: a video")


def _of_text(head: bytes) -> str:
    if not _TEXT.fullmatch(head):
        return ""
    lower = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in lower:
        return ": an SVG drawing"
    is_page = lower.startswith((b"<!doctype html", b"<html"))
    return ": a web page" if is_page else ": text"


def _of_format(name: str, data: bytes) -> tuple[str, str]:
    kind = describe_tiff(data) if name == "TIFF" else ""
    kind = kind or {"JPEG2000": "a JPEG 2000", "PPM": "a PPM"}.get(name, f"a {name}")
    # What Pillow makes of it when it is not asked to try other formats after this one.
    Image.preinit()
    Image.init()
    try:
        Image.OPEN[name][0](io.BytesIO(data), "")
    except Exception as error:  # its readers raise nearly anything
        return kind, _in_words(str(error))
    return kind, ""


def _in_words(reason: str) -> str:
    # Of a TIFF the kind says which one it is.
    return "" if reason in ("unknown pixel mode", "not identified by this driver") else reason


def describe_tiff(data: bytes) -> str:
    """Return what pixels a TIFF has, as `a TIFF of 16-bit grey with alpha`; "" if it can't tell."""
    try:
        tags = _tags_of(data)
    except Exception:  # damaged in any way
        return ""
    name = "a BigTIFF" if data[2:3] == b"+" or data[3:4] == b"+" else "a TIFF"
    bits = max(tags.get(ExifTags.Base.BitsPerSample, (1,)))
    formats = tags.get(ExifTags.Base.SampleFormat, (1,))
    sample = _SAMPLES.get(max(formats) if isinstance(formats, tuple) else formats, "")
    photometric = tags.get(ExifTags.Base.PhotometricInterpretation, 1)
    space = _PHOTOMETRIC.get(photometric, f"colours (photometric {photometric})")
    extra = tags.get(ExifTags.Base.ExtraSamples, ())
    extra = extra if isinstance(extra, tuple) else (extra,)
    if any(each in _TIFF_ALPHA for each in extra):
        space += " with alpha"
    elif extra:
        space += f" with {len(extra)} more channel{'s' * (len(extra) > 1)}"
    if tags.get(ExifTags.Base.PlanarConfiguration, 1) == 2:
        space += " in planes"
    return f"{name} of {bits}-bit {sample}{space}"


def _tags_of(data: bytes) -> Any:
    is_big = data[2:3] == b"+" or data[3:4] == b"+"
    tags = ImageFileDirectory_v2(data[: 16 if is_big else 8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)
    return tags
