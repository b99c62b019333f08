"""The objective: total = content + style + total variation, with per-image targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import (
    gram_divisor,
    gram_matrix,
    loss_scale,
    squared_distance,
    total_variation,
)

# Per-image tensors by name, each (B, …): slots are admitted to and moved within it row by row.
Targets = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class ObjectiveSpec:
    """Which layers, which losses, which factors; fields are those of `recipes.Recipe`."""

    content_layers: Mapping[str, float]
    content_loss: str
    content_weight: float
    style_layers: Mapping[str, float]
    style_loss: str
    gram_divisor: str
    style_weight: float
    layer_reduction: str
    tv_weight: float


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

    def targets(self, content: Tensor, grams: Mapping[str, Tensor], strength: float) -> Targets:
        """Return the targets of one image.

        Args:
            content: (1, 3, H, W) in [0, 1].
            grams: style layer → (C, C), divided as the spec says.
            strength: scales the style term.
        """
        spec = self.spec
        with torch.no_grad():
            features = self.extractor(content)
        found: Targets = {}
        content_weights = self._layer_weights(spec.content_layers, spec.content_weight)
        for layer, weight in content_weights.items():
            found[f"content.{layer}"] = features[layer]
            scale = loss_scale(spec.content_loss, features[layer])
            found[f"content_factor.{layer}"] = weight * scale
        style_weights = self._layer_weights(spec.style_layers, spec.style_weight * strength)
        for layer, weight in style_weights.items():
            gram = grams[layer].to(content.device, torch.float32).unsqueeze(0)
            found[f"style.{layer}"] = gram
            found[f"style_factor.{layer}"] = weight * loss_scale(spec.style_loss, gram)
        return found

    def _layer_weights(self, layers: Mapping[str, float], factor: float) -> dict[str, float]:
        share = sum(layers.values()) if self.spec.layer_reduction == "mean" else 1.0
        return {layer: factor * weight / share for layer, weight in layers.items()}

    def evaluate(self, images: Tensor, targets: Targets) -> tuple[Losses, Tensor]:
        """Return the losses (B,) and the gradient of each image's total, (B, 3, H, W).

        Nothing of one image enters another's numbers: gradients of a sum over the batch are each
        image's own.
        """
        images = images.detach().requires_grad_()
        losses = self._losses(images, targets)
        (gradient,) = torch.autograd.grad(losses.total.sum(), images)
        return Losses(*(term.detach() for term in losses)), gradient

    def _losses(self, images: Tensor, targets: Targets) -> Losses:
        features = self.extractor(images)
        zero = images.new_zeros(images.shape[0])
        content, style, tv = zero, zero, zero
        for layer in self.spec.content_layers:
            distance = squared_distance(features[layer], targets[f"content.{layer}"])
            content = content + targets[f"content_factor.{layer}"] * distance
        for layer in self.spec.style_layers:
            gram = self.divided_gram(features[layer])
            distance = squared_distance(gram, targets[f"style.{layer}"])
            style = style + targets[f"style_factor.{layer}"] * distance
        if self.spec.tv_weight:
            tv = self.spec.tv_weight * total_variation(images)
        return Losses(content + style + tv, content, style, tv)

    def divided_gram(self, features: Tensor) -> Tensor:
        """Return the Gram matrices of (B, C, H, W), divided as the spec says: (B, C, C)."""
        channels, positions = features.shape[1], features.shape[2] * features.shape[3]
        return gram_matrix(features) / gram_divisor(self.spec.gram_divisor, channels, positions)
