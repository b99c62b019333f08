"""What a stylised image is worth: measured at work size, before it is committed."""

from collections.abc import Sequence

from stylebatch.device.canvas import Canvas, finish
from stylebatch.device.content import Content
from stylebatch.device.pixel_scores import pixel_scores
from stylebatch.output.acceptance import Scores, round_score
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Recipe
from stylebatch.transfer.problem import Row


def score(
    rows: Sequence[Row],
    kept: Row,
    pixels: Pixels,
    content: Content,
    recipe: Recipe,
    style_chroma: float,
) -> Scores:
    """Return the scores of a result.

    The picture is looked at as its file is, colours, enhancement and mask included, but at the
    size at which it was made.

    Args:
        rows, kept: as in `Result`.
        pixels: (h, w, 3), the result in 8 bits.
        style_chroma: the style's, as `Device.style_chroma` gives it.
    """
    height, width = pixels.shape[:2]
    canvas = Canvas(width, height, content.pixels, None, content.mask)
    made = finish(pixels, canvas, recipe)
    is_from_content = dict(recipe.start_shares) == {"content": 1.0}
    closed = closed_share(rows, kept, is_from_content=is_from_content)
    return {"closed": round_score(closed), **pixel_scores(made, content.pixels, style_chroma)}


def closed_share(rows: Sequence[Row], kept: Row, *, is_from_content: bool) -> float | None:
    """Return the share of the style distance that was closed: 1 - the result's / the photograph's.

    None where the engine has not met the photograph at the result's size: it started from something
    else, or at a coarser level; or where there was nothing to close.
    """
    first = rows[0]
    if not is_from_content or first.level != kept.level or not first.style > 0:
        return None
    return 1 - kept.style / first.style
