"""Common corruptions of images of 64 px, after Hendrycks & Dietterich 2019 (arXiv:1903.12261).

Their kinds and, for each of five severities, the strengths that they use for images of 64 px
(Tiny ImageNet-C), written anew on NumPy and SciPy. Frost is left out: it lays photographs of frost
over the image. Their four further kinds, meant for tuning, are `DEVELOPMENT`; the rest, `REPORT`.

A corruption takes an image, float32 (H, W, 3) in [0, 1], a severity, 1 to 5, and a generator, and
returns such an image.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.float32]
Corruption = Callable[[Floats, int, np.random.Generator], Floats]

GREY = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def gaussian_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Add the same noise to all pixels."""
    scale = (0.04, 0.06, 0.08, 0.09, 0.10)[severity - 1]
    return _clip(image + rng.normal(0, scale, image.shape))


def shot_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Count photons: noise that grows with the light."""
    photons = (250, 100, 50, 30, 15)[severity - 1]
    return _clip(rng.poisson(image * photons) / photons)


def impulse_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Set some values to black or white (salt and pepper)."""
    share = (0.01, 0.02, 0.05, 0.08, 0.14)[severity - 1]
    drawn = rng.random(image.shape)
    return _clip(np.where(drawn < share, (drawn < share / 2).astype(np.float32), image))


def speckle_noise(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Multiply by noise."""
    scale = (0.15, 0.2, 0.25, 0.3, 0.35)[severity - 1]
    return _clip(image + image * rng.normal(0, scale, image.shape))


def gaussian_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur by a Gaussian."""
    return _blurred(image, (0.5, 0.75, 1, 1.25, 1.5)[severity - 1])


def defocus_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur by a soft disk."""
    radius, soft = ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1))[severity - 1]
    reach = np.arange(-5, 6)
    disk = (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.float32)
    disk = ndimage.gaussian_filter(disk, soft)
    return _clip(ndimage.convolve(image, (disk / disk.sum())[..., None], mode="nearest"))


def glass_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Exchange near pixels, between two blurs."""
    sigma, reach, turns = ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2))[
        severity - 1
    ]
    image = _blurred(image, sigma)
    rows, columns = np.indices(image.shape[:2])
    for _ in range(turns):
        near = rng.integers(-reach, reach + 1, (2, *image.shape[:2]))
        image = image[
            (rows + near[0]).clip(0, image.shape[0] - 1),
            (columns + near[1]).clip(0, image.shape[1] - 1),
        ]
    return _blurred(image, sigma)


def motion_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Blur along a line whose direction is drawn."""
    reach, sigma = ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3))[severity - 1]
    return _clip(_along(image, reach, sigma, rng.uniform(-45, 45)))


def zoom_blur(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Average the image with larger and larger ones of its middle."""
    largest = (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1]
    zooms = np.arange(1, largest, 0.01)
    return _clip((image + sum(_zoomed(image, zoom) for zoom in zooms)) / (len(zooms) + 1))


def snow(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Lay streaks of snow over an image that is paled."""
    mean, spread, zoom, threshold, reach, sigma, kept = (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
    )[severity - 1]
    flakes = _zoomed(rng.normal(mean, spread, (*image.shape[:2], 1)).astype(np.float32), zoom)
    flakes = np.where(flakes < threshold, 0, flakes).clip(0, 1)
    flakes = _along(flakes, reach, sigma, rng.uniform(-135, -45))
    pale = np.maximum(image, (image @ GREY)[..., None] * 1.5 + 0.5)
    return _clip(kept * image + (1 - kept) * pale + flakes + np.rot90(flakes, 2))


def fog(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Add a fractal cloud, and keep the lightest pixel as light as it was."""
    amount, decay = ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75))[severity - 1]
    lightest = image.max()
    cloud = _plasma(max(image.shape[:2]), decay, rng)[: image.shape[0], : image.shape[1], None]
    return _clip((image + amount * cloud) * lightest / (lightest + amount))


def brightness(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Raise the value of HSV."""
    hsv = _hsv(image)
    hsv[..., 2] += (0.1, 0.2, 0.3, 0.4, 0.5)[severity - 1]
    return _rgb(hsv)


def saturate(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Scale and shift the saturation of HSV."""
    scale, shift = ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))[severity - 1]
    hsv = _hsv(image)
    hsv[..., 1] = hsv[..., 1] * scale + shift
    return _rgb(hsv)


