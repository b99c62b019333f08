"""How many images fit: the arithmetic, and that the probe's step is one of the real parts."""

from typing import Any

import pytest
import torch
from support import naive

from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.device.memory import SHARE, Peaks, max_images, run_once
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import NORMALISATIONS
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective

MB = 2**20


@pytest.mark.parametrize(
    ("once", "each", "fits"), [(0, 10, 7), (15, 10, 6), (70, 10, 1), (0, 100, 1), (5, 80, 1)]
)
def test_as_many_fit_as_the_share_of_free_memory_holds(once: int, each: int, fits: int) -> None:
    peaks = Peaks(once + each, once + 2 * each)
    free = 100
    found = max_images(free * MB, Peaks(peaks.of_one * MB, peaks.of_two * MB))
    assert found == fits
    assert found == 1 or once + found * each <= SHARE * free < once + (found + 1) * each


def test_where_a_second_image_seemed_to_cost_nothing_both_are_taken_for_each() -> None:
    assert max_images(1000 * MB, Peaks(60 * MB, 50 * MB)) == int(1000 * SHARE - 10) // 50
    assert max_images(1000 * MB, Peaks(0, 0)) >= 1


@pytest.mark.parametrize(
    ("changes", "is_masked"),
    [
        ({}, False),
        ({}, True),
        ({"statistic": "mean_std"}, False),
        ({"optimizer": "adam"}, True),
        ({"scales": [1, 1, 1], "content_scales": [0, 1]}, True),
        ({"scales": [0, 1], "statistic": "mean_covariance"}, False),
        ({"scales": [1, 1], "statistic": "wasserstein", "strength_acts_on": "statistics"}, True),
    ],
)
def test_a_probe_s_step_runs_every_part_that_a_real_one_does(
    changes: dict[str, Any], is_masked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_on("vgg19", {**recipe_fields("balanced"), **changes})
    extractor = Extractor(
        ARCHITECTURES["vgg19"], naive.weights(), recipe.layers, mean=naive.MEAN, std=naive.STD
    )
    objective = Objective(objective_spec(recipe), extractor)
    spec = solver_spec(recipe, NORMALISATIONS["imagenet"]).optimizer
    seen: list[tuple[torch.Size, set[str]]] = []
    real = Objective.evaluate

    def evaluate(self: Objective, images: Any, targets: Any) -> Any:
        seen.append((images.shape, set(targets)))
        return real(self, images, targets)

    monkeypatch.setattr(Objective, "evaluate", evaluate)
    run_once(objective, spec, 2, (64, 80), is_masked=is_masked)
    ((shape, names),) = seen
    assert shape == (2, 3, 64, 80)
    assert ("mask" in names) == is_masked
    ending = [f"/{2**n}" if n else "" for n, weight in enumerate(recipe.scales) if weight]
    wanted = {f"style.{layer}{end}" for layer in recipe.style_layers for end in ending}
    assert {name for name in names if name.startswith("style.")} == wanted
