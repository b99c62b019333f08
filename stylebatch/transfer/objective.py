"""The objective: total = content + style + total variation, with per-image targets."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.transfer import statistics
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import (
    gram_divisor,
    loss_scale,
    mean_std,
    squared_distance,
    total_variation,
    tv_divisor,
)
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.scales import halve
from stylebatch.transfer.sizes import FROM_MOMENTS, at_scale
from stylebatch.transfer.terms import Look, Term, looks_at

# Per-image tensors by name, each (B, …): slots are admitted to and moved within it row by row.
Targets = dict[str, Tensor]
# Beyond 1, where strength acts on the statistics, the style term goes with this power of it.
BEYOND_POWER = 3


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
    style_weight_px: int | None = None
    statistic: str = "gram"
    scales: tuple[float, ...] = (1.0,)
    content_scales: tuple[float, ...] = (1.0,)
    strength_acts_on: str = "style_weight"
    style_powers: tuple[int, ...] = (2,)
    weights_in_square: bool = False
    tv_divisor: str = "none"
    tv_border: bool = False
    tv_power: float = 1.0
    pixel_scale: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def looks(self, height: int, width: int, smallest_px: int) -> tuple[Look, ...]:
        """Return what each scale of an image of this size is looked at for (`looks_at`)."""
        power = 2 if self.weights_in_square else 1
        style_weight = self.style_weight
        if self.style_weight_px is not None:
            style_weight *= math.sqrt(height * width) / self.style_weight_px
        content, style = (
            Term(layers, scales, factor, self.layer_reduction, power)
            for layers, scales, factor in (
                (self.content_layers, self.content_scales, self.content_weight),
                (self.style_layers, self.scales, style_weight),
            )
        )
        return looks_at(content, style, height, width, smallest_px)

    def style_scales_at(self, height: int, width: int, smallest_px: int) -> list[int]:
        """Return the scales on which the style of an image of this size is matched."""
        return [look.scale for look in self.looks(height, width, smallest_px) if look.style]


class Losses(NamedTuple):
    """The weighted terms of each image, (B,) each: total = content + style + tv."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor


class Scaled(NamedTuple):
    """Images on one scale, (B, 3, h, w), what they are looked at for, and their tapped maps."""

    images: Tensor
    look: Look
    maps: Mapping[str, Tensor]


