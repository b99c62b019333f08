"""What of a style is matched: statistics of feature maps, and how far apart two of them are."""

from collections.abc import Callable

import pytest
import torch
from support import extractors, naive, naive_scales
from support.scaled import CONTENT, IMAGE, SPEC, STYLE, THREE, evaluate, make_objective
from support.synchronisation import NoReadingBack
from torch import Tensor

from stylebatch.transfer import statistics
from stylebatch.transfer.losses import loss_scale

STATISTICS = naive_scales.STATISTICS


# --- means, second moments and covariances ---------------------------------------------------


def shares(seed: int, *size: int) -> Tensor:
    """Draw how much each position counts, (1, 1, h, w): some not at all."""
    return (2 * naive.draw(1, 1, *size, seed=seed) - 0.5).clamp(0, 1)


def moments_by_hand(features: Tensor, share: Tensor | None = None) -> Tensor:
    """Return means above second moments of one map (C, h, w)."""
    found = naive_scales.mean_and_covariance(features, share)
    return torch.cat([found[:1], found[1:] + torch.outer(found[0], found[0])])


@pytest.mark.parametrize("is_masked", [False, True])
def test_moments_are_means_of_features_and_of_their_products(is_masked: bool) -> None:
    extractor = extractors.of("vgg19", ("conv1_1",))
    features = naive.draw(2, 6, 7, 9) - 0.3
    masks = torch.cat([shares(1, 7, 9), shares(2, 7, 9)]) if is_masked else None
    found = extractor.moments("conv1_1", features, masks)
    assert found.shape == (2, 7, 6)
    for image in range(2):
        share = None if masks is None else masks[image, 0].double()
        wanted = moments_by_hand(features[image].double(), share)
        assert torch.allclose(found[image].double(), wanted, rtol=1e-5, atol=1e-6)
        if masks is None:
            by_loops = naive_scales.moments(features[image])
            assert torch.allclose(found[image].double(), by_loops, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["conv1_1", "conv2_1"])
@pytest.mark.parametrize("is_masked", [False, True])
def test_moments_behind_a_head_are_those_of_its_wide_maps(is_masked: bool, layer: str) -> None:
    extractor, head = extractors.of("slim", (layer,)), naive.random_heads()[layer]
    narrow = (naive.draw(2, head.in_channels, 8, 11) - 0.3).requires_grad_()
    masks = torch.cat([shares(1, 8, 11), shares(2, 8, 11)]) if is_masked else None
    found = extractor.moments(layer, narrow, masks)
    x = narrow.detach().double().requires_grad_()
    weight, bias = head.weight.double()[:, :, 0, 0], head.bias
    assert bias is not None
    wide = torch.einsum("oc,bchw->bohw", weight, x) + bias.double().view(1, -1, 1, 1)
    of_each = [None, None] if masks is None else [mask[0].double() for mask in masks]
    wanted = torch.stack([moments_by_hand(*pair) for pair in zip(wide, of_each, strict=True)])
    assert extractors.relative_error(found.detach(), wanted.detach()) < 1e-5
    weights = naive.draw(*found.shape, seed=4) - 0.5
    (slope,) = torch.autograd.grad((found * weights).sum(), narrow)
    (true,) = torch.autograd.grad((wanted * weights).sum(), x)
    assert extractors.relative_error(slope, true) < 1e-4


@pytest.mark.parametrize(
    ("arch", "layer", "channels"),
    [("vgg19", "conv2_1", 128), ("slim", "conv1_1", 32), ("slim", "conv2_1", 48)],
)
@pytest.mark.parametrize("is_masked", [False, True])
def test_moments_have_the_same_bits_in_any_batch_and_with_any_threads(
    is_masked: bool, arch: str, layer: str, channels: int
) -> None:
    extractor = extractors.of(arch, (layer,))
    maps = naive.draw(4, channels, 61, 70)
    masks = torch.cat([shares(k, 61, 70) for k in range(4)]) if is_masked else None

    def moments(some: slice) -> Tensor:
        return extractor.moments(layer, maps[some], None if masks is None else masks[some])

    torch.set_num_threads(1)
    alone = [moments(slice(k, k + 1))[0] for k in range(4)]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for first in (0, 1, 3):
            for found, wanted in zip(moments(slice(first, 4)), alone[first:], strict=True):
                assert torch.equal(found, wanted)


def test_centred_moments_are_mean_and_covariance() -> None:
    features = naive.draw(2, 5, 6, 7).double()
    given = torch.stack([moments_by_hand(x) for x in features])
    wanted = torch.stack([naive_scales.mean_and_covariance(x) for x in features])
    assert torch.allclose(statistics.centre(given), wanted, atol=1e-12)


