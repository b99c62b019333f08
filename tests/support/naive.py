"""Slow, obviously right versions of the formulas: float64, loops, one image, torchvision's VGG-19.

Nothing here imports stylebatch: an agreement is between two ways to the same number.
"""

import copy
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def draw(*shape: int, seed: int = 0) -> Tensor:
    """Draw float32 numbers, uniform in [0, 1], always the same for a shape and seed."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


# --- the network -----------------------------------------------------------------------------


# Of torchvision; ours, `slim`, has the shape of its VGGs, here as they are configured there.
ARCHITECTURES = ("vgg19", "vgg16", "alexnet", "squeezenet1_1")
SLIM: dict[str, list[int | str]] = {
    "slim": [32, 32, "M", 48, 48, "M", 96, 128, 128],
    "slim-2026-11": [32, 24, "M", 48, 48, "M", 96, 96, 96],
}


@cache
def random_network(arch: str) -> nn.Sequential:
    """Return a network of torchvision's without its classifier, with seeded random filters."""
    # A machine with a GPU may have torch alone: most of its tests need no other network.
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        network: nn.Sequential
        if arch in SLIM:
            network = torchvision.models.vgg.make_layers(SLIM[arch])
        else:
            network = torchvision.models.get_model(arch, weights=None).features
    network = network.to_empty(device="cpu").requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_in = module.in_channels * math.prod(module.kernel_size)
            module.weight.normal_(0, math.sqrt(2 / fan_in), generator=generator)
            assert module.bias is not None
            module.bias.normal_(0, 0.1, generator=generator)
    return network


@cache
def random_heads(arch: str = "slim") -> dict[str, nn.Conv2d]:
    """Return seeded 1×1 convolutions from slim's layers to as many channels as VGG-19's have."""
    deepest = int(SLIM[arch][-1])
    shapes = {"conv1_1": (32, 64), "conv2_1": (48, 128), "conv3_1": (96, 256)}
    shapes["conv3_3"] = (deepest, 256)
    if arch in BRANCHES:
        shapes |= {"relu1_1": (32, 64), "relu2_1": (48, 128), "relu3_1": (96, 256)}
    return _one_by_ones(shapes, seed=2)


# Of slim's layers after the activation, the channels that are formed beside the network itself.
BRANCHES = {"slim": {"relu2_1": (48, 48), "relu3_1": (96, 96)}}


def random_branches(arch: str) -> dict[str, nn.Conv2d]:
    """Return seeded 1×1 convolutions of what some of slim's layers rectify."""
    return _one_by_ones(BRANCHES.get(arch, {}), seed=4)


def _one_by_ones(shapes: Mapping[str, tuple[int, int]], seed: int) -> dict[str, nn.Conv2d]:
    generator, heads = torch.Generator().manual_seed(seed), {}
    for layer, (narrow, wide) in shapes.items():
        head = nn.Conv2d(narrow, wide, 1).requires_grad_(False)
        head.weight.normal_(0, narrow**-0.5, generator=generator)
        assert head.bias is not None
        head.bias.normal_(0, 0.5, generator=generator)
        heads[layer] = head
    return heads


def random_vgg19() -> nn.Sequential:
    """Return torchvision's VGG-19 without its classifier, with seeded random filters."""
    return random_network("vgg19")


@cache
def layer_names(arch: str = "vgg19") -> list[str]:
    """Name a VGG's modules as the paper does, by counting: conv1_1, relu1_1, … pool5."""
    names, block, number = [], 1, 0
    for module in random_network(arch):
        if isinstance(module, nn.Conv2d):
            number += 1
            names.append(f"conv{block}_{number}")
        elif isinstance(module, nn.ReLU):
            names.append(f"relu{block}_{number}")
        else:
            names.append(f"pool{block}")
            block, number = block + 1, 0
    return names


def weights() -> dict[str, tuple[Tensor, Tensor]]:
    """Return the network's filters and biases by the layer's name, float32."""
    pairs = zip(layer_names(), random_vgg19(), strict=True)
    found = {}
    for name, module in pairs:
        if isinstance(module, nn.Conv2d):
            assert module.bias is not None
            found[name] = module.weight, module.bias
    return found


class _ScaledAverage(nn.AvgPool2d):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


POOLS: dict[str, Callable[..., nn.Module]] = {
    "max": nn.MaxPool2d,
    "average": nn.AvgPool2d,
    "average_scaled": _ScaledAverage,
}


def _mode(padding: str, before: int) -> Any:
    """Return torch's name for the padding of a convolution that has so many before it."""
    if padding == "replicate_shallow":
        return "replicate" if before < 3 else "zeros"
    return padding


