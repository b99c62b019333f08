"""Pyramid levels: coarse to fine, each level half the next."""

import torch.nn.functional as F
from torch import Tensor

# From here on a coarser level first pays, but only where the start is not the content: measured at
# 192 px from noise, at 128 and 512 px from the content (docs/lab/solver.md).
AUTO_TWO_LEVELS_FROM_PX = 192
# Of all evaluations, what each coarse level gets.
COARSE_SHARE = 1 / 8
SMALLEST_EDGE_PX = 16


def num_levels(
    asked: str | int,
    height: int,
    width: int,
    smallest_px: int = SMALLEST_EDGE_PX,
    *,
    is_from_content: bool = False,
) -> int:
    """Return how many levels an image of this size gets; the coarsest keeps 16 px an edge.

    `auto`: one from the content; else two from 192 px at the longest edge, and one more for each
    doubling from there.
    """
    if asked != "auto":
        wanted = int(asked)
    elif is_from_content:
        wanted = 1
    else:
        wanted = 1 + (max(height, width) // AUTO_TWO_LEVELS_FROM_PX).bit_length()
    while wanted > 1 and min(height, width) >> (wanted - 1) < smallest_px:
        wanted -= 1
    return wanted


def level_sizes(levels: int, height: int, width: int) -> list[tuple[int, int]]:
    """Return (height, width) of each level, coarsest first, the last the image's own."""
    scales = [2 ** (levels - 1 - level) for level in range(levels)]
    return [(round(height / scale), round(width / scale)) for scale in scales]


def level_budgets(levels: int, steps: int) -> list[int]:
    """Share the evaluations out: an eighth to each coarse level, the rest to the finest.

    A level that stops early leaves its rest to the finest (`Engine`).
    """
    coarse = max(1, min(steps // levels, round(COARSE_SHARE * steps)))
    return [coarse] * (levels - 1) + [steps - coarse * (levels - 1)]


def first_pass_size(
    size_px: int, fit: str, height: int, width: int, smallest_px: int
) -> tuple[int, int]:
    """Return (height, width) of a first pass at `size_px`, in the last one's proportions.

    Args:
        fit: shortest where `size_px` is the shortest edge, else it is the longest.
        height, width: of the last pass; the first is never larger.
        smallest_px: no edge becomes smaller.
    """
    known = min(height, width) if fit == "shortest" else max(height, width)
    share = min(1.0, size_px / known)
    return max(smallest_px, round(height * share)), max(smallest_px, round(width * share))


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
