"""Weights that are drawn, and what a hostile pickle does."""

from pathlib import Path

from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import (
    find_weights,
    load_tensors,
)

Tensors = dict[str, Tensor]


def draw_weights(*layers: str) -> Tensors:
    """Draw filters for all convolutions down to some layers, under torchvision's names."""
    drawn = load_tensors(find_weights("vgg19", "random", Path()), layers)
    tensors: Tensors = {}
    for layer in ARCHITECTURES["vgg19"].convolutions(layers):
        tensors[f"{layer.parameters}.weight"] = drawn[layer.name][0]
        tensors[f"{layer.parameters}.bias"] = drawn[layer.name][1] + 0.1
    return tensors


class Harmful:
    """Writes a file when it is unpickled by something that runs what it reads."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._trace,)
