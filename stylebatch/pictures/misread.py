"""What Pillow reads as it is not: mended before it is decoded or after, or refused."""

import io
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from stylebatch.pictures.mending import profile_of_png, segments

_PNG_GREY, _PNG_RGB = 0, 2
# Formats in which further pictures are pages, or frames of an animation.
_PAGED = {"GIF", "TIFF", "WEBP", "PNG", "AVIF"}
_PLANAR_16 = {"RGB", "RGBA"}
# The header of a BMP that may hold a profile, and what says so.
_BMP_V5_BYTES, _BMP_EMBEDDED = 124, b"DEBM"
_EOI = 0xD9
# Entropy-coded bytes that end no scan: whoever still waits for some makes something of them.
_FILLING = b"\x55\xaa\x35\xca\x0f\x93" * 64


class MisreadError(ValueError):
    """An image that would come out as something else, as it is damaged."""


class UnreadKindError(ValueError):
    """A sound image that would come out as something else: of a kind that isn't read."""


def load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Decode an image that was opened from its bytes.

    Raises:
        MisreadError: a JPEG whose data ends before its picture does.
        UnreadKindError: a TIFF of planes that Pillow takes for others.
        Exception: as Pillow's decoders do.
    """
    if image.format == "TIFF":
        _tell_planes(image)
    image.load()
    if image.format in ("JPEG", "MPO") and _may_be_cut(image) and _is_cut(image, data):
        raise MisreadError("its data ends before the picture does")


def profile_of(image: Image.Image, data: bytes) -> bytes | None:
    """Return an image's ICC profile, None where it has none."""
    profile: bytes | None = image.info.get("icc_profile")
    if profile:
        return profile
    if image.format == "PNG":
        return profile_of_png(data)
    if image.format != "BMP" or data[14:18] != struct.pack("<I", _BMP_V5_BYTES):
        return None
    if data[14 + 56 : 14 + 60] != _BMP_EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, 14 + 112)
    return data[14 + start : 14 + start + length]


def num_pages(image: Image.Image, data: bytes) -> int:
    """Return how many pages or frames are in an image's file, 1 where nobody can tell.

    Of a JPEG with several pictures they are smaller ones, maps of depth and the like: 1.
    """
    if image.format not in _PAGED:
        return 1
    try:
        # Counting goes from one to the next: not in the image that is at work.
        with Image.open(io.BytesIO(data), formats=[image.format]) as other:
            return int(getattr(other, "n_frames", 1))
    except MemoryError:
        raise
    except Exception:  # what stands behind a sound first picture may be damaged
        return 1


def is_inverted(image: Image.Image) -> bool:
    """Whether 16-bit grey has white at 0; Pillow leaves it as it is."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(ExifTags.Base.PhotometricInterpretation) == 0


def known_bits(image: Image.Image) -> int | None:
    """Return how many bits 16-bit grey says that it has, None where it doesn't: of a TIFF's 12."""
    bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (16,))
    return 12 if tuple(bits) == (12,) else None


def covered(image: ImageFile.ImageFile) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom of what a GIF's first picture covers; None: all of it.

    Has to be asked before it is decoded.
    """
    if image.format != "GIF" or not image.tile:
        return None
    box = image.tile[0].extents
    return None if box is None or box == (0, 0, *image.size) else box


def alpha_of(
    image: Image.Image, data: bytes, box: tuple[int, int, int, int] | None
) -> Image.Image | None:
    """Return the transparency of a decoded image where Pillow gets it wrong, else None.

    Args:
        box: what `covered` returned.
    """
    if box is not None:
        return _within(image, box)
    key = image.info.get("transparency")
    if image.format != "PNG" or key is None:
        return None
    depth, colour_type = data[24], data[25]
    if colour_type == _PNG_GREY:
        if depth == 8:
            return None
        scaled = key if depth in (1, 16) else key * 255 // (2**depth - 1)
        grey = np.asarray(image.convert("L") if depth == 1 else image)
        return _opaque_but(grey == scaled)
    if colour_type == _PNG_RGB and depth == 16:
        is_key = np.ones(image.size[::-1], bool)
        for part, of_key in ((image, 8), (_low_bytes(data), 0)):
            wanted = [(value >> of_key) & 0xFF for value in key]
            is_key &= (np.asarray(part) == wanted).all(2)
        return _opaque_but(is_key)
    return None


def _opaque_but(is_hidden: NDArray[np.bool_]) -> Image.Image:
    return Image.fromarray(np.where(is_hidden, 0, 255).astype(np.uint8))


def _within(image: Image.Image, box: tuple[int, int, int, int]) -> Image.Image:
    """Return what there is of a picture within a box: nothing lies around it."""
    alpha = Image.new("L", image.size, 0)
    own = image.convert("RGBA").getchannel("A")
    alpha.paste(own.crop(box), box)
    return alpha


def _low_bytes(data: bytes) -> Image.Image:
    """Return the low bytes of a PNG of 16-bit RGB, of which Pillow takes the high ones."""
    image = Image.open(io.BytesIO(data), formats=("PNG",))
    assert isinstance(image, ImageFile.ImageFile)
    image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
    image.load()
    return image


def _tell_planes(image: ImageFile.ImageFile) -> None:
    """Tell Pillow that planes have 16 bits: it reads them, not compressed, as if they had 8."""
    tags: Any = getattr(image, "tag_v2", {})
    bits = tags.get(ExifTags.Base.BitsPerSample, (8,))
    if tags.get(ExifTags.Base.PlanarConfiguration, 1) != 2 or set(bits) != {16}:
        return
    if image.tile and image.tile[0].codec_name != "raw":
        return
    if image.mode not in _PLANAR_16:
        if len(bits) > 1:
            raise UnreadKindError
        return
    order = "L" if tags.prefix == b"II" else "B"
    told = []
    for tile in image.tile:
        assert isinstance(tile.args, tuple)
        band, *more = tile.args
        told.append(tile._replace(args=(f"{band};16{order}", *more)))
    image.tile = told


def _may_be_cut(image: Image.Image) -> bool:
    """Whether a JPEG may lack its end, though a mark says that it is there.

    What is missing of a picture that is sent once is middle grey; of one that is sent in ever finer
    scans it may be anything.
    """
    if image.info.get("progressive"):
        return True
    last = image.getpixel((image.width - 1, image.height - 1))
    values = last if isinstance(last, tuple) else (last,)
    return all(value is not None and 127 <= value <= 128 for value in values)


def _is_cut(image: Image.Image, data: bytes) -> bool:
    """Whether a JPEG's picture takes something from bytes behind its data: then it lacked some."""
    end = next((start for marker, start, _ in segments(data) if marker == _EOI), None)
    if end is None:
        return False
    filled = Image.open(io.BytesIO(data[:end] + _FILLING + data[end:]), formats=("JPEG",))
    filled.load()
    return filled.tobytes() != image.tobytes()
