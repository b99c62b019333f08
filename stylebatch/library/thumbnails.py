"""Styles in small: a PNG of each."""

from stylebatch.pictures.images import Pixels, encode_png
from stylebatch.pictures.sizes import resize

LONGEST_PX = 128


def make_thumbnail(pixels: Pixels) -> bytes:
    """Return an image (H, W, 3) as a PNG of at most 128 px an edge."""
    height, width = pixels.shape[:2]
    share = min(1.0, LONGEST_PX / max(height, width))
    return encode_png(
        resize(pixels, max(1, round(width * share)), max(1, round(height * share))), None
    )
