"""Gram matrices, losses and total variation against loops in float64."""

import math

import pytest
import torch
from support import naive
from support.extractors import relative_error
from torch import Tensor

from stylebatch.transfer import losses
from stylebatch.transfer.losses import (
    gram_back_by_product,
    gram_by_product,
    gram_divisor,
    gram_matrix,
    loss_scale,
    mean_std,
    power_distance,
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("positions", [(5, 7), (64, 64), (131, 97)], ids=str)
def test_gram_matrices_with_ones_are_those_of_one_more_channel_in_any_layout(
    positions: tuple[int, int], layout: torch.memory_format, dtype: torch.dtype
) -> None:
    features = (naive.draw(2, 6, *positions) - 0.3).to(dtype, memory_format=layout)
    rows = features.double().flatten(2)
    rows = torch.cat([rows, rows.new_ones(2, 1, rows.shape[2])], 1)
    wanted = torch.einsum("bcn,bdn->bcd", rows, rows)
    for with_ones, channels in ((False, 6), (True, 7)):
        x = features.detach().requires_grad_()
        found = gram_matrix(x, with_ones)
        assert found.dtype == torch.float32
        assert relative_error(found.detach(), wanted[:, :channels, :channels]) < 1e-5
        slope = naive.draw(*found.shape, seed=8) - 0.5
        (gradient,) = torch.autograd.grad(found, x, slope)
        both = (slope + slope.transpose(1, 2)).double()
        expected = torch.einsum("bcd,bdn->bcn", both, rows[:, :channels])[:, :6]
        tolerance = 1e-5 if dtype == torch.float32 else 0.01
        assert relative_error(gradient.flatten(2), expected) < tolerance


@pytest.mark.parametrize(
    "shape", [(64, 256, 256), (128, 96, 96), (24, 33, 41), (256, 16, 16), (8, 1, 1)]
)
@pytest.mark.parametrize("with_ones", [False, True])
def test_gram_matrices_have_the_same_bits_on_any_number_of_threads_and_in_any_batch(
    shape: tuple[int, ...], with_ones: bool
) -> None:
    features = naive.draw(1, *shape).to(torch.bfloat16, memory_format=torch.channels_last)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8, 32):
            torch.set_num_threads(threads)
            found.append(gram_matrix(features, with_ones))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0], each) for each in found)
    other = naive.draw(1, *shape, seed=3).to(torch.bfloat16, memory_format=torch.channels_last)
    both = torch.cat([other, features])
    assert both.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gram_matrix(both, with_ones)[1], found[0][0])
    rows = features.double().flatten(2)[0]
    wanted = rows @ rows.T
    assert relative_error(found[0][0, : shape[0], : shape[0]], wanted) < 1e-5