@pytest.mark.parametrize("kind", STATISTICS)
def test_a_statistic_has_the_rows_that_are_stated(kind: str) -> None:
    style = naive_scales.given(STYLE, {**SPEC, "statistic": kind})
    for layer, channels in (("conv1_1", 64), ("relu2_1", 128)):
        assert style[layer].shape == (statistics.num_rows(kind, channels), channels)


@pytest.mark.parametrize("loss", ["relative", "mean", "sum"])
@pytest.mark.parametrize("kind", ["gram", "mean_std"])
def test_a_loss_is_relative_to_the_style_s_own_statistics(kind: str, loss: str) -> None:
    values = naive.draw(3, 4, 4)
    assert torch.equal(statistics.scales_of(kind, loss, values)[:, 0], loss_scale(loss, values))


# --- mean and covariance ---------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["relative", "mean", "sum"])
def test_mean_and_covariance_count_half_each(loss: str) -> None:
    values, target = (naive.draw(1, 6, 5, seed=seed) for seed in (1, 2))
    scales = statistics.scales_of("mean_covariance", loss, target)
    parts = scales * statistics.distances("mean_covariance", values, target, (2,), 1.0)
    x, y = values[0].double(), target[0].double()
    halves = [0.5 * naive.distance(loss, x[p], y[p]) for p in (slice(1), slice(1, None))]
    assert parts[0].tolist() == pytest.approx([float(half) for half in halves], rel=1e-5)


# --- the Wasserstein distance ----------------------------------------------------------------


def normal(seed: int, channels: int = 6, rank: int | None = None, scale: float = 1.0) -> Tensor:
    """Draw a mean above a covariance of a rank, (1, C + 1, C)."""
    rank = channels if rank is None else rank
    mean = scale * (naive.draw(1, channels, seed=seed).double() - 0.5)
    factor = scale * (naive.draw(channels, rank, seed=100 + seed).double() - 0.3)
    return torch.cat([mean, factor @ factor.T])[None].float()


def apart(values: Tensor, style: Tensor) -> Tensor:
    """Return the distance of one from a style, (1,)."""
    return statistics.wasserstein(values, statistics.target_of("wasserstein", style))


