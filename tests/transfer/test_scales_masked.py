"""Masks over objectives that look at several scales, for every statistic."""

import pytest
import torch
from support import extractors, naive, naive_scales
from support.scaled import IMAGE, LEFT, THREE, assert_agrees, blob, evaluate

STATISTICS = naive_scales.STATISTICS


@pytest.mark.parametrize("axis", ["style_weight", "statistics"])
@pytest.mark.parametrize("style_loss", ["relative", "mean"])
@pytest.mark.parametrize("kind", STATISTICS)
def test_under_a_mask_terms_and_slope_on_several_scales_are_those_of_the_formula(
    kind: str, style_loss: str, axis: str
) -> None:
    changes = {"statistic": kind, "style_loss": style_loss, "strength_acts_on": axis}
    assert_agrees({**THREE, **changes, "content_weight": 1e-2}, 0.7, blob())


@pytest.mark.parametrize("kind", STATISTICS)
def test_there_is_no_slope_where_the_mask_is_black(kind: str) -> None:
    _, gradient = evaluate({**THREE, "statistic": kind}, IMAGE, mask=blob())
    assert bool((gradient[..., :LEFT] == 0).all())
    assert bool((gradient[..., LEFT:] != 0).any())


@pytest.mark.parametrize("kind", STATISTICS)
def test_what_is_under_the_black_of_a_mask_has_no_part_in_any_loss(kind: str) -> None:
    spec, other = {**THREE, "statistic": kind}, IMAGE.clone()
    other[..., :LEFT] = 0.5
    (one, slope), (same, as_well) = (evaluate(spec, x, mask=blob()) for x in (IMAGE, other))
    assert one == same
    assert torch.equal(slope, as_well)


@pytest.mark.parametrize("axis", ["style_weight", "statistics"])
@pytest.mark.parametrize("kind", STATISTICS)
def test_a_black_mask_gives_finite_losses_and_no_slope(kind: str, axis: str) -> None:
    spec = {**THREE, "statistic": kind, "strength_acts_on": axis}
    losses, gradient = evaluate(spec, IMAGE, 0.5, torch.zeros(64, 80))
    assert all(bool(term.isfinite()) for term in losses)
    assert float(losses.content) < 1e-10
    assert bool((gradient == 0).all())


@pytest.mark.parametrize("kind", STATISTICS)
def test_a_white_mask_counts_as_none(kind: str) -> None:
    # Far from the content and off the grid of drawn numbers: differences there are exact.
    spec, image = {**THREE, "statistic": kind}, naive.draw(3, 64, 80, seed=5).sqrt()
    plain, slope = evaluate(spec, image)
    masked, masked_slope = evaluate(spec, image, mask=torch.ones(64, 80))
    assert torch.equal(masked.content, plain.content)
    assert torch.equal(masked.tv, plain.tv)
    if kind == "gram":
        assert masked == plain
        assert torch.equal(masked_slope, slope)
    # The others add their sums in another order.
    assert float(masked.style) == pytest.approx(float(plain.style), rel=1e-5)
    assert extractors.relative_error(masked_slope, slope) < 1e-5
