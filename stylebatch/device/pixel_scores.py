"""What is told of a result by its pixels alone; no torch."""

from stylebatch.device.canvas import finish
from stylebatch.device.recolor import Recolored
from stylebatch.output.acceptance import Scores, round_score
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.scores import saturation, speckle, ssim
from stylebatch.recipes import Recipe


def pixel_scores(made: Pixels, photograph: Pixels, style_chroma: float) -> Scores:
    """Return the scores of a result beside its photograph, both (h, w, 3), as they are recorded.

    Args:
        style_chroma: the style's fine chroma; 0: speckle is told beside the photograph's alone.
    """
    found = {
        "ssim": ssim(made, photograph),
        "saturation": saturation(made),
        "speckle": speckle(made, photograph, style_chroma),
    }
    return {name: round_score(value) for name, value in found.items()}


def recolored_scores(made: Recolored, recipe: Recipe) -> Scores:
    """Return the scores of a colour transfer, whose style is looked at at no size of its own."""
    assert made.canvas.content is not None
    return pixel_scores(finish(made.pixels, made.canvas, recipe), made.canvas.content, 0.0)
