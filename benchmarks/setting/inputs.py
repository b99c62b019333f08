"""The folder of photographs, styles and weights that the benchmarks work on, and what is read."""

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from stylebatch.device.device import Device
from stylebatch.extractors.weights import find_weights, layers_digest
from stylebatch.pictures.images import Pixels, decode
from stylebatch.pictures.sizes import fit_pixels, resize, style_size, work_size
from stylebatch.recipes import Settings, make_settings, recipe_fields, recipe_on
from stylebatch.records import Style, StyleImage
from stylebatch.system.files import digest_file
from stylebatch.system.listing import list_folders
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem

WEIGHTS = "weights/vgg19_conv3_4.safetensors"
PHOTOGRAPHS = "images/photos"
STYLES = "images/styles"
# Where one style is enough, and where several are to take turns.
STYLE = "hokusai_wave"
MIXED_STYLES = ("hokusai_wave", "van_gogh_la_cafe", "gauguin_tahiti")


def add_shared_option(parser: argparse.ArgumentParser) -> None:
    """Add `--shared`: where the photographs, the styles and the weights are."""
    default = os.environ.get("STYLEBATCH_SHARED", "../shared")
    parser.add_argument("--shared", type=Path, default=Path(default), help="default: %(default)s")


def check_shared(shared: Path) -> Path:
    """Return the folder's full path; leave with a message where something is missing."""
    shared = shared.resolve()
    for part in (WEIGHTS, PHOTOGRAPHS, STYLES):
        if not (shared / part).exists():
            sys.exit(
                f"{shared / part}: not there; this benchmark needs a folder with {WEIGHTS}, "
                f"{PHOTOGRAPHS}/CLASS/*.jpg and {STYLES}/*.jpg: name it with --shared DIR or "
                "$STYLEBATCH_SHARED"
            )
    return shared


def settings_of(
    shared: Path, name: str = "balanced", arch: str = "vgg19", **changes: Any
) -> Settings:
    """Return a recipe with other fields, on the real VGG-19 or on weights that are shipped."""
    recipe = recipe_on(arch, {**recipe_fields(name), **changes})
    weights = find_weights(arch, str(shared / WEIGHTS) if arch == "vgg19" else None, shared)
    digest = layers_digest(weights, recipe.layers)
    return make_settings(recipe, weights, digest, "auto")


def style_of(shared: Path, name: str) -> Style:
    """Return a style entry of one image."""
    path = shared / STYLES / f"{name}.jpg"
    digest = digest_file(path)
    return Style(str(path), name, (StyleImage(str(path), 1.0, digest),), digest)


def photograph_paths(shared: Path, count: int) -> list[Path]:
    """Return photographs by turns from every class, each class by name."""
    folder = shared / PHOTOGRAPHS
    classes = [sorted((folder / name).iterdir()) for name in sorted(list_folders(folder))]
    by_turns = (path for row in zip_longest(*classes) for path in row if path is not None)
    return list(islice(by_turns, count))


def read_pixels(path: Path) -> Pixels:
    """Read an image, (H, W, 3)."""
    return decode(path.read_bytes(), str(path)).rgb


def square(path: Path, edge: int) -> Pixels:
    """Read an image, scale its shortest edge to `edge` pixels and crop the centre."""
    rgb = read_pixels(path)
    height, width = rgb.shape[:2]
    scale = edge / min(height, width)
    width, height = max(edge, round(width * scale)), max(edge, round(height * scale))
    left, top = (width - edge) // 2, (height - edge) // 2
    return resize(rgb, width, height)[top : top + edge, left : left + edge]


def problems_of(
    device: Device, settings: Settings, engine: Engine, images: Sequence[Pixels], style: Style
) -> list[Problem]:
    """Return a problem for each image, with the style's targets as a worker makes them."""
    return [
        device.problem(
            str(key), settings, engine, pixels=pixels, style=style, strength=1.0, noise_seed=None
        )
        for key, pixels in enumerate(images)
    ]


def full_engine(
    settings: Settings, shared: Path, cache: Path, edge: int, images: int, warm_up: int
) -> Engine:
    """Return an engine on the CPU with squares in all its slots, past its first evaluations."""
    device = Device("cpu", shared, cache)
    engine = device.engine(settings, images, edge, edge)
    squares = [square(path, edge) for path in photograph_paths(shared, images)]
    for problem in problems_of(device, settings, engine, squares, style_of(shared, STYLE)):
        engine.admit(problem)
    for _ in range(warm_up):
        engine.step()
    return engine


def style_pixels(path: Path, edge: int) -> Pixels:
    """Return a style at the size at which the recipe looks at it."""
    return style_at_size(read_pixels(path), edge)


def style_at_size(rgb: Pixels, edge: int) -> Pixels:
    """Bring a style to the size at which the recipe looks at it for contents of this edge."""
    height, width = rgb.shape[:2]
    return fit_pixels(rgb, *work_size(width, height, style_size(edge), 1, enlarge=True))


def random_square(seed: int, edge: int) -> Pixels:
    """Draw an image with structure at several scales."""
    generator = np.random.default_rng(seed)
    total = np.zeros((edge, edge, 3))
    for cells in (4, 16, edge):
        coarse = Image.fromarray(generator.integers(0, 256, (cells, cells, 3), np.uint8))
        total += np.asarray(coarse.resize((edge, edge), Image.Resampling.BICUBIC)) / 3
    return total.astype(np.uint8)
