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
from stylebatch.transfer.tiles import Part

# Per-image tensors by name, each (B, …): slots are admitted to and moved within it row by row.
Targets = dict[str, Tensor]
# Beyond 1, where strength acts on the statistics, the style term goes with this power of it.
BEYOND_POWER = 3
WHOLE: Part = slice(None), slice(None)


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
    """Images on one scale, (B, 3, h, w), what they are looked at for, and sizes of maps there."""

    images: Tensor
    look: Look
    sizes: Mapping[str, tuple[int, int]]


class Seen(NamedTuple):
    """What of a content's maps on one scale becomes targets, by layer.

    Attributes:
        content: as they are compared, (1, c, h, w), and what turns their distance into a loss.
        own: its statistics, (1, rows, C).
    """

    content: Mapping[str, tuple[Tensor, Tensor]]
    own: Mapping[str, Tensor]


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
        """Return the targets of one image, and as `content_style` the style loss of its content.

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
        found["content_style"] = content.new_zeros(1)
        with torch.no_grad():
            for scaled in self._scales_of(content):
                masks = {} if mask is None else self._style_masks(scaled, mask)
                seen = self._see(scaled, masks)
                for layer, weight in scaled.look.content.items():
                    key = at_scale(layer, scaled.look.scale)
                    found[f"content.{key}"], scale = seen.content[layer]
                    found[f"content_factor.{key}"] = weight * scale
                for layer in scaled.look.style:
                    key = at_scale(layer, scaled.look.scale)
                    given = style[key].to(content.device, torch.float32).unsqueeze(0)
                    found |= self._style_targets(layer, given, scaled, seen, strength)
                    if layer in masks:
                        found[f"style_mask.{key}"] = masks[layer]
                    lost = self._style_loss(layer, seen.own[layer], scaled, found)
                    found["content_style"] = found["content_style"] + lost
        if self._is_axis and self.spec.tv_weight:
            found["tv_factor"] = content.new_full((1,), min(1.0, strength))
        return found

    @property
    def _is_axis(self) -> bool:
        return self.spec.strength_acts_on == "statistics"

    @property
    def _is_narrow(self) -> bool:
        """Whether what is matched are matrices that may be turned: only their distances count."""
        return self.spec.statistic == "gram" and self.spec.style_powers == (2,)

    def _style_masks(self, scaled: Scaled, mask: Tensor) -> dict[str, Tensor]:
        """Return a mask at the size of each style layer's maps."""
        return {
            layer: F.adaptive_avg_pool2d(mask, scaled.sizes[layer]) for layer in scaled.look.style
        }

    def _see(self, scaled: Scaled, masks: Mapping[str, Tensor]) -> Seen:
        maps, look, extractor = self._maps_of(scaled), scaled.look, self.extractor
        content = {}
        for layer in look.content:
            features = extractor.feature_maps(layer, maps[layer])
            scale = loss_scale(self.spec.content_loss, features)
            content[layer] = extractor.content_maps(layer, maps[layer]), scale
        own = {
            layer: self._statistic(layer, maps[layer], scaled, masks.get(layer))
            for layer in look.style
        }
        return Seen(content, own)

    def _maps_of(self, scaled: Scaled) -> dict[str, Tensor]:
        return self.extractor(scaled.images, scaled.look.layers)

    def _style_targets(
        self, layer: str, given: Tensor, scaled: Scaled, seen: Seen, strength: float
    ) -> Targets:
        spec, key = self.spec, at_scale(layer, scaled.look.scale)
        values = self._of_style(layer, given, scaled)
        scales = statistics.scales_of(spec.statistic, spec.style_loss, values)
        if self._is_narrow:
            values = self.extractor.narrow_gram(layer, values)
        if self._is_axis:
            # At 0 and at 1 the one or the other, bit by bit.
            values = torch.lerp(seen.own[layer], values, min(1.0, strength))
            strength = max(1.0, strength) ** BEYOND_POWER
        return {
            f"style.{key}": statistics.target_of(spec.statistic, values),
            f"style_factor.{key}": strength * scaled.look.style[layer] * scales,
        }

    def _of_style(self, layer: str, given: Tensor, scaled: Scaled) -> Tensor:
        """Bring a style's statistics to what `_statistic` gives of the image."""
        if self.spec.statistic in FROM_MOMENTS:
            return statistics.centre(given)
        if self.spec.statistic == "mean_std":
            return given
        # A style's matrices come for each of its positions, as blends and scales differ in their
        # number: here they get the content's, and then the recipe's divisor.
        positions = math.prod(scaled.sizes[layer])
        return given * (positions / self._divisor(layer, scaled))

    def _statistic(self, layer: str, maps: Tensor, scaled: Scaled, mask: Tensor | None) -> Tensor:
        """Return what of the images is matched: (B, rows, C)."""
        extractor = self.extractor
        if self.spec.statistic in FROM_MOMENTS:
            return statistics.centre(extractor.moments(layer, maps, mask))
        if self.spec.statistic == "mean_std":
            return mean_std(extractor.feature_maps(layer, maps), mask)
        gram = extractor.gram_matrix(layer, maps, mask, is_narrow=self._is_narrow)
        return self._divided(layer, gram, scaled, mask)

    def _divided(self, layer: str, gram: Tensor, scaled: Scaled, mask: Tensor | None) -> Tensor:
        if mask is not None:
            # As many positions as without a mask, each counted by its share.
            covered = sum_pixels(mask).clamp_min(1e-6).view(-1, 1, 1)
            gram = gram * (mask[0, 0].numel() / covered)
        return gram / self._divisor(layer, scaled)

    def _divisor(self, layer: str, scaled: Scaled) -> float:
        channels, positions = self.extractor.num_channels(layer), math.prod(scaled.sizes[layer])
        pixels = scaled.images[0, 0].numel()
        return gram_divisor(self.spec.gram_divisor, channels, positions, pixels)

    def _scales_of(self, images: Tensor) -> Iterator[Scaled]:
        """Yield the scales that the terms look at, finest first."""
        height, width = images.shape[-2:]
        for look in self.spec.looks(height, width, self.extractor.smallest_edge_px):
            if look.scale:
                images = halve(images)
            if look.layers:
                edges = images.shape[-2], images.shape[-1]
                sizes = {layer: self.extractor.map_size(layer, *edges) for layer in look.layers}
                yield Scaled(images, look, sizes)

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
            content, style = self._add_losses(scaled, targets, content, style)
        if self.spec.tv_weight:
            edges = images.shape[-2], images.shape[-1]
            tv = self._total_variation(images, targets, edges)
        return Losses(content + style + tv, content, style, tv)

    def _add_losses(
        self, scaled: Scaled, targets: Targets, content: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return both terms with a scale's losses added to what those before it came to."""
        maps = self._maps_of(scaled)
        for layer in scaled.look.content:
            content = content + self._content_loss(layer, maps[layer], scaled, targets)
        for layer in scaled.look.style:
            mask = targets.get(f"style_mask.{at_scale(layer, scaled.look.scale)}")
            values = self._statistic(layer, maps[layer], scaled, mask)
            style = style + self._style_loss(layer, values, scaled, targets)
        return content, style

    def _content_loss(
        self, layer: str, maps: Tensor, scaled: Scaled, targets: Targets, place: Part = WHOLE
    ) -> Tensor:
        """Return the loss of a part of a layer's maps, which are given."""
        key = at_scale(layer, scaled.look.scale)
        wanted = targets[f"content.{key}"][..., *place]
        distance = squared_distance(self.extractor.content_maps(layer, maps), wanted)
        return targets[f"content_factor.{key}"] * distance

    def _style_loss(self, layer: str, values: Tensor, scaled: Scaled, targets: Targets) -> Tensor:
        spec, key = self.spec, at_scale(layer, scaled.look.scale)
        divisor = self._divisor(layer, scaled) if spec.statistic == "gram" else 1.0
        wanted, factor = targets[f"style.{key}"], targets[f"style_factor.{key}"]
        parts = statistics.distances(spec.statistic, values, wanted, spec.style_powers, divisor)
        return (factor * parts).sum(1)

    def _total_variation(
        self, rows: Tensor, targets: Targets, size: tuple[int, int], *, is_end: bool = True
    ) -> Tensor:
        """Return the term of images (B, 3, H, W), or of some rows of theirs.

        Args:
            size: (H, W).
            is_end: whether they go to the last row; else their own last counts as the next only.
        """
        spec = self.spec
        weight = spec.tv_weight / tv_divisor(spec.tv_divisor, *size)
        if spec.tv_border:
            # Free of it, the last row and the last column speckle.
            rows = F.pad(rows, (0, 1, 0, int(is_end)), mode="replicate")
        tv = weight * total_variation(rows, spec.tv_power, spec.pixel_scale)
        return tv * targets["tv_factor"] if "tv_factor" in targets else tv


def compose(images: Tensor, targets: Targets) -> Tensor:
    """Return images where their masks are 1 and their contents where those are 0."""
    if "mask" not in targets:
        return images
    # In this form white gives the image and black the content bit by bit.
    return targets["mask"] * images + (1 - targets["mask"]) * targets["mask_content"]
