"""Networks with their weights, and one evaluation of a recipe on each."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.setting.timing import time_by_turns
from stylebatch.device.from_recipe import objective_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import WeightSet, find_weights, load_tensors
from stylebatch.recipes import Recipe, recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective


class Network(NamedTuple):
    """An architecture, the file or the name of its weights, and the recipe that runs on it."""

    arch: str
    weights: str
    recipe: str = "balanced"


def load_extractor(weights: WeightSet, recipe: Recipe, dtype: torch.dtype) -> Extractor:
    """Return a CPU's extractor as a recipe has it, no deeper than its layers need."""
    told = weights.normalisation
    return Extractor(
        ARCHITECTURES[weights.arch],
        load_tensors(weights, recipe.layers),
        recipe.layers,
        mean=told.mean,
        std=told.std,
        pooling=recipe.pooling,
        padding=recipe.padding,
        dtype=dtype,
    )


def make_evaluation(
    network: Network, edge: int, dtype: torch.dtype, batch: int = 1
) -> Callable[[], tuple[Losses, Tensor]]:
    """Return a function that evaluates the recipe once, on so many square images of noise."""
    recipe = recipe_on(network.arch, recipe_fields(network.recipe))
    weights = find_weights(network.arch, network.weights, Path.cwd())
    extractor = load_extractor(weights, recipe, dtype)
    objective = Objective(objective_spec(recipe), extractor)
    image = torch.rand(1, 3, edge, edge, generator=torch.Generator().manual_seed(0))
    targets = objective.targets(image, image_statistics(image, objective.spec, extractor), 1.0)
    targets = {name: torch.cat([value] * batch) for name, value in targets.items()}
    images = torch.cat([image * 0.9] * batch)
    return lambda: objective.evaluate(images, targets)


def time_evaluations(
    networks: Mapping[str, Network],
    edge: int,
    dtype: torch.dtype,
    repeats: int,
    batch: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return seconds of evaluations on each network, by turns, after one that does not count."""
    acts = {
        name: make_evaluation(network, edge, dtype, batch) for name, network in networks.items()
    }
    return time_by_turns(acts, repeats, warm_up=1, clock=clock)