CASES: dict[str, Callable[[], tuple[Tensor, Tensor]]] = {
    "full": lambda: (normal(1), normal(2)),
    "64 channels": lambda: (normal(1, 64), normal(2, 64)),
    "deficient image": lambda: (normal(1, 8, 3), normal(2, 8)),
    "deficient style": lambda: (normal(1, 8), normal(2, 8, 3)),
    "both, as of 3 colours": lambda: (normal(1, 64, 3), normal(2, 64, 3)),
    "both, of other sizes": lambda: (normal(1, 64, 3), normal(2, 64, 3, 1e3)),
    "flat image": lambda: (torch.cat([normal(1)[:, :1], torch.zeros(1, 6, 6)], 1), normal(2)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_distance_is_that_of_scipys_roots(case: str) -> None:
    values, style = CASES[case]()
    wanted = naive_scales.wasserstein_by_scipy(values[0].double(), style[0].double())
    assert apart(values, style).tolist() == pytest.approx([wanted], rel=2e-5)
    again = naive_scales.wasserstein(values[0].double(), style[0].double())
    assert float(again) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_the_slope_of_the_distance_is_that_of_eigenvalues_in_float64(case: str) -> None:
    values, style = CASES[case]()
    values.requires_grad_()
    (slope,) = torch.autograd.grad(apart(values, style), values)
    x = values[0].detach().double().requires_grad_()
    (true,) = torch.autograd.grad(naive_scales.wasserstein(x, style[0].double()), x)
    # Covariances are symmetric: of a slope what is not does not count.
    true = torch.cat([true[:1], (true[1:] + true[1:].T) / 2])
    assert extractors.relative_error(slope[0], true) < 1e-4


@pytest.mark.parametrize("case", ["full", "deficient style", "both, as of 3 colours"])
def test_the_slope_of_the_distance_is_that_of_finite_differences(case: str) -> None:
    values, style = CASES[case]()
    for seed in range(3):
        # Half way to another covariance: whatever is a little off that is a covariance too.
        along = normal(30 + seed, values.shape[2]) - values
        middle = (values + 0.5 * along).requires_grad_()
        (slope,) = torch.autograd.grad(apart(middle, style), middle)
        ahead, behind = (
            naive_scales.wasserstein_by_scipy(
                (middle.detach() + h * along.double())[0].double(), style[0].double()
            )
            for h in (1e-5, -1e-5)
        )
        found = float((slope.double() * along).sum())
        assert found == pytest.approx((ahead - behind) / 2e-5, rel=1e-3)


@pytest.mark.parametrize("rank", [64, 3])
def test_a_style_is_at_no_distance_from_itself_and_there_is_no_slope(rank: int) -> None:
    style = normal(2, 64, rank)
    values = style.clone().requires_grad_()
    distance = apart(values, style)
    (slope,) = torch.autograd.grad(distance, values)
    size = float(style[0, 1:].trace())
    assert abs(float(distance.detach())) < 1e-6 * size
    # Where everything is apart it is about 1.
    assert float(slope.abs().max()) < 1e-3


def test_the_distance_is_the_same_from_both_sides_but_for_the_ridge() -> None:
    one, other = normal(1), normal(2, scale=1.2)
    there, back = float(apart(one, other)), float(apart(other, one))
    assert there == pytest.approx(back, rel=2e-2)
    assert there > 0.1
    # Of covariances alike in size the ridge is the same.
    turned = torch.cat([one[:, :1], one[:, 1:].flip(1, 2)], 1)
    assert float(apart(one, turned)) == pytest.approx(float(apart(turned, one)), rel=1e-4)


def test_means_apart_add_their_squares() -> None:
    one = normal(1)
    other = one.clone()
    other[:, 0] += 0.5
    assert float(apart(other, one)) == pytest.approx(6 * 0.25, rel=1e-4)


@pytest.mark.parametrize("rank", [6, 2])
def test_a_root_is_scipys(rank: int) -> None:
    covariances = torch.cat([normal(1, 6, rank), normal(2, 6)])[:, 1:]
    for found, matrix in zip(statistics.root_of(covariances), covariances, strict=True):
        # Of a matrix without full rank SciPy's own root is good to half the digits.
        wanted = naive_scales.root(matrix.double() + 1e-12 * torch.eye(6))
        assert torch.allclose(found.double(), wanted, atol=2e-4)
        assert torch.allclose(found @ found, matrix, atol=1e-5)


@pytest.mark.parametrize("loss", ["relative", "mean", "sum"])
def test_a_distance_is_relative_to_the_style_s_mean_square_or_a_mean_by_channels(loss: str) -> None:
    features = naive.draw(5, 9, 8, seed=3).double() - 0.2
    style = naive_scales.mean_and_covariance(features)[None]
    found = statistics.scales_of("wasserstein", loss, style.float())
    square = float(features.square().sum(0).mean())
    assert found.shape == (1, 1)
    assert float(found) == pytest.approx({"relative": 1 / square, "mean": 1 / 5, "sum": 1}[loss])


@pytest.mark.parametrize("kind", STATISTICS)
def test_a_style_that_is_black_gives_finite_numbers(kind: str) -> None:
    spec = {**THREE, "statistic": kind}
    style = {name: 0 * value for name, value in naive_scales.given(STYLE, spec).items()}
    losses, gradient = evaluate(spec, IMAGE, style=style)
    assert all(bool(term.isfinite()) for term in losses)
    assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("kind", STATISTICS)
def test_a_flat_image_has_a_finite_slope(kind: str) -> None:
    losses, gradient = evaluate({**THREE, "statistic": kind}, torch.full_like(IMAGE, 0.4))
    assert all(bool(term.isfinite()) for term in losses)
    assert bool(gradient.isfinite().all())


# Multiples of 8, as every layer has: others begin in a batch where MKL takes another order.
@pytest.mark.parametrize("channels", [64, 96, 256])
def test_the_distance_has_the_same_bits_in_any_batch_and_with_any_threads(channels: int) -> None:
    values = torch.cat([normal(k, channels, channels if k % 2 else 5) for k in range(4)])
    styles = torch.cat([normal(10 + k, channels, channels if k < 2 else 5) for k in range(4)])

    def both(some: slice) -> tuple[Tensor, Tensor, Tensor]:
        target = statistics.target_of("wasserstein", styles[some])
        x = values[some].clone().requires_grad_()
        distance = statistics.wasserstein(x, target)
        (slope,) = torch.autograd.grad(distance.sum(), x)
        return target, distance.detach(), slope

    torch.set_num_threads(1)
    alone = [both(slice(k, k + 1)) for k in range(4)]
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for first in (0, 1, 2, 3):
            together = both(slice(first, 4))
            for k in range(first, 4):
                for found, one in zip(together, alone[k], strict=True):
                    assert torch.equal(found[k - first], one[0]), (threads, first, k)
        assert torch.get_num_threads() == threads


@pytest.mark.parametrize("kind", STATISTICS)
def test_an_evaluation_reads_nothing_back(kind: str) -> None:
    """But for what eigenvalues wait for on a GPU, which torch does by itself."""
    spec = {**THREE, "statistic": kind, "strength_acts_on": "statistics", "tv_divisor": "edge"}
    objective = make_objective(spec)
    wanted = objective.targets(CONTENT[None], naive_scales.given(STYLE, spec), 0.5)
    with NoReadingBack():
        objective.evaluate(IMAGE[None], wanted)
