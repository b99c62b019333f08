"""Images as a caller has them: paths, Pillow images, arrays."""

import math
from collections.abc import Iterable, Sequence
from io import BytesIO
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylebatch.errors import UserError
from stylebatch.pictures.images import Pixels
from stylebatch.system.files import read_bytes
from stylebatch.system.paths import expand_home

ImageLike = str | PathLike[str] | Image.Image | Pixels


class StylizeError(UserError):
    """An argument of `stylize` that can't be used, or an image that could not be made."""


def as_list(images: ImageLike | Iterable[Any]) -> list[Any]:
    """Return one image, or several, as a list."""
    # An array of four axes is several images; of fewer it is one, not its rows.
    is_array = isinstance(images, np.ndarray) and images.ndim != 4
    if is_array or isinstance(images, str | PathLike | Image.Image):
        return [images]
    is_one = isinstance(images, bytes) or not isinstance(images, Iterable)  # to be refused
    return [images] if is_one else list(images)


def read_image(image: ImageLike) -> tuple[str, bytes]:
    """Return an image's name and bytes; pixels as the PNG that holds the same."""
    if isinstance(image, np.ndarray):
        image = _from_array(image)
    if isinstance(image, Image.Image):
        buffer = BytesIO()
        image.save(buffer, "PNG", compress_level=1)
        return str(getattr(image, "filename", "") or "image"), buffer.getvalue()
    if not isinstance(image, str | PathLike):
        found = f"found {type(image).__module__}.{type(image).__name__}"
        allowed = "allowed is a path, a Pillow image or a uint8 array"
        raise StylizeError("image", found.replace("builtins.", ""), allowed, "give one of these")
    path = Path(expand_home(fspath(image)))
    try:
        return str(path), read_bytes(path)
    except OSError as error:
        found, todo = f"can't be read ({error.strerror})", "correct the path"
        raise StylizeError(str(path), found, "", todo) from error


def _from_array(array: NDArray[Any]) -> Image.Image:
    is_shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not is_shaped or not array.size:
        found = f"found {array.dtype} {array.shape}"
        allowed = "allowed is uint8 (H, W), (H, W, 3) or (H, W, 4): grey, RGB or RGBA"
        todo = "of numbers in [0, 1]: (255 * array).round().astype('uint8')"
        raise StylizeError("array", found, allowed, todo)
    return Image.fromarray(np.ascontiguousarray(array))


def check_weights(weights: Sequence[float]) -> None:
    """Refuse weights of a blend's images that are no shares of a whole.

    Raises:
        StylizeError: none, or such as are not above 0, or with an infinite sum.
    """
    if not weights or not min(weights) > 0 or not math.isfinite(sum(weights)):
        found = "a blend has no image, or weights that are not above 0, or have no finite sum"
        raise StylizeError("style", found, "allowed are images with weights above 0", "add some")
