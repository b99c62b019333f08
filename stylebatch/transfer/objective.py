"""The objective: total = content + style + total variation, with per-image targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import (
    gram_divisor,
    loss_scale,
    mean_std,
    power_distance,
    squared_distance,
    total_variation,
)
from stylebatch.transfer.reductions import sum_pixels

# Per-image tensors by name, each (B, …): slots are admitted to and moved within it row by row.
Targets = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """Which layers, which losses, which factors; fields are those of `recipes.Recipe`.

    `pixel_scale` by channel.
    """

    content_layers: Mapping[str, float]
    content_loss: str
    content_weight: float
    style_layers: Mapping[str, float]
    style_loss: str
    gram_divisor: str
    style_weight: float
    layer_reduction: str
    tv_weight: float
    statistic: str = "gram"
    style_powers: tuple[int, ...] = (2,)
    weights_in_square: bool = False
    tv_power: float = 1.0
    pixel_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)


class Losses(NamedTuple):
    """The weighted terms of each image, (B,) each: total = content + style + tv."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor


class Objective:
    """Evaluate a batch of images, each against targets of its own.

    Source: Gatys, Ecker & Bethge 2016, equations 1–7, with the factors as data.
    """

    def __init__(self, spec: ObjectiveSpec, extractor: Extractor) -> None:
        self.spec, self.extractor = spec, extractor

    def targets(
        self,
        content: Tensor,
        statistics: Mapping[str, Tensor],
        strength: float,
        mask: Tensor | None = None,
    ) -> Targets:
        """Return the targets of one image.

        Args:
            content: (1, 3, H, W) in [0, 1].
            statistics: of the style by layer: its Gram matrix for each position, F·Fᵀ/N (C, C), or
                its means and standard deviations (2, C).
            strength: scales the style term.
            mask: (1, 1, H, W) in [0, 1]; where it is 0 the image is the content's, and the style
                is compared where it is not.
        """
        spec = self.spec
        with torch.no_grad():
            features = self.extractor(content)
            wanted = {x: self.extractor.feature_maps(x, features[x]) for x in spec.content_layers}
        found: Targets = {}
        if mask is not None:
            found["mask"], found["mask_content"] = mask, content
        content_weights = self._layer_weights(spec.content_layers, spec.content_weight)
        for layer, weight in content_weights.items():
            found[f"content.{layer}"] = wanted[layer]
            scale = loss_scale(spec.content_loss, wanted[layer])
            found[f"content_factor.{layer}"] = weight * scale
        style_weights = self._layer_weights(spec.style_layers, spec.style_weight)
        for layer, weight in style_weights.items():
            target = statistics[layer].to(content.device, torch.float32).unsqueeze(0)
            if spec.statistic == "gram":
                # A style's matrices come for each of its positions, as blends and scales differ in
                # their number: here they get the content's, and then the recipe's divisor.
                positions = features[layer][0, 0].numel()
                target = target * (positions / self._divisor(layer, features[layer], content))
            found[f"style.{layer}"] = target
            found[f"style_factor.{layer}"] = strength * weight * loss_scale(spec.style_loss, target)
            if mask is not None:
                height, width = features[layer].shape[-2:]
                found[f"style_mask.{layer}"] = F.adaptive_avg_pool2d(mask, (height, width))
        return found

    def _layer_weights(self, layers: Mapping[str, float], factor: float) -> dict[str, float]:
        share = sum(layers.values()) if self.spec.layer_reduction == "mean" else 1.0
        power = 2 if self.spec.weights_in_square else 1
        return {layer: (factor * weight / share) ** power for layer, weight in layers.items()}

    def _divisor(self, layer: str, features: Tensor, images: Tensor) -> float:
        channels = self.extractor.num_channels(layer, features)
        positions = features[0, 0].numel()
        return gram_divisor(self.spec.gram_divisor, channels, positions, images[0, 0].numel())

    def evaluate(self, images: Tensor, targets: Targets) -> tuple[Losses, Tensor]:
        """Return the losses (B,) and the gradient of each image's total, (B, 3, H, W).

        Nothing of one image enters another's numbers: gradients of a sum over the batch are each
        image's own.
        """
        images = images.detach().requires_grad_()
        losses = self.losses(images, targets)
        (gradient,) = torch.autograd.grad(losses.total.sum(), images)
        # On a GPU it comes as the convolutions have it, a pixel's channels side by side.
        return Losses(*(term.detach() for term in losses)), gradient.contiguous()

    def losses(self, images: Tensor, targets: Targets) -> Losses:
        """Return the losses (B,) of images (B, 3, H, W)."""
        images = compose(images, targets)
        features = self.extractor(images)
        zero = images.new_zeros(images.shape[0])
        content, style, tv = zero, zero, zero
        for layer in self.spec.content_layers:
            maps = self.extractor.feature_maps(layer, features[layer])
            distance = squared_distance(maps, targets[f"content.{layer}"])
            content = content + targets[f"content_factor.{layer}"] * distance
        for layer in self.spec.style_layers:
            distance = self._style_distance(layer, features[layer], images, targets)
            style = style + targets[f"style_factor.{layer}"] * distance
        if self.spec.tv_weight:
            spec = self.spec
            tv = spec.tv_weight * total_variation(images, spec.tv_power, spec.pixel_scale)
        return Losses(content + style + tv, content, style, tv)

    def _style_distance(
        self, layer: str, features: Tensor, images: Tensor, targets: Targets
    ) -> Tensor:
        mask, target = targets.get(f"style_mask.{layer}"), targets[f"style.{layer}"]
        powers = self.spec.style_powers
        if self.spec.statistic == "mean_std":
            maps = self.extractor.feature_maps(layer, features)
            return power_distance(mean_std(maps, mask), target, powers, 1.0)
        divisor = self._divisor(layer, features, images)
        gram = self.extractor.gram_matrix(layer, features, mask)
        if mask is not None:
            # As many positions as without a mask, each counted by its share.
            covered = sum_pixels(mask).clamp_min(1e-6).view(-1, 1, 1)
            gram = gram * (mask[0, 0].numel() / covered)
        return power_distance(gram / divisor, target, powers, divisor)


def compose(images: Tensor, targets: Targets) -> Tensor:
    """Return images where their masks are 1 and their contents where those are 0."""
    if "mask" not in targets:
        return images
    # In this form white gives the image and black the content bit by bit.
    return targets["mask"] * images + (1 - targets["mask"]) * targets["mask_content"]