def contrast(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Draw all colours towards their mean."""
    kept = (0.4, 0.3, 0.2, 0.1, 0.05)[severity - 1]
    mean = image.mean(axis=(0, 1))
    return _clip((image - mean) * kept + mean)


def elastic_transform(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Move pixels by a smooth field, and the whole by a little affine map."""
    edge = image.shape[0]
    amount, smooth, affine = (
        (0.05, 0.03, 0.10),
        (0.06, 0.03, 0.09),
        (0.07, 0.03, 0.08),
        (0.08, 0.03, 0.07),
        (0.09, 0.03, 0.06),
    )[severity - 1]
    places = np.indices(image.shape[:2]).astype(np.float64)
    middle = (edge - 1) / 2
    linear = np.eye(2) + rng.uniform(-affine, affine, (2, 2))
    moved = np.einsum("ij,jhw->ihw", linear, places - middle) + middle
    for axis in (0, 1):
        field = ndimage.gaussian_filter(rng.uniform(-1, 1, image.shape[:2]), smooth * edge)
        moved[axis] += field / max(np.abs(field).max(), 1e-9) * amount * edge / 2
    channels = [
        ndimage.map_coordinates(image[..., channel], moved, order=1, mode="reflect")
        for channel in range(3)
    ]
    return _clip(np.stack(channels, axis=-1))


def pixelate(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Make smaller by boxes, and larger again."""
    share = (0.9, 0.8, 0.7, 0.6, 0.5)[severity - 1]
    whole = _image(image)
    small = (max(1, int(whole.width * share)), max(1, int(whole.height * share)))
    coarse = whole.resize(small, Image.Resampling.BOX)
    return _floats(coarse.resize(whole.size, Image.Resampling.NEAREST))


def jpeg_compression(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Save as JPEG."""
    file = io.BytesIO()
    _image(image).save(file, "JPEG", quality=(65, 58, 50, 40, 25)[severity - 1])
    return _floats(Image.open(file).convert("RGB"))


def spatter(image: Floats, severity: int, rng: np.random.Generator) -> Floats:
    """Splash drops of water over the image, mud at the last two severities."""
    mean, spread, sigma, threshold, amount = (
        (0.62, 0.1, 0.7, 0.7, 0.5),
        (0.65, 0.1, 0.8, 0.7, 0.5),
        (0.65, 0.3, 1, 0.69, 0.5),
        (0.65, 0.1, 0.7, 0.69, 0.6),
        (0.65, 0.1, 0.5, 0.68, 0.6),
    )[severity - 1]
    drops = ndimage.gaussian_filter(rng.normal(mean, spread, image.shape[:2]), sigma)
    wet = np.where(drops < threshold, 0, 1).astype(np.float32)
    wet = ndimage.gaussian_filter(wet, 0.5)[..., None] * amount
    colour = np.array([0.69, 0.93, 0.93] if severity < 4 else [0.25, 0.16, 0.08])
    return _clip(image * (1 - wet) + colour * wet)


DEVELOPMENT: tuple[Corruption, ...] = (speckle_noise, gaussian_blur, spatter, saturate)
REPORT: tuple[Corruption, ...] = (
    *(gaussian_noise, shot_noise, impulse_noise),
    *(defocus_blur, glass_blur, motion_blur, zoom_blur),
    *(snow, fog, brightness),
    *(contrast, elastic_transform, pixelate, jpeg_compression),
)
NOISE = frozenset({"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"})


def corrupted(images: NDArray[np.uint8], kind: Corruption, severity: int) -> NDArray[np.uint8]:
    """Corrupt images, uint8 (N, H, W, 3), always alike."""
    rng = np.random.default_rng([severity, *kind.__name__.encode()])
    found = [kind(image.astype(np.float32) / 255, severity, rng) for image in images]
    return np.stack([np.round(image * 255).astype(np.uint8) for image in found])


def _clip(image: NDArray[np.floating]) -> Floats:
    clipped: Floats = image.clip(0, 1).astype(np.float32)
    return clipped


def _blurred(image: Floats, sigma: float) -> Floats:
    return _clip(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"))


def _along(image: Floats, reach: int, sigma: float, degrees: float) -> Floats:
    """Average along a line: half a Gaussian, `reach` pixels long."""
    steps = np.arange(2 * reach + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    angle = np.deg2rad(degrees)
    total: Floats = np.zeros_like(image)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        shift = (step * np.sin(angle), step * np.cos(angle), 0)
        if weight > 1e-4:
            total += weight * ndimage.shift(image, shift, order=1, mode="nearest")
    return total


def _zoomed(image: Floats, zoom: float) -> Floats:
    height, width = image.shape[:2]
    larger = ndimage.zoom(image, (zoom, zoom, 1), order=1)
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    found: Floats = larger[top : top + height, left : left + width]
    return found


def _plasma(edge: int, decay: float, rng: np.random.Generator) -> Floats:
    """Return a fractal cloud in [0, 1]: noise at all octaves, each `decay` times weaker."""
    size = 1 << (edge - 1).bit_length()
    total, weight, cells = np.zeros((size, size), dtype=np.float32), 1.0, 2
    while cells <= size:
        octave = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
        grown = ndimage.zoom(octave, size / (cells + 1), order=1, grid_mode=True, mode="nearest")
        total += weight * grown[:size, :size]
        weight, cells = weight / decay, cells * 2
    total -= total.min()
    found: Floats = total / np.float32(max(float(total.max()), 1e-9))
    return found


def _image(image: Floats) -> Image.Image:
    return Image.fromarray(np.round(image * 255).astype(np.uint8))


def _floats(image: Image.Image) -> Floats:
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _hsv(image: Floats) -> Floats:
    return _floats(_image(image).convert("HSV")).copy()


def _rgb(hsv: Floats) -> Floats:
    whole = np.round(hsv.clip(0, 1) * 255).astype(np.uint8)
    return _floats(Image.fromarray(whole, "HSV").convert("RGB"))
