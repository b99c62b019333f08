"""The engine with objectives that look at several scales, on real features."""

from typing import Any

import pytest
import torch
from support import naive, naive_scales
from support.engines import run, solver
from support.scaled import SPEC, make_objective

from stylebatch.device.style_statistics import image_statistics
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem
from stylebatch.transfer.pyramid import shrink
from stylebatch.transfer.sizes import level_sizes

SIZE = (64, 80)
SPECS: list[dict[str, Any]] = [
    {"statistic": "gram", "scales": (1, 2, 1), "content_scales": (1, 1)},
    {"statistic": "mean_covariance", "scales": (0, 1, 1), "strength_acts_on": "statistics"},
    {"statistic": "wasserstein", "scales": (1, 1), "strength_acts_on": "statistics"},
]


def problem(objective: Objective, key: int, levels: int) -> Problem:
    """Return a problem with a content, a style, a strength and a mask of its own."""
    style = naive.draw(1, 3, 64, 64, seed=100 + key).pow(1 + key % 3)
    given = tuple(
        image_statistics(shrink(style, size), objective.spec, objective.extractor)
        for size in level_sizes(levels, 64, 64)
    )
    content = shrink(naive.draw(1, 3, *SIZE, seed=key), (16, 20))
    content = torch.nn.functional.interpolate(content, SIZE, mode="bilinear")
    mask = naive.draw(1, 1, *SIZE, seed=key).round() if key % 2 else torch.ones(1, 1, *SIZE)
    return Problem(key, content, given, strength=0.3 + 0.5 * key, noise_seed=key, mask=mask)


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 2])
@pytest.mark.parametrize("changes", SPECS, ids=[spec["statistic"] for spec in SPECS])
def test_solves_on_several_scales_do_not_influence_each_other(
    changes: dict[str, Any], levels: int
) -> None:
    """Bit by bit; a coarse level has a scale less."""
    objective = make_objective({**SPEC, **changes})
    spec = solver(steps=8, levels=levels, start="noise", tolerance=0.02)
    problems = [problem(objective, key, levels) for key in range(3)]
    alone = run(Engine(objective, spec, 1, *SIZE), problems)
    together = run(Engine(objective, spec, 2, *SIZE), problems[::-1])
    for key, wanted in alone.items():
        assert torch.equal(together[key].image, wanted.image), key
        assert together[key].status == wanted.status
        assert [r._replace(seconds=0) for r in together[key].rows] == [
            r._replace(seconds=0) for r in wanted.rows
        ]


@pytest.mark.slow
@pytest.mark.parametrize("changes", SPECS, ids=[spec["statistic"] for spec in SPECS])
def test_a_few_steps_lower_the_total_that_the_formulas_tell(changes: dict[str, Any]) -> None:
    spec = {**SPEC, **changes}
    objective = make_objective(spec)
    one = problem(objective, 1, 1)
    result = run(Engine(objective, solver(steps=12), 1, *SIZE), [one])[1]
    assert one.mask is not None
    content, mask, style = one.content[0], one.mask[0, 0], one.statistics[0]
    start, end = (
        naive_scales.terms(x.double(), content, style, spec, one.strength, mask)
        for x in (content, result.image[0])
    )
    assert result.rows[0].total == pytest.approx(float(start["total"]), rel=1e-4)
    assert result.kept.total == pytest.approx(float(end["total"]), rel=1e-4)
    assert float(end["total"]) < float(start["total"])


@pytest.mark.slow
@pytest.mark.parametrize("statistic", naive_scales.STATISTICS)
def test_at_strength_0_the_content_comes_back(statistic: str) -> None:
    spec = {**SPEC, "statistic": statistic, "scales": (1, 1), "strength_acts_on": "statistics"}
    objective = make_objective(spec)
    one = problem(objective, 0, 1)
    one = Problem(0, one.content, one.statistics, strength=0.0, noise_seed=None)
    result = run(Engine(objective, solver(steps=8, tolerance=0.01), 1, *SIZE), [one])[0]
    assert float((result.image - one.content).abs().max()) < 1 / 255
