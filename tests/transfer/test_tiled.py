"""An image evaluated tile by tile beside the same as a whole, and beside float64.

Most compare with convolutions in float64: in float32 one in a million maxima of a window is so near
to its neighbour that rounding decides which it is, and a few pixels get another slope by that.
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from support import naive, naive_scales
from support.engines import run, solver
from support.extractors import of
from support.scaled import THREE, make_objective
from support.synchronisation import NoWaiting
from torch import Tensor

from stylebatch.device.from_recipe import objective_spec
from stylebatch.device.style_statistics import image_statistics
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import needs_network, recipe_fields, recipe_names, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.objective import Objective, ObjectiveSpec
from stylebatch.transfer.problem import Problem
from stylebatch.transfer.tiled import TiledObjective
from stylebatch.transfer.tiles import Tiling

RECIPES = [name for name in recipe_names() if needs_network(name)]
STYLE = naive.draw(1, 3, 72, 64, seed=2).square()
# Of its value, or of a tensor's norm.
CLOSE = 1e-5


def tiled(objective: Objective, tile_px: int) -> TiledObjective:
    return TiledObjective(objective.spec, objective.extractor, Tiling(tile_px, tile_px**2))


def of_recipe(
    arch: str, name: str, dtype: torch.dtype = torch.float64, **override: Any
) -> Objective:
    recipe = recipe_on(arch, recipe_fields(name) | override)
    seen = {"pooling": recipe.pooling, "padding": recipe.padding}
    return Objective(objective_spec(recipe), of(arch, recipe.layers, dtype=dtype, **seen))


def of_three(**changes: Any) -> Objective:
    """Return the objective on three scales of the style, two of the content."""
    spec = {**THREE, **changes}
    layers = (*spec["content_layers"], *spec["style_layers"])
    return Objective(ObjectiveSpec(**spec), of("vgg19", layers, dtype=torch.float64))


def draw(size: tuple[int, int], batch: int = 1) -> tuple[Tensor, Tensor]:
    """Draw contents (B, 3, H, W), and images not far from them."""
    content = naive.draw(batch, 3, *size, seed=1)
    image = (0.8 * content + 0.2 * naive.draw(batch, 3, *size, seed=3)).clamp(0, 1)
    return content, image


def blob(size: tuple[int, int]) -> Tensor:
    """Draw a mask: nothing at the left, everything at the right, anything between."""
    mask = naive.draw(1, 1, *size, seed=7)
    mask[..., : size[1] // 3] = 0
    mask[..., size[1] // 2 :] = 1
    return mask


def apart(found: Tensor, wanted: Tensor) -> float:
    assert found.shape == wanted.shape
    norm = wanted.double().norm().clamp_min(1e-30)
    return float((found.double() - wanted.double()).norm() / norm)


def assert_close(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], to: float) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert apart(found[name], value) < to, name


def assert_same(
    objective: Objective,
    size: tuple[int, int],
    tile_px: int,
    mask: Tensor | None = None,
    strength: float = 0.7,
    to: float = CLOSE,
) -> None:
    """Compare targets, each term, also without a gradient, and the gradient."""
    content, image = draw(size)
    style = image_statistics_of(objective, size)
    parts = tiled(objective, tile_px)
    assert parts.tiling.cuts(*size)
    targets = objective.targets(content, style, strength, mask)
    assert_close(parts.targets(content, style, strength, mask), targets, to)
    losses, gradient = objective.evaluate(image, targets)
    found, slope = parts.evaluate(image, targets)
    assert float(losses.style) > 0
    assert_close(found._asdict(), losses._asdict(), to)
    assert_close(parts.losses(image, targets)._asdict(), losses._asdict(), to)
    assert apart(slope, gradient) < to


def image_statistics_of(objective: Objective, size: tuple[int, int]) -> Mapping[str, Tensor]:
    """Return a style's statistics for each scale that an image of this size has."""
    spec, extractor = objective.spec, objective.extractor
    coarsest = max(spec.style_scales_at(*size, extractor.smallest_edge_px))
    style = torch.nn.functional.interpolate(STYLE, scale_factor=2**coarsest)
    return image_statistics(style, spec, extractor)


@pytest.mark.parametrize("is_upright", [False, True])
@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_architecture_at_its_own_layers(arch: str, is_upright: bool) -> None:
    # What is around a tile of those with strides from the first layer on is wide.
    long, short = (411, 65) if arch in ("alexnet", "squeezenet1_1") else (133, 41)
    assert_same(of_recipe(arch, "balanced"), (long, short) if is_upright else (short, long), 32)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe(name: str) -> None:
    assert_same(of_recipe("vgg19", name), (64, 270), 90)


