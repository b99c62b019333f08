"""What a stylised image is worth: measured at work size, before it is committed."""

from stylebatch.device.canvas import Canvas, finish
from stylebatch.device.content import Content
from stylebatch.device.pixel_scores import pixel_scores
from stylebatch.output.acceptance import Scores, closed_share
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Recipe
from stylebatch.transfer.problem import Row


def score(
    kept: Row,
    content_style: float,
    pixels: Pixels,
    content: Content,
    recipe: Recipe,
    style_chroma: float,
) -> Scores:
    """Return the scores of a result.

    The picture is looked at as its file is, colours, enhancement and mask included, but at the
    size at which it was made.

    Args:
        kept, content_style: as in `Result`.
        pixels: (h, w, 3), the result in 8 bits.
        style_chroma: the style's, as `Device.style_chroma` gives it.
    """
    height, width = pixels.shape[:2]
    canvas = Canvas(width, height, content.pixels, None, content.mask)
    made = finish(pixels, canvas, recipe)
    closed = closed_share(content_style, kept.style)
    return {"closed": closed, **pixel_scores(made, content.pixels, style_chroma)}
