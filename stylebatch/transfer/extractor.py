"""The feature extractor: images in [0, 1] to feature maps by paper name."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from stylebatch.extractors.architectures import Architecture, Convolution, Layer, Pooling, Reach
from stylebatch.transfer import frozen
from stylebatch.transfer.losses import both_sides, gram_matrix
from stylebatch.transfer.reductions import MAX_NATIVE_CONVOLUTION, qr, twice

PADDING_MODES = {"reflect": "reflect", "replicate": "replicate", "replicate_shallow": "replicate"}
# Brings averages of rectified features back to about what the maximum gives (Crowson's
# style-transfer-pytorch).
AVERAGE_SCALE = 2.0


class Extractor:
    """A frozen convolutional network, built no deeper than the layers that are asked for.

    Source: Gatys et al. 2016, section 2 (average pooling as a choice); the networks' own sources
    stand in `architectures`.

    Attributes:
        taps: the layers that were asked for.
        smallest_edge_px: of images of which these layers still see something.
    """

    def __init__(
        self,
        architecture: Architecture,
        tensors: Mapping[str, tuple[Tensor, Tensor]],
        layers: Iterable[str],
        *,
        mean: Sequence[float],
        std: Sequence[float],
        pooling: str = "max",
        padding: str = "zeros",
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Keep the weights of the operations up to the deepest of `layers`.

        Args:
            tensors: convolution → weight (O, I, k, k) and bias (O,), input channels in RGB order.
            mean, std: of the input's channels, for RGB in [0, 1].
            pooling: max | average | average_scaled (twice the average).
            padding: zeros | reflect | replicate | replicate_shallow (`Architecture.padded`), as far
                as a convolution pads.
            dtype: of the convolutions; feature maps come out as float32.

        Raises:
            UnknownLayerError: a layer that the architecture does not have.
        """
        self.taps = frozenset(layers)
        self.device, self.dtype = torch.device(device), dtype
        self.smallest_edge_px = architecture.smallest_edge_px(self.taps, padding)
        self._operations = architecture.up_to(self.taps)
        self._architecture = architecture
        self._sizes: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._pooling = pooling
        # The mode of those that are named only: of zeros none is.
        self._mode = PADDING_MODES.get(padding, "constant")
        self._padded = architecture.padded(padding)
        # Tensor cores convolve with a pixel's channels side by side, and so do CPUs in bfloat16,
        # which then pool ten times faster too; in float32 those gain next to nothing.
        is_cpu = self.device.type == "cpu"
        is_faster = self.device.type == "cuda" or (is_cpu and dtype == torch.bfloat16)
        self._format = torch.channels_last if is_faster else torch.preserve_format
        self._mean = torch.tensor(mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(std, device=self.device).view(1, 3, 1, 1)
        self._weights = {
            part.name: self._place(*tensors[part.name], dtype)
            for layer in self._operations
            for part in layer.convolutions
        }
        self._branches = {x: part for x, part in architecture.branches.items() if x in self.taps}
        for part in self._branches.values():
            self._weights[part.name] = self._place(*tensors[part.name], dtype)
        self._heads = {
            layer: head for layer, head in architecture.heads.items() if layer in self.taps
        }
        self._head_matrices: dict[str, Tensor] = {}
        self._narrow_matrices: dict[str, tuple[Tensor, Tensor]] = {}
        self._narrow_heads: dict[str, Convolution] = {}
        for layer, head in self._heads.items():
            self._add_head(layer, head, *tensors[head.name])

    def _add_head(self, layer: str, head: Convolution, weight: Tensor, bias: Tensor) -> None:
        # Of the layers' maps, which are float32.
        weight, bias = self._weights[head.name] = self._place(weight, bias, torch.float32)
        # (C, c + 1), the bias its last column.
        matrix = self._head_matrices[layer] = torch.cat([weight.flatten(1), bias[:, None]], 1)
        self._narrow_matrices[layer] = qr(matrix)
        narrow = qr(weight.flatten(1))[1][:, :, None, None]
        part = replace(head, name=f"{head.name}.narrow", channels_out=len(narrow))
        self._narrow_heads[layer] = part
        self._weights[part.name] = self._place(narrow, bias.new_zeros(len(narrow)), torch.float32)

    def _place(self, weight: Tensor, bias: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weight = weight.to(self.device, dtype, memory_format=self._format)
        return weight, bias.to(self.device, dtype)

    def __call__(self, images: Tensor, layers: Collection[str] | None = None) -> dict[str, Tensor]:
        """Return the tapped maps of images (B, 3, H, W), RGB in [0, 1]: (B, c, h, w).

        Args:
            layers: of `taps`, those that are wanted; nothing is computed beyond the deepest.

        They are of the convolutions' dtype; what is summed up over them is float32. They are the
        layers' feature maps, but for an architecture with heads: then `feature_maps` makes these of
        them, and `gram_matrix` does without.
        """
        x = ((images - self._mean) / self._std).to(self.dtype, memory_format=self._format)
        features: dict[str, Tensor] = {}
        missing = set(self.taps if layers is None else layers)
        is_tapped = False
        for layer, following in zip(self._operations, (*self._operations[1:], None), strict=True):
            if self._is_put_off(layer, following):
                continue
            if layer.name in self._branches and layer.name in missing:
                features[layer.name] = F.relu_(self._convolve(self._branches[layer.name], x))
            x = self._apply(layer, x, is_kept=is_tapped)
            is_tapped = layer.name in self.taps
            if is_tapped:
                features.setdefault(layer.name, x)
                missing.discard(layer.name)
                if not missing:
                    break
        return features

    def _is_put_off(self, layer: Layer, following: Layer | None) -> bool:
        """Whether a layer rectifies what may as well be pooled first."""
        is_pooled = following is not None and following.pooling is not None
        is_plain = not layer.convolutions and layer.pooling is None
        return is_plain and is_pooled and self._pooling == "max" and layer.name not in self.taps

    def feature_maps(self, layer: str, maps: Tensor) -> Tensor:
        """Return what a layer's tapped maps stand for: (B, c, h, w) → (B, C, h, w), float32."""
        maps = maps.float()
        return self._convolve(self._heads[layer], maps) if layer in self._heads else maps

    def content_maps(self, layer: str, maps: Tensor) -> Tensor:
        """Return maps as far from each other as a layer's feature maps are: (B, c, h, w), float32.

        Of a head H = Q·R with Qᵀ·Q = 1 these are R·f: ‖H·f - H·p‖ = ‖R·f - R·p‖, and the wide maps
        are never formed.
        """
        maps, part = maps.float(), self._narrow_heads.get(layer)
        return maps if part is None else self._convolve(part, maps)

    def gram_matrix(
        self, layer: str, maps: Tensor, mask: Tensor | None = None, *, is_narrow: bool = False
    ) -> Tensor:
        """Return the Gram matrices, undivided, of a layer's feature maps: (B, c, h, w) → (B, C, C).

        Heads are linear: with F = H·f, f having a row of ones for the bias, F·Fᵀ is H·(f·fᵀ)·Hᵀ,
        and the wide maps are never formed.

        Args:
            mask: (B, 1, h, w), how much each position counts; all the same without it.
            is_narrow: as `narrow_gram` would make them, (B, n, n).
        """
        return self.gram_of(layer, self.sums(layer, maps, mask), is_narrow=is_narrow)

    def sums(
        self, layer: str, maps: Tensor, mask: Tensor | None = None, *, with_ones: bool = False
    ) -> Tensor:
        """Return what `gram_of` or `moments_of` takes of a layer's tapped maps: (B, n, n).

        Those of parts of a map add up to those of the whole.

        Args:
            mask: (B, 1, h, w), how much each position counts; all the same without it.
            with_ones: for `moments_of`.
        """
        return _weighted_gram(maps, mask, with_ones=with_ones or layer in self._heads)

    def gram_of(self, layer: str, sums: Tensor, *, is_narrow: bool = False) -> Tensor:
        """Return the Gram matrices, undivided, of a layer's feature maps with these sums."""
        if layer not in self._heads:
            return sums
        matrix = self._narrow_matrices[layer][1] if is_narrow else self._head_matrices[layer]
        return both_sides(matrix, sums)

    def narrow_gram(self, layer: str, gram: Tensor) -> Tensor:
        """Return Gram matrices as far from each other as a layer's are: (B, C, C) → (B, n, n).

        Of a head H = Q·R these are Qᵀ·G·Q: as G = H·S·Hᵀ, ‖G - A‖ = ‖R·S·Rᵀ - Qᵀ·A·Q‖ for any A
        that is of maps of the same head, or of a mix of such.
        """
        found = self._narrow_matrices.get(layer)
        return gram if found is None else both_sides(found[0].T.contiguous(), gram)

    def moments(self, layer: str, maps: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return means and second moments E[ffᵀ] of a layer's feature maps: (B, C + 1, C).

        Args:
            mask: (B, 1, h, w), how much each position counts; all the same without it.
        """
        return self.moments_of(layer, self.sums(layer, maps, mask, with_ones=True))

    def moments_of(self, layer: str, sums: Tensor) -> Tensor:
        """Return the moments of a layer's feature maps with these sums, ones among them."""
        head = self._head_matrices.get(layer)
        if head is not None:
            last = head.new_zeros(1, head.shape[1])
            last[0, -1] = 1
            sums = both_sides(torch.cat([head, last]), sums)
        channels = sums.shape[1] - 1
        count = sums[:, channels:, channels:].clamp_min(1e-6)
        return torch.cat([sums[:, channels:, :channels], sums[:, :channels, :channels]], 1) / count

    def num_channels(self, layer: str) -> int:
        """Return C, of the layer's feature maps."""
        if layer in self._heads:
            return self._heads[layer].channels_out
        return next(each.channels_out for each in self._operations if each.name == layer)

    def map_size(self, layer: str, height: int, width: int) -> tuple[int, int]:
        """Return (h, w) of a layer's maps of images of a size."""
        key = layer, height, width
        if key not in self._sizes:
            edges = (self._architecture.edge_of(layer, edge) for edge in (height, width))
            self._sizes[key] = next(edges), next(edges)
        return self._sizes[key]

    def reach_of(self, layer: str) -> Reach:
        """Return which pixels decide a position of a layer's maps."""
        return self._architecture.reach_of(layer)

    def _apply(self, layer: Layer, x: Tensor, is_kept: bool) -> Tensor:
        if layer.convolutions:
            maps = [self._convolve(part, x) for part in layer.convolutions]
            return maps[0] if len(maps) == 1 else torch.cat(maps, 1)
        if layer.pooling:
            return self._pool(layer.pooling, x)
        # A convolution's output is needed by nobody else unless it is tapped.
        return frozen.rectify(x) if is_kept else F.relu_(x)

    def _pool(self, window: Pooling, x: Tensor) -> Tensor:
        if self._pooling == "max":
            # Of rectified maps it is the same.
            return frozen.pool_and_rectify(x, window)
        pooled = F.avg_pool2d(x, window.kernel, window.stride, ceil_mode=window.ceil_mode)
        return pooled if self._pooling == "average" else pooled * AVERAGE_SCALE

    def _convolve(self, part: Convolution, x: Tensor) -> Tensor:
        weight, bias = self._weights[part.name]
        padding = part.padding
        if padding and part.name in self._padded:
            x, padding = self._pad(x, padding), 0
        if not x.is_cpu:
            return frozen.convolve(x, weight, bias, part.stride, padding, 1)
        # Means nothing to a 1×1 kernel, but keeps torch (2.15) from leaving oneDNN for it on one
        # thread: `use_mkldnn`, as for MAX_NATIVE_CONVOLUTION.
        dilation = 2 if part.kernel == 1 else 1
        if len(x) == 1 and x.numel() <= MAX_NATIVE_CONVOLUTION:
            return frozen.convolve(twice(x), weight, bias, part.stride, padding, dilation)[:1]
        return frozen.convolve(x, weight, bias, part.stride, padding, dilation)

    def _pad(self, x: Tensor, padding: int) -> Tensor:
        if self._mode == "replicate" and not x.is_cpu:
            return frozen.replicate(x, padding)
        return F.pad(x, (padding,) * 4, mode=self._mode)


def _weighted_gram(maps: Tensor, mask: Tensor | None, *, with_ones: bool) -> Tensor:
    """Return Gram matrices of maps whose positions count by a mask, if there is one.

    Args:
        with_ones: as if one more channel were 1 everywhere.
    """
    if mask is None:
        return gram_matrix(maps, with_ones=with_ones)
    if with_ones:
        maps = F.pad(maps, (0, 0, 0, 0, 0, 1), value=1.0)
    return gram_matrix(maps * mask.sqrt())
