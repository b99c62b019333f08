"""Two style images that are drawn, not shipped: brush strokes along a flow, and stained glass."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Floats = NDArray[np.float64]

SIZE_PX = 512
_SUPERSAMPLING = 2
_EDGE = SIZE_PX * _SUPERSAMPLING

# Where the sky turns: x, y, radius (of the picture's edge), direction of the turn.
_SUNS = (
    (0.70, 0.24, 0.17, 1),
    (0.24, 0.34, 0.20, -1),
    (0.50, 0.56, 0.10, 1),
    (0.90, 0.60, 0.09, -1),
)
_NIGHT = ((13, 22, 74), (24, 60, 138), (38, 112, 178), (92, 170, 200), (190, 214, 190))
_LIGHT = ((255, 250, 214), (253, 224, 110), (246, 178, 52), (226, 122, 44), (96, 132, 150))
_EARTH = ((18, 48, 52), (40, 88, 58), (122, 138, 48), (206, 160, 62), (150, 66, 44))
_GLASS = (
    (178, 24, 43),
    (230, 120, 30),
    (250, 200, 60),
    (20, 104, 120),
    (28, 60, 150),
    (108, 36, 110),
    (60, 140, 70),
    (236, 226, 196),
)


def draw_brush_strokes() -> Image.Image:
    """Draw short strokes of thick paint along a flow that turns around several suns."""
    generator = np.random.default_rng(7)
    image = Image.new("RGB", (_EDGE, _EDGE), _NIGHT[0])
    for count, length, width in ((2600, 0.10, 22), (5200, 0.07, 13), (9000, 0.045, 7)):
        _draw_layer(image, generator, count, length, width)
    return image.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)


def _draw_layer(
    image: Image.Image, generator: np.random.Generator, count: int, length: float, width: int
) -> None:
    draw = ImageDraw.Draw(image)
    starts = generator.uniform(-0.03, 1.03, (count, 2))
    paths = _follow(starts, length * generator.uniform(0.6, 1.2, count))
    tones = generator.normal(0.0, 1.0, (count, 2))
    middles = paths[:, paths.shape[1] // 2]
    colours = _colours_at(middles[:, 0], middles[:, 1], tones[:, 0])
    for path, colour, tone in zip(paths, colours, tones[:, 1], strict=True):
        _draw_stroke(draw, path * _EDGE, colour, width, tone)


def _draw_stroke(
    draw: ImageDraw.ImageDraw, path: Floats, colour: Floats, width: int, tone: float
) -> None:
    """A body with a dark and a light edge: paint that stands up and catches the light."""
    across = np.array([-(path[-1] - path[0])[1], (path[-1] - path[0])[0]])
    across = across / (np.hypot(*across) + 1e-9)
    bristles = ((0.38, 0.62, 0.62), (0.0, 1.0, 0.9), (-0.28, 1.0 + 0.16 * (1 + 0.5 * tone), 0.34))
    for offset, brightness, share in bristles:
        points = [tuple(point) for point in path + across * offset * width]
        fill = tuple(int(c) for c in np.clip(colour * brightness + 6 * (brightness - 1), 0, 255))
        draw.line(points, fill=fill, width=max(1, round(width * share)))


def _follow(starts: Floats, lengths: Floats, num_steps: int = 9) -> Floats:
    """Return paths (count, steps, 2) along the flow, in shares of the edge."""
    points = [starts]
    for _ in range(num_steps - 1):
        direction = _flow(points[-1][:, 0], points[-1][:, 1])
        points.append(points[-1] + direction * (lengths / num_steps)[:, None])
    return np.stack(points, axis=1)


def _flow(x: Floats, y: Floats) -> Floats:
    """Unit directions: a wavy wind, turning around each sun, hills below."""
    wave = 0.5 * np.sin(7 * x + 3 * y) + 0.35 * np.sin(13 * y - 5 * x)
    u, v = np.cos(wave), np.sin(wave)
    for sun_x, sun_y, radius, turn in _SUNS:
        dx, dy = x - sun_x, y - sun_y
        distance = np.hypot(dx, dy) + 1e-6
        pull = 3.2 * np.exp(-((distance / (1.35 * radius)) ** 2))
        u, v = u - turn * pull * dy / distance, v + turn * pull * dx / distance
    is_hill = y > _horizon(x)
    slope = np.arctan2(_horizon(x + 0.01) - _horizon(x), 0.01) + 0.5 * np.sin(19 * x + 11 * y)
    u, v = np.where(is_hill, np.cos(slope), u), np.where(is_hill, np.sin(slope), v)
    norm = np.hypot(u, v) + 1e-9
    return np.stack([u / norm, v / norm], axis=1)


def _horizon(x: Floats) -> Floats:
    return 0.76 + 0.05 * np.sin(5.2 * x + 0.6) + 0.025 * np.sin(12.5 * x)


def _colours_at(x: Floats, y: Floats, tones: Floats) -> Floats:
    """Colours (N, 3) of strokes: suns with a glow around them, a night sky, hills."""
    distances = np.array([np.hypot(x - sx, y - sy) / radius for sx, sy, radius, _ in _SUNS])
    nearest, glow = distances.min(axis=0), np.exp(-(distances**2)).sum(axis=0)
    wind = 0.5 + 0.5 * np.sin(7 * x + 16 * y + 2.2 * np.sin(6 * x))
    night = _blend(_NIGHT, 0.3 + 2.4 * wind * (0.35 + y) + 1.5 * glow + 0.45 * tones)
    light = _blend(_LIGHT, 3.6 * nearest + 0.45 * tones)
    depth = (y - _horizon(x)) / 0.26
    earth = _blend(_EARTH, 1.4 + 1.1 * np.sin(9 * x + 14 * y) + 0.9 * depth + 0.7 * tones)
    is_sun = nearest < 1.0 + 0.11 * tones
    sky = np.where(is_sun[:, None], light, night)
    return np.where((depth > 0)[:, None], earth, sky)


def _blend(palette: tuple[tuple[int, int, int], ...], places: Floats) -> Floats:
    """Return colours (N, 3) at places of a palette, 0 its first."""
    channels = np.array(palette, float).T
    positions = np.arange(len(palette))
    return np.stack([np.interp(places, positions, channel) for channel in channels], axis=1)


def draw_stained_glass() -> Image.Image:
    """Draw a window of coloured cells in dark lead, lit from behind."""
    generator = np.random.default_rng(3)
    cells = 17
    y, x = np.mgrid[0:_EDGE, 0:_EDGE] / _EDGE
    ring = np.hypot(x - 0.5, y - 0.5)
    # Bent coordinates make a rose window of what would be a grid.
    bend = 0.03 * np.sin(9 * ring * math.pi)
    u, v = x + bend * (x - 0.5) / (ring + 0.1), y + bend * (y - 0.5) / (ring + 0.1)
    nearest, second, index = _two_nearest(u * cells, v * cells, generator, cells + 4)
    seam = second - nearest
    colours = _cell_colours(generator, cells + 4)[index]
    streaks = 0.5 + 0.5 * np.sin(60 * (x + 0.3 * np.sin(11 * y)) + 9 * np.sin(17 * y) + index)
    light = (1.18 - 0.5 * nearest**2 + 0.2 * streaks - 0.45 * ring)[..., None]
    lead = np.clip((seam - 0.07) / 0.05, 0, 1)[..., None]
    shine = np.exp(-(((seam - 0.15) / 0.03) ** 2))[..., None] * 42
    pixels = np.clip(colours * light + shine, 0, 255) * lead + (22, 20, 26) * (1 - lead)
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image.resize((SIZE_PX, SIZE_PX), Image.Resampling.LANCZOS)


def _two_nearest(
    u: Floats, v: Floats, generator: np.random.Generator, edge: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return distances to the nearest and second nearest of jittered points, and the nearest."""
    jitter = generator.uniform(0.12, 0.88, (edge, edge, 2))
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    nearest, second = np.full(u.shape, 9.0), np.full(u.shape, 9.0)
    index = np.zeros(u.shape, np.int64)
    for step_row in (-1, 0, 1):
        for step_column in (-1, 0, 1):
            r, c = row + step_row, column + step_column
            offset = jitter[r % edge, c % edge]
            distance = np.hypot(c + offset[..., 0] - u, r + offset[..., 1] - v)
            second = np.minimum(second, np.maximum(distance, nearest))
            index = np.where(distance < nearest, (r % edge) * edge + c % edge, index)
            nearest = np.minimum(nearest, distance)
    return nearest, second, index


def _cell_colours(generator: np.random.Generator, edge: int) -> Floats:
    """Colours of cells (edge², 3): rings of related colours, with some chance."""
    palette = np.array(_GLASS, float)
    row, column = np.mgrid[0:edge, 0:edge]
    ring = np.hypot(row - (edge - 4) / 2, column - (edge - 4) / 2)
    place = (ring * 0.8 + generator.normal(0, 1.0, ring.shape)).astype(int) % len(palette)
    colours = palette[place.reshape(-1)]
    return np.asarray(colours * generator.uniform(0.78, 1.12, (edge * edge, 1)))


PAINTINGS: dict[str, Callable[[], Image.Image]] = {
    "brush_strokes": draw_brush_strokes,
    "stained_glass": draw_stained_glass,
}
