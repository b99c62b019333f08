"""Statistics of a style image's features, as they are cached and as an objective takes them."""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.device.requests import TargetRequest, fit_style
from stylebatch.device.style_images import StylePicture
from stylebatch.device.target_files import Statistics
from stylebatch.device.tensors import mask_tensor, to_tensor
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import mean_std
from stylebatch.transfer.objective import ObjectiveSpec
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.scales import halve
from stylebatch.transfer.sizes import SMALLEST_EDGE_PX, at_scale
from stylebatch.transfer.tile_sums import add_tile, no_sums, run_tiles, size_of
from stylebatch.transfer.tiles import WHOLE_PIXELS, auto_tile_px


def compute_statistics(
    picture: StylePicture, request: TargetRequest, extractor: Extractor
) -> Statistics:
    """Return a style image's statistics by layer; of Gram matrices the positions summed over too.

    Args:
        picture: at the image's own size; brought to that of the request.
    """
    smallest = SMALLEST_EDGE_PX * (2 if request.padding == "reflect" else 1)
    smallest = max(smallest, extractor.smallest_edge_px) * 2**request.halvings
    fitted = fit_style(picture.pixels, request, smallest)
    image, mask = to_tensor(fitted, request.input_stretch).to(extractor.device), None
    if picture.visible is not None:
        visible = fit_style(picture.visible, request, smallest)
        mask = mask_tensor(visible).to(extractor.device)
    for _ in range(request.halvings):
        image = halve(image)
        mask = None if mask is None else halve(mask)
    return _stored(image, request.statistic, request.layers, extractor, mask)


def image_statistics(image: Tensor, spec: ObjectiveSpec, extractor: Extractor) -> Statistics:
    """Return a style's statistics by layer and scale, as an objective takes them, without files.

    Args:
        image: (1, 3, H, W) in [0, 1], sRGB, at the size at which the style is looked at; its scales
            are those that a content of this size has.
    """
    layers, found = tuple(spec.style_layers), Statistics()
    height, width = image.shape[-2:]
    scales = spec.style_scales_at(height, width, extractor.smallest_edge_px)
    for scale in range(max(scales) + 1):
        if scale:
            image = halve(image)
        if scale not in scales:
            continue
        stored = _stored(image, spec.statistic, layers, extractor)
        if spec.statistic == "gram":
            stored = for_each_position(stored, layers)
        found |= {at_scale(layer, scale): stored[layer] for layer in layers}
    return found


def _stored(
    image: Tensor,
    statistic: str,
    layers: Iterable[str],
    extractor: Extractor,
    mask: Tensor | None = None,
) -> Statistics:
    """Return what a cached file holds of an image (1, 3, H, W).

    Args:
        mask: (1, 1, H, W), how much each pixel counts; all the same without it.
    """
    layers = tuple(layers)
    if image[0, 0].numel() > WHOLE_PIXELS:
        return _stored_by_tiles(image, statistic, layers, extractor, mask)
    with torch.no_grad():
        features = extractor(image, layers)
        masks = {x: None if mask is None else _at(features[x], mask) for x in layers}
        if statistic == "gram":
            return _gram_sums(features, masks, extractor)
        if statistic == "mean_std":
            maps = {x: extractor.feature_maps(x, features[x]) for x in layers}
            every = {x: mean_std(maps[x], masks[x]) for x in layers}
        else:
            every = {x: extractor.moments(x, features[x], masks[x]) for x in layers}
    return {layer: one[0].cpu() for layer, one in every.items()}


def _stored_by_tiles(
    image: Tensor,
    statistic: str,
    layers: Sequence[str],
    extractor: Extractor,
    mask: Tensor | None,
) -> Statistics:
    """Return the same of an image whose maps together would take too much memory."""
    size, masks = size_of(image), dict[str, Tensor]()
    if mask is not None:
        masks = {x: F.adaptive_avg_pool2d(mask, extractor.map_size(x, *size)) for x in layers}
    tile_px = auto_tile_px(extractor.reach_of(layer) for layer in layers)
    found: Statistics = {}
    with torch.no_grad():
        sums = no_sums(extractor, statistic, layers, size, masks, is_narrow=False)
        for tile, maps in run_tiles(extractor, image, layers, tile_px):
            add_tile(sums, tile, maps, masks)
        for layer, each in sums.items():
            if statistic == "gram":
                gram, positions = each.values(each.total)[0], extractor.map_size(layer, *size)
                found |= _gram_sum(layer, gram, math.prod(positions), masks.get(layer))
            elif statistic == "mean_std":
                found[layer] = each.values(each.total)[0].cpu()
            else:
                found[layer] = extractor.moments_of(layer, each.total)[0].cpu()
    return found


def _at(maps: Tensor, mask: Tensor) -> Tensor:
    """Return a mask at the size of feature maps, as the objective brings a content's there."""
    return F.adaptive_avg_pool2d(mask, size_of(maps))


def _gram_sums(
    features: Mapping[str, Tensor], masks: Mapping[str, Tensor | None], extractor: Extractor
) -> Statistics:
    found: Statistics = {}
    for layer, mask in masks.items():
        gram, count = extractor.gram_matrix(layer, features[layer], mask)[0], features[layer][0, 0]
        found |= _gram_sum(layer, gram, count.numel(), mask)
    return found


def _gram_sum(layer: str, gram: Tensor, positions: int, mask: Tensor | None) -> Statistics:
    if mask is not None:
        # As many positions as without a mask, each counted by its share.
        gram = gram * (positions / sum_pixels(mask).clamp_min(1e-6))
    return {layer: gram.cpu(), f"{layer}.positions": torch.tensor(positions)}


def for_each_position(sums: Statistics, layers: Iterable[str]) -> Statistics:
    """Return Gram matrices divided by the positions that were summed over."""
    return {layer: sums[layer] / float(int(sums[f"{layer}.positions"])) for layer in layers}
