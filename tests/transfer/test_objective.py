"""The objective and its gradient against float64, term by term."""

from dataclasses import fields
from typing import Any

import pytest
import torch
from support import naive
from support.scaled import SPEC, make_objective
from support.synchronisation import NoReadingBack
from torch import Tensor

from stylebatch.recipes import recipe_fields, recipe_on
from stylebatch.transfer.objective import Losses, ObjectiveSpec, Targets

CONTENT, STYLE = naive.draw(3, 16, 20, seed=1), naive.draw(3, 24, 18, seed=2).square()
IMAGE = (0.8 * CONTENT + 0.2 * naive.draw(3, 16, 20, seed=3)).clamp(0, 1)


def targets(
    spec: dict[str, Any],
    content: Tensor,
    style: Tensor,
    strength: float,
    mask: Tensor | None = None,
) -> Targets:
    layers = list(spec["style_layers"])
    maps = naive.feature_maps(style[None], layers)
    grams = {layer: naive.gram(maps[layer][0], "n") for layer in layers}
    return make_objective(spec).targets(content[None], grams, strength, mask)


def evaluate(spec: dict[str, Any], image: Tensor, strength: float = 1) -> tuple[Losses, Tensor]:
    return make_objective(spec).evaluate(image[None], targets(spec, CONTENT, STYLE, strength))


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
    assert_as_alone(images, each)


def assert_as_alone(images: Tensor, each: list[Targets]) -> None:
    """Compare the terms and gradient of each image in a batch with those it has alone, bitwise."""
    together = {name: torch.cat([one[name] for one in each]) for name in each[0]}
    losses, gradients = make_objective(SPEC).evaluate(images, together)
    for k, one in enumerate(each):
        alone, gradient = make_objective(SPEC).evaluate(images[k : k + 1], one)
        for term, wanted in zip(losses, alone, strict=True):
            assert torch.equal(term[k : k + 1], wanted)
        assert torch.equal(gradients[k : k + 1], gradient)


def test_an_evaluation_reads_nothing_back() -> None:
    """On a GPU the host would wait for it."""
    spec = {**SPEC, "pixel_scale": (255.0, 254.0, 253.0)}
    wanted = targets(spec, CONTENT, STYLE, 1.0)
    with NoReadingBack():
        make_objective(spec).evaluate(IMAGE[None], wanted)


def balanced() -> dict[str, Any]:
    written = recipe_on("vgg19", recipe_fields("balanced-2026-11")).model_dump()
    names = [field.name for field in fields(ObjectiveSpec)]
    return {name: written[name] for name in names if name in written}


@pytest.mark.parametrize("strength", [0.5, 2])
def test_balanced_of_2026_is_content_and_ten_times_strength_times_the_mean_style(
    strength: float,
) -> None:
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
    return content, sum(style, torch.zeros(())) / 3


# --- masks -----------------------------------------------------------------------------------


def blob(seed: int = 7) -> Tensor:
    """Draw a mask (1, 1, 16, 20): black at the left, white at the right, grey between."""
    mask = naive.draw(1, 1, 16, 20, seed=seed)
    mask[..., :7] = 0
    mask[..., 15:] = 1
    return mask


