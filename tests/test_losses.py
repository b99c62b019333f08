"""Gram matrices, losses and total variation against loops in float64."""

import naive
import pytest
import torch

from stylebatch.transfer.losses import (
    gram_divisor,
    gram_matrix,
    loss_scale,
    squared_distance,
    total_variation,
)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_gram_matrix_is_the_sum_over_positions_of_channel_products(batch: int) -> None:
    features = naive.draw(batch, 5, 4, 7) - 0.5
    found = gram_matrix(features)
    assert found.shape == (batch, 5, 5)
    for image in range(batch):
        wanted = naive.gram_by_loops(features[image])
        assert torch.allclose(found[image].double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_oracle_of_the_objective_has_the_gram_matrix_of_the_loops() -> None:
    features = naive.draw(4, 3, 5).double()
    for divisor, number in (("none", 1), ("n", 15), ("cn", 60)):
        wanted = naive.gram_by_loops(features) / number
        assert torch.allclose(naive.gram(features, divisor), wanted)


def test_a_gram_divisor_counts_positions_or_positions_and_channels() -> None:
    assert [gram_divisor(kind, 64, 35) for kind in ("none", "n", "cn")] == [1, 35, 64 * 35]


@pytest.mark.parametrize("kind", ["relative", "mean", "sum"])
def test_a_scaled_squared_distance_is_the_loss(kind: str) -> None:
    values, targets = naive.draw(3, 4, 5, 6, seed=1), naive.draw(3, 4, 5, 6, seed=2)
    found = loss_scale(kind, targets) * squared_distance(values, targets)
    for image in range(3):
        wanted = naive.distance(kind, values[image].double(), targets[image].double())
        assert float(found[image]) == pytest.approx(float(wanted), rel=1e-5)


def test_a_relative_loss_is_one_where_everything_is_missing_whatever_the_size() -> None:
    for target in (naive.draw(2, 3, 4, 5), 1000 * naive.draw(2, 3, 40, 50)):
        loss = loss_scale("relative", target) * squared_distance(0 * target, target)
        assert loss.tolist() == pytest.approx([1, 1], rel=1e-5)


def test_a_relative_loss_against_nothing_is_finite() -> None:
    nothing = torch.zeros(2, 3, 4, 5)
    assert bool(loss_scale("relative", nothing).isfinite().all())


def test_total_variation_is_the_sum_of_squared_differences_to_both_next_neighbours() -> None:
    images = naive.draw(2, 3, 6, 9)
    wanted = [naive.total_variation_by_loops(image) for image in images]
    assert total_variation(images).tolist() == pytest.approx(wanted, rel=1e-5)
    assert float(naive.total_variation(images[0].double())) == pytest.approx(wanted[0])


def test_a_flat_image_has_no_total_variation() -> None:
    assert total_variation(torch.full((2, 3, 8, 8), 0.3)).tolist() == [0, 0]
