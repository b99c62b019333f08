"""The objective of `balanced` beside its definition, written out by hand in `support.balanced`."""

import pytest
import torch
from support import balanced, naive
from torch import Tensor

from stylebatch.device.from_recipe import objective_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective

SIZES = [(64, 80), (67, 66)]
STYLE = naive.draw(3, 72, 64, seed=2).square()


def make_objective() -> Objective:
    """Return the recipe's objective on random filters, as a device makes it."""
    recipe = recipe_on("vgg19", recipe_fields("balanced"))
    extractor = Extractor(
        ARCHITECTURES["vgg19"],
        naive.weights(),
        recipe.layers,
        mean=naive.MEAN,
        std=naive.STD,
        pooling=recipe.pooling,
        padding=recipe.padding,
    )
    return Objective(objective_spec(recipe), extractor)


def draw(size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Draw a content (3, H, W), and an image not far from it."""
    content = naive.draw(3, *size, seed=1)
    return content, (0.8 * content + 0.2 * naive.draw(3, *size, seed=3)).clamp(0, 1)


def evaluate(image: Tensor, content: Tensor, strength: float) -> tuple[Losses, Tensor]:
    objective = make_objective()
    targets = objective.targets(content[None], balanced.grams(STYLE), strength)
    return objective.evaluate(image[None], targets)


@pytest.mark.parametrize("strength", [0, 0.4, 1, 2])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_term_and_the_slope_are_those_of_the_definition(
    size: tuple[int, int], strength: float
) -> None:
    content, image = draw(size)
    losses, gradient = evaluate(image, content, strength)
    x = image.double().requires_grad_()
    wanted = balanced.terms(x, content, STYLE, strength)
    for name, value in losses._asdict().items():
        assert float(value) == pytest.approx(float(wanted[name].detach()), rel=1e-4), name
    (slope,) = torch.autograd.grad(wanted["total"], x)
    assert float((gradient[0].double() - slope).norm() / slope.norm()) < 1e-4


def test_at_strength_0_the_content_has_no_loss_and_no_slope() -> None:
    content, _ = draw(SIZES[0])
    losses, gradient = evaluate(content, content, 0)
    assert [float(term) for term in losses] == [0, 0, 0, 0]
    assert bool((gradient == 0).all())


def test_each_term_has_a_part_in_the_slope() -> None:
    """Else an agreement of slopes would say nothing of it."""
    content, image = draw(SIZES[0])
    slopes = []
    for name in ("content", "style", "tv", "total"):
        x = image.double().requires_grad_()
        terms = balanced.terms(x, content, STYLE, 1)
        slopes.append(torch.autograd.grad(terms[name], x)[0].norm())
    *parts, whole = slopes
    assert all(float(part / whole) > 1e-3 for part in parts)
