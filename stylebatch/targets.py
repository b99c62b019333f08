"""Style targets: Gram matrices computed once in float32, cached on disk and in memory.

A file holds the undivided Gram matrices of one style image at one size; the divisor is applied on
reading, so that recipes which differ in it share files.
"""

import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylebatch.errors import RunError, UserError
from stylebatch.files import DIGEST_BYTES, digest_bytes, read_bytes, write_atomic
from stylebatch.images import Pixels, decode, resize
from stylebatch.records import Style, StyleImage
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_divisor, gram_matrix

# Raised whenever the numbers in a cached file would change.
FORMAT = 1
MAX_IN_MEMORY = 128
SMALLEST_EDGE_PX = 16

Grams = dict[str, Tensor]


class StyleError(UserError):
    """A style image that can't be read, or is no longer what was planned with."""


class CacheError(RunError):
    """A cache folder that can't be written: any other style would fare the same."""


@dataclass(frozen=True, slots=True)
class TargetRequest:
    """What decides style targets, next to the style's bytes.

    Attributes:
        size_px: longest edge of the style image.
        layers: paper names.
        layers_digest: of the weights; names the normalisation too.
        divisor: applied on reading: none | n | cn.
        device_kind: cpu | cuda | mps: their float32 sums differ in the last bits.
    """

    size_px: int
    layers: tuple[str, ...]
    layers_digest: str
    pooling: str
    padding: str
    divisor: str
    device_kind: str

    def cache_key(self, image_digest: str) -> str:
        """Name the file for one style image: everything but the divisor."""
        parts = [FORMAT, "gram", "lanczos", image_digest, self.size_px, sorted(self.layers)]
        parts += [self.layers_digest, self.pooling, self.padding, self.device_kind]
        return blake2b(json.dumps(parts).encode(), digest_size=DIGEST_BYTES).hexdigest()


class StyleTargets:
    """Style targets by style and request, from memory, disk or the extractor, in this order."""

    def __init__(self, root: Path, cache: Path) -> None:
        """Read style images below `root`; keep the files of Gram matrices in `cache`."""
        self._root, self._cache = root, cache
        self._given: dict[str, bytes] = {}
        self._memory: OrderedDict[tuple[str, TargetRequest], Grams] = OrderedDict()

    def put_image(self, digest: str, data: bytes) -> None:
        """Give the bytes of a style image that need not be a file."""
        self._given[digest] = data

    def get(
        self, style: Style, request: TargetRequest, extractor: Callable[[], Extractor]
    ) -> Mapping[str, Tensor]:
        """Return layer → divided Gram matrix (C, C) in float32; of a blend, the weighted mean.

        Args:
            extractor: makes a float32 extractor of the request; called on a cache miss only.

        Raises:
            StyleError: an image that can't be read or has changed.
            ImageError: a file that is no image.
            CacheError: the cache can't be written.
        """
        key = (style.digest, request)
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        total = sum(image.weight for image in style.images)
        blended: Grams = {}
        for image in style.images:
            for layer, gram in self._divided(image, request, extractor).items():
                share = gram * (image.weight / total)
                blended[layer] = blended[layer] + share if layer in blended else share
        self._memory[key] = blended
        if len(self._memory) > MAX_IN_MEMORY:
            self._memory.popitem(last=False)
        return blended

    def _divided(
        self, image: StyleImage, request: TargetRequest, extractor: Callable[[], Extractor]
    ) -> Grams:
        path = self._cache / "grams" / f"{request.cache_key(image.digest)}.safetensors"
        stored = _read(path)
        if stored is None:
            pixels = self._read_style(image)
            stored = compute_grams(pixels, request, extractor())
            _write(path, stored)
        return {
            layer: stored[layer]
            / gram_divisor(request.divisor, len(stored[layer]), int(stored[f"{layer}.positions"]))
            for layer in request.layers
        }

    def _read_style(self, image: StyleImage) -> Pixels:
        if image.digest in self._given:
            return decode(self._given[image.digest], image.path).rgb
        try:
            data = read_bytes(self._root / image.path)
        except OSError as error:
            raise StyleError(image.path, f"can't be read ({error.strerror})") from error
        if digest_bytes(data) != image.digest:
            todo = "run again: the plan then sees the new file"
            raise StyleError(image.path, "this style image has changed since planning", "", todo)
        return decode(data, image.path).rgb


def _read(path: Path) -> Grams | None:
    """Read a cached file; a damaged one is as good as none, it will be written again."""
    try:
        return load(read_bytes(path))
    except (OSError, SafetensorError):
        return None


def _write(path: Path, grams: Grams) -> None:
    try:
        write_atomic(path, save(grams))
    except OSError as error:
        found = f"the cache of style targets can't be written ({error.strerror})"
        todo = "free space there, or name another folder: run.cache or $STYLEBATCH_CACHE"
        raise CacheError(str(path.parent), found, "", todo) from error


def compute_grams(pixels: Pixels, request: TargetRequest, extractor: Extractor) -> Grams:
    """Return undivided Gram matrices, and the number of positions each was summed over.

    Args:
        pixels: (H, W, 3) sRGB at the image's own size; resampled to `request.size_px`.
    """
    height, width = pixels.shape[:2]
    scale = request.size_px / max(height, width)
    edges = (max(SMALLEST_EDGE_PX, round(edge * scale)) for edge in (width, height))
    image = to_tensor(resize(pixels, *edges)).to(extractor.device)
    with torch.no_grad():
        features = extractor(image)
    found: Grams = {}
    for layer in request.layers:
        found[layer] = gram_matrix(features[layer])[0].cpu()
        found[f"{layer}.positions"] = torch.tensor(features[layer][0, 0].numel())
    return found


def to_tensor(pixels: Pixels) -> Tensor:
    """Turn (H, W, 3) 8-bit pixels into (1, 3, H, W) in [0, 1], float32."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() / 255


def to_pixels(image: Tensor) -> Pixels:
    """Turn (1, 3, H, W) in [0, 1] into (H, W, 3), rounded to 8 bits."""
    rounded = (image[0] * 255).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(rounded.permute(1, 2, 0).cpu().numpy())
