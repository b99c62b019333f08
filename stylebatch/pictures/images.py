"""Image files ↔ upright 8-bit sRGB pixels."""

import ctypes
import io
import logging
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageFile,
    UnidentifiedImageError,
    _imaging,
    features,
)
from PIL.PngImagePlugin import PngInfo

from stylebatch.pictures import misread
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.kinds import describe_tiff, is_heif, what_it_is
from stylebatch.pictures.levels import FULL_BITS, Levels, bits_of, to_8_bits
from stylebatch.pictures.mending import without_broken_metadata

Pixels = NDArray[np.uint8]

# Pillow's name of each format that is read, with its suffixes; of several pictures, the first.
FORMATS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jif", ".jfif", ".mpo"),
    **{"PNG": (".png",), "WEBP": (".webp",)},
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "GIF": (".gif",),
    # Not every Pillow that was built by hand can read these.
    **({"AVIF": (".avif",)} if features.check("avif") else {}),
    **({"JPEG2000": (".jp2", ".j2k", ".jpx")} if features.check("jpg_2000") else {}),
    # By the extra `heif`; it is brought where the first of them is read.
    **({"HEIF": (".heic", ".heif", ".hif")} if find_spec("pillow_heif") else {}),
}
IMAGE_SUFFIXES: frozenset[str] = frozenset(suffix for row in FORMATS.values() for suffix in row)
_FORMAT_NAMES = tuple(FORMATS)
MAX_PIXELS = 89_478_485  # Pillow's own limit: 256 MiB as RGB

# What Pillow reads with another range than its RGB conversion supposes: that one clips.
_WIDE_GREY = ("I;16", "I;16B", "I;16L", "I;16N", "I")
# Where a PNG may state an orientation. Pillow decodes all of it to find out that it doesn't.
_PNG_ORIENTATION = (b"eXIf", b"Raw profile type exif", b"XML:com.adobe.xmp")

# Photographs at 512 px, per megapixel on one slow core: run-length strategy 99 ms and 1.57 MB;
# default strategy at level 1 109 ms and 1.65 MB, at level 6 (zlib's default) 323 ms and 1.54 MB.
_PNG_LEVEL, _PNG_STRATEGY = 3, 3  # zlib's Z_RLE

