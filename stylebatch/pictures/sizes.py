"""The sizes at which images are worked on, and how their pixels are brought to them."""

import numpy as np
from PIL import Image

from stylebatch.pictures.images import Pixels

_RESAMPLINGS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}


def resize(pixels: Pixels, width: int, height: int, resampling: str = "lanczos") -> Pixels:
    """Resample (H, W, 3) or (H, W) in 8 bits; the right size comes back as it is.

    Args:
        resampling: lanczos | bicubic | bilinear | nearest; all antialias but the last.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    resized = Image.fromarray(pixels).resize((width, height), _RESAMPLINGS[resampling])
    return np.array(resized)


def fit_pixels(
    pixels: Pixels, width: int, height: int, *, fit: str = "longest", resampling: str = "lanczos"
) -> Pixels:
    """Bring (H, W, 3) or (H, W) to a work size: resampled, or for `crop` cut from the centre.

    Source: of the crop, torchvision's `Resize(edge)`, then `CenterCrop`: the shorter edge is
    brought to the box, the longer is rounded down, the offset to the nearest.
    """
    if fit != "crop":
        return resize(pixels, width, height, resampling)
    rows, columns = pixels.shape[:2]
    covered = resize(pixels, *covering_size(columns, rows, width, height), resampling)
    return cut_centre(covered, width, height)


def covering_size(columns: int, rows: int, width: int, height: int) -> tuple[int, int]:
    """Return (width, height) at which an image of columns × rows just covers a box."""
    if width * rows >= height * columns:
        return width, max(height, rows * width // columns)
    return max(width, columns * height // rows), height


def cut_centre(pixels: Pixels, width: int, height: int) -> Pixels:
    """Cut a box from the centre of (H, W, …)."""
    rows, columns = pixels.shape[:2]
    left, top = round((columns - width) / 2), round((rows - height) / 2)
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def work_size(
    width: int,
    height: int,
    size_px: int,
    bucket_px: int,
    *,
    fit: str = "longest",
    aspect: tuple[int, int] = (1, 1),
    enlarge: bool = False,
    smallest_px: int = 1,
) -> tuple[int, int]:
    """Return the (width, height) at which an upright image is optimised.

    The edges are scaled, then brought to the nearest multiple of `bucket_px` (a tie goes up), at
    least one of them. In whole numbers, so that no rounding error decides.

    Args:
        fit: which edges become `size_px`: the longest; the shortest (the longer is rounded down
            to whole pixels first, as torchvision's `Resize` does); or, for stretch and crop, the
            longest edge of a box whatever the image's shape.
        aspect: (width, height) of that box.
        enlarge: whether a smaller image is enlarged to longest or shortest; a box always is.
        smallest_px: no edge becomes smaller, however thin the image is.
    """
    if fit in ("stretch", "crop"):
        longest = max(aspect)
        edges = [(edge * size_px, longest) for edge in aspect]
    else:
        known = max(width, height) if fit == "longest" else min(width, height)
        size = size_px if enlarge else min(size_px, known)
        edges = [(edge * size, known) for edge in (width, height)]
        if fit == "shortest":
            edges = [(numerator // known, 1) for numerator, _ in edges]
    buckets = (
        (2 * numerator + bucket_px * divisor) // (2 * bucket_px * divisor)
        for numerator, divisor in edges
    )
    fewest = -(-smallest_px // bucket_px)
    work_width, work_height = (max(fewest, count) * bucket_px for count in buckets)
    return work_width, work_height


def style_size(longest_edge_px: int) -> int:
    """Return the smallest of 64, 96, 128, 192, 256, 384, … px not below the longest work edge."""
    size = 64
    while size < longest_edge_px:
        # From a power of two to one and a half of it, from there to the next power of two.
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size
