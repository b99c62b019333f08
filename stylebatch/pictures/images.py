"""Image files ↔ upright 8-bit sRGB pixels."""

import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError, features
from PIL.PngImagePlugin import PngInfo

from stylebatch.errors import UserError

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


class ImageError(UserError):
    """A file that is not an image, or not one that can be read whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """An upright image.

    Attributes:
        rgb: (H, W, 3), 8-bit sRGB.
        alpha: (H, W), 8-bit, None where the file has none.
    """

    rgb: Pixels
    alpha: Pixels | None


def decode(data: bytes, where: str) -> Picture:
    """Decode a file's bytes: EXIF-upright, ICC to sRGB (none means sRGB), alpha set aside.

    Args:
        where: the file's name, for the message.

    Raises:
        ImageError: not an image, an unreadable kind of one, too large or truncated.
    """
    image = open_image(data, where)
    try:
        image.load()
        profile = image.info.get("icc_profile")
        orientation = _orientation(image, data)
        if orientation in TRANSPOSES:
            image = image.transpose(TRANSPOSES[orientation])
        image, alpha = _set_alpha_aside(_narrow(image, where))
        rgb = _to_srgb(image, profile)
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise _unreadable(where, error) from error
    return Picture(np.array(rgb), None if alpha is None else np.array(alpha))


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


def read_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of an upright image of ours, reading no more than its header.

    Raises:
        ImageError: not an image.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        try:
            image = Image.open(file, formats=_FORMAT_NAMES)
        except UnidentifiedImageError as error:
            raise _unreadable(str(path), error) from error
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


def open_image(data: bytes, where: str) -> Image.Image:
    """Open a file's bytes without decoding them: as it is stored.

    Raises:
        ImageError: not an image, or too large.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMAT_NAMES)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(where, f"more than {MAX_PIXELS:,} pixels") from error
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(where, error) from error
    # Stated again, as whoever imports this may have reset the filter above.
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(where, f"{image.width}×{image.height} pixels")
    return image


def _unreadable(where: str, error: Exception) -> ImageError:
    if isinstance(error, UnidentifiedImageError):
        found = "no image that can be read"
    else:
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


def _narrow(image: Image.Image, where: str) -> Image.Image:
    """Bring 16-bit grey to 8 bits by its high byte, as Pillow itself does for 16-bit colour."""
    is_wide = image.format == "TIFF" and image.mode == "I"
    if image.mode == "F" or is_wide:
        found = "pixels that are fractions or have more than 16 bits: their range is not known"
        raise ImageError(where, found, "allowed are 8 and 16 bits", "convert it")
    if image.mode not in _WIDE_GREY:
        return image
    values = np.asarray(image).astype(np.uint16) >> 8
    return Image.fromarray(values.astype(np.uint8))


def _set_alpha_aside(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
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
