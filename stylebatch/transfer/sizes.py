"""The sizes at which an image is worked on: levels, and the scales of each; no torch."""

from collections.abc import Sequence

# Statistics that are made of means and second moments, which are what is cached, blended, averaged.
FROM_MOMENTS = frozenset({"mean_covariance", "wasserstein"})
# From here on a coarser level first pays where the style is matched on one scale, but only where
# the start is not the content: measured at 192 px from noise, at 128 and 512 px from the content
# (docs/lab/solver.md).
AUTO_TWO_LEVELS_FROM_PX = 192
# Of all evaluations, what each coarse level gets.
COARSE_SHARE = 1 / 8
# Of levels each a quarter of the next: from which longest edge there are some, that of the
# coarsest, and of all evaluations what each gets; all together no more than a third, and none so
# few that nothing moves. Measured in time, in which small evaluations cost more than their pixels
# say (docs/lab/solver.md).
QUARTERS_FROM_PX, QUARTERS_TO_PX = 192, 32
QUARTER_SHARE, FEWEST_EVALUATIONS = 0.08, 3
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
    doubling from there. `quarters`: two from 192 px, and one more for each quadrupling from 512 px,
    where the longest edge of the coarsest keeps 32 px.
    """
    longest = max(height, width)
    if asked == "quarters":
        wanted = 1
        while longest >= QUARTERS_FROM_PX and longest // 4**wanted >= QUARTERS_TO_PX:
            wanted += 1
    elif asked != "auto":
        wanted = int(asked)
    elif is_from_content:
        wanted = 1
    else:
        wanted = 1 + (longest // AUTO_TWO_LEVELS_FROM_PX).bit_length()
    while wanted > 1 and min(height, width) // _times(asked) ** (wanted - 1) < smallest_px:
        wanted -= 1
    return wanted


def _times(asked: str | int) -> int:
    """Return how many times as long as a level's edge the next one's is."""
    return 4 if asked == "quarters" else 2


def level_sizes(levels: int, height: int, width: int, times: int = 2) -> list[tuple[int, int]]:
    """Return (height, width) of each level, coarsest first, the last the image's own.

    Args:
        times: as long as a level's edge the next one's is.
    """
    scales = [times ** (levels - 1 - level) for level in range(levels)]
    return [(round(height / scale), round(width / scale)) for scale in scales]


def level_budgets(asked: str | int, levels: int, steps: int) -> list[int]:
    """Share the evaluations out, coarsest first: what the coarse levels don't get is the finest's.

    An eighth to each coarse level; of `quarters` less, and with too few evaluations for all of them
    the coarsest are left out. A level that stops early leaves its rest to the finest (`Engine`).
    """
    if asked == "quarters":
        budget = max(FEWEST_EVALUATIONS, round(QUARTER_SHARE * steps))
        coarse = [budget] * min(levels - 1, steps // (3 * budget))
    else:
        coarse = [max(1, min(steps // levels, round(COARSE_SHARE * steps)))] * (levels - 1)
    return [*coarse, steps - sum(coarse)]


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


def levels_of(
    asked: str | int,
    steps: int,
    second_pass: tuple[int, str, int] | None,
    height: int,
    width: int,
    smallest_px: int,
    *,
    is_from_content: bool,
) -> tuple[list[tuple[int, int]], list[int]]:
    """Return (height, width) and evaluations of each level, coarsest first.

    Args:
        asked, is_from_content: as `num_levels` takes them.
        steps: evaluations; where there is a second pass, of the first.
        second_pass: edge and fit of the first pass, and evaluations of the second.
    """
    if second_pass is not None:
        first_px, fit, more_steps = second_pass
        first = first_pass_size(first_px, fit, height, width, smallest_px)
        if first != (height, width):
            return [first, (height, width)], [steps, more_steps]
        # An image too small for a second size: it gets what it would without.
        return [(height, width)], [steps]
    wanted = num_levels(asked, height, width, smallest_px, is_from_content=is_from_content)
    budgets = level_budgets(asked, min(wanted, steps), steps)
    return level_sizes(len(budgets), height, width, _times(asked)), budgets


def at_scale(layer: str, scale: int) -> str:
    """Name a layer on a scale: relu1_1 on the full image, relu1_1/2 on half of it, relu1_1/4, …"""
    return layer if scale == 0 else f"{layer}/{2**scale}"


def num_scales(wanted: int, height: int, width: int, smallest_px: int) -> int:
    """Return how many scales an image has: at least one, the smallest no less than 16 px an edge.

    Args:
        smallest_px: nor less than this, which the extractor needs.
    """
    smallest, count = max(SMALLEST_EDGE_PX, smallest_px), 1
    while count < wanted and min(height, width) >> count >= smallest:
        count += 1
    return count


def weights_at(scales: Sequence[float], count: int) -> Sequence[float]:
    """Return the weights of the scales that an image has.

    Where it is too small for any that counts, its full size counts.
    """
    found = scales[:count]
    return found if any(found) else (1.0,)
