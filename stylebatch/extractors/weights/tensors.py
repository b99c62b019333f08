"""The tensors of a weight set: loaded, downloaded or drawn. torch is imported when called."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from itertools import takewhile
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from stylebatch.errors import RunError
from stylebatch.extractors.architectures import ARCHITECTURES, Convolution
from stylebatch.extractors.weights.downloads import fetch
from stylebatch.extractors.weights.files import read_tensors
from stylebatch.extractors.weights.names import NAMED_WEIGHTS
from stylebatch.extractors.weights.weight_set import (
    WeightsError,
    WeightSet,
    check_shape,
    layers_digest,
    missing_layers,
    not_finite,
)

if TYPE_CHECKING:
    from torch import Tensor

# A name of so many bytes is a seed by itself. Longer ones exceed torch's 64 bits, and of those its
# generator on the CPU takes the last 32 only, in which long names are alike.
MAX_PLAIN_NAME = 7


class ChangedWeightsError(RunError):
    """Weights that are no longer those that a run was planned with: every image would differ."""


def load_tensors(weights: WeightSet, layers: Iterable[str]) -> "dict[str, tuple[Tensor, Tensor]]":
    """Load (or download, or draw) what the layers need: convolution → weight and bias.

    (O, I, k, k) and (O,), float32 on the CPU, input channels in RGB order whatever the file's is.

    Raises:
        WeightsError: no download, damaged file, a layer that is missing, NaN or infinite numbers.
    """
    architecture = ARCHITECTURES[weights.arch]
    needed = architecture.convolutions(layers)
    if weights.source == "random" and weights.path is None:
        return _draw(needed)
    tensors = _state_dict(weights)
    has = {x.name for x in architecture.convolutions() if f"{x.parameters}.weight" in tensors}
    if missing := [part.name for part in needed if part.name not in has]:
        raise missing_layers(weights, missing, has)
    return {part.name: _checked(weights, part, tensors) for part in needed}


def load_planned(
    weights: WeightSet, layers: Iterable[str], digest: str
) -> "dict[str, tuple[Tensor, Tensor]]":
    """Load what the layers need, if it is still what was planned with; see `load_tensors`.

    Args:
        digest: what `layers_digest` was then.

    Raises:
        ChangedWeightsError: a file that was replaced, or can't be read any more.
        WeightsError: as `load_tensors`.
    """
    layers = tuple(layers)
    if weights.path is None:  # drawn, or of torchvision's: `fetch` reads their own digest
        return load_tensors(weights, layers)
    try:
        loaded = load_tensors(weights, layers)
        # After it, so that what came into its place in between is found as well.
        found = layers_digest(weights, layers)
    except (OSError, SafetensorError) as error:
        raise ChangedWeightsError(weights.source, f"can't be read any more ({error})") from error
    if found != digest:
        todo = "put them back, or run again: what they make is another image"
        raise ChangedWeightsError(
            weights.source, "these weights have changed since planning", "", todo
        )
    return loaded


def load_all_tensors(weights: WeightSet) -> "dict[str, tuple[Tensor, Tensor]]":
    """Load what `load_tensors` would for the deepest layer to which the weights go.

    Raises:
        WeightsError: as `load_tensors`; weights that lack the first layer.
    """
    architecture = ARCHITECTURES[weights.arch]
    every = architecture.convolutions()
    tensors = _state_dict(weights)
    needed = list(takewhile(lambda part: f"{part.parameters}.weight" in tensors, every))
    if not needed:
        raise missing_layers(weights, [every[0].name], ())
    return {part.name: _checked(weights, part, tensors) for part in needed}


def _state_dict(weights: WeightSet) -> "Mapping[str, Tensor]":
    if weights.path is not None:
        return read_tensors(weights.path, weights.source)
    named = NAMED_WEIGHTS[weights.arch, weights.source]
    fetch(named)
    return read_tensors(named.place, named.identifier)


def _checked(
    weights: WeightSet, part: Convolution, tensors: "Mapping[str, Tensor]"
) -> "tuple[Tensor, Tensor]":
    import torch

    weight, bias = tensors[f"{part.parameters}.weight"], tensors.get(f"{part.parameters}.bias")
    shape = None if bias is None else list(bias.shape)
    check_shape(part, list(weight.shape), shape, weights.source)
    assert bias is not None
    for tensor in (weight, bias):
        _check_kind(weights, part.name, tensor)
    # Copies: the file's own would keep all of it mapped, or in memory.
    weight, bias = (tensor.detach().to(torch.float32, copy=True) for tensor in (weight, bias))
    if not (weight.isfinite().all() and bias.isfinite().all()):
        raise not_finite(weights, part.name)
    # Only the first convolution sees colours.
    if part.channels_in == 3 and weights.normalisation.channels == "bgr":
        weight = weight.flip(1)
    return weight.contiguous(), bias.contiguous()


def _check_kind(weights: WeightSet, layer: str, tensor: "Tensor") -> None:
    import torch

    kinds = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    if tensor.dtype in kinds and tensor.layout == torch.strided and tensor.device.type == "cpu":
        return
    kind = " ".join(map(str, (tensor.dtype, tensor.layout, tensor.device))).replace("torch.", "")
    allowed = ", ".join(map(str, kinds)).replace("torch.", "")
    raise WeightsError(weights.source, f"{layer} is stored as {kind}", f"dense {allowed}")


def _draw(needed: tuple[Convolution, ...]) -> "dict[str, tuple[Tensor, Tensor]]":
    """Draw He-normal filters; each convolution has a seed of its own, so depth changes none.

    Random filters carry texture. Source: He, Wang & Hopcroft 2016; Ustyuzhaninov et al. 2016.
    """
    import torch

    drawn = {}
    for part in needed:
        name = part.name.encode()
        if len(name) > MAX_PLAIN_NAME:
            name = blake2b(name, digest_size=MAX_PLAIN_NAME).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(name, "big"))
        scale = (2 / part.fan_in) ** 0.5
        drawn[part.name] = (
            torch.randn(part.shape, generator=generator) * scale,
            torch.zeros(part.channels_out),
        )
    return drawn