@pytest.mark.parametrize("tile_px", [16, 37, 64, 90, 110])
def test_tiles_of_any_size(tile_px: int) -> None:
    assert_same(of_three(), (99, 131), tile_px)


@pytest.mark.parametrize("acts_on", ["style_weight", "statistics"])
@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize("statistic", ["gram", "mean_std", "mean_covariance", "wasserstein"])
def test_every_statistic_with_masks_and_without(
    statistic: str, is_masked: bool, acts_on: str
) -> None:
    size = (50, 91)
    objective = of_three(statistic=statistic, strength_acts_on=acts_on)
    assert_same(objective, size, 40, blob(size) if is_masked else None)


@pytest.mark.parametrize("statistic", ["gram", "mean_std", "mean_covariance"])
def test_slim_s_heads(statistic: str) -> None:
    size = (99, 131)
    objective = of_recipe("slim", "balanced", statistic=statistic)
    assert_same(objective, size, 40, blob(size))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["zeros", "reflect", "replicate", "replicate_shallow"])
@pytest.mark.parametrize("pooling", ["max", "average", "average_scaled"])
def test_every_padding_and_pooling(pooling: str, padding: str) -> None:
    assert_same(of_recipe("vgg19", "balanced", pooling=pooling, padding=padding), (50, 70), 32)


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["alexnet", "squeezenet1_1"])
def test_networks_whose_maps_end_before_the_image_does_at_any_size(arch: str) -> None:
    objective = of_recipe(arch, "balanced", scales=[1], content_scales=[1])
    for length in range(200, 217):
        assert_same(objective, (length, 100), 64)


@pytest.mark.parametrize("changes", [{"content_loss": "mean"}, {"content_loss": "sum"}])
def test_every_content_loss(changes: dict[str, Any]) -> None:
    assert_same(of_three(**changes), (99, 131), 40)


def test_a_recipe_of_one_coarse_scale_only() -> None:
    """The full size is looked at for nothing, the next is cut."""
    objective = of_three(scales=(0, 1), content_scales=(0, 1), tv_border=True)
    assert_same(objective, (150, 171), 40)


@pytest.mark.parametrize("tv_border", [False, True])
@pytest.mark.parametrize("height", [80, 81, 82, 119])
def test_total_variation_takes_each_row_once(height: int, tv_border: bool) -> None:
    changes = {"tv_weight": 100, "content_weight": 1e-6, "style_weight": 1e-6}
    objective = of_three(tv_border=tv_border, tv_power=1.25, tv_divisor="edge", **changes)
    assert_same(objective, (height, 70), 40)


def test_terms_and_slope_are_as_near_to_float64_as_those_of_the_whole() -> None:
    size = (99, 131)
    content, image = draw(size)
    style = naive.draw(3, 72, 64, seed=2).square()
    objective = make_objective(THREE)
    targets = objective.targets(content, naive_scales.given(style, THREE), 0.7)
    x = image[0].double().requires_grad_()
    wanted = naive_scales.terms(x, content[0], naive_scales.given(style, THREE), THREE, 0.7)
    (slope,) = torch.autograd.grad(wanted["total"], x)
    for each in (objective, tiled(objective, 40)):
        losses, gradient = each.evaluate(image, targets)
        for name, value in losses._asdict().items():
            assert float(value) == pytest.approx(float(wanted[name].detach()), rel=1e-5), name
        assert apart(gradient[0], slope) < 2e-6


def test_in_float32_terms_are_the_same_and_slopes_but_for_a_few_pixels() -> None:
    objective = of_recipe("vgg19", "balanced", torch.float32)
    content, image = draw((180, 230))
    targets = objective.targets(content, image_statistics_of(objective, (180, 230)), 0.7)
    losses, gradient = objective.evaluate(image, targets)
    found, slope = tiled(objective, 64).evaluate(image, targets)
    assert_close(found._asdict(), losses._asdict(), CLOSE)
    is_off = (slope - gradient).abs() > CLOSE * gradient.abs().max()
    assert float(is_off.float().mean()) < 0.02


def test_nothing_waits_for_the_device() -> None:
    for statistic in ("gram", "mean_std", "mean_covariance"):
        objective = of_three(statistic=statistic)
        content, image = draw((60, 70))
        style = image_statistics_of(objective, (60, 70))
        targets = objective.targets(content, style, 0.7, blob((60, 70)))
        with NoWaiting():
            tiled(objective, 40).evaluate(image, targets)