# How an image is turned upright, by its EXIF orientation.
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Pillow's documented way to refuse bombs; `catch_warnings` would not do: it isn't thread-safe.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
# What Pillow and libtiff say on stderr names no file: what ends a decoder is told by its error.
warnings.filterwarnings("ignore", module=r"PIL\.", category=UserWarning)
logging.getLogger("PIL").addHandler(logging.NullHandler())
with suppress(OSError, AttributeError):  # a Pillow without libtiff, or with one inside
    _tiff = ctypes.CDLL(_imaging.__file__)
    _tiff.TIFFSetErrorHandler(None)
    _tiff.TIFFSetWarningHandler(None)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright image.

    Attributes:
        rgb: (H, W, 3), 8-bit sRGB.
        alpha: (H, W), 8-bit, None where the file has none.
        told: how its file was read, where its user may have meant otherwise: `levels`, the bits
            that its grey was read with, where it has 16 and fewer were found or asked for; `pages`,
            how many pictures are in it, where there are several: it is the first.
    """

    rgb: Pixels
    alpha: Pixels | None
    told: Mapping[str, int] = field(default_factory=dict)


def decode(data: bytes, where: str, levels: Levels = "auto") -> Picture:
    """Decode a file's bytes: EXIF-upright, ICC to sRGB (none means sRGB), alpha set aside.

    Args:
        where: the file's name, for the message.
        levels: how many bits 16-bit grey holds, as `levels.bits_of` takes it.

    Raises:
        ImageError: not an image, an unreadable kind of one, too large, truncated, or with more
            levels than told.
    """
    try:
        return _decode(data, where, levels)
    except ImageError:
        # Of a PNG what stands behind the pixels is read with them.
        if (mended := without_broken_metadata(data)) == data:
            raise
        with suppress(ImageError):
            return _decode(mended, where, levels, data)
        raise


def _decode(data: bytes, where: str, levels: Levels, whole: bytes | None = None) -> Picture:
    image, opened = _open(data, where)
    try:
        box = misread.covered(image)
        misread.load(image, opened)
        profile = misread.profile_of(image, whole or data)
        alpha = misread.alpha_of(image, opened, box)
        orientation = _orientation(image, opened)
        narrow, bits = _narrow(image, where, levels, data)
        if orientation in TRANSPOSES:
            narrow = narrow.transpose(TRANSPOSES[orientation])
            alpha = alpha and alpha.transpose(TRANSPOSES[orientation])
        narrow, alpha = _set_alpha_aside(narrow, alpha)
        rgb = _to_srgb(narrow, profile)
    except (ImageError, MemoryError):
        raise
    except misread.UnreadKindError as error:
        raise _unreadable(where, data) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise _damaged(where, error) from error
    told = {} if bits is None else {"levels": bits}
    if (pages := misread.num_pages(image, opened)) > 1:
        told["pages"] = pages
    return Picture(np.array(rgb), None if alpha is None else np.array(alpha), told)


def upright_size(data: bytes, where: str) -> tuple[int, int]:
    """Return (width, height) of what `decode` would give, from the header alone.

    Raises:
        ImageError: not an image, or too large.
    """
    image = open_image(data, where)
    width, height = image.size
    # A TIFF states its upright size; elsewhere the orientations from 5 on swap the edges.
    is_turned = image.format != "TIFF" and _orientation(image, data) >= 5
    return (height, width) if is_turned else (width, height)


def is_upright(data: bytes, where: str) -> bool:
    """Whether a file's pixels are upright as they are stored; errors as in `upright_size`."""
    return _orientation(open_image(data, where), data) == 1


def is_transparent(data: bytes, where: str) -> bool:
    """Whether a file states transparency, from the header alone; errors as in `upright_size`."""
    image = open_image(data, where)
    return image.mode in ("LA", "RGBA", "PA", "RGBa", "La") or "transparency" in image.info


def read_size(file: BinaryIO, where: str) -> tuple[int, int]:
    """Return (width, height) of an upright image of ours, reading no more than its header.

    Raises:
        ImageError: not an image.
        OSError: it can't be read.
    """
    try:
        image = Image.open(file, formats=_FORMAT_NAMES)
    except UnidentifiedImageError as error:
        file.seek(0)
        raise _unreadable(where, file.read()) from error
    # Of a PNG, Pillow decodes all of it to find out; those that we make are upright.
    is_turned = image.format not in ("PNG", "TIFF") and _orientation(image, b"") >= 5
    return image.size[::-1] if is_turned else image.size


def exif_orientation(data: bytes, where: str) -> int:
    """Return how an image's file says it is to be turned: 1 (not at all) to 8.

    Raises:
        ImageError: not an image, or too large.
    """
    return _orientation(open_image(data, where), data)


def encode_png(rgb: Pixels, alpha: Pixels | None, texts: Mapping[str, str] | None = None) -> bytes:
    """Encode (H, W, 3) sRGB, with alpha (H, W) put back where there is one.

    Args:
        texts: in Latin-1, by keyword: text chunks, and there is no other metadata.
    """
    image = Image.fromarray(rgb if alpha is None else np.dstack([rgb, alpha]))
    buffer, chunks = io.BytesIO(), PngInfo()
    for keyword, text in (texts or {}).items():
        chunks.add_text(keyword, text)
    image.save(
        buffer, "PNG", compress_level=_PNG_LEVEL, compress_type=_PNG_STRATEGY, pnginfo=chunks
    )
    return buffer.getvalue()


def open_image(data: bytes, where: str) -> ImageFile.ImageFile:
    """Open a file's bytes without decoding them: as it is stored.

    Raises:
        ImageError: not an image, or too large.
    """
    return _open(data, where)[0]


