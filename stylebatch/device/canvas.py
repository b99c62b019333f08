"""From the optimiser's pixels to those of the file: size, enhancement, colours, mask."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from stylebatch.pictures.colors import keep_colors
from stylebatch.pictures.images import Pixels, fit_pixels, resize
from stylebatch.recipes import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """What an output is made on.

    Attributes:
        width, height: of the file.
        content: (height, width, 3), the content there; None where nothing of it comes through.
        alpha: (height, width), to be put back.
        mask: (height, width), 255 where the result shows, 0 where the content does.
    """

    width: int
    height: int
    content: Pixels | None
    alpha: Pixels | None
    mask: Pixels | None


def make_canvas(
    recipe: Recipe,
    content: Pixels,
    alpha: Pixels | None,
    mask: Pixels | None,
    work_width: int,
    work_height: int,
) -> Canvas:
    """Return what an image's output is made on; parts of its own upright size.

    Args:
        content: (H, W, 3).
        alpha, mask: (H, W).
    """
    height, width = content.shape[:2]
    needs_content = mask is not None or recipe.color == "content" or recipe.side_by_side
    own = (content if needs_content else None, alpha, mask)
    if recipe.output_size == "content":
        return Canvas(width, height, *own)
    fitted = (
        None
        if part is None
        else fit_pixels(part, work_width, work_height, fit=recipe.fit, resampling=recipe.resampling)
        for part in own
    )
    return Canvas(work_width, work_height, *fitted)


def finish(pixels: Pixels, canvas: Canvas, recipe: Recipe) -> Pixels:
    """Return the file's pixels (height, width, 3) from those that were optimised, (h, w, 3)."""
    made = resize(pixels, canvas.width, canvas.height, recipe.output_resampling)
    made = _enhance(made, recipe)
    if recipe.color == "content":
        assert canvas.content is not None
        made = keep_colors(made, canvas.content)
    if canvas.mask is not None:
        assert canvas.content is not None
        made = _compose(made, canvas.content, canvas.mask)
    return made


def _enhance(pixels: Pixels, recipe: Recipe) -> Pixels:
    """Brightness, then colour, then sharpness, as Pillow has them; 1 leaves every bit."""
    factors = {
        ImageEnhance.Brightness: recipe.brightness,
        ImageEnhance.Color: recipe.saturation,
        ImageEnhance.Sharpness: recipe.sharpness,
    }
    if set(factors.values()) == {1.0}:
        return pixels
    image = Image.fromarray(pixels)
    for enhancer, factor in factors.items():
        if factor != 1:
            image = enhancer(image).enhance(factor)
    return np.array(image)


def _compose(result: Pixels, content: Pixels, mask: Pixels) -> Pixels:
    """Mix by the mask; where it is 0 every byte is the content's, where it is 255 the result's."""
    return np.array(
        Image.composite(
            Image.fromarray(result), Image.fromarray(content), Image.fromarray(mask, "L")
        )
    )


def side_by_side(content: Pixels, result: Pixels, style: Pixels) -> Pixels:
    """Put content, result and style in a row, each scaled to the result's height: (H, W, 3)."""
    height = result.shape[0]
    parts = []
    for part in (content, result, style):
        width = max(1, round(part.shape[1] * height / part.shape[0]))
        parts.append(resize(part, width, height))
    return np.concatenate(parts, axis=1)