def masked_terms(image: Tensor, mask: Tensor, spec: dict[str, Any]) -> dict[str, Tensor]:
    """Return the terms of one image with a mask (1, 1, H, W), in float64, layer by layer."""
    m = mask[0].double()
    composed = CONTENT.double() + m * (image - CONTENT.double())
    layers = [*spec["content_layers"], *spec["style_layers"]]
    F, P, S = (naive.feature_maps(x[None], layers) for x in (composed, CONTENT, STYLE))
    content = style = torch.zeros((), dtype=torch.float64)
    for layer, weight in spec["content_layers"].items():
        content = content + weight * naive.distance(spec["content_loss"], F[layer][0], P[layer][0])
    for layer, weight in spec["style_layers"].items():
        channels, height, width = F[layer][0].shape
        positions = height * width
        # Each position of a layer has the mean of the mask over the pixels that it stands for.
        blocks = m[0].view(height, 16 // height, width, 20 // width).mean((1, 3)).flatten()
        rows = F[layer][0].reshape(channels, positions)
        gram = sum(share * torch.outer(row, row) for share, row in zip(blocks, rows.T, strict=True))
        G = gram * (positions / blocks.sum()) / positions
        style = style + weight * naive.distance(spec["style_loss"], G, naive.gram(S[layer][0], "n"))
    content = spec["content_weight"] * content / sum(spec["content_layers"].values())
    style = 0.7 * spec["style_weight"] * style / sum(spec["style_layers"].values())
    tv = spec["tv_weight"] * naive.total_variation(composed)
    return {"total": content + style + tv, "content": content, "style": style, "tv": tv}


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("loss", ["relative", "mean"])
def test_the_style_loss_of_the_content_is_that_of_the_formula(loss: str, is_masked: bool) -> None:
    spec = {**SPEC, "style_loss": loss}
    found = targets(spec, CONTENT, STYLE, 0.7, blob() if is_masked else None)["content_style"]
    content = CONTENT.double()
    wanted = (
        masked_terms(content, blob(), spec)
        if is_masked
        else naive.terms(content, CONTENT, STYLE, spec, 0.7)
    )
    assert found.shape == (1,)
    assert float(found) == pytest.approx(float(wanted["style"]), rel=1e-4)


@pytest.mark.parametrize("loss", ["relative", "mean"])
def test_under_a_mask_the_loss_and_its_slope_are_those_of_the_formula(loss: str) -> None:
    spec = {**SPEC, "style_loss": loss, "content_loss": loss}
    losses, gradient = make_objective(spec).evaluate(
        IMAGE[None], targets(spec, CONTENT, STYLE, 0.7, blob())
    )
    image = IMAGE.double().requires_grad_()
    wanted = masked_terms(image, blob(), spec)
    for name, value in losses._asdict().items():
        assert float(value) == pytest.approx(float(wanted[name].detach()), rel=1e-4), name
    (slope,) = torch.autograd.grad(wanted["total"], image)
    assert float((gradient[0].double() - slope).norm() / slope.norm()) < 1e-4


@pytest.mark.parametrize("changes", [{}, {"statistic": "mean_std", "style_loss": "mean"}])
def test_there_is_no_slope_where_the_mask_is_black(changes: dict[str, Any]) -> None:
    spec = {**SPEC, **changes}
    _, gradient = make_objective(spec).evaluate(
        IMAGE[None], masked_targets(spec, CONTENT, STYLE, 0.7, blob())
    )
    assert bool((gradient[..., :7] == 0).all())
    assert bool((gradient[..., 7:] != 0).any())


def masked_targets(
    spec: dict[str, Any], content: Tensor, style: Tensor, strength: float, mask: Tensor
) -> Targets:
    """Return targets of either statistic."""
    if spec.get("statistic") != "mean_std":
        return targets(spec, content, style, strength, mask)
    layers = list(spec["style_layers"])
    maps = naive.feature_maps(style[None], layers)
    rows = {layer: maps[layer][0].flatten(1) for layer in layers}
    statistics = {
        layer: torch.stack([x.mean(1), (x.var(1, correction=0) + 1e-5).sqrt()])
        for layer, x in rows.items()
    }
    return make_objective(spec).targets(content[None], statistics, strength, mask)


def test_what_is_under_the_black_of_a_mask_has_no_part_in_any_loss() -> None:
    mask, other = blob(), IMAGE.clone()
    other[..., :7] = 0.5
    both = [
        make_objective(SPEC).evaluate(x[None], targets(SPEC, CONTENT, STYLE, 1, mask))
        for x in (IMAGE, other)
    ]
    assert both[0][0] == both[1][0]
    assert torch.equal(both[0][1], both[1][1])


def test_a_white_mask_gives_the_bits_of_no_mask() -> None:
    # Far from the content and off the grid of drawn numbers: differences there are exact.
    image = naive.draw(3, 16, 20, seed=5).sqrt()
    plain, slope = evaluate(SPEC, image)
    white = targets(SPEC, CONTENT, STYLE, 1, torch.ones(1, 1, 16, 20))
    masked, masked_slope = make_objective(SPEC).evaluate(image[None], white)
    assert masked == plain
    assert torch.equal(masked_slope, slope)


@pytest.mark.parametrize("changes", [{}, {"statistic": "mean_std", "style_loss": "mean"}])
def test_a_black_mask_gives_finite_losses_and_no_slope(changes: dict[str, Any]) -> None:
    spec = {**SPEC, **changes}
    black = masked_targets(spec, CONTENT, STYLE, 1, torch.zeros(1, 1, 16, 20))
    losses, gradient = make_objective(spec).evaluate(IMAGE[None], black)
    assert all(bool(term.isfinite()) for term in losses)
    assert float(losses.content) < 1e-10
    assert bool((gradient == 0).all())


def test_masked_images_in_a_batch_have_the_bits_they_have_alone() -> None:
    images = naive.draw(3, 3, 16, 20, seed=5)
    each = [
        targets(SPEC, naive.draw(3, 16, 20, seed=k), naive.draw(3, 16, 16, seed=20 + k), 1, blob(k))
        for k in range(3)
    ]
    assert_as_alone(images, each)


# --- other statistics and powers -------------------------------------------------------------


def test_weights_in_the_square_count_by_their_squares() -> None:
    square = {**SPEC, "weights_in_square": True, "layer_reduction": "sum"}
    losses, _ = evaluate(square, IMAGE)
    plain = {**square, "weights_in_square": False, "content_weight": 1, "style_weight": 1}
    plain["content_layers"] = {"relu1_2": (3 * 2) ** 2, "conv2_1": 3**2}
    plain["style_layers"] = {"conv1_1": 5**2, "relu2_1": (5 * 4) ** 2}
    wanted = naive.terms(IMAGE, CONTENT, STYLE, plain, 1)
    assert float(losses.content) == pytest.approx(float(wanted["content"]), rel=1e-4)
    assert float(losses.style) == pytest.approx(float(wanted["style"]), rel=1e-4)
