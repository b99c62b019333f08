"""Strength as an axis: from the content's own statistics to the style's, and beyond."""

import pytest
import torch
from support import extractors, naive, naive_scales
from support.scaled import (
    CONTENT,
    IMAGE,
    STYLE,
    THREE,
    assert_agrees,
    blob,
    evaluate,
    make_objective,
)
from torch import Tensor

from stylebatch.transfer.objective import Losses

STATISTICS = naive_scales.STATISTICS
AXIS = {**THREE, "strength_acts_on": "statistics"}


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("style_loss", ["relative", "mean"])
@pytest.mark.parametrize("kind", STATISTICS)
def test_at_strength_0_the_content_has_no_loss_and_no_slope(
    kind: str, style_loss: str, is_masked: bool
) -> None:
    spec = {**AXIS, "statistic": kind, "style_loss": style_loss}
    mask = blob() if is_masked else None
    losses, gradient = evaluate(spec, CONTENT, 0, mask)
    full, slope = evaluate(spec, CONTENT, 1, mask)
    assert losses.tv.tolist() == [0]
    assert float(full.tv) > 0
    assert abs(float(losses.total)) < 1e-6 * float(full.total)
    assert float(gradient.norm()) < 1e-5 * float(slope.norm())


def test_at_strength_0_any_other_image_has_a_loss() -> None:
    for kind in STATISTICS:
        losses, _ = evaluate({**AXIS, "statistic": kind}, IMAGE, 0)
        assert float(losses.style) > 1e-5
        assert float(losses.content) > 1e-5


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("kind", STATISTICS)
def test_at_strength_1_it_makes_no_difference_what_strength_acts_on(
    kind: str, is_masked: bool
) -> None:
    mask = blob() if is_masked else None
    spec = {"statistic": kind, "tv_divisor": "edge", "tv_border": True}
    (axis, slope), (factor, same) = (evaluate({**x, **spec}, IMAGE, 1, mask) for x in (AXIS, THREE))
    assert axis == factor
    assert torch.equal(slope, same)


@pytest.mark.parametrize("kind", STATISTICS)
@pytest.mark.parametrize("strength", [0.25, 0.5, 1.5])
def test_between_both_the_target_is_the_mean_of_both_statistics(strength: float, kind: str) -> None:
    assert_agrees({**AXIS, "statistic": kind, "content_weight": 1e-2}, strength)


def test_half_way_the_target_of_gram_matrices_is_half_of_both() -> None:
    """Once more in so many words, without the formula of all."""
    spec = {**AXIS, "scales": (1,)}
    targets = make_objective(spec).targets(CONTENT[None], naive_scales.given(STYLE, spec), 0.5)
    maps = [naive.feature_maps(x[None], ["conv1_1"])["conv1_1"][0] for x in (CONTENT, STYLE)]
    wanted = (naive.gram(maps[0], "n") + naive.gram(maps[1], "n")) / 2
    assert extractors.relative_error(targets["style.conv1_1"][0], wanted) < 1e-6


def terms_at(strength: float, kind: str, mask: Tensor | None) -> Losses:
    return evaluate({**AXIS, "statistic": kind}, IMAGE, strength, mask)[0]


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("kind", STATISTICS)
def test_beyond_1_only_the_style_term_grows_with_the_cube(kind: str, is_masked: bool) -> None:
    mask = blob() if is_masked else None
    one, two, three = (terms_at(strength, kind, mask) for strength in (1, 2, 3))
    assert float(two.style) == pytest.approx(8 * float(one.style), rel=1e-6)
    assert float(three.style) == pytest.approx(27 * float(one.style), rel=1e-6)
    assert torch.equal(two.content, one.content)
    assert torch.equal(two.tv, one.tv)


def test_below_1_total_variation_goes_with_strength() -> None:
    half, one = (terms_at(strength, "gram", None) for strength in (0.5, 1))
    assert float(half.tv) == pytest.approx(0.5 * float(one.tv), rel=1e-6)
    assert torch.equal(half.content, one.content)
