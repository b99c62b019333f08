"""Every recipe's objective and start against the published formulas, at the network's full depth.

Ours in float32, the formulas in float64; the filters are seeded random ones.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from support import balanced, naive
from support.published import MEAN, PUBLISHED, STD, adain_style, noise_in, published_terms
from torch import Tensor

from stylebatch.device.from_recipe import input_constants, objective_spec, solver_spec
from stylebatch.device.tensors import to_tensor
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import Normalisation
from stylebatch.pictures.images import Pixels
from stylebatch.recipes import Recipe, needs_network, recipe_fields, recipe_names, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_matrix, mean_std
from stylebatch.transfer.objective import Losses, Objective
from stylebatch.transfer.problem import Problem
from stylebatch.transfer.starts import make_start

pytestmark = pytest.mark.slow

NAMES = sorted(PUBLISHED)
CONSTANTS = Normalisation(naive.MEAN, naive.STD)
# Their formulas know one size only: style and content are stretched to it.
OF_ONE_SIZE = ("keras", "matlab")
SEED = 7


def drawn(height: int, width: int, seed: int) -> Pixels:
    """Draw pixels that leave room at both ends of the range, for a stretch to show."""
    image = 20 + 200 * naive.draw(height, width, 3, seed=seed)
    return image.round().to(torch.uint8).numpy()


CONTENT = drawn(48, 64, 1)
RANDOM = naive.draw(3, 48, 64, seed=3)


def style_of(name: str) -> Pixels:
    """Draw a style; darker than the content, so that the style term is large at the content."""
    size = (48, 64) if name in OF_ONE_SIZE else (40, 56)
    return (drawn(*size, 2) // 2).astype(np.uint8)


def true(pixels: Pixels) -> Tensor:
    # Divided in float32: a start that is the content is then its very numbers.
    return (torch.from_numpy(pixels).permute(2, 0, 1).float() / 255).double()


def recipe(name: str, **override: Any) -> Recipe:
    return recipe_on("vgg19", recipe_fields(name) | override)


@cache
def extractor(
    layers: tuple[str, ...],
    pooling: str,
    padding: str,
    constants: tuple[tuple[float, ...], tuple[float, ...]],
) -> Extractor:
    mean, std = constants
    return Extractor(
        ARCHITECTURES["vgg19"],
        naive.weights(),
        layers,
        mean=mean,
        std=std,
        pooling=pooling,
        padding=padding,
    )


def objective(of: Recipe) -> Objective:
    constants = input_constants(of, CONSTANTS)
    eyes = extractor(of.layers, of.pooling, of.padding, constants)
    return Objective(objective_spec(of), eyes)


def statistics(of: Recipe, style: Pixels) -> Mapping[str, Tensor]:
    if len(of.scales) > 1:
        # As many scales as an image of 48×64 px has.
        return balanced.grams(true(style), 2, tuple(of.style_layers))
    features = objective(of).extractor(to_tensor(style, of.input_stretch))
    if of.statistic == "mean_std":
        return {layer: mean_std(features[layer])[0] for layer in of.style_layers}
    positions = {layer: features[layer][0, 0].numel() for layer in of.style_layers}
    return {layer: gram_matrix(features[layer])[0] / positions[layer] for layer in of.style_layers}


def evaluate(of: Recipe, image: Tensor, style: Pixels) -> tuple[Losses, Tensor]:
    content = to_tensor(CONTENT, of.input_stretch)
    targets = objective(of).targets(content, statistics(of, style), of.strength)
    return objective(of).evaluate(image[None], targets)


def own_start(name: str, **override: Any) -> Tensor:
    of = recipe(name, **override)
    images = {"content": to_tensor(CONTENT, of.input_stretch)}
    spec = solver_spec(of, CONSTANTS).start
    return make_start(spec, (48, 64), images, SEED, torch.device("cpu"))[0]


def wanted_at(
    name: str, image: Tensor, strength: float, **variant: object
) -> tuple[dict[str, float], Tensor]:
    """Return the published terms and the gradient of their total."""
    image = image.double().requires_grad_()
    style = true(style_of(name))
    terms = published_terms(name, image, true(CONTENT), style, strength, **variant)
    (slope,) = torch.autograd.grad(terms["total"], image)
    return {term: float(value.detach()) for term, value in terms.items()}, slope


def assert_terms_agree(name: str, image: Tensor, of: Recipe, **variant: object) -> float:
    """Compare to 1e-4 of the value; where that is 0, to 1e-6 of the term at the random image.

    Returns the relative error of the gradient.
    """
    losses, gradient = evaluate(of, image, style_of(name))
    wanted, slope = wanted_at(name, image, of.strength, **variant)
    for term, value in losses._asdict().items():
        if wanted[term] == 0:
            elsewhere, _ = wanted_at(name, RANDOM, of.strength, **variant)
            assert abs(float(value)) <= 1e-6 * elsewhere[term], term
        else:
            assert float(value) == pytest.approx(wanted[term], rel=1e-4), term
    return error(gradient[0], slope)


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


def assert_agrees(name: str, image: Tensor, of: Recipe, **variant: object) -> None:
    assert assert_terms_agree(name, image, of, **variant) < 1e-4


def test_every_recipe_has_its_published_formula() -> None:
    assert [name for name in recipe_names() if needs_network(name)] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_at_a_random_image_every_term_and_the_gradient_are_the_published_ones(name: str) -> None:
    assert_agrees(name, RANDOM, recipe(name))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "neural-style"])
def test_at_its_own_start_every_term_and_the_gradient_are_the_published_ones(name: str) -> None:
    assert_agrees(name, own_start(name), recipe(name))


def test_at_its_nearly_flat_start_neural_style_is_off_no_more_than_float32_itself() -> None:
    # Its start is one colour ± 4e-6. There the maximum of four features is a matter of float32's
    # last bits, and with it the pixel that gets the slope: torchvision's own network is 7e-2 off.
    start = own_start("neural-style")
    found = assert_terms_agree("neural-style", start, recipe("neural-style"))
    _, slope = wanted_at("neural-style", start, 1)
    _, in_float32 = wanted_at("neural-style", start, 1, dtype=torch.float32)
    assert found < 2 * error(in_float32, slope)


def test_without_a_maximum_neural_style_is_the_published_one_at_its_start_too() -> None:
    averaging = recipe("neural-style", pooling="average")
    assert_agrees("neural-style", own_start("neural-style"), averaging, pooling="average")


# The total variation is nearly all of their gradient: what is under it has to agree as well.
@pytest.mark.parametrize("name", ["keras", "neural-style"])
def test_without_total_variation_the_gradient_is_that_of_content_and_style(name: str) -> None:
    _, gradient = evaluate(recipe(name, tv_weight=0), RANDOM, style_of(name))
    image = RANDOM.double().requires_grad_()
    terms = published_terms(name, image, true(CONTENT), true(style_of(name)), 1)
    (slope,) = torch.autograd.grad(terms["content"] + terms["style"], image)
    assert error(gradient[0], slope) < 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_the_style_alone_has_the_published_gradient(name: str) -> None:
    # Where content and total variation are large, an error of the style's slope would not show.
    light = recipe(name, content_weight=0, tv_weight=0)
    losses, gradient = evaluate(light, RANDOM, style_of(name))
    image = RANDOM.double().requires_grad_()
    terms = published_terms(name, image, true(CONTENT), true(style_of(name)), 1)
    (slope,) = torch.autograd.grad(terms["style"], image)
    assert error(gradient[0], slope) < 1e-4
    assert torch.equal(losses.total, losses.style)


@pytest.mark.parametrize(
    "name", ["pytorch-tutorial", "keras", "matlab", "neural-style", "deep-2026-11"]
)
def test_strength_multiplies_the_style_term_and_no_other(name: str) -> None:
    assert_agrees(name, RANDOM, recipe(name, strength=2))


@pytest.mark.parametrize("strength", [0, 0.3, 2])
@pytest.mark.parametrize("name", ["augment", "balanced", "deep"])
def test_strength_is_an_axis_from_the_photograph_to_the_style_and_beyond(
    name: str, strength: float
) -> None:
    assert_agrees(name, RANDOM, recipe(name, strength=strength))


# --- what the sources offer as options -------------------------------------------------------


@pytest.mark.parametrize("pooling", ["average", "average_scaled"])
@pytest.mark.parametrize("name", ["gatys", "pytorch-tutorial", "neural-style"])
def test_pooling_by_averages_is_the_published_formula_on_that_network(
    name: str, pooling: str
) -> None:
    assert_agrees(name, RANDOM, recipe(name, pooling=pooling), pooling=pooling)


@pytest.mark.parametrize("powers", [(4,), (2, 4)])
def test_fourth_powers_in_keras_are_the_published_ones(powers: tuple[int, ...]) -> None:
    changed = recipe("keras", style_powers=powers)
    assert_agrees("keras", RANDOM, changed, powers=powers)
    assert_agrees("keras", own_start("keras"), changed, powers=powers)


@pytest.mark.parametrize("name", ["perceptual", "feili", "deep-2026-11"])
def test_means_and_deviations_are_matched_as_in_adain(name: str) -> None:
    sums = {"style_loss": "mean", "layer_reduction": "sum", "content_weight": 0}
    adain = recipe(name, statistic="mean_std", **sums)
    losses, gradient = evaluate(adain, RANDOM, style_of(name))
    image = RANDOM.double().requires_grad_()
    wanted = adain.style_weight * adain_style(image, true(style_of(name)), adain.style_layers)
    (slope,) = torch.autograd.grad(wanted, image)
    assert float(losses.style) == pytest.approx(float(wanted.detach()), rel=1e-4)
    assert error(gradient[0], slope) < 1e-4


# --- the initial images ----------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("matlab", "neural-style")])
def test_the_others_start_from_the_content_bit_by_bit(name: str) -> None:
    assert torch.equal(own_start(name), to_tensor(CONTENT)[0])


def test_matlab_mixes_integer_noise_with_the_content_around_the_mean_pixel() -> None:
    noise = noise_in("matlab", own_start("matlab"), true(CONTENT))
    assert float((noise - noise.round()).abs().max()) < 1e-3
    assert set(noise.round().flatten().int().tolist()) == set(range(-20, 21))
    assert float(noise.std()) == pytest.approx((41**2 / 12) ** 0.5, rel=0.03)


def test_neural_style_starts_a_thousandth_of_a_grey_level_around_the_mean_pixel() -> None:
    assert_standard_normal(noise_in("neural-style", own_start("neural-style"), true(CONTENT)))


def assert_standard_normal(noise: Tensor) -> None:
    assert noise.shape == (3, 48, 64)
    assert float(noise.mean()) == pytest.approx(0, abs=0.05)
    assert float(noise.std()) == pytest.approx(1, rel=0.03)
    assert float((noise.abs() < 1).double().mean()) == pytest.approx(0.683, abs=0.02)


def test_perceptual_starts_from_normal_noise_in_its_normalised_pixels() -> None:
    start = own_start("perceptual", start="noise").double()
    assert_standard_normal((start - MEAN) / STD)


def test_gatys_starts_from_noise_of_one_grey_level_around_the_mean_pixel() -> None:
    start = own_start("gatys", start="noise").double()
    assert_standard_normal(255 * (start - MEAN))


def test_pytorch_tutorial_starts_from_normal_noise_clamped_to_black_and_white() -> None:
    start = own_start("pytorch-tutorial", start="noise")
    assert float((start == 0).double().mean()) == pytest.approx(0.5, abs=0.02)
    assert float((start == 1).double().mean()) == pytest.approx(0.159, abs=0.02)


# --- the literature's Adam, in the pixels of its source --------------------------------------

# Its own keeps the last point evaluated; what an update led to is what is compared here.
OWN_ADAM = {"optimizer": "adam", "clamp": False, "keep": "after_last"}
# Recipe, override, learning rate, and from [0, 1] to the source's pixels: factor and offset.
ADAMS: list[tuple[str, dict[str, Any], float, Tensor | float, Tensor]] = [
    ("perceptual", {}, 0.003, 1 / STD, MEAN / STD),
    ("matlab", {}, 2, 255.0, 255 * MEAN),
    ("neural-style", OWN_ADAM, 10, 256.0, 255 * MEAN),
]


def solved(of: Recipe, style: Pixels) -> Tensor:
    engine = Engine(objective(of), solver_spec(of, CONSTANTS), 1, 48, 64)
    content = to_tensor(CONTENT, of.input_stretch)
    engine.admit(Problem(0, content, (statistics(of, style),), of.strength, SEED))
    while engine.running:
        report = engine.step()
    return report.results[0].image[0]


@pytest.mark.parametrize(("name", "override", "rate", "factor", "offset"), ADAMS)
def test_adam_moves_as_torchs_own_does_in_the_pixels_of_the_source(
    name: str, override: dict[str, Any], rate: float, factor: Tensor | float, offset: Tensor
) -> None:
    # Averages: near a flat start a maximum is a matter of float32's last bits.
    of = recipe(name, **override, steps=3, pooling="average")
    variant = {} if name == "matlab" else {"pooling": "average"}
    start = own_start(name, **override).double()
    pixels = (factor * start - offset).requires_grad_()
    adam = torch.optim.Adam([pixels], lr=rate)
    for _ in range(3):
        image = (pixels + offset) / factor
        adam.zero_grad()
        style = true(style_of(name))
        terms = published_terms(name, image, true(CONTENT), style, 1, **variant)
        torch.autograd.backward(terms["total"])
        adam.step()
    wanted = ((pixels + offset) / factor).detach()
    found = solved(of, style_of(name)).double()
    assert float((found - wanted).norm() / (wanted - start).norm()) < 1e-3
