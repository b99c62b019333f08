"""From the optimiser's pixels to those of the file: size, enhancement, colours, mask."""

from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageEnhance

from stylebatch.pictures.colors import keep_colors
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import covering_size, cut_centre, fit_pixels, resize
from stylebatch.recipes import Recipe

_PIXELS_AT_ONCE = 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """What an output is made on.

    Attributes:
        width, height: of the file.
        content: (height, width, 3), the content there; None where nothing of it comes through.
        alpha: (height, width), to be put back.
        mask: (height, width), 255 where the result shows, 0 where the content does.
        covering: (width, height) of the whole that the file is cut from; None: it is the whole.
    """

    width: int
    height: int
    content: Pixels | None
    alpha: Pixels | None
    mask: Pixels | None
    covering: tuple[int, int] | None = None


def make_canvas(
    recipe: Recipe,
    content: Pixels,
    alpha: Pixels | None,
    mask: Pixels | None,
    work_width: int,
    work_height: int,
    *,
    keeps_content: bool = False,
) -> Canvas:
    """Return what an image's output is made on; parts of its own upright size.

    Args:
        content: (H, W, 3).
        alpha, mask: (H, W).
        keeps_content: whether the content is asked for although nothing of it comes through.
    """
    height, width = content.shape[:2]
    needs_content = keeps_content or mask is not None or recipe.color == "content"
    needs_content |= recipe.side_by_side
    whole = Canvas(width, height, content if needs_content else None, alpha, mask)
    if recipe.output_size == "content":
        return whole
    size = recipe.file_size(width, height, (work_width, work_height))
    if recipe.output_size == "work":
        return _brought_to(size, whole, recipe.fit, recipe.resampling)
    if not isinstance(recipe.output_size, tuple):
        return _brought_to(size, whole, "longest", recipe.output_resampling)
    cut = _brought_to(size, whole, "crop", recipe.output_resampling)
    return replace(cut, covering=covering_size(width, height, *size))


def _brought_to(size: tuple[int, int], canvas: Canvas, fit: str, resampling: str) -> Canvas:
    def bring(part: Pixels | None) -> Pixels | None:
        return None if part is None else fit_pixels(part, *size, fit=fit, resampling=resampling)

    return Canvas(*size, bring(canvas.content), bring(canvas.alpha), bring(canvas.mask))


def finish(pixels: Pixels, canvas: Canvas, recipe: Recipe) -> Pixels:
    """Return the file's pixels (height, width, 3) from those that were optimised, (h, w, 3)."""
    whole = canvas.covering or (canvas.width, canvas.height)
    made = resize(pixels, *whole, recipe.output_resampling)
    if canvas.covering:
        made = cut_centre(made, canvas.width, canvas.height)
    made = _enhance(made, recipe)
    if recipe.color == "content":
        assert canvas.content is not None
        made = _keep_colors(made, canvas.content)
    if canvas.mask is not None:
        assert canvas.content is not None
        made = _compose(made, canvas.content, canvas.mask)
    return made


def _keep_colors(made: Pixels, content: Pixels) -> Pixels:
    """As `keep_colors`, a few rows at a time: it takes ten times the memory of what it is given."""
    kept = np.empty_like(made)
    rows = max(1, _PIXELS_AT_ONCE // made.shape[1])
    for top in range(0, made.shape[0], rows):
        part = slice(top, top + rows)
        kept[part] = keep_colors(made[part], content[part])
    return kept


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
