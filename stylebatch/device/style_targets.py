"""Style targets: statistics of a style's features, computed once in float32 and cached.

A file holds those of one style image at one size; Gram matrices undivided, so that recipes which
differ in their divisor share files.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.device.style_images import StyleImages, StylePicture
from stylebatch.device.target_files import Statistics, TargetFiles
from stylebatch.device.tensors import mask_tensor, to_tensor
from stylebatch.pictures.colors import match_colors
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.scores import fine_chroma
from stylebatch.pictures.sizes import fit_pixels, work_size
from stylebatch.records import Style, StyleImage
from stylebatch.system.files import DIGEST_BYTES
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import mean_std
from stylebatch.transfer.objective import ObjectiveSpec
from stylebatch.transfer.pyramid import SMALLEST_EDGE_PX
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.scales import at_scale, halve
from stylebatch.transfer.statistics import FROM_MOMENTS

# Raised whenever the numbers in a cached file would change.
FORMAT = 4
# What is used last: as styles take turns, all of a night's have to fit. Of VGG-19 a style has
# 2 to 7 MB at one size, of slim a tenth of that.
MAX_BYTES_IN_MEMORY = 320 * 2**20


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """What decides style targets, next to the style's bytes; fields as in `recipes.Recipe`.

    Attributes:
        size_px: edge of the style image, as `fit` and `aspect` mean it.
        layers: paper names.
        layers_digest: of the weights; names their normalisation too.
        device_kind: cpu | cuda | mps: their float32 sums differ in the last bits.
        halvings: how often the image is halved after it was brought to its size (`halve`).
    """

    size_px: int
    layers: tuple[str, ...]
    layers_digest: str
    pooling: str
    padding: str
    device_kind: str
    statistic: str = "gram"
    normalisation: str = "weights"
    input_range: float = 255
    input_stretch: str = "none"
    fit: str = "longest"
    aspect: tuple[int, int] = (1, 1)
    resampling: str = "lanczos"
    halvings: int = 0

    @property
    def is_of_moments(self) -> bool:
        """Whether means and second moments are what is kept."""
        return self.statistic in FROM_MOMENTS

    def cache_key(self, image_digest: str) -> str:
        """Name the file for one style image."""
        told = {**asdict(self), "layers": sorted(self.layers)}
        if self.is_of_moments:
            # What is made of them is made later.
            told["statistic"] = "moments"
        if not self.halvings:
            # So that files from before there were any keep their names.
            del told["halvings"]
        parts = [FORMAT, image_digest, told]
        text = json.dumps(parts, sort_keys=True)
        return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


class StyleTargets:
    """Style targets by style and request, from memory, disk or the extractor, in this order."""

    def __init__(
        self, root: Path, cache: Path, tell: Callable[[str], object] = lambda text: None
    ) -> None:
        """Read style images below `root`; keep the files of Gram matrices in `cache`.

        Args:
            tell: is told what is wrong with the cache, which only saves time.
        """
        self.images, self._files = StyleImages(root), TargetFiles(cache / "grams", tell)
        self._memory: OrderedDict[tuple[str, TargetRequest], Statistics] = OrderedDict()
        self._bytes = 0
        self._chroma: dict[tuple[str, TargetRequest], float] = {}

    def get(
        self,
        style: Style,
        request: TargetRequest,
        extractor: Callable[[], Extractor],
        colors: Pixels | None = None,
    ) -> Mapping[str, Tensor]:
        """Return layer → statistics in float32; of a blend, the weighted mean.

        Gram matrices (C, C) are divided by their number of positions; means and standard
        deviations are (2, C), means and second moments (C + 1, C).

        Args:
            extractor: makes a float32 extractor of the request; called on a cache miss only.
            colors: an image whose colours the style is given first; then nothing is cached, as the
                targets are that image's own.

        Raises:
            StyleError: an image that can't be read or has changed.
            ImageError: a file that is no image.
        """
        key = (style.digest, request)
        if colors is None and key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        total = sum(image.weight for image in style.images)
        blended: Statistics = {}
        for image in style.images:
            for layer, one in self._of_image(image, request, extractor, colors).items():
                share = one * (image.weight / total)
                blended[layer] = blended[layer] + share if layer in blended else share
        if colors is None:
            self._memory[key] = blended
            self._bytes += _size_of(blended)
            while self._bytes > MAX_BYTES_IN_MEMORY and len(self._memory) > 1:
                self._bytes -= _size_of(self._memory.popitem(last=False)[1])
        return blended

    def picture(self, style: Style) -> Pixels:
        """Return a style as it is, (H, W, 3); of a blend its first image. Errors as in `get`."""
        return self.images.read(style.images[0]).pixels

    def image(
        self,
        style: Style,
        width: int,
        height: int,
        request: TargetRequest,
        colors: Pixels | None = None,
    ) -> Tensor:
        """Return the style as a start, (1, 3, height, width): stretched, or cut from its centre.

        Of a blend it is the weighted mean of its images. Errors as in `get`.
        """
        fit = "stretch" if request.fit == "stretch" else "crop"
        total = sum(image.weight for image in style.images)
        parts = []
        for image in style.images:
            pixels = self._read(image, colors).pixels
            fitted = fit_pixels(pixels, width, height, fit=fit, resampling=request.resampling)
            parts.append(to_tensor(fitted, request.input_stretch) * (image.weight / total))
        return torch.stack(parts).sum(0)

    def fine_chroma(
        self, style: Style, request: TargetRequest, colors: Pixels | None = None
    ) -> float:
        """Return `scores.fine_chroma` of a style at the size of a request; arguments as in `get`.

        Of a blend it is the weighted mean of its images'. Errors as in `get`.
        """
        key = (style.digest, request)
        if colors is None and key in self._chroma:
            return self._chroma[key]
        total = sum(image.weight for image in style.images)
        found = 0.0
        for image in style.images:
            picture = self._read(image, colors)
            fitted = _fitted(picture.pixels, request, SMALLEST_EDGE_PX)
            # What is transparent has one colour.
            share = 1.0 if picture.visible is None else float(picture.visible.mean()) / 255
            found += fine_chroma(fitted) / share * (image.weight / total)
        if colors is None:
            self._chroma[key] = found
        return found

    def _read(self, image: StyleImage, colors: Pixels | None) -> StylePicture:
        picture = self.images.read(image)
        if colors is None:
            return picture
        matched = match_colors(picture.pixels, colors, picture.counted)
        return StylePicture(matched, picture.visible)

    def _of_image(
        self,
        image: StyleImage,
        request: TargetRequest,
        extractor: Callable[[], Extractor],
        colors: Pixels | None,
    ) -> Statistics:
        key = request.cache_key(image.digest)
        stored = self._files.read(key) if colors is None else None
        if stored is None:
            stored = compute_statistics(self._read(image, colors), request, extractor())
            if colors is None:
                self._files.write(key, stored)
        if request.statistic != "gram":
            return {layer: stored[layer] for layer in request.layers}
        return _for_each_position(stored, request.layers)


def _size_of(statistics: Statistics) -> int:
    return sum(tensor.nbytes for tensor in statistics.values())


def compute_statistics(
    picture: StylePicture, request: TargetRequest, extractor: Extractor
) -> Statistics:
    """Return a style image's statistics by layer; of Gram matrices the positions summed over too.

    Args:
        picture: at the image's own size; brought to that of the request.
    """
    smallest = SMALLEST_EDGE_PX * (2 if request.padding == "reflect" else 1)
    smallest = max(smallest, extractor.smallest_edge_px) * 2**request.halvings
    fitted = _fitted(picture.pixels, request, smallest)
    image, mask = to_tensor(fitted, request.input_stretch).to(extractor.device), None
    if picture.visible is not None:
        visible = _fitted(picture.visible, request, smallest)
        mask = mask_tensor(visible).to(extractor.device)
    for _ in range(request.halvings):
        image = halve(image)
        mask = None if mask is None else halve(mask)
    return _stored(image, request.statistic, request.layers, extractor, mask)


def _fitted(pixels: Pixels, request: TargetRequest, smallest_px: int) -> Pixels:
    """Bring a style image to the size of a request, with edges of so many pixels at least."""
    height, width = pixels.shape[:2]
    edges = work_size(
        width, height, request.size_px, 1, fit=request.fit, aspect=request.aspect, enlarge=True
    )
    edges = (max(smallest_px, edges[0]), max(smallest_px, edges[1]))
    return fit_pixels(pixels, *edges, fit=request.fit, resampling=request.resampling)


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
            stored = _for_each_position(stored, layers)
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


def _at(maps: Tensor, mask: Tensor) -> Tensor:
    """Return a mask at the size of feature maps, as the objective brings a content's there."""
    height, width = maps.shape[-2:]
    return F.adaptive_avg_pool2d(mask, (height, width))


def _gram_sums(
    features: Mapping[str, Tensor], masks: Mapping[str, Tensor | None], extractor: Extractor
) -> Statistics:
    found: Statistics = {}
    for layer, mask in masks.items():
        gram, count = extractor.gram_matrix(layer, features[layer], mask)[0], features[layer][0, 0]
        if mask is not None:
            # As many positions as without a mask, each counted by its share.
            gram = gram * (count.numel() / sum_pixels(mask).clamp_min(1e-6))
        found[layer] = gram.cpu()
        found[f"{layer}.positions"] = torch.tensor(count.numel())
    return found


def _for_each_position(sums: Statistics, layers: Iterable[str]) -> Statistics:
    return {layer: sums[layer] / float(int(sums[f"{layer}.positions"])) for layer in layers}
