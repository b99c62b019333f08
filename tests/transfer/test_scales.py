"""Scales of one image: their filter, how many there are, and the objective on several of them."""

import math
from typing import Any

import pytest
import torch
from support import naive, naive_scales
from support.scaled import (
    CONTENT,
    IMAGE,
    SPEC,
    STYLE,
    assert_agrees,
    blob,
    evaluate,
    make_objective,
)

from stylebatch.transfer.scales import halve
from stylebatch.transfer.sizes import at_scale, num_scales, weights_at

STATISTICS = naive_scales.STATISTICS


# --- the filter ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(16, 20), (17, 20), (16, 21), (33, 35), (2, 3), (64, 64)])
def test_a_half_is_that_of_a_convolution(size: tuple[int, int]) -> None:
    images = naive.draw(3, 3, *size)
    found = halve(images)
    assert found.shape == (3, 3, size[0] // 2, size[1] // 2)
    for one, image in zip(found, images, strict=True):
        assert torch.allclose(one.double(), naive_scales.halve(image), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 20), (17, 21)])
def test_the_slope_of_a_half_is_that_of_the_convolution(size: tuple[int, int]) -> None:
    image = naive.draw(1, 3, *size)
    weights = naive.draw(1, 3, size[0] // 2, size[1] // 2, seed=1) - 0.5
    found, wanted = image.clone().requires_grad_(), image.double().requires_grad_()
    (slope,) = torch.autograd.grad((halve(found) * weights).sum(), found)
    (true,) = torch.autograd.grad((naive_scales.halve(wanted[0]) * weights[0]).sum(), wanted)
    assert torch.allclose(slope.double(), true, rtol=0, atol=1e-6)


def test_alternating_columns_or_rows_leave_nothing() -> None:
    """Averages of 2×2 blocks would: optimised through them, an image gets a grid."""
    stripes = torch.ones(1, 1, 16, 16)
    stripes[..., 1::2] = -1
    for image in (stripes, stripes.transpose(-1, -2)):
        inner = halve(image)[..., 1:-1, 1:-1]
        assert bool((inner == 0).all())


def test_no_phase_of_a_stripe_counts_more_than_another() -> None:
    """Each pixel away from the borders has the same slope, so that no grid is left in an image."""
    image = torch.zeros(1, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(halve(image).sum(), image)
    assert bool((slope[..., 2:-2, 2:-2] == 0.25).all())


def test_a_flat_image_stays_as_it_is() -> None:
    flat = torch.full((2, 3, 18, 21), 0.625)
    assert torch.equal(halve(flat), torch.full((2, 3, 9, 10), 0.625))


@pytest.mark.parametrize("size", [(64, 80), (61, 47), (256, 256)])
def test_a_half_has_the_same_bits_in_any_batch_and_with_any_threads(size: tuple[int, int]) -> None:
    images = naive.draw(5, 3, *size)
    torch.set_num_threads(1)
    alone = [halve(images[k : k + 1].clone()) for k in range(5)]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for first in (0, 2):
            for found, wanted in zip(halve(images[first:].clone()), alone[first:], strict=True):
                assert torch.equal(found, wanted[0])


# --- which scales there are ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "size", "needed", "count"),
    [
        (1, (512, 512), 1, 1),
        (3, (64, 80), 1, 3),
        (3, (63, 80), 1, 2),
        (6, (64, 80), 1, 3),
        (3, (40, 32), 1, 2),
        (3, (31, 500), 1, 1),
        (3, (16, 16), 1, 1),
        (2, (64, 80), 32, 2),
        (3, (64, 80), 32, 2),
        (3, (8, 8), 1, 1),  # the full size always is
        (6, (512, 512), 1, 6),
    ],
)
def test_scales_end_where_an_edge_would_fall_below_16_px_or_what_layers_need(
    wanted: int, size: tuple[int, int], needed: int, count: int
) -> None:
    assert num_scales(wanted, *size, needed) == count


def test_weights_of_scales_that_an_image_lacks_are_left_out_and_else_the_full_size_counts() -> None:
    assert list(weights_at((1, 2, 4), 2)) == [1, 2]
    assert list(weights_at((0, 2), 2)) == [0, 2]
    assert list(weights_at((0, 2), 1)) == [1]
    assert list(weights_at((0, 0, 1), 2)) == [1]


def test_a_scale_is_named_by_its_divisor() -> None:
    assert [at_scale("relu1_1", scale) for scale in range(4)] == [
        "relu1_1",
        "relu1_1/2",
        "relu1_1/4",
        "relu1_1/8",
    ]


@pytest.mark.parametrize(
    ("changes", "size", "wanted"),
    [
        ({"scales": (1, 2, 4)}, (64, 80), [0, 1, 2]),
        ({"scales": (0, 2, 4)}, (64, 80), [1, 2]),
        ({"scales": (1, 2, 4)}, (32, 40), [0, 1]),
        ({"scales": (0, 0, 4)}, (32, 40), [0]),
        ({"scales": (1,), "content_scales": (1, 1, 1)}, (64, 80), [0]),
    ],
)
def test_the_style_is_asked_for_on_the_scales_on_which_it_counts(
    changes: dict[str, Any], size: tuple[int, int], wanted: list[int]
) -> None:
    spec = make_objective({**SPEC, **changes}).spec
    assert spec.style_scales_at(*size, 1) == wanted


# --- the objective on several scales ---------------------------------------------------------

SCALES = [((1, 1, 1), (1,)), ((1, 2), (1, 1)), ((0, 1), (0, 1)), ((1,), (2, 1)), ((3, 0, 1), (2,))]


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(("scales", "content_scales"), SCALES)
def test_terms_and_slope_on_several_scales_are_those_of_the_formula(
    scales: tuple[float, ...], content_scales: tuple[float, ...], statistic: str
) -> None:
    changes = {"scales": scales, "content_scales": content_scales, "statistic": statistic}
    # A light content, so that both terms decide the gradient.
    assert_agrees({**SPEC, **changes, "content_weight": 0.3}, strength=0.7)


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("style_loss", ["relative", "mean", "sum"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_loss_and_reduction_on_several_scales_is_that_of_the_formula(
    reduction: str, style_loss: str, statistic: str
) -> None:
    changes = {"layer_reduction": reduction, "style_loss": style_loss, "statistic": statistic}
    scales = {"scales": (1, 2, 1), "content_scales": (2, 1)}
    assert_agrees({**SPEC, **scales, **changes, "content_weight": 1e-3})


@pytest.mark.parametrize("content_loss", ["relative", "mean", "sum"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_every_content_loss_on_several_scales_is_that_of_the_formula(
    reduction: str, content_loss: str
) -> None:
    changes = {"layer_reduction": reduction, "content_loss": content_loss, "style_weight": 1e-3}
    assert_agrees({**SPEC, "content_scales": (2, 1), **changes})


@pytest.mark.parametrize("divisor", ["none", "n", "cn", "image"])
def test_gram_matrices_are_divided_by_what_each_scale_has(divisor: str) -> None:
    changes = {"gram_divisor": divisor, "style_loss": "sum", "scales": (1, 1, 1)}
    assert_agrees({**SPEC, **changes, "content_weight": 1e-3})


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("size", [(32, 40), (33, 47)])
def test_an_image_of_32_px_has_two_scales_of_three(size: tuple[int, int], reduction: str) -> None:
    spec = {**SPEC, "scales": (1, 2, 5), "layer_reduction": reduction}
    image, content = (x[:, : size[0], : size[1]] for x in (IMAGE, CONTENT))
    assert_agrees(spec, image=image, content=content)
    two = {**spec, "scales": (1, 2)}
    (of_three, slope), (of_two, same) = (evaluate(x, image, content=content) for x in (spec, two))
    assert of_three == of_two
    assert torch.equal(slope, same)


def test_where_an_image_has_no_scale_that_counts_its_full_size_does() -> None:
    image, content = IMAGE[:, :16, :16], CONTENT[:, :16, :16]
    changes = {"scales": (0, 1), "content_scales": (0, 1)}
    small, slope = evaluate({**SPEC, **changes}, image, content=content)
    plain, same = evaluate({**SPEC, "scales": (1,), "content_scales": (1,)}, image, content=content)
    assert small == plain
    assert torch.equal(slope, same)
    assert float(plain.style) > 0


def test_the_content_has_no_content_loss_on_any_scale() -> None:
    losses, _ = evaluate({**SPEC, "content_scales": (1, 1, 1)}, CONTENT)
    assert float(losses.content) < 1e-10


def test_a_scale_sees_what_the_full_size_does_not() -> None:
    """Of a style that is matched on its half only, the full size has no part."""
    spec = {**SPEC, "scales": (0, 1)}
    given = naive_scales.given(STYLE, spec)
    other = {name: value if "/" in name else value * 7 for name, value in given.items()}
    plain, same = (evaluate(spec, IMAGE, style=x)[0] for x in (given, other))
    assert plain == same


# --- a weight by size -------------------------------------------------------------------------


def test_a_style_weight_that_is_meant_at_a_size_grows_with_the_edge() -> None:
    assert_agrees({**SPEC, "style_weight_px": 40})
    plain, _ = evaluate(SPEC, IMAGE)
    grown, _ = evaluate({**SPEC, "style_weight_px": 40}, IMAGE)
    assert float(grown.style / plain.style) == pytest.approx(math.sqrt(64 * 80) / 40, rel=1e-6)
    assert grown.content == plain.content


# --- total variation -------------------------------------------------------------------------


@pytest.mark.parametrize("with_border", [False, True])
@pytest.mark.parametrize("divisor", ["none", "edge", "n"])
@pytest.mark.parametrize("size", [(16, 20), (17, 33)])
def test_total_variation_is_divided_by_the_edge_or_the_pixels_with_or_without_its_border(
    size: tuple[int, int], divisor: str, with_border: bool
) -> None:
    image, content = (x[:, : size[0], : size[1]] for x in (IMAGE, CONTENT))
    spec = {**SPEC, "tv_divisor": divisor, "tv_border": with_border, "tv_weight": 3}
    losses, _ = evaluate(spec, image, content=content)
    pixels = size[0] * size[1]
    edge = math.sqrt(pixels)
    by = {"none": 1, "edge": edge, "n": pixels}[divisor]
    every = naive_scales.edges_repeated(image) if with_border else image
    wanted = 3 * naive.total_variation_by_loops(every) / by
    assert float(losses.tv) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("with_border", [False, True])
@pytest.mark.parametrize("divisor", ["none", "edge", "n"])
def test_the_slope_of_total_variation_is_that_of_the_formula(
    divisor: str, with_border: bool
) -> None:
    light = {"content_weight": 1e-3, "style_weight": 1e-3, "tv_weight": 3}
    assert_agrees({**SPEC, **light, "tv_divisor": divisor, "tv_border": with_border})


# --- batches ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["style_weight", "statistics"])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_image_in_a_batch_of_other_targets_has_the_bits_it_has_alone(
    statistic: str, is_masked: bool, axis: str
) -> None:
    changes = {"scales": (1, 1, 1), "content_scales": (1, 1)}
    spec = {**SPEC, **changes, "statistic": statistic, "strength_acts_on": axis}
    objective, images = make_objective(spec), naive.draw(3, 3, 64, 80, seed=5)
    torch.set_num_threads(1)
    styles = [naive.draw(3, 64, 64, seed=20 + k).pow(1 + k) for k in range(3)]
    each = [
        objective.targets(
            naive.draw(1, 3, 64, 80, seed=k),
            naive_scales.given(styles[k], spec),
            0.3 + k,
            blob(k)[None, None] if is_masked else None,
        )
        for k in range(3)
    ]
    alone = [objective.evaluate(images[k : k + 1].clone(), each[k]) for k in range(3)]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for some in ([0], [0, 1], [1, 2, 0], [2]):
            together = {name: torch.cat([each[k][name] for k in some]) for name in each[0]}
            losses, gradients = objective.evaluate(images[some], together)
            for place, k in enumerate(some):
                for term, wanted in zip(losses, alone[k][0], strict=True):
                    assert torch.equal(term[place], wanted[0]), (threads, some, k)
                assert torch.equal(gradients[place], alone[k][1][0]), (threads, some, k)


@pytest.mark.parametrize("statistic", STATISTICS)
def test_targets_have_the_same_bits_with_any_threads(statistic: str) -> None:
    changes = {"scales": (1, 1, 1), "statistic": statistic, "strength_acts_on": "statistics"}
    spec = {**SPEC, **changes}
    objective, style = make_objective(spec), naive_scales.given(STYLE, spec)
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        found.append(objective.targets(CONTENT[None], style, 0.4, blob()[None, None]))
    assert found[0].keys() == found[1].keys()
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