def test_images_of_a_batch_are_what_they_are_alone() -> None:
    objective = make_objective(THREE)
    parts, (contents, images) = tiled(objective, 40), draw((99, 131), batch=3)
    style = image_statistics(STYLE, objective.spec, objective.extractor)
    each = [parts.targets(content[None], style, 0.5) for content in contents]
    together = {name: torch.cat([one[name] for one in each]) for name in each[0]}
    losses, gradients = parts.evaluate(images, together)
    for k, one in enumerate(each):
        alone, gradient = parts.evaluate(images[k : k + 1], one)
        for term, wanted in zip(losses, alone, strict=True):
            assert torch.equal(term[k : k + 1], wanted)
        assert torch.equal(gradients[k : k + 1], gradient)


@pytest.mark.slow
@pytest.mark.parametrize("statistic", ["gram", "mean_std", "mean_covariance"])
def test_any_number_of_threads_gives_the_same_bits(statistic: str) -> None:
    size = (100, 150)
    objective = of_recipe("slim", "balanced", torch.float32, statistic=statistic)
    parts, (content, image) = tiled(objective, 64), draw(size)
    style, found = image_statistics_of(objective, size), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        targets = parts.targets(content, style, 0.7, blob(size))
        losses, gradient = parts.evaluate(image, targets)
        found.append([*targets.values(), *losses, gradient])
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_in_bfloat16_it_is_as_near_to_the_whole_as_that_is_to_float32() -> None:
    exact, rough = (
        of_recipe("vgg19", "balanced", dtype=x) for x in (torch.float32, torch.bfloat16)
    )
    content, image = draw((120, 170))
    style = image_statistics_of(exact, (120, 170))
    targets = rough.targets(content, style, 0.7)
    (losses, gradient), (found, slope), (_, true) = (
        each.evaluate(image, targets) for each in (rough, tiled(rough, 64), exact)
    )
    assert_close(found._asdict(), losses._asdict(), 1e-3)
    assert apart(slope, gradient) < 0.2 * apart(gradient, true) + 1e-3


def test_an_image_that_is_not_cut_has_the_bits_of_the_whole() -> None:
    objective = make_objective(THREE)
    content, image = draw((64, 80))
    style = image_statistics(STYLE, objective.spec, objective.extractor)
    whole = TiledObjective(objective.spec, objective.extractor, Tiling(32, 64 * 80))
    targets = objective.targets(content, style, 0.7)
    for name, value in whole.targets(content, style, 0.7).items():
        assert torch.equal(value, targets[name])
    losses, gradient = objective.evaluate(image, targets)
    found, slope = whole.evaluate(image, targets)
    assert torch.equal(slope, gradient)
    for each, wanted in zip(found, losses, strict=True):
        assert torch.equal(each, wanted)
    assert whole.losses(image.requires_grad_(), targets).total.requires_grad


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_whole_run_takes_the_same_way(optimizer: str) -> None:
    """After more steps rounding decides, as it does between two machines."""
    size, objective = (99, 131), make_objective(THREE)
    content, _ = draw(size)
    style = image_statistics(STYLE, objective.spec, objective.extractor)
    spec = solver(steps=6, levels=2, optimizer=optimizer)
    found = []
    for each in (objective, tiled(objective, 40)):
        engine = Engine(each, spec, 1, *size)
        statistics = tuple(style for _ in engine.sizes)
        problem = Problem("a", content, statistics, mask=blob(size))
        found.append(run(engine, [problem])["a"])
    whole, parts = found
    for one, other in zip(whole.rows, parts.rows, strict=True):
        assert other.total == pytest.approx(one.total, rel=1e-4)
        assert other.accepted == one.accepted
    assert float((whole.image - parts.image).abs().max()) < 1e-3


CHILD = """
import json, resource, sys
import torch
from benchmarks.speed.tiles import measure_evaluation
from benchmarks.setting.networks import Network
torch.set_num_threads(1)
print(json.dumps(measure_evaluation(Network("slim", "shipped"), torch.float32, *{}, 1)))
"""


@pytest.mark.slow
def test_the_memory_of_an_evaluation_is_that_of_a_tile() -> None:
    """A square of 1024 px takes about 980 MB as a whole, a fifth of it in tiles of 192 px."""
    peaks = []
    for sizes in ((1024, 0), (1024, 192)):
        command = [sys.executable, "-c", CHILD.format(sizes)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(json.loads(done.stdout)["peak_mb"])
    whole, parts = peaks
    assert parts < whole / 3