@pytest.mark.parametrize("positions", [(5, 7), (32, 64), (64, 96)], ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_gram_matrices_as_a_gpu_makes_them_are_the_same_with_their_gradient(
    layout: torch.memory_format, positions: tuple[int, int]
) -> None:
    features = (naive.draw(3, 6, *positions) - 0.5).to(memory_format=layout).requires_grad_()
    rows = features.detach().flatten(2)
    for with_ones in (False, True):
        gram = gram_matrix(features, with_ones)
        wanted = gram.detach()[:, :6, :6]
        assert torch.allclose(gram_by_product(rows), wanted, rtol=1e-4, atol=1e-3)
        slope = naive.draw(*gram.shape, seed=8) - 0.5
        (gradient,) = torch.autograd.grad(gram, features, slope)
        found = gram_back_by_product(slope + slope.transpose(1, 2), rows).view(features.shape)
        assert torch.allclose(found, gradient, rtol=1e-4, atol=1e-4)
        # What follows on a GPU convolves in this layout.
        assert found.is_contiguous(memory_format=torch.channels_last)


def test_gram_matrices_of_more_chunks_than_a_grid_has_blocks_are_multiplied_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = naive.draw(3, 4, 3 * losses.GRAM_CHUNK) - 0.5
    chunked = gram_by_product(rows)
    counts = []
    product = torch.bmm

    def count(left: Tensor, right: Tensor) -> Tensor:
        counts.append(len(left))
        return product(left, right)

    monkeypatch.setattr(losses, "MAX_PRODUCTS", 8)
    monkeypatch.setattr(torch, "bmm", count)
    assert torch.allclose(gram_by_product(rows), chunked, rtol=1e-4, atol=1e-3)
    assert counts == [3]


def test_the_oracle_of_the_objective_has_the_gram_matrix_of_the_loops() -> None:
    features = naive.draw(4, 3, 5).double()
    for divisor, number in (("none", 1), ("n", 15), ("cn", 60)):
        wanted = naive.gram_by_loops(features) / number
        assert torch.allclose(naive.gram(features, divisor), wanted)


def test_a_gram_divisor_counts_positions_channels_or_the_image_s_own_pixels() -> None:
    kinds = ("none", "n", "cn", "2cn", "image")
    found = [gram_divisor(kind, 64, 35, 35 * 16) for kind in kinds]
    assert found == [1, 35, 64 * 35, 2 * 64 * 35, 2 * 3 * 35 * 16]


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


def test_total_variation_takes_a_power_and_another_scale_of_pixels() -> None:
    images = naive.draw(2, 3, 5, 7)
    found = total_variation(images, 1.25, (255.0, 255.0, 255.0))
    for image, value in zip(images.tolist(), found.tolist(), strict=True):
        wanted = 0.0
        for channel in image:
            for row in range(4):
                for column in range(6):
                    here = 255 * channel[row][column]
                    a = (255 * channel[row + 1][column] - here) ** 2
                    b = (255 * channel[row][column + 1] - here) ** 2
                    wanted += (a + b) ** 1.25
        assert value == pytest.approx(wanted, rel=1e-5)


def test_a_scale_of_pixels_by_channel_counts_each_channel_by_its_own() -> None:
    image = naive.draw(1, 3, 6, 8)
    channels = [float(naive.total_variation(image[0, i : i + 1].double())) for i in range(3)]
    wanted = channels[0] * 2**2 + channels[1] * 3**2 + channels[2] * 4**2
    assert float(total_variation(image, 1.0, (2, 3, 4))) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("power", [1, 1.25, 2])
def test_total_variation_has_a_finite_slope_where_neighbours_are_equal(power: float) -> None:
    image = torch.full((1, 3, 6, 6), 0.3)
    image[..., 3, 3] = 0.8
    image.requires_grad_()
    torch.autograd.backward(total_variation(image, power, (255.0,) * 3).sum())
    assert image.grad is not None
    assert bool(image.grad.isfinite().all())
    assert bool((image.grad[..., :2, :2] == 0).all())
    assert bool((image.grad[..., 3, 3] > 0).all())


# --- means and standard deviations -----------------------------------------------------------


def test_means_and_deviations_are_torch_s_in_float64() -> None:
    features = 40 * naive.draw(3, 5, 9, 14) - 10
    found = mean_std(features).double()
    assert found.shape == (3, 2, 5)
    values = features.double().flatten(2)
    assert torch.allclose(found[:, 0], values.mean(2), rtol=1e-5)
    deviation = torch.sqrt(values.var(2, correction=0) + 1e-5)
    assert torch.allclose(found[:, 1], deviation, rtol=1e-5)


def test_a_small_deviation_around_a_large_mean_is_not_lost() -> None:
    features = 1000 + 0.2 * naive.draw(1, 3, 16, 16)
    wanted = torch.sqrt(features.double().flatten(2).var(2, correction=0) + 1e-5)
    assert torch.allclose(mean_std(features)[:, 1].double(), wanted, rtol=1e-3)


def weighted(values: list[float], weights: list[float]) -> tuple[float, float]:
    """Return mean and deviation of values that count by their weights."""
    total = sum(weights)
    mean = sum(w * value for w, value in zip(weights, values, strict=True)) / total
    square = sum(w * (value - mean) ** 2 for w, value in zip(weights, values, strict=True))
    return mean, math.sqrt(square / total + 1e-5)


def test_under_a_mask_each_position_counts_by_its_share() -> None:
    features, mask = naive.draw(2, 4, 6, 7), naive.draw(2, 1, 6, 7, seed=1).square()
    mask[..., :3] = 0
    found = mean_std(features, mask)
    for image in range(2):
        for channel in range(4):
            values = features[image, channel].double().flatten().tolist()
            wanted = weighted(values, mask[image].double().flatten().tolist())
            assert found[image, :, channel].tolist() == pytest.approx(wanted, rel=1e-5)


def test_a_full_mask_counts_as_none_and_an_empty_one_is_finite() -> None:
    features = naive.draw(2, 4, 6, 7).requires_grad_()
    full = mean_std(features, torch.ones(2, 1, 6, 7))
    assert torch.allclose(full, mean_std(features), rtol=1e-5)
    empty = mean_std(features, torch.zeros(2, 1, 6, 7))
    (slope,) = torch.autograd.grad(empty.sum(), features)
    assert bool(empty.isfinite().all())
    assert bool((slope == 0).all())


def test_a_flat_channel_has_a_slope() -> None:
    flat = torch.full((1, 2, 4, 4), 0.7, requires_grad=True)
    (slope,) = torch.autograd.grad(mean_std(flat).sum(), flat)
    assert bool(slope.isfinite().all())


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("size", [(7, 9), (32, 32), (61, 47)])
def test_means_and_deviations_have_the_same_bits_alone_and_in_a_batch(
    size: tuple[int, int], is_masked: bool
) -> None:
    features, masks = naive.draw(5, 8, *size), naive.draw(5, 1, *size, seed=1)
    together = mean_std(features, masks if is_masked else None)
    for image in range(5):
        mask = masks[image : image + 1] if is_masked else None
        assert torch.equal(mean_std(features[image : image + 1], mask)[0], together[image])


# --- powers of a distance --------------------------------------------------------------------


def power_distance_by_loops(G: Tensor, A: Tensor, powers: list[int], divisor: float) -> float:
    """Return Σ (G-A)^p / divisor² of undivided matrices, as Keras' variants have it."""
    total = 0.0
    for g, a in zip(G.double().flatten().tolist(), A.double().flatten().tolist(), strict=True):
        for power in powers:
            total += (g - a) ** power / divisor**2
    return total


@pytest.mark.parametrize("powers", [[2], [4], [2, 4]])
@pytest.mark.parametrize("divisor", [1.0, 60.0])
def test_a_distance_is_the_sum_of_its_powers_over_the_divisor_s_square(
    powers: list[int], divisor: float
) -> None:
    G, A = 9 * naive.draw(3, 6, 6, seed=1), 9 * naive.draw(3, 6, 6, seed=2)
    found = power_distance(G / divisor, A / divisor, powers, divisor)
    for image in range(3):
        wanted = power_distance_by_loops(G[image], A[image], powers, divisor)
        assert float(found[image]) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("powers", [[2], [4], [2, 4]])
def test_large_undivided_gram_matrices_overflow_neither_loss_nor_slope(powers: list[int]) -> None:
    divisor = 1.5e6
    G = 1e9 * naive.draw(1, 128, 128, seed=1)
    A = 1e9 * naive.draw(1, 128, 128, seed=2)
    assert bool((G - A).square().square().sum().isinf()), "a plain sum would overflow"
    values = (G / divisor).requires_grad_()
    loss = power_distance(values, A / divisor, powers, divisor)
    (slope,) = torch.autograd.grad(loss.sum(), values)
    wanted = sum(float((G - A).double().pow(power).sum()) for power in powers) / divisor**2
    assert float(loss.detach()) == pytest.approx(wanted, rel=1e-3)
    assert bool(slope.isfinite().all())