class Objective:
    """Evaluate a batch of images, each against targets of its own.

    Source: Gatys, Ecker & Bethge 2016, equations 1–7, with the factors as data; of the style on
    several scales of the image, Snelgrove 2017, "High-resolution multi-scale neural texture
    synthesis".
    """

    def __init__(self, spec: ObjectiveSpec, extractor: Extractor) -> None:
        self.spec, self.extractor = spec, extractor

    def targets(
        self,
        content: Tensor,
        style: Mapping[str, Tensor],
        strength: float,
        mask: Tensor | None = None,
    ) -> Targets:
        """Return the targets of one image.

        Args:
            content: (1, 3, H, W) in [0, 1].
            style: its statistics by layer and scale (`at_scale`), as `StyleTargets.get` gives them:
                a Gram matrix for each position, F·Fᵀ/N (C, C); means and standard deviations
                (2, C); or means and second moments (C + 1, C).
            strength: scales the style term; or, where it acts on the statistics, how far from the
                content's own (0) to the style's (1) those lie that are matched.
            mask: (1, 1, H, W) in [0, 1]; where it is 0 the image is the content's, and the style
                is compared where it is not.
        """
        found: Targets = {}
        if mask is not None:
            found["mask"], found["mask_content"] = mask, content
        with torch.no_grad():
            for scaled in self._scales_of(content):
                self._add_content(found, scaled)
                for layer, weight in scaled.look.style.items():
                    self._add_style(found, scaled, layer, weight, style, strength)
        if self._is_axis and self.spec.tv_weight:
            found["tv_factor"] = content.new_full((1,), min(1.0, strength))
        return found

    @property
    def _is_axis(self) -> bool:
        return self.spec.strength_acts_on == "statistics"

    def _add_content(self, found: Targets, scaled: Scaled) -> None:
        for layer, weight in scaled.look.content.items():
            key = at_scale(layer, scaled.look.scale)
            maps = scaled.maps[layer]
            scale = loss_scale(self.spec.content_loss, self.extractor.feature_maps(layer, maps))
            found[f"content.{key}"] = self.extractor.content_maps(layer, maps)
            found[f"content_factor.{key}"] = weight * scale

    def _add_style(
        self,
        found: Targets,
        scaled: Scaled,
        layer: str,
        weight: float,
        style: Mapping[str, Tensor],
        strength: float,
    ) -> None:
        spec, key = self.spec, at_scale(layer, scaled.look.scale)
        maps = scaled.maps[layer]
        given = style[key].to(maps.device, torch.float32).unsqueeze(0)
        values = self._of_style(layer, given, scaled)
        scales = statistics.scales_of(spec.statistic, spec.style_loss, values)
        mask = found.get("mask")
        if mask is not None:
            height, width = maps.shape[-2:]
            mask = found[f"style_mask.{key}"] = F.adaptive_avg_pool2d(mask, (height, width))
        if self._is_axis:
            own = self._statistic(layer, scaled, mask)
            # At 0 and at 1 the one or the other, bit by bit.
            values = torch.lerp(own, values, min(1.0, strength))
            strength = max(1.0, strength) ** BEYOND_POWER
        found[f"style.{key}"] = statistics.target_of(spec.statistic, values)
        found[f"style_factor.{key}"] = strength * weight * scales

    def _of_style(self, layer: str, given: Tensor, scaled: Scaled) -> Tensor:
        """Bring a style's statistics to what `_statistic` gives of the image."""
        if self.spec.statistic in FROM_MOMENTS:
            return statistics.centre(given)
        if self.spec.statistic == "mean_std":
            return given
        # A style's matrices come for each of its positions, as blends and scales differ in their
        # number: here they get the content's, and then the recipe's divisor.
        positions = scaled.maps[layer][0, 0].numel()
        return given * (positions / self._divisor(layer, scaled))

    def _statistic(self, layer: str, scaled: Scaled, mask: Tensor | None) -> Tensor:
        """Return what of the images is matched: (B, rows, C)."""
        maps, extractor = scaled.maps[layer], self.extractor
        if self.spec.statistic in FROM_MOMENTS:
            return statistics.centre(extractor.moments(layer, maps, mask))
        if self.spec.statistic == "mean_std":
            return mean_std(extractor.feature_maps(layer, maps), mask)
        gram = extractor.gram_matrix(layer, maps, mask)
        if mask is not None:
            # As many positions as without a mask, each counted by its share.
            covered = sum_pixels(mask).clamp_min(1e-6).view(-1, 1, 1)
            gram = gram * (mask[0, 0].numel() / covered)
        return gram / self._divisor(layer, scaled)

    def _divisor(self, layer: str, scaled: Scaled) -> float:
        maps = scaled.maps[layer]
        channels, positions = self.extractor.num_channels(layer, maps), maps[0, 0].numel()
        pixels = scaled.images[0, 0].numel()
        return gram_divisor(self.spec.gram_divisor, channels, positions, pixels)

    def _scales_of(self, images: Tensor) -> Iterator[Scaled]:
        """Yield the scales that the terms look at, finest first."""
        height, width = images.shape[-2:]
        for look in self.spec.looks(height, width, self.extractor.smallest_edge_px):
            if look.scale:
                images = halve(images)
            if look.layers:
                yield Scaled(images, look, self.extractor(images, look.layers))

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
        content, style, tv = (images.new_zeros(images.shape[0]) for _ in range(3))
        for scaled in self._scales_of(images):
            for layer in scaled.look.content:
                key = at_scale(layer, scaled.look.scale)
                maps = self.extractor.content_maps(layer, scaled.maps[layer])
                distance = squared_distance(maps, targets[f"content.{key}"])
                content = content + targets[f"content_factor.{key}"] * distance
            for layer in scaled.look.style:
                style = style + self._style_loss(layer, scaled, targets)
        if self.spec.tv_weight:
            tv = self._total_variation(images, targets)
        return Losses(content + style + tv, content, style, tv)

    def _style_loss(self, layer: str, scaled: Scaled, targets: Targets) -> Tensor:
        spec, key = self.spec, at_scale(layer, scaled.look.scale)
        values = self._statistic(layer, scaled, targets.get(f"style_mask.{key}"))
        divisor = self._divisor(layer, scaled) if spec.statistic == "gram" else 1.0
        wanted, factor = targets[f"style.{key}"], targets[f"style_factor.{key}"]
        parts = statistics.distances(spec.statistic, values, wanted, spec.style_powers, divisor)
        return (factor * parts).sum(1)

    def _total_variation(self, images: Tensor, targets: Targets) -> Tensor:
        spec = self.spec
        height, width = images.shape[-2:]
        weight = spec.tv_weight / tv_divisor(spec.tv_divisor, height, width)
        if spec.tv_border:
            # Free of it, the last row and the last column speckle.
            images = F.pad(images, (0, 1, 0, 1), mode="replicate")
        tv = weight * total_variation(images, spec.tv_power, spec.pixel_scale)
        return tv * targets["tv_factor"] if "tv_factor" in targets else tv


def compose(images: Tensor, targets: Targets) -> Tensor:
    """Return images where their masks are 1 and their contents where those are 0."""
    if "mask" not in targets:
        return images
    # In this form white gives the image and black the content bit by bit.
    return targets["mask"] * images + (1 - targets["mask"]) * targets["mask_content"]
