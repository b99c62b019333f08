"""Pyramid levels: an image at one brought to the size of the next (`sizes` has which)."""

import torch.nn.functional as F
from torch import Tensor


def shrink(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (1, 3, H, W) to a smaller (height, width) with an antialiasing filter, in [0, 1]."""
    if image.shape[-2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(0, 1)


def enlarge(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample (1, 3, H, W) to a larger (height, width)."""
    return F.interpolate(image, size, mode="bicubic", align_corners=False)


def next_start(coarse: Tensor, content: Tensor | None, size: tuple[int, int]) -> Tensor:
    """Return the start of the next level, (1, 3, *size) in [0, 1].

    Args:
        coarse: the result of the level below, (1, 3, h, w).
        content: at the next level's size, where the run started from the content: the detail that
            the coarse level could not hold is put back. None for other starts.
    """
    start = enlarge(coarse, size)
    if content is not None:
        small = shrink(content, (coarse.shape[-2], coarse.shape[-1]))
        # In this order an untouched coarse level gives the content back bit by bit.
        start = content + (start - enlarge(small, size))
    return start.clamp(0, 1)
