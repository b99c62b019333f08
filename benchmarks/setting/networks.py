"""Networks with their weights, and one evaluation of `balanced` on each."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.setting.timing import time_by_turns
from stylebatch.device.from_recipe import objective_spec
from stylebatch.device.style_targets import gram_targets
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import WeightSet, find_weights, load_tensors
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective


class Network(NamedTuple):
    """An architecture, and the file or the name of its weights."""

    arch: str
    weights: str


def load_extractor(weights: WeightSet, layers: Iterable[str], dtype: torch.dtype) -> Extractor:
    """Return a CPU's extractor of some layers, no deeper than they need."""
    layers, told = tuple(layers), weights.normalisation
    tensors = load_tensors(weights, layers)
    return Extractor(
        ARCHITECTURES[weights.arch], tensors, layers, mean=told.mean, std=told.std, dtype=dtype
    )


def make_evaluation(
    network: Network, edge: int, dtype: torch.dtype
) -> Callable[[], tuple[Losses, Tensor]]:
    """Return a function that evaluates `balanced` once, on one square image of noise."""
    recipe = recipe_on(network.arch, recipe_fields("balanced"))
    weights = find_weights(network.arch, network.weights, Path.cwd())
    extractor = load_extractor(weights, recipe.layers, dtype)
    objective = Objective(objective_spec(recipe), extractor)
    image = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    targets = objective.targets(image, gram_targets(image, recipe.style_layers, extractor), 1.0)
    return lambda: objective.evaluate(image * 0.9, targets)


def time_evaluations(
    networks: Mapping[str, Network], edge: int, dtype: torch.dtype, repeats: int
) -> dict[str, list[float]]:
    """Return seconds of evaluations on each network, by turns, after one that does not count."""
    acts = {name: make_evaluation(network, edge, dtype) for name, network in networks.items()}
    return time_by_turns(acts, repeats, warm_up=1)
