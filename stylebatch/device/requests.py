"""Which style targets an image needs: known from its settings and its size alone; no torch."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import fit_pixels, style_size, work_size
from stylebatch.recipes import Settings
from stylebatch.system.files import DIGEST_BYTES
from stylebatch.transfer.sizes import (
    FROM_MOMENTS,
    SMALLEST_EDGE_PX,
    levels_of,
    num_scales,
    weights_at,
)

# Raised whenever the numbers in a cached file would change.
FORMAT = 4

# By level of the pyramid, by scale, by the style's sizes.
Requests = list[list[list["TargetRequest"]]]


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

    @property
    def described(self) -> dict[str, Any]:
        """What of it decides a file's numbers, for JSON."""
        told = {**asdict(self), "layers": sorted(self.layers), "aspect": list(self.aspect)}
        if self.is_of_moments:
            # What is made of them is made later.
            told["statistic"] = "moments"
        if not self.halvings:
            # So that files from before there were any keep their names.
            del told["halvings"]
        return told

    def cache_key(self, image_digest: str) -> str:
        """Name the file for one style image."""
        return key_of(image_digest, self.described)


def request_of(described: Mapping[str, Any]) -> TargetRequest:
    """Return a request again from what `TargetRequest.described` tells of it."""
    told = dict(described)
    told["layers"], told["aspect"] = tuple(told["layers"]), tuple(told["aspect"])
    return TargetRequest(**told)


def key_of(image_digest: str, described: Mapping[str, Any]) -> str:
    """Name the file that holds what `TargetRequest.described` tells of one style image."""
    text = json.dumps([FORMAT, image_digest, described], sort_keys=True)
    return blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def find_requests(settings: Settings, width: int, height: int, device_kind: str) -> Requests:
    """Return what an image of a work size needs of each style on a kind of device.

    Args:
        settings: with a network.
    """
    recipe, second = settings.recipe, settings.recipe.second_pass
    sizes, _ = levels_of(
        recipe.levels,
        recipe.steps,
        None if second is None else (recipe.size_px, recipe.fit, second.steps),
        height,
        width,
        max(SMALLEST_EDGE_PX, settings.smallest_edge_px),
        is_from_content=dict(recipe.start_shares) == {"content": 1.0},
    )
    return requests_at(settings, sizes, device_kind)


def requests_at(settings: Settings, sizes: Sequence[tuple[int, int]], device_kind: str) -> Requests:
    """Return the same for (height, width) of an engine's levels."""
    recipe, finest = settings.recipe, max(sizes[-1])
    known: dict[object, int] = {"match": style_size(finest), "same": recipe.final_size_px}
    full = known.get(recipe.style_size_px) or int(recipe.style_size_px)
    return [
        [
            [
                _request(
                    settings, max(16, round(full * times * max(size) / finest)), scale, device_kind
                )
                for times in (times * recipe.style_scale for times in recipe.style_scales)
            ]
            for scale in style_scales_at(settings, *size)
        ]
        for size in sizes
    ]


def style_scales_at(settings: Settings, height: int, width: int) -> list[int]:
    """Return the scales on which the style of an image of this size is matched."""
    recipe = settings.recipe
    wanted = max(len(recipe.scales), len(recipe.content_scales))
    count = num_scales(wanted, height, width, settings.smallest_edge_px)
    weights = weights_at(recipe.scales, count) if recipe.style_layers else ()
    return [scale for scale, weight in enumerate(weights) if weight]


def _request(settings: Settings, size_px: int, halvings: int, device_kind: str) -> TargetRequest:
    recipe = settings.recipe
    return TargetRequest(
        size_px=size_px,
        layers=tuple(recipe.style_layers),
        layers_digest=settings.layers_digest,
        pooling=recipe.pooling,
        padding=recipe.padding,
        device_kind=device_kind,
        statistic=recipe.statistic,
        normalisation=recipe.normalisation,
        input_range=recipe.input_range,
        input_stretch=recipe.input_stretch,
        fit="longest" if recipe.style_size_px == "match" else recipe.fit,
        aspect=recipe.aspect,
        resampling=recipe.resampling,
        halvings=halvings,
    )


def fit_style(pixels: Pixels, request: TargetRequest, smallest_px: int) -> Pixels:
    """Bring a style image to the size of a request, with edges of so many pixels at least."""
    height, width = pixels.shape[:2]
    edges = work_size(
        width, height, request.size_px, 1, fit=request.fit, aspect=request.aspect, enlarge=True
    )
    edges = (max(smallest_px, edges[0]), max(smallest_px, edges[1]))
    return fit_pixels(pixels, *edges, fit=request.fit, resampling=request.resampling)
