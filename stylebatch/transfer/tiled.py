"""The objective of images too large to be evaluated at once: tile by tile, and the same numbers.

What is matched of a style are sums over all positions, and the loss is known only when all tiles
have been seen. So the network runs twice. First, without a gradient, each tile's share of the sums
is added up; the loss of the whole and its slope by each sum follow. Then each tile is run with a
gradient, and gets these slopes through its own share; content losses are sums over tiles anyway,
and total variation and scales need no network. Each tile is let go before the next is begun.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.frozen import format_of
from stylebatch.transfer.losses import loss_scale_of
from stylebatch.transfer.objective import (
    Losses,
    Objective,
    ObjectiveSpec,
    Scaled,
    Seen,
    Targets,
    compose,
)
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.sizes import at_scale
from stylebatch.transfer.tile_sums import (
    TileSums,
    add_tile,
    cut_for,
    kept_maps,
    no_sums,
    part_of,
    run_tiles,
    size_of,
)
from stylebatch.transfer.tiles import Tile, Tiling


class _Matched(NamedTuple):
    """A style layer as all tiles have it.

    Attributes:
        mask: (B, 1, h, w), of the whole.
        slope: of the loss by the total of the sums.
    """

    sums: TileSums
    mask: Tensor | None
    slope: Tensor


class TiledObjective(Objective):
    """Evaluate images of any size in the memory of a tile and of a few images.

    The numbers are those of `Objective` but for rounding. An image, or a scale of one, that
    `tiling` does not cut is evaluated as there.
    """

    def __init__(self, spec: ObjectiveSpec, extractor: Extractor, tiling: Tiling) -> None:
        super().__init__(spec, extractor)
        self.tiling = tiling

    def evaluate(self, images: Tensor, targets: Targets) -> tuple[Losses, Tensor]:
        """Return the losses (B,) and the gradient of each image's total, (B, 3, H, W)."""
        if not self._is_cut(images):
            return super().evaluate(images, targets)
        images = images.detach().requires_grad_()
        composed = compose(images, targets)
        content, style, tv = (images.new_zeros(images.shape[0]) for _ in range(3))
        # The images on every scale, and the slope of the losses by each.
        ends, slopes = list[Tensor](), list[Tensor]()
        for scaled in self._scales_of(composed):
            more_content, more_style, slope = self._differentiate(scaled, targets)
            content, style = content + more_content, style + more_style
            ends.append(scaled.images)
            slopes.append(slope)
        if self.spec.tv_weight:
            tv, slope = self._differentiate_total_variation(composed.detach(), targets)
            ends.append(composed)
            slopes.append(slope)
        (gradient,) = torch.autograd.grad(ends, images, slopes)
        losses = Losses(content + style + tv, content, style, tv)
        return Losses(*(term.detach() for term in losses)), gradient.contiguous()

    def losses(self, images: Tensor, targets: Targets) -> Losses:
        """Return the losses (B,) of images (B, 3, H, W); with no gradient where they are cut."""
        if not self._is_cut(images):
            return super().losses(images, targets)
        with torch.no_grad():
            return super().losses(images, targets)

    def _is_cut(self, images: Tensor) -> bool:
        return self.tiling.cuts(*size_of(images))

    def _add_losses(
        self, scaled: Scaled, targets: Targets, content: Tensor, style: Tensor
    ) -> tuple[Tensor, Tensor]:
        if not self._is_cut(scaled.images):
            return super()._add_losses(scaled, targets, content, style)
        masks = _masks_of(scaled, targets)
        sums = self._no_sums(scaled, masks)
        for tile, maps in self._tiles(scaled, scaled.look.layers):
            for layer in scaled.look.content:
                place = tile.place[layer]
                loss = self._content_loss(layer, maps[layer], scaled, targets, place)
                content = content + loss
            add_tile(sums, tile, maps, masks)
        for layer, each in sums.items():
            values = self._values(layer, each, each.total, scaled, masks.get(layer))
            style = style + self._style_loss(layer, values, scaled, targets)
        return content, style

    def _see(self, scaled: Scaled, masks: Mapping[str, Tensor]) -> Seen:
        if not self._is_cut(scaled.images):
            return super()._see(scaled, masks)
        kind, look, extractor = self.spec.content_loss, scaled.look, self.extractor
        sums = self._no_sums(scaled, masks)
        maps_of_all, squares = dict[str, Tensor](), dict[str, Tensor]()
        for tile, maps in self._tiles(scaled, {*look.content, *sums}):
            for layer in look.content:
                found = sum_pixels(extractor.feature_maps(layer, maps[layer]).square())
                squares[layer] = squares[layer] + found if layer in squares else found
                part = extractor.content_maps(layer, maps[layer])
                if layer not in maps_of_all:
                    maps_of_all[layer] = _room_for(part, scaled.sizes[layer])
                maps_of_all[layer][..., *tile.place[layer]] = part
            add_tile(sums, tile, maps, masks)
        content = {
            layer: (
                maps_of_all[layer],
                loss_scale_of(kind, squares[layer], self._num_features(layer, scaled)),
            )
            for layer in look.content
        }
        own = {
            layer: self._values(layer, each, each.total, scaled, masks.get(layer))
            for layer, each in sums.items()
        }
        return Seen(content, own)

    def _differentiate(self, scaled: Scaled, targets: Targets) -> tuple[Tensor, Tensor, Tensor]:
        """Return both losses (B,) of a scale, and the slope of their sum by its images."""
        images = scaled.images.detach()
        none = images.new_zeros(images.shape[0])
        if not self._is_cut(images):
            leaf = images.requires_grad_()
            alone = scaled._replace(images=leaf)
            content, style = self._add_losses(alone, targets, none, none)
            (slope,) = torch.autograd.grad((content + style).sum(), leaf)
            return content.detach(), style.detach(), slope
        alone = scaled._replace(images=images)
        style, matched = self._match(alone, targets)
        content, slope = self._differentiate_tiles(alone, targets, matched)
        return content, style, slope

    def _match(self, scaled: Scaled, targets: Targets) -> tuple[Tensor, dict[str, _Matched]]:
        """Run all tiles without a gradient; return the style's loss (B,) and its slopes."""
        masks, matched = _masks_of(scaled, targets), dict[str, _Matched]()
        sums = self._no_sums(scaled, masks)
        with torch.no_grad():
            for tile, maps in self._tiles(scaled, sums):
                add_tile(sums, tile, maps, masks)
        style = scaled.images.new_zeros(scaled.images.shape[0])
        for layer, each in sums.items():
            total = each.total.requires_grad_()
            values = self._values(layer, each, total, scaled, masks.get(layer))
            loss = self._style_loss(layer, values, scaled, targets)
            (slope,) = torch.autograd.grad(loss.sum(), total)
            matched[layer] = _Matched(each, masks.get(layer), slope)
            style = style + loss.detach()
        return style, matched

    def _differentiate_tiles(
        self, scaled: Scaled, targets: Targets, matched: Mapping[str, _Matched]
    ) -> tuple[Tensor, Tensor]:
        """Return the content's loss (B,), and the slope of both losses by the images."""
        slope = torch.zeros_like(scaled.images)
        content = slope.new_zeros(slope.shape[0])
        for tile in cut_for(
            self.extractor, size_of(slope), scaled.look.layers, self.tiling.tile_px
        ):
            leaf = scaled.images[..., *tile.part].requires_grad_()
            maps = kept_maps(self.extractor, leaf, tile)
            ends, slopes = list[Tensor](), list[Tensor]()
            for layer in scaled.look.content:
                place = tile.place[layer]
                loss = self._content_loss(layer, maps[layer], scaled, targets, place)
                content = content + loss.detach()
                ends.append(loss)
                slopes.append(torch.ones_like(loss))
            for layer, style in matched.items():
                mask = part_of(style.mask, tile.place[layer])
                ends.append(style.sums.of_tile(maps.pop(layer), mask))
                slopes.append(style.slope)
            (found,) = torch.autograd.grad(ends, leaf, slopes)
            slope[..., *tile.part] += found
        return content, slope

    def _differentiate_total_variation(
        self, images: Tensor, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        """Return the total variation (B,) and its slope by the images, some rows at a time."""
        tv, slope = images.new_zeros(images.shape[0]), torch.zeros_like(images)
        height, width = size_of(images)
        count = self.tiling.tile_px
        # Without its border the last row has no next one.
        for first in range(0, max(1, height - 1), count):
            is_end = first + count >= height - 1
            part = slice(first, height if is_end else first + count + 1)
            leaf = images[..., part, :].requires_grad_()
            term = self._total_variation(leaf, targets, (height, width), is_end=is_end)
            (found,) = torch.autograd.grad(term.sum(), leaf)
            slope[..., part, :] += found
            tv = tv + term.detach()
        return tv, slope

    def _tiles(
        self, scaled: Scaled, layers: Iterable[str]
    ) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
        """Yield the tiles that these layers are seen in, with what is kept of their maps."""
        return run_tiles(self.extractor, scaled.images, layers, self.tiling.tile_px)

    def _no_sums(self, scaled: Scaled, masks: Mapping[str, Tensor]) -> dict[str, TileSums]:
        """Return the sums of a scale's style layers before any tile is added."""
        size, layers = size_of(scaled.images), scaled.look.style
        kind, is_narrow = self.spec.statistic, self._is_narrow
        return no_sums(self.extractor, kind, layers, size, masks, is_narrow=is_narrow)

    def _values(
        self, layer: str, sums: TileSums, total: Tensor, scaled: Scaled, mask: Tensor | None
    ) -> Tensor:
        """Return what of the images is matched, as `_statistic` does."""
        values = sums.values(total)
        if self.spec.statistic == "gram":
            return self._divided(layer, values, scaled, mask)
        return values

    def _num_features(self, layer: str, scaled: Scaled) -> int:
        return self.extractor.num_channels(layer) * math.prod(scaled.sizes[layer])


def _masks_of(scaled: Scaled, targets: Targets) -> dict[str, Tensor]:
    names = {layer: f"style_mask.{at_scale(layer, scaled.look.scale)}" for layer in scaled.sizes}
    return {layer: targets[name] for layer, name in names.items() if name in targets}


def _room_for(part: Tensor, size: tuple[int, int]) -> Tensor:
    """Return room for maps of which a part looks like this."""
    room = part.new_empty((*part.shape[:2], *size))
    return room.contiguous(memory_format=format_of(part))
