"""Versions of images that training draws from: cropped, flipped, changed hard, with noise."""

from collections.abc import Callable

import numpy as np
import torch
from torchvision.transforms import v2

from benchmarks.augmentation.parts import Pixels

View = Callable[[torch.Tensor], torch.Tensor]


def plain(edge: int) -> View:
    """Crop and flip: what every arm does."""
    changed: View = v2.Compose(
        [
            v2.RandomResizedCrop(edge, scale=(0.6, 1), ratio=(0.9, 1.1), antialias=True),
            v2.RandomHorizontalFlip(),
        ]
    )
    return changed


def strong(edge: int) -> View:
    """Crop and flip, then RandAugment (Cubuk et al. 2019), colour jitter, grey one time in five."""
    changed: View = v2.Compose(
        [
            *(plain(edge), v2.RandAugment(num_ops=2, magnitude=9)),
            *(v2.ColorJitter(0.4, 0.4, 0.4, 0.1), v2.RandomGrayscale(0.2)),
        ]
    )
    return changed


def noisy(images: Pixels, seed: int, largest: float = 0.12) -> Pixels:
    """Add Gaussian noise to images, its scale drawn from [0, `largest`] for each."""
    rng = np.random.default_rng(seed)
    scales = rng.uniform(0, largest, len(images))
    noise = rng.standard_normal(images.shape, dtype=np.float32) * scales[:, None, None, None]
    return np.clip(np.round(images + 255 * noise), 0, 255).astype(np.uint8)


def draw_views(images: Pixels, view: View, count: int, seed: int) -> Pixels:
    """Return `count` views of each image, uint8 (count, N, edge, edge, 3); always the same.

    Args:
        images: (N, edge, edge, 3), or (V, N, edge, edge, 3): versions that are drawn from by turns.
    """
    versions = images if images.ndim == 5 else images[None]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        drawn = [
            view(torch.from_numpy(image).permute(2, 0, 1)).permute(1, 2, 0).numpy()
            for turn in range(count)
            for image in versions[turn % len(versions)]
        ]
    return np.stack(drawn).reshape(count, *versions.shape[1:])