@cache
def _module(index: int, padding: str, dtype: torch.dtype) -> nn.Module:
    module = copy.deepcopy(random_vgg19()[index]).to(dtype)
    if isinstance(module, nn.Conv2d):
        before = sum(isinstance(other, nn.Conv2d) for other in random_vgg19()[:index])
        module.padding_mode = _mode(padding, before)
    return module


@cache
def _network(depth: int, pooling: str, padding: str, dtype: torch.dtype) -> nn.Sequential:
    modules = (_module(index, padding, dtype) for index in range(depth))
    return nn.Sequential(
        *(POOLS[pooling](2) if isinstance(x, nn.MaxPool2d) else x for x in modules)
    )


def feature_maps(
    images: Tensor,
    layers: Sequence[str],
    pooling: str = "max",
    padding: str = "zeros",
    normalisation: str = "weights",
    input_range: float = 255,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """Return the maps (B, C, h, w) of images (B, 3, H, W), read off by hooks."""
    depth = 1 + max(layer_names().index(layer) for layer in layers)
    network = _network(depth, pooling, padding, dtype)
    found: dict[str, Tensor] = {}
    hooks = []
    for name, module in zip(layer_names(), network, strict=False):
        if name in layers:
            # A copy: torchvision's next ReLU overwrites its input.
            def read(_m: nn.Module, _i: Any, output: Tensor, name: str = name) -> None:
                found[name] = output.clone()

            hooks.append(module.register_forward_hook(read))
    x = images.to(dtype) * (input_range / 255)
    if normalisation == "weights":
        mean, std = torch.tensor(MEAN, dtype=dtype), torch.tensor(STD, dtype=dtype)
        x = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    network(x)
    for hook in hooks:
        hook.remove()
    return found


def modules_by_layer(arch: str) -> dict[str, tuple[str, ...]]:
    """Return each layer's modules in torchvision's `features`; of several the maps are joined."""
    if arch.startswith("vgg") or arch in SLIM:
        return {name: (str(index),) for index, name in enumerate(layer_names(arch))}
    if arch == "alexnet":
        names = "conv1 relu1 pool1 conv2 relu2 pool2 conv3 relu3 conv4 relu4 conv5 relu5 pool5"
        return {name: (str(index),) for index, name in enumerate(names.split())}
    assert arch == "squeezenet1_1"
    found: dict[str, tuple[str, ...]] = {}
    names = "conv1 relu1 pool1 fire2 fire3 pool3 fire4 fire5 pool5 fire6 fire7 fire8 fire9"
    for index, name in enumerate(names.split()):
        if name.startswith("fire"):
            found[f"{name}_squeeze"] = (f"{index}.squeeze",)
            found[f"{name}_squeeze_relu"] = (f"{index}.squeeze_activation",)
            found[f"{name}_expand"] = (f"{index}.expand1x1", f"{index}.expand3x3")
        found[name] = (str(index),)
    return found


@cache
def _network_of(arch: str, pooling: str, padding: str, dtype: torch.dtype) -> nn.Sequential:
    network = copy.deepcopy(random_network(arch)).to(dtype)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    for before, module in enumerate(convolutions):
        module.padding_mode = _mode(padding, before)
    return nn.Sequential(
        *(
            POOLS[pooling](x.kernel_size, x.stride, ceil_mode=x.ceil_mode)
            if isinstance(x, nn.MaxPool2d)
            else x
            for x in network
        )
    )


def read_off(
    arch: str,
    x: Tensor,
    layers: Sequence[str],
    pooling: str = "max",
    padding: str = "zeros",
) -> dict[str, Tensor]:
    """Return the maps of torchvision's whole network for its own input (B, 3, H, W), by hooks.

    Layers that it does not get to, because the input is too small, are left out.
    """
    network, places = _network_of(arch, pooling, padding, x.dtype), modules_by_layer(arch)
    found: dict[str, Tensor] = {}
    hooks = []
    for place in {place for layer in layers for place in places[layer]}:
        # A copy: the ReLU after it overwrites its input.
        def read(_m: nn.Module, _i: Any, output: Tensor, place: str = place) -> None:
            found[place] = output.clone()

        hooks.append(network.get_submodule(place).register_forward_hook(read))
    try:
        network(x)
    except RuntimeError as error:
        if not re.search("too small|less than|greater than", str(error)):
            raise
    for hook in hooks:
        hook.remove()
    seen = {layer: [found[place] for place in places[layer] if place in found] for layer in layers}
    return {
        layer: torch.cat(maps, 1) for layer, maps in seen.items() if len(maps) == len(places[layer])
    }


# --- the losses of one image -----------------------------------------------------------------


def gram_by_loops(features: Tensor) -> Tensor:
    """Return G[i, j] = Σ_p F[i, p] F[j, p] of one map (C, H, W)."""
    channels, height, width = features.shape
    gram = torch.zeros(channels, channels, dtype=torch.float64)
    for i in range(channels):
        for j in range(channels):
            for row in range(height):
                for column in range(width):
                    gram[i, j] += float(features[i, row, column]) * float(features[j, row, column])
    return gram


def gram(features: Tensor, divisor: str) -> Tensor:
    """Return the divided Gram matrix (C, C) of one map (C, H, W), as a matrix product."""
    channels, height, width = features.shape
    rows = features.reshape(channels, height * width)
    product = rows @ rows.T
    if divisor == "n":
        return product / (height * width)
    if divisor == "cn":
        return product / (channels * height * width)
    assert divisor == "none"
    return product


def total_variation_by_loops(image: Tensor) -> float:
    """Return Σ (dx² + dy²) of one image (3, H, W) where both next neighbours are there."""
    total = 0.0
    for channel in image.tolist():
        for row in range(len(channel) - 1):
            for column in range(len(channel[0]) - 1):
                here = channel[row][column]
                total += (channel[row][column + 1] - here) ** 2
                total += (channel[row + 1][column] - here) ** 2
    return total


def total_variation(image: Tensor) -> Tensor:
    """Return the same as a tensor that can be differentiated."""
    dx = image[:, :-1, 1:] - image[:, :-1, :-1]
    dy = image[:, 1:, :-1] - image[:, :-1, :-1]
    return (dx**2).sum() + (dy**2).sum()


def distance(kind: str, value: Tensor, target: Tensor) -> Tensor:
    """Return the loss between two tensors: relative, mean or sum of squares."""
    squares = ((value - target) ** 2).sum()
    if kind == "relative":
        return squares / (target**2).sum()
    if kind == "mean":
        return squares / target.numel()
    assert kind == "sum"
    return squares


def terms(
    image: Tensor, content: Tensor, style: Tensor, spec: Mapping[str, Any], strength: float
) -> dict[str, Tensor]:
    """Return total, content, style and tv of one image (3, H, W), written out layer by layer."""
    layers = [*spec["content_layers"], *spec["style_layers"]]
    maps, wanted, painted = (feature_maps(x[None], layers) for x in (image, content, style))
    sums = {"content": torch.zeros(()).double(), "style": torch.zeros(()).double()}
    for layer, weight in spec["content_layers"].items():
        loss = distance(spec["content_loss"], maps[layer][0], wanted[layer][0])
        sums["content"] = sums["content"] + weight * loss
    for layer, weight in spec["style_layers"].items():
        # As many positions as the image has, whatever the size of the style.
        channels, positions = len(maps[layer][0]), maps[layer][0][0].numel()
        divisor = {"none": 1, "n": positions, "cn": channels * positions}[spec["gram_divisor"]]
        grams = (gram(x[layer][0], "n") * (positions / divisor) for x in (maps, painted))
        sums["style"] = sums["style"] + weight * distance(spec["style_loss"], *grams)
    if spec["layer_reduction"] == "mean":
        for term in sums:
            sums[term] = sums[term] / sum(spec[f"{term}_layers"].values())
    found = {
        "content": spec["content_weight"] * sums["content"],
        "style": strength * spec["style_weight"] * sums["style"],
        "tv": spec["tv_weight"] * total_variation(image.double()),
    }
    return {"total": found["content"] + found["style"] + found["tv"], **found}


# --- the optimisers, on one image as a flat vector -------------------------------------------


class DenseLBFGS:
    """Projected L-BFGS with its inverse Hessian as a matrix, rebuilt for every step.

    `entries`: what each evaluation left, oldest first: a pair (s, y), or None.
    """

    def __init__(self, start: Tensor, spec: Any) -> None:
        self.spec, self.shape = spec, start.shape
        self.x = self.trial = start.flatten().double()
        self.entries: list[tuple[Tensor, Tensor] | None] = []
        self.loss, self.gradient = math.inf, torch.zeros_like(self.x)
        self.gamma, self.step = 0.0, 1.0

    def inverse_hessian(self) -> Tensor:
        """Return H by the BFGS formula, pair by pair (Nocedal & Wright 2006, equation 6.17)."""
        eye = torch.eye(len(self.x), dtype=torch.float64)
        H = (self.gamma or 1.0) * eye
        for entry in self.entries[-self.spec.history :]:
            if entry is not None:
                s, y = entry
                rho = 1 / (s @ y)
                V = eye - rho * torch.outer(y, s)
                H = V.T @ H @ V + rho * torch.outer(s, s)
        return H

    def next_point(self) -> Tensor:
        """Return the point that is evaluated next."""
        pixels = list(zip(self.x.tolist(), self.gradient.tolist(), strict=True))
        held = [i for i, (x, g) in enumerate(pixels) if (x <= 0 and g > 0) or (x >= 1 and g < 0)]
        free = self.gradient.clone()
        free[held] = 0
        direction = -self.inverse_hessian() @ free
        direction[held] = 0
        is_downhill = bool(direction @ free < 0)
        if not is_downhill:
            direction = -free
        rms = math.sqrt(float((direction**2).mean()))
        scale = self.spec.first_rms_change / rms
        if is_downhill and self.gamma > 0:
            scale = min(1.0, self.spec.max_rms_change / rms)
        change = (self.step * scale * direction).clamp(-self.spec.max_change, self.spec.max_change)
        point: Tensor = (self.x + change).clamp(0, 1)
        return point.view(self.shape)

    def shorter(self, trial: Tensor, loss: float) -> float:
        """Return where the parabola through both losses is lowest, as a share of the step."""
        if not math.isfinite(loss):
            return 0.5
        # f(t) = a + b·t + c·t², with f(0), f'(0) and f(1) known.
        b = float((trial - self.x) @ self.gradient)
        c = loss - self.loss - b
        return min(0.5, max(0.05, -b / (2 * c)))

    def tell(self, trial: Tensor, loss: float, gradient: Tensor) -> bool:
        """Take an evaluation; return whether it was accepted."""
        trial, gradient = trial.flatten().double(), gradient.flatten().double()
        is_first = math.isinf(self.loss)
        limit = self.loss + self.spec.tolerated_rise * abs(self.loss)
        if not (is_first or loss <= limit):
            self.entries.append(None)
            self.step *= self.shorter(trial, loss)
            return False
        s, y = trial - self.x, gradient - self.gradient
        is_useful = not is_first and float(s @ y) > 1e-6 * float(s.norm() * y.norm())
        self.entries.append((s, y) if is_useful else None)
        if is_useful:
            self.step = self.step if self.gamma else 1.0
            self.gamma = float(2 * (s @ y) / (y @ y))
        self.x, self.gradient, self.loss = trial, gradient, loss
        self.step = min(1.0, 2 * self.step)
        return True


def minimise_in_unit_box(A: Tensor, c: Tensor, steps: int = 4000) -> Tensor:
    """Minimise ½ (x-c)ᵀA(x-c) for 0 ≤ x ≤ 1 by projected gradient, run for long."""
    A, c = A.double(), c.double()
    rate = 1 / float(torch.linalg.eigvalsh(A)[-1])
    x = torch.full_like(c, 0.5)
    for _ in range(steps):
        x = (x - rate * (A @ (x - c))).clamp(0, 1)
    return x


# Grey and colour, from structures of 1 px up (docs/lab/solver.md).
BANDS = [(2, 8), (1, 5), (3, 3), (6, 3), (20, 6), (60, 12), (80, 12)]


def precondition(image: Tensor, levels: int) -> Tensor:
    """Return Σ weight · band of one (3, H, W): bands are differences of ever coarser averages."""
    image = image.double()
    _, height, width = image.shape
    while 2**levels > min(height, width):
        levels -= 1
    if not levels:
        return image
    cell = 2**levels
    filled = image.new_zeros(3, math.ceil(height / cell) * cell, math.ceil(width / cell) * cell)
    filled[:, :height, :width] = image
    averages, coarse = [filled], filled
    for level in range(1, levels + 1):
        coarse = halve(coarse)
        full = coarse
        for _ in range(level):
            full = F.interpolate(full[None], scale_factor=2, mode="bilinear")[0]
        averages.append(full)
    total = torch.zeros_like(filled)
    following = [*averages[1:], torch.zeros_like(filled)]
    for (grey, colour), finer, coarser in zip(BANDS, averages, following, strict=False):
        band = finer - coarser
        mean = band.mean(0, keepdim=True)
        total += grey * mean + colour * (band - mean)
    return total[:, :height, :width]


def halve(image: Tensor) -> Tensor:
    """Return averages of 2×2 blocks of (C, H, W)."""
    channels, height, width = image.shape
    smaller = image.new_zeros(channels, height // 2, width // 2)
    for row in range(smaller.shape[1]):
        for column in range(smaller.shape[2]):
            block = image[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            smaller[:, row, column] = block.mean((1, 2))
    return smaller
