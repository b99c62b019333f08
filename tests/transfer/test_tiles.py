"""Where tiles lie: what decides a position of a map, and that each position is in one tile."""

import math
from itertools import product

import pytest
import torch
from support import naive
from support.extractors import of

from stylebatch.extractors.architectures import ARCHITECTURES, Pooling
from stylebatch.transfer.tiles import Tile, Tiling, auto_tile_px, cut, smaller_tile_px

DEEPEST = {
    **{"vgg19": "relu4_2", "vgg16": "relu4_2", "alexnet": "relu5", "squeezenet1_1": "fire6"},
    **{"slim": "conv3_3", "slim-2026-11": "conv3_3"},
}


def layers_of(arch: str) -> tuple[str, ...]:
    own = ARCHITECTURES[arch]
    return tuple(dict.fromkeys((*own.style_layers, *own.content_layers, DEEPEST[arch])))


@pytest.mark.parametrize("size", [(96, 97), (98, 99), (103, 150)], ids=str)
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_maps_have_the_size_that_the_table_tells(arch: str, size: tuple[int, int]) -> None:
    layers = layers_of(arch)
    network = of(arch, layers)
    for layer, maps in network(naive.draw(1, 3, *size)).items():
        assert network.map_size(layer, *size) == tuple(maps.shape[-2:]), layer


@pytest.mark.parametrize("edge", range(3, 40))
@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (3, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_pooled_maps_have_torchs_size(edge: int, kernel: int, stride: int, ceil_mode: bool) -> None:
    pooled = torch.nn.MaxPool2d(kernel, stride, ceil_mode=ceil_mode)(torch.zeros(1, 1, edge, edge))
    assert Pooling(kernel, stride, ceil_mode).edge_after(edge) == pooled.shape[-1]


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_a_position_is_decided_by_the_pixels_that_the_table_tells_and_by_no_other(
    arch: str,
) -> None:
    layers = layers_of(arch)
    # Averages have a slope by every pixel.
    network = of(arch, layers, pooling="average")
    image = naive.draw(1, 3, 48, 400).requires_grad_()
    maps = network(image)
    for layer in layers:
        reach = network.reach_of(layer)
        place = maps[layer].shape[-1] // 2
        (slope,) = torch.autograd.grad(
            maps[layer][..., place].square().sum(), image, retain_graph=True
        )
        seen = slope.abs().sum((0, 1, 2)).nonzero().flatten()
        first, last = place * reach.downscale - reach.before, place * reach.downscale + reach.after
        assert (int(seen[0]), int(seen[-1])) == (first, last), layer


def tiles_of(arch: str, size: tuple[int, int], tile_px: int) -> tuple[list[Tile], dict[str, int]]:
    own, layers = ARCHITECTURES[arch], layers_of(arch)
    sizes = {x: (own.edge_of(x, size[0]), own.edge_of(x, size[1])) for x in layers}
    reaches = {layer: own.reach_of(layer) for layer in layers}
    return cut(size, tile_px, reaches, sizes), {x: math.prod(sizes[x]) for x in layers}


@pytest.mark.parametrize("tile_px", [16, 33, 64, 100])
@pytest.mark.parametrize("size", [(97, 233), (128, 128), (66, 301), (257, 64)], ids=str)
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_each_position_of_each_map_is_kept_of_exactly_one_tile(
    arch: str, size: tuple[int, int], tile_px: int
) -> None:
    tiles, positions = tiles_of(arch, size, tile_px)
    for layer, count in positions.items():
        places = [
            position
            for tile in tiles
            for position in product(*(range(x.start, x.stop) for x in tile.place[layer]))
        ]
        assert len(places) == len(set(places)) == count, layer


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_a_tile_holds_what_decides_its_positions_and_little_more(arch: str) -> None:
    size, own = (260, 395), ARCHITECTURES[arch]
    tiles, _ = tiles_of(arch, size, 64)
    step = max(own.reach_of(layer).downscale for layer in layers_of(arch))
    for tile, axis in product(tiles, (0, 1)):
        part = tile.part[axis]
        assert part.start % step == 0
        firsts, lasts = [], []
        for layer in layers_of(arch):
            reach, place = own.reach_of(layer), tile.place[layer][axis]
            firsts.append(place.start * reach.downscale - reach.before)
            lasts.append((place.stop - 1) * reach.downscale + reach.after)
            kept = tile.kept[layer][axis]
            offset = part.start // reach.downscale
            assert (kept.start + offset, kept.stop + offset) == (place.start, place.stop)
        assert part.start <= max(0, min(firsts)) < part.start + step
        assert part.stop in (size[axis], max(lasts) + 1)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((64, 64), False), ((64, 65), True), ((128, 32), False), ((129, 32), True), ((60, 60), False)],
)
def test_an_image_is_cut_if_it_has_more_pixels_than_a_tile(
    size: tuple[int, int], wanted: bool
) -> None:
    assert Tiling(64, 64 * 64).cuts(*size) == wanted


def test_a_whole_may_be_larger_than_a_tile() -> None:
    tiling = Tiling(64, 200 * 200)
    assert not tiling.cuts(200, 200)
    assert tiling.cuts(200, 201)


def test_tiles_are_about_as_large_as_each_other() -> None:
    tiles, _ = tiles_of("vgg19", (1000, 1000), 300)
    rows = {(tile.place["relu1_1"][0].start, tile.place["relu1_1"][0].stop) for tile in tiles}
    lengths = [stop - start for start, stop in rows]
    assert len(lengths) == 4
    assert max(lengths) - min(lengths) <= 8


@pytest.mark.parametrize(
    ("layer", "wanted"), [("relu1_1", 512), ("conv3_3", 512), ("relu4_2", 512), ("relu5_1", 1024)]
)
def test_tiles_are_larger_where_more_around_them_decides(layer: str, wanted: int) -> None:
    reach = ARCHITECTURES["vgg19"].reach_of(layer)
    edge = auto_tile_px([ARCHITECTURES["vgg19"].reach_of("conv1_1"), reach])
    assert edge == wanted
    # Both passes of a tile within the image, as a share of its own pixels.
    assert ((edge + reach.before + reach.after) / edge) ** 2 < 1.5


@pytest.mark.parametrize(
    ("tried", "size", "wanted"),
    [
        (None, (4096, 3000), 2048),
        (None, (3000, 2049), 2048),
        (None, (300, 200), 0),
        (None, (150, 150), 128),
        (None, (129, 100), 0),
        (None, (4000, 100), 0),
        (512, (4096, 3000), 256),
        (500, (4096, 3000), 256),
        (256, (4096, 3000), 128),
        (128, (4096, 3000), 0),
    ],
)
def test_smaller_tiles_are_tried_down_to_the_smallest(
    tried: int | None, size: tuple[int, int], wanted: int
) -> None:
    found = smaller_tile_px(tried, *size)
    assert found == wanted
    assert not found or Tiling(found, found**2).cuts(*size)
