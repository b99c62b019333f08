"""What tiles of an image add up to: enough for the statistics of the whole, and for their slopes.

First every tile's maps are added (`add`), with no gradient; then `values` are the statistics, as
those of the maps as a whole, and can be differentiated by `total`. A tile's share of `total`
(`of_tile`) can be differentiated by its maps: so what the loss does with statistics of all tiles
reaches the pixels of one.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor

from stylebatch.transfer import statistics
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.frozen import format_of
from stylebatch.transfer.losses import VARIANCE_FLOOR
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.sizes import FROM_MOMENTS
from stylebatch.transfer.tiles import Part, Tile, cut


class TileSums(Protocol):
    """Of one layer of a batch of images."""

    @property
    def total(self) -> Tensor:
        """What has been added up: (B, …)."""

    def add(self, maps: Tensor, mask: Tensor | None) -> None:
        """Take a tile's tapped maps (B, c, h, w) in, and the mask (B, 1, h, w) there."""

    def of_tile(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        """Return what a tile has of the total; all have to be added before."""

    def values(self, total: Tensor) -> Tensor:
        """Return the statistic, (B, rows, C), Gram matrices undivided."""


class GramSums:
    """For Gram matrices, and for means and covariances."""

    def __init__(
        self, extractor: Extractor, layer: str, statistic: str, *, is_narrow: bool
    ) -> None:
        self._extractor, self._layer = extractor, layer
        self._is_of_moments, self._is_narrow = statistic in FROM_MOMENTS, is_narrow
        self._total: Tensor | None = None

    @property
    def total(self) -> Tensor:
        assert self._total is not None, "add tiles first"
        return self._total

    def add(self, maps: Tensor, mask: Tensor | None) -> None:
        found = self.of_tile(maps, mask)
        self._total = found if self._total is None else self._total + found

    def of_tile(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        return self._extractor.sums(self._layer, maps, mask, with_ones=self._is_of_moments)

    def values(self, total: Tensor) -> Tensor:
        if self._is_of_moments:
            return statistics.centre(self._extractor.moments_of(self._layer, total))
        return self._extractor.gram_of(self._layer, total, is_narrow=self._is_narrow)


class SpreadSums:
    """For means and standard deviations: means, and variances around the mean of all tiles.

    Of means and squares a variance would be the small difference of large numbers.

    Source: for how variances of parts are put together, Chan, Golub & LeVeque 1983, equation 2.1.
    """

    def __init__(self, extractor: Extractor, layer: str, weight: Tensor) -> None:
        """Begin with no tile.

        Args:
            weight: what the masks of all tiles add up to, or their positions: (B,).
        """
        self._extractor, self._layer = extractor, layer
        self._weight = weight.clamp_min(1e-6).view(-1, 1, 1, 1)
        # Of the tiles so far: (B, 1) and (B, C).
        self._share: Tensor | None = None
        self._mean = self._variance = torch.zeros(0)

    @property
    def total(self) -> Tensor:
        return torch.stack([self._mean, self._variance], 1)

    def add(self, maps: Tensor, mask: Tensor | None) -> None:
        features, shares = self._read(maps, mask)
        share = sum_pixels(shares.expand(features.shape[0], 1, *features.shape[2:]))[:, None]
        mean = _by_channel(features * shares) / share.clamp_min(1e-30)
        variance = _by_channel((features - mean[..., None, None]).square() * shares)
        if self._share is None:
            self._share, self._mean, self._variance = share, mean, variance
            return
        whole = (self._share + share).clamp_min(1e-30)
        apart = mean - self._mean
        self._variance = self._variance + variance + apart.square() * (self._share * share / whole)
        self._mean = self._mean + apart * (share / whole)
        self._share = whole

    def of_tile(self, maps: Tensor, mask: Tensor | None) -> Tensor:
        features, shares = self._read(maps, mask)
        offset = features - self._mean[..., None, None]
        return torch.stack(
            [_by_channel(features * shares), _by_channel(offset.square() * shares)], 1
        )

    def _read(self, maps: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        features = self._extractor.feature_maps(self._layer, maps)
        return features, (1 if mask is None else mask) / self._weight

    def values(self, total: Tensor) -> Tensor:
        # The slope of a variance by its mean is 0 there.
        mean, variance = total[:, 0], total[:, 1] - (total[:, 0] - self._mean).square()
        return torch.stack([mean, (variance + VARIANCE_FLOOR).sqrt()], 1)


def _by_channel(values: Tensor) -> Tensor:
    batch, channels = values.shape[:2]
    return sum_pixels(values.reshape(batch * channels, -1)).view(batch, channels)


def no_sums(
    extractor: Extractor,
    statistic: str,
    layers: Iterable[str],
    size: tuple[int, int],
    masks: Mapping[str, Tensor],
    *,
    is_narrow: bool,
) -> dict[str, TileSums]:
    """Return what adds up layers of images of a size, before any tile is added.

    Args:
        masks: by layer, of the whole: (B, 1, h, w).
        is_narrow: whether Gram matrices are to be narrow (`Extractor.narrow_gram`).
    """
    if statistic != "mean_std":
        return {
            layer: GramSums(extractor, layer, statistic, is_narrow=is_narrow) for layer in layers
        }
    found = dict[str, TileSums]()
    for layer in layers:
        positions = math.prod(extractor.map_size(layer, *size))
        count = torch.full((1,), float(positions), device=extractor.device)
        weight = sum_pixels(masks[layer]) if layer in masks else count
        found[layer] = SpreadSums(extractor, layer, weight)
    return found


def run_tiles(
    extractor: Extractor, images: Tensor, layers: Iterable[str], tile_px: int
) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
    """Yield the tiles of images (B, 3, H, W), with what is kept of these layers' maps."""
    for tile in cut_for(extractor, size_of(images), layers, tile_px):
        yield tile, kept_maps(extractor, images[..., *tile.part], tile)


def cut_for(
    extractor: Extractor, size: tuple[int, int], layers: Iterable[str], tile_px: int
) -> list[Tile]:
    """Return the tiles of images of a size, as these layers need them."""
    reaches = {layer: extractor.reach_of(layer) for layer in layers}
    sizes = {layer: extractor.map_size(layer, *size) for layer in reaches}
    return cut(size, tile_px, reaches, sizes) if reaches else []


def kept_maps(extractor: Extractor, images: Tensor, tile: Tile) -> dict[str, Tensor]:
    """Run the network on a tile of images; return what is kept, laid out as the maps are."""
    maps = extractor(images, tile.kept.keys())
    found = {}
    for layer, part in tile.kept.items():
        of_tile = maps.pop(layer)
        found[layer] = of_tile[..., *part].contiguous(memory_format=format_of(of_tile))
    return found


def add_tile(
    sums: Mapping[str, TileSums],
    tile: Tile,
    maps: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
) -> None:
    """Add a tile's maps to what adds up their layers; masks are of the whole."""
    for layer, each in sums.items():
        each.add(maps[layer], part_of(masks.get(layer), tile.place[layer]))


def part_of(mask: Tensor | None, part: Part) -> Tensor | None:
    """Return a part of a mask, if there is one."""
    return None if mask is None else mask[..., *part]


def size_of(images: Tensor) -> tuple[int, int]:
    """Return (height, width)."""
    return images.shape[-2], images.shape[-1]