def _open(data: bytes, where: str) -> tuple[ImageFile.ImageFile, bytes]:
    """Return an image that is open, and the bytes that it is of: metadata may be taken out."""
    if "HEIF" in FORMATS and is_heif(data):
        _read_heif()
    try:
        return _identified(data, where), data
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        mended = without_broken_metadata(data)
        if mended != data:
            with suppress(Exception):
                return _identified(mended, where), mended
        raise _unreadable(where, data) from error


def _identified(data: bytes, where: str) -> ImageFile.ImageFile:
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMAT_NAMES)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(where, f"more than {MAX_PIXELS:,} pixels") from error
    # Stated again, as whoever imports this may have reset the filter above.
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(where, f"{image.width}×{image.height} pixels")
    assert isinstance(image, ImageFile.ImageFile)
    return image


def _read_heif() -> None:
    from pillow_heif import register_heif_opener

    if "HEIF" not in Image.OPEN:
        register_heif_opener()


def _unreadable(where: str, data: bytes) -> ImageError:
    kind, why = what_it_is(data)
    found = f"{kind} that can't be read" if why else kind
    if not kind.startswith("no image") and not why:
        found = f"{kind}, which isn't read"
    found += f" ({why})" if why else ""
    todo = "replace or remove the file"
    if not kind.startswith("no image"):
        todo = f"convert it, or {todo}"
    if is_heif(data) and "HEIF" not in FORMATS:
        todo = "pip install 'stylebatch[heif]', or convert it"
    return ImageError(where, found, f"read are {', '.join(FORMATS)}", todo)


def _damaged(where: str, error: Exception) -> ImageError:
    found = f"a damaged image ({error or type(error).__name__})"
    return ImageError(where, found, f"read are {', '.join(FORMATS)}", "replace or remove the file")


def _too_large(where: str, found: str) -> ImageError:
    return ImageError(where, found, f"allowed are {MAX_PIXELS:,}", "scale it down")


def _orientation(image: Image.Image, data: bytes) -> int:
    if image.format == "PNG" and not any(marker in data for marker in _PNG_ORIENTATION):
        return 1
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise
    except Exception:  # damaged metadata around pixels that may be sound
        return 1
    return orientation if orientation in range(1, 9) else 1


def _narrow(
    image: Image.Image, where: str, levels: Levels, data: bytes
) -> tuple[Image.Image, int | None]:
    """Bring 16-bit grey to 8 bits by the highest that it has; return how many, if not all."""
    is_wide = image.format == "TIFF" and image.mode == "I"
    if image.mode == "F" or is_wide:
        found = f"{describe_tiff(data) or 'an image of fractions'}: its range is not known"
        raise ImageError(where, found, "allowed are 8 and 16 bits", "convert it")
    if image.mode not in _WIDE_GREY:
        return image, None
    grey = np.asarray(image).astype(np.uint16)
    bits = misread.known_bits(image) or bits_of(grey, levels, where)
    narrow = to_8_bits(grey, bits, is_inverted=misread.is_inverted(image))
    return Image.fromarray(narrow), None if bits == FULL_BITS else bits


def _set_alpha_aside(
    image: Image.Image, alpha: Image.Image | None
) -> tuple[Image.Image, Image.Image | None]:
    if alpha is not None:
        # Its colours as they are, whatever is transparent.
        image.info.pop("transparency", None)
        return (image if image.mode in ("L", "RGB") else image.convert("RGB")), alpha
    if image.mode == "LA":  # grey stays grey, for its profile
        return image.getchannel("L"), image.getchannel("A")
    if image.mode in ("RGBA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        return image.convert("RGB"), image.getchannel("A")
    if image.mode in ("1", "P"):
        return image.convert("RGB"), None
    return image, None


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to sRGB; a profile that is broken, or for other channels, counts as none."""
    if image.mode == "LAB":
        return _convert(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if profile:
        try:
            return _convert(image, ImageCms.getOpenProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass
    return image.convert("RGB")


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    converted = ImageCms.profileToProfile(image, profile, srgb, outputMode="RGB")
    if converted is None:
        raise ImageCms.PyCMSError("not converted")
    return converted
