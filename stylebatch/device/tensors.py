"""8-bit pixels ↔ tensors in [0, 1]."""

import numpy as np
import torch
from torch import Tensor

from stylebatch.pictures.images import Pixels


def to_tensor(pixels: Pixels, stretch: str = "none") -> Tensor:
    """Turn (H, W, 3) 8-bit pixels into (1, 3, H, W) in [0, 1], float32.

    Args:
        stretch: none, or min_max: the smallest number of all channels becomes 0, the largest 1.
    """
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    if stretch == "none":
        return image / 255
    low, high = image.min(), image.max()
    return (image - low) / (high - low).clamp_min(1)


def to_pixels(image: Tensor, rounding: str = "nearest") -> Pixels:
    """Turn (1, 3, H, W) into (H, W, 3) in 8 bits, clipped to [0, 1].

    Args:
        rounding: nearest | truncate.
    """
    scaled = (image[0] * 255).clamp(0, 255)
    whole = scaled.round() if rounding == "nearest" else scaled.floor()
    return np.ascontiguousarray(whole.to(torch.uint8).permute(1, 2, 0).cpu().numpy())


def mask_tensor(mask: Pixels) -> Tensor:
    """Turn (H, W) in 8 bits into (1, 1, H, W) in [0, 1]."""
    return torch.from_numpy(mask)[None, None].float() / 255
