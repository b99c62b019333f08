"""How an image is cut into tiles, so that each position of every map is in exactly one; no torch.

A tile is cut larger than what is kept of its maps: by as many pixels as decide them. So the network
can be run on it as it is. Where the tile ends within the image the network pads it, and what comes
of that is not kept; where the image itself ends it is padded as the whole is. Tiles begin at
multiples of the largest stride, so that windows lie as they do in the whole.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

from stylebatch.extractors.architectures import Reach

# Rows and columns of an image, or of a map.
Part = tuple[slice, slice]
# On a CPU larger images are cut: whole, one of these takes 4 GB with VGG-19, in tiles 1 GB, for 1.3
# of the time (benchmarks/speed/tiles.py). By pixels and not by memory: where an image is made, and
# what beside it, is to leave its bits alone.
WHOLE_PIXELS = 2**21
# Smaller ones are mostly what is around them.
SMALLEST_TILE_PX = 128
# A tile's edge has at least so many times what is around it.
TIMES_AROUND = 6


@dataclass(frozen=True, slots=True)
class Tiling:
    """Which images are cut into tiles, and how large these are.

    Attributes:
        tile_px: edge of what is kept of a tile, at most; what is around it comes on top.
        whole_pixels: images of so many pixels at most are taken as a whole.
    """

    tile_px: int
    whole_pixels: int

    def cuts(self, height: int, width: int) -> bool:
        """Whether an image of this size is cut."""
        return height * width > self.whole_pixels and max(height, width) > self.tile_px


def auto_tile_px(reaches: Iterable[Reach]) -> int:
    """Return an edge for tiles, in which what is around them is no more than half of the work."""
    around = max(reach.before + reach.after for reach in reaches)
    edge = 512
    while edge < TIMES_AROUND * around:
        edge *= 2
    return edge


def smaller_tile_px(tile_px: int | None, height: int, width: int) -> int:
    """Return the edge of tiles to try where memory did not suffice; 0 where there is none.

    Args:
        tile_px: what was tried; None: the image as a whole.
    """
    edge = tile_px if tile_px is not None else max(height, width)
    half = 1 << max(0, (edge - 1).bit_length() - 1)
    return half if half >= SMALLEST_TILE_PX and height * width > half**2 else 0


class Tile(NamedTuple):
    """One tile of an image.

    Attributes:
        part: of the image.
        kept: by layer, of the tile's maps.
        place: by layer, where that is in the maps of the whole.
    """

    part: Part
    kept: Mapping[str, Part]
    place: Mapping[str, Part]


class _Stretch(NamedTuple):
    """A tile along one edge."""

    part: slice
    kept: Mapping[str, slice]
    place: Mapping[str, slice]


def cut(
    size: tuple[int, int],
    tile_px: int,
    reaches: Mapping[str, Reach],
    map_sizes: Mapping[str, tuple[int, int]],
) -> list[Tile]:
    """Cut an image into tiles of about the same size, row by row.

    Args:
        size: (height, width).
        tile_px: edge of what is kept of a tile, at most (up to the largest stride more).
        reaches, map_sizes: of the layers whose maps are wanted; sizes (h, w) are the whole's.
    """
    rows, columns = (
        list(_stretches(size[axis], tile_px, reaches, {x: map_sizes[x][axis] for x in map_sizes}))
        for axis in (0, 1)
    )
    return [
        Tile(
            (row.part, column.part),
            {layer: (row.kept[layer], column.kept[layer]) for layer in reaches},
            {layer: (row.place[layer], column.place[layer]) for layer in reaches},
        )
        for row, column in product(rows, columns)
    ]


def _stretches(
    length: int, tile_px: int, reaches: Mapping[str, Reach], map_lengths: Mapping[str, int]
) -> Iterator[_Stretch]:
    step = math.lcm(*(reach.downscale for reach in reaches.values()))
    borders = [
        border
        for border in _borders(length, tile_px, step)
        # Without padding maps end earlier than the image does.
        if all(border // reaches[layer].downscale < map_lengths[layer] for layer in reaches)
    ]
    for begin, end in pairwise([*borders, length]):
        # To the end of a map, wherever that is, all is the last tile's.
        place = {
            layer: slice(
                begin // reach.downscale,
                end // reach.downscale if end < length else map_lengths[layer],
            )
            for layer, reach in reaches.items()
        }
        firsts, lasts = zip(*(_seen(place[x], reaches[x]) for x in reaches), strict=True)
        first = max(0, min(firsts)) // step * step
        last = min(length, max(lasts) + 1) if end < length else length
        kept = {
            layer: slice(
                place[layer].start - first // reach.downscale,
                place[layer].stop - first // reach.downscale,
            )
            for layer, reach in reaches.items()
        }
        yield _Stretch(slice(first, last), kept, place)


def _borders(length: int, tile_px: int, step: int) -> Sequence[int]:
    """Return where tiles begin: at multiples of `step`, about as far apart as each other."""
    count = max(1, min(math.ceil(length / tile_px), length // step))
    return [index * length // count // step * step for index in range(count)]


def _seen(place: slice, reach: Reach) -> tuple[int, int]:
    """Return the first and the last pixel that decide positions of a map."""
    last = (place.stop - 1) * reach.downscale + reach.after
    return place.start * reach.downscale - reach.before, last
