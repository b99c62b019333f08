"""Problems of a device whose recipe looks at several scales: what each level is given."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support import naive, naive_scales
from support.projects import Project
from support.runs import picture
from support.style_folders import Folder, assert_close, assert_equal, fitted
from torch import Tensor

from stylebatch.device.device import Device
from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.recipes import Settings
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem

LAYERS = ("conv1_1", "relu2_1")
STATISTICS = naive_scales.STATISTICS
pytestmark = pytest.mark.usefixtures("on_one_core")

# Coarse to fine, (height, width): an image of 40×32 px has two scales, one of 80×64 three.
LEVELS = [(32, 40), (64, 80)]


class Asking:
    """A device and a style of its own, on the random weights that a pair can ask for."""

    def __init__(self, root: Path) -> None:
        self.folder, self.device = Folder(root), Device("cpu", root, root / "cache")
        self.style = self.folder.style(self.folder.image("s.png", 1))

    def settings(self, **fields: Any) -> Settings:
        layers = {"content_layers": {"conv2_1": 1}, "style_layers": dict.fromkeys(LAYERS, 1)}
        return Project(self.folder.root).settings(precision="float32", **{**layers, **fields})

    def problem(self, levels: list[tuple[int, int]], **fields: Any) -> Problem:
        engine = cast(Engine, SimpleNamespace(sizes=levels))
        height, width = levels[-1]
        pixels, settings = np.array(picture(5, width, height)), self.settings(**fields)
        return self.device.problem(
            "key", settings, engine, pixels=pixels, style=self.style, strength=1.0, noise_seed=None
        )

    def wanted(self, statistic: str, size: tuple[int, int], halvings: int) -> dict[str, Tensor]:
        """Return the style's statistics at a size (width, height), halved, in float64."""
        image = fitted(self.folder.root / "s.png", size)
        image = naive_scales.pyramid(image, 1 + halvings)[halvings]
        maps = random_maps(image)
        return {layer: naive_scales.as_given(statistic, maps[layer]) for layer in LAYERS}


def random_maps(image: Tensor) -> dict[str, Tensor]:
    """Return LAYERS' maps on the random weights, written out; borders are repeated, not zeros."""
    tensors = load_tensors(find_weights("vgg19", "random", Path()), LAYERS)
    convolved = {name: (weight.double(), bias.double()) for name, (weight, bias) in tensors.items()}
    mean, std = (torch.tensor(x).double().view(3, 1, 1) for x in (naive.MEAN, naive.STD))

    def convolve(x: Tensor, name: str) -> Tensor:
        return torch.conv2d(F.pad(x, (1,) * 4, mode="replicate"), *convolved[name])

    first = convolve((image - mean)[None] / std, "conv1_1")
    x = torch.max_pool2d(convolve(first.relu(), "conv1_2").relu(), 2)
    second = convolve(x, "conv2_1").relu()
    return {"conv1_1": first[0], "relu2_1": second[0]}


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_problem_has_the_style_s_statistics_on_the_scales_that_each_level_has(
    asking: Asking, statistic: str
) -> None:
    problem = asking.problem(LEVELS, scales=[1, 1, 1], statistic=statistic, style_size_px="match")
    assert len(problem.statistics) == 2
    # For a work edge of 80 px the style has 96, and half of it where the image has half.
    for found, size, scales in zip(problem.statistics, [(48, 32), (96, 64)], [2, 3], strict=True):
        wanted = {
            naive_scales.key(layer, scale): one
            for scale in range(scales)
            for layer, one in asking.wanted(statistic, size, scale).items()
        }
        assert_close(found, wanted)
    assert len(asking.folder.files()) == 5


def test_scales_that_do_not_count_are_not_asked_for(asking: Asking) -> None:
    problem = asking.problem(LEVELS, scales=[0, 1, 1], content_scales=[1, 1])
    keys = [set(statistics) for statistics in problem.statistics]
    assert keys == [
        {"conv1_1/2", "relu2_1/2"},
        {"conv1_1/2", "relu2_1/2", "conv1_1/4", "relu2_1/4"},
    ]
    assert len(asking.folder.files()) == 3


