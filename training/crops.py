"""Random crops of photographs and paintings, those left out that `slim` is judged on."""

import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylebatch.pictures.images import IMAGE_SUFFIXES, decode

# Images are kept at this longest edge: no crop looks at more detail.
KEPT_PX = 640
# The shortest edge of the image that a crop is cut from, as work sizes of 96 to 420 px have it.
SHORTEST_PX = (96, 420)


def load_images(folder: Path, left_out: Iterable[str]) -> list[Image.Image]:
    """Load all images below a folder, none whose path ends with one of `left_out`."""
    ends = tuple(f"/{name}" for name in left_out)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    images = []
    for path in paths:
        if not path.resolve().as_posix().endswith(ends):
            image = Image.fromarray(decode(path.read_bytes(), str(path)).rgb)
            image.thumbnail((KEPT_PX, KEPT_PX), Image.Resampling.LANCZOS)
            images.append(image)
    if not images:
        raise SystemExit(f"{folder}: no images to train on; allowed are {IMAGE_SUFFIXES}")
    return images


class Crops:
    """Draws square crops of images at random places and scales, mirrored half of the time."""

    def __init__(self, images: Sequence[Image.Image], rng: random.Random, *, jitter: bool) -> None:
        """Draw from these images.

        Args:
            jitter: also turn them, swap and invert their channels, change contrast and gamma:
                a few paintings then stand for many.
        """
        self._images, self.rng, self._jitter = images, rng, jitter

    def draw(self, edge_px: int) -> Tensor:
        """Return a crop (3, edge, edge), RGB in [0, 1]."""
        rng, image = self.rng, self.rng.choice(self._images)
        low, high = SHORTEST_PX
        shortest = math.exp(rng.uniform(math.log(low), math.log(high)))
        edge = min(min(image.size), edge_px * min(image.size) / shortest)
        left, top = rng.uniform(0, image.width - edge), rng.uniform(0, image.height - edge)
        box = (left, top, left + edge, top + edge)
        cut = image.resize((edge_px, edge_px), Image.Resampling.LANCZOS, box=box)
        crop = torch.from_numpy(np.array(cut)).permute(2, 0, 1).float() / 255
        if rng.random() < 0.5:
            crop = crop.flip(2)
        return self._jittered(crop) if self._jitter else crop

    def _jittered(self, crop: Tensor) -> Tensor:
        rng = self.rng
        if rng.random() < 0.3:
            crop = crop.flip(1)
        if rng.random() < 0.3:
            crop = crop.transpose(1, 2)
        if rng.random() < 0.5:
            crop = crop[rng.sample(range(3), 3)]
        if rng.random() < 0.1:
            crop = 1 - crop
        crop = (crop - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.15, 0.15)
        return crop.clamp(0, 1) ** rng.uniform(0.7, 1.4)
