"""Segmentation masks: an image for each photograph, whose values are classes and never mixed."""

import io

import numpy as np
from PIL import Image, ImageOps

from stylebatch.annotations.findings import Converted, MalformedError
from stylebatch.annotations.geometry import Geometry, Placement
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import TRANSPOSES, Pixels, open_image

SUFFIX = ".png"
# What PNG holds as it is.
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_WIDE, _MAX_WIDE = ("I", "I;16B", "I;16L", "I;16N"), 65535


def convert(data: bytes, geometry: Geometry) -> Converted:
    """Return a mask for a result of its photograph: a PNG of the same mode and palette.

    One that is a PNG already and fits stays as it is, byte for byte.

    Raises:
        MalformedError: it can't be read, or PNG can't hold its values.
        GeometryError: it is of another size than the photograph.
    """
    try:
        image = open_image(data, "")
        is_upright = image.getexif().get(0x0112, 1) == 1
        upright = image if is_upright else ImageOps.exif_transpose(image)
        placement = geometry.placement(upright.size)
        upright.load()
    except ImageError as error:
        raise MalformedError(error.found) from None
    except (OSError, ValueError, SyntaxError) as error:
        raise MalformedError(f"is a damaged image ({error})") from None
    made = Converted(data)
    made.counts["objects"] += 1
    if placement.is_same and image.format == "PNG" and is_upright:
        return made
    buffer = io.BytesIO()
    placed = place(_storable(upright), placement)
    placed.save(buffer, "PNG")
    made.data = buffer.getvalue()
    return made


def place(image: Image.Image, placement: Placement) -> Image.Image:
    """Turn, scale and cut an image as its photograph was; the nearest value, none mixed."""
    if placement.orientation != 1:
        image = image.transpose(TRANSPOSES[placement.orientation])
    if image.size != placement.covering:
        image = image.resize(placement.covering, Image.Resampling.NEAREST)
    left, top = placement.left, placement.top
    if placement.covering != (placement.width, placement.height):
        image = image.crop((left, top, left + placement.width, top + placement.height))
    return image


def placed_mask(mask: Pixels, placement: Placement) -> Pixels:
    """Do so with (H, W) of 8 bits."""
    return np.array(place(Image.fromarray(np.ascontiguousarray(mask)), placement))


def _storable(image: Image.Image) -> Image.Image:
    """Return what PNG holds without loss."""
    if image.mode in _MODES:
        return image
    if image.mode in _WIDE:
        values = np.asarray(image)
        if values.min() >= 0 and values.max() <= _MAX_WIDE:
            return Image.fromarray(values.astype(np.uint16))
        raise MalformedError(f"has values outside of 0 to {_MAX_WIDE}, which PNG can't hold")
    raise MalformedError(f"is of mode {image.mode}; allowed are {', '.join(_MODES)}")
