"""Style images by name: of the shared folder, the demo's own, and a pen drawing."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks.setting.inputs import STYLES, read_pixels
from stylebatch.demo.paintings import PAINTINGS, draw_brush_strokes
from stylebatch.pictures.images import Pixels

PEN_DRAWING = "pen_drawing"
_PAPER, _INK = (246, 240, 226), (34, 28, 30)
_DRAWN_PX = 1024
# Directions of the hatching, and the tones below which each is drawn.
_HATCHING = ((35, 0.72), (-40, 0.5), (82, 0.3))


@cache
def style_image(shared: Path, name: str) -> Pixels:
    """Return a style by name: of the shared folder, or drawn."""
    if name == PEN_DRAWING:
        return np.array(draw_pen_drawing())
    if name in PAINTINGS:
        return np.array(PAINTINGS[name]())
    return read_pixels(shared / STYLES / f"{name}.jpg")


def draw_pen_drawing() -> Image.Image:
    """Draw the demo's landscape in ink: short strokes, crossed where it is dark."""
    generator = np.random.default_rng(5)
    painted = draw_brush_strokes().convert("L").filter(ImageFilter.GaussianBlur(3))
    tones = np.array(painted.resize((_DRAWN_PX, _DRAWN_PX)), float) / 255
    image = Image.new("RGB", (_DRAWN_PX, _DRAWN_PX), _PAPER)
    draw = ImageDraw.Draw(image)
    for degrees, darkest in _HATCHING:
        angle = np.radians(degrees)
        along = np.array([np.cos(angle), np.sin(angle)])
        for x, y in generator.uniform(0, _DRAWN_PX, (9000, 2)):
            if tones[int(y), int(x)] < darkest * generator.uniform(0.8, 1.1):
                length = generator.uniform(14, 44)
                bend = generator.normal(0, 1.5, 2)
                ends = [(x, y), (x, y) + along * length / 2 + bend, (x, y) + along * length]
                draw.line([tuple(end) for end in ends], fill=_INK, width=2)
    return image.resize((_DRAWN_PX // 2,) * 2, Image.Resampling.LANCZOS)
