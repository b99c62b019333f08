"""The objective and its gradient against float64, term by term."""

from dataclasses import fields
from typing import Any

import naive
import pytest
import torch
from torch import Tensor

from stylebatch.architectures import ARCHITECTURES
from stylebatch.recipes import recipe_fields
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective, ObjectiveSpec, Targets

SPEC: dict[str, Any] = {
    "content_layers": {"relu1_2": 2, "conv2_1": 1},
    "content_loss": "relative",
    "content_weight": 3,
    "style_layers": {"conv1_1": 1, "relu2_1": 4},
    "style_loss": "relative",
    "gram_divisor": "n",
    "style_weight": 5,
    "layer_reduction": "mean",
    "tv_weight": 0.01,
}
CONTENT, STYLE = naive.draw(3, 16, 20, seed=1), naive.draw(3, 24, 18, seed=2).square()
IMAGE = (0.8 * CONTENT + 0.2 * naive.draw(3, 16, 20, seed=3)).clamp(0, 1)


def objective(spec: dict[str, Any]) -> Objective:
    layers = [*spec["content_layers"], *spec["style_layers"]]
    constants = {"mean": naive.MEAN, "std": naive.STD}
    extractor = Extractor(ARCHITECTURES["vgg19"], naive.weights(), layers, **constants)
    return Objective(ObjectiveSpec(**spec), extractor)


def targets(spec: dict[str, Any], content: Tensor, style: Tensor, strength: float) -> Targets:
    layers = list(spec["style_layers"])
    maps = naive.feature_maps(style[None], layers)
    grams = {layer: naive.gram(maps[layer][0], spec["gram_divisor"]) for layer in layers}
    return objective(spec).targets(content[None], grams, strength)


def evaluate(spec: dict[str, Any], image: Tensor, strength: float = 1) -> tuple[Losses, Tensor]:
    return objective(spec).evaluate(image[None], targets(spec, CONTENT, STYLE, strength))


def assert_agrees(spec: dict[str, Any], strength: float = 1) -> None:
    """Compare all terms to 1e-4 of their value, and the gradient to 1e-4 of its norm."""
    losses, gradient = evaluate(spec, IMAGE, strength)
    image = IMAGE.double().requires_grad_()
    wanted = naive.terms(image, CONTENT, STYLE, spec, strength)
    for name, value in losses._asdict().items():
        assert float(value) == pytest.approx(float(wanted[name].detach()), rel=1e-4), name
    (slope,) = torch.autograd.grad(wanted["total"], image)
    assert float((gradient[0].double() - slope).norm() / slope.norm()) < 1e-4


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("content_loss", ["relative", "mean", "sum"])
def test_every_content_loss_is_that_of_the_formula(content_loss: str, reduction: str) -> None:
    # A light style, so that the content term decides the gradient.
    changes = {"content_loss": content_loss, "layer_reduction": reduction, "style_weight": 1e-3}
    assert_agrees({**SPEC, **changes})


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("divisor", ["none", "n", "cn"])
@pytest.mark.parametrize("style_loss", ["relative", "mean", "sum"])
def test_every_style_loss_is_that_of_the_formula(
    style_loss: str, divisor: str, reduction: str
) -> None:
    changes = {"style_loss": style_loss, "gram_divisor": divisor, "layer_reduction": reduction}
    assert_agrees({**SPEC, **changes, "content_weight": 1e-3}, strength=0.7)


@pytest.mark.parametrize("weight", [0, 2.5])
def test_total_variation_counts_by_its_weight(weight: float) -> None:
    spec = {**SPEC, "tv_weight": weight}
    assert_agrees(spec)
    losses, _ = evaluate(spec, IMAGE)
    wanted = weight * naive.total_variation_by_loops(IMAGE)
    assert float(losses.tv) == pytest.approx(wanted, rel=1e-5)


def test_the_gradient_is_that_of_finite_differences() -> None:
    _, gradient = evaluate(SPEC, IMAGE)
    for seed in range(4):
        along = naive.draw(3, 16, 20, seed=10 + seed).double() - 0.5
        ahead, behind = (
            float(naive.terms(IMAGE.double() + h * along, CONTENT, STYLE, SPEC, 1)["total"])
            for h in (1e-6, -1e-6)
        )
        slope = float((gradient[0].double() * along).sum())
        steepest = float(gradient.norm() * along.norm())
        assert slope == pytest.approx((ahead - behind) / 2e-6, abs=1e-4 * steepest)


def test_strength_scales_the_style_term_and_nothing_else() -> None:
    (weak, _), (strong, _) = evaluate(SPEC, IMAGE, 1), evaluate(SPEC, IMAGE, 4)
    assert float(strong.style) == pytest.approx(4 * float(weak.style), rel=1e-6)
    assert torch.equal(strong.content, weak.content)
    assert torch.equal(strong.tv, weak.tv)


def test_the_content_itself_has_no_content_loss() -> None:
    losses, _ = evaluate(SPEC, CONTENT)
    assert float(losses.content) < 1e-10
    assert float(losses.style) > 0


def test_an_image_in_a_batch_of_other_targets_has_the_bits_it_has_alone() -> None:
    images = naive.draw(4, 3, 16, 20, seed=5)
    each = [
        targets(SPEC, naive.draw(3, 16, 20, seed=k), naive.draw(3, 16, 16, seed=20 + k), 0.5 + k)
        for k in range(4)
    ]
    together = {name: torch.cat([one[name] for one in each]) for name in each[0]}
    losses, gradients = objective(SPEC).evaluate(images, together)
    for k, one in enumerate(each):
        alone, gradient = objective(SPEC).evaluate(images[k : k + 1], one)
        for term, wanted in zip(losses, alone, strict=True):
            assert torch.equal(term[k : k + 1], wanted)
        assert torch.equal(gradients[k : k + 1], gradient)


def balanced() -> dict[str, Any]:
    return {field.name: recipe_fields("balanced")[field.name] for field in fields(ObjectiveSpec)}


@pytest.mark.parametrize("strength", [0.5, 2])
def test_balanced_is_content_and_ten_times_strength_times_the_mean_style(strength: float) -> None:
    losses, gradient = evaluate(balanced(), IMAGE, strength)
    image = IMAGE.double().requires_grad_()
    content, style = balanced_by_hand(image)
    total = content + 10 * strength * style
    (slope,) = torch.autograd.grad(total, image)
    content, style, total = content.detach(), style.detach(), total.detach()
    assert float(losses.content) == pytest.approx(float(content), rel=1e-4)
    assert float(losses.style) == pytest.approx(10 * strength * float(style), rel=1e-4)
    assert float(losses.total) == pytest.approx(float(total), rel=1e-4)
    assert losses.tv.tolist() == [0]
    assert float((gradient[0].double() - slope).norm() / slope.norm()) < 1e-4


def balanced_by_hand(image: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean (F-P)² / mean P² at conv3_3, and the mean of ‖G-A‖² / ‖A‖² over three layers."""
    layers = ["conv1_1", "conv2_1", "conv3_1", "conv3_3"]
    F, P, S = (naive.feature_maps(x[None], layers) for x in (image, CONTENT, STYLE))
    content = ((F["conv3_3"] - P["conv3_3"]) ** 2).mean() / (P["conv3_3"] ** 2).mean()
    style = []
    for layer in layers[:3]:
        # Per position: image and style need not be of one size.
        G, A = (naive.gram(x[layer][0], "n") for x in (F, S))
        style.append(((G - A) ** 2).sum() / (A**2).sum())
    return content, sum(style) / 3