def test_where_an_image_has_no_scale_that_counts_its_full_size_is_asked_for(
    asking: Asking,
) -> None:
    problem = asking.problem([(16, 20)], scales=[0, 1, 1])
    assert [set(statistics) for statistics in problem.statistics] == [set(LAYERS)]


def test_recipes_with_other_numbers_of_scales_share_files(asking: Asking) -> None:
    counts = []
    for scales in ([1], [1, 1], [1, 1, 1], [2, 0, 1]):
        asking.problem(LEVELS[1:], scales=scales)
        counts.append(len(asking.folder.files()))
    assert counts == [1, 2, 3, 3]


@pytest.mark.parametrize("statistic", ["mean_covariance", "wasserstein"])
def test_sizes_of_the_style_average_means_and_second_moments(
    asking: Asking, statistic: str
) -> None:
    fields = {"scales": [1, 1], "statistic": statistic, "style_size_px": 96}
    problem = asking.problem(LEVELS[1:], style_scales=[1, 0.5], **fields)
    assert len(asking.folder.files()) == 4
    for scale in range(2):
        sizes = [asking.wanted(statistic, size, scale) for size in ((96, 64), (48, 32))]
        mean = {layer: (sizes[0][layer] + sizes[1][layer]) / 2 for layer in LAYERS}
        found = {x: problem.statistics[0][naive_scales.key(x, scale)] for x in LAYERS}
        assert_close(found, mean)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_device_s_objective_takes_a_device_s_targets(asking: Asking, statistic: str) -> None:
    """And the total is that of the formulas, from the files on."""
    fields: dict[str, Any] = {
        "scales": [1, 2, 1],
        "content_scales": [1, 1],
        "statistic": statistic,
        "strength_acts_on": "statistics",
        "tv_weight": 1,
        "tv_divisor": "edge",
        "tv_border": True,
    }
    problem: Problem = asking.problem(LEVELS[1:], **fields)
    settings = asking.settings(**fields)
    objective = asking.device.objective(settings)
    targets = objective.targets(problem.content, problem.statistics[0], problem.strength)
    losses, _ = objective.evaluate(problem.content, targets)
    assert float(losses.content) < 1e-10
    assert float(losses.style) == pytest.approx(
        style_term(asking, problem.content[0].double(), settings), rel=1e-4
    )
    every = naive_scales.edges_repeated(problem.content[0])
    tv = naive.total_variation_by_loops(every) / (64 * 80) ** 0.5
    assert float(losses.tv) == pytest.approx(tv, rel=1e-5)


def style_term(asking: Asking, content: Tensor, settings: Settings) -> float:
    """Return style_weight × the mean of three scales, the half twice, and of two layers."""
    recipe = settings.recipe
    total = 0.0
    for scale, weight in enumerate((1, 2, 1)):
        maps = random_maps(naive_scales.pyramid(content, 3)[scale])
        style = asking.wanted(recipe.statistic, (96, 64), scale)
        for layer in LAYERS:
            own = style[layer]
            if recipe.statistic in ("mean_covariance", "wasserstein"):
                own = torch.cat([own[:1], own[1:] - torch.outer(own[0], own[0])])
            found = naive_scales.statistic(recipe.statistic, maps[layer])
            loss = naive_scales.distance(recipe.statistic, "relative", found, own, own)
            total += weight * float(loss)
    # Meant at an edge of 112 px; this image has √(64·80).
    return recipe.style_weight * math.sqrt(64 * 80) / 112 * total / (2 * 4)


def test_what_is_cached_on_every_scale_needs_the_style_no_more(asking: Asking) -> None:
    first = asking.problem(LEVELS[1:], scales=[1, 1])
    (asking.folder.root / "s.png").unlink()
    asking.device = Device("cpu", asking.folder.root, asking.folder.cache)
    again = asking.problem(LEVELS[1:], scales=[1, 1])
    assert_equal(again.statistics[0], first.statistics[0])
