"""On a GPU: the same numbers as on the CPU up to rounding, no wait inside a step, what fits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from support import naive
from support.functions import function_of, quadratic, spec
from support.projects import Project
from support.synchronisation import no_waiting
from torch import Tensor

from benchmarks.gpu.cuda_graphs import GraphedEvaluation
from stylebatch.device.choice import set_cuda_policy
from stylebatch.device.device import Device
from stylebatch.device.from_recipe import objective_spec
from stylebatch.device.memory import free_bytes, max_images, measure_peaks, run_once
from stylebatch.device.style_statistics import image_statistics
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import Recipe, recipe_fields, recipe_on
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.losses import gram_matrix
from stylebatch.transfer.objective import Losses, Objective, Targets
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.optimizers.protocol import Optimizer

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CUDA = "cuda:0"
SIZE = (96, 128)
SHAPE = (3, 4, 4)
# Of a masked image, of slim's heads and of an architecture with other windows.
CASES = [("vgg19", False), ("vgg19", True), ("slim", False), ("alexnet", False)]


@pytest.fixture(autouse=True)
def _policy() -> None:
    set_cuda_policy()


def test_the_debug_mode_notices_a_wait() -> None:
    one = torch.ones(1, device=CUDA)
    with pytest.raises(RuntimeError), no_waiting():
        float(one)


# --- optimisers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
@pytest.mark.parametrize("levels", [0, 2])
def test_an_optimiser_takes_the_steps_that_it_takes_on_the_cpu(name: str, levels: int) -> None:
    settings = spec(optimizer=name, preconditioner_levels=levels, history=3)
    there, here = (
        OPTIMIZERS[name](settings, 3, (4, 4), torch.zeros(0, device=device))
        for device in (CUDA, "cpu")
    )
    function = function_of(*quadratic(10))
    for slot in range(2):
        for each in (there, here):
            each.admit(slot, naive.draw(*SHAPE, seed=slot), 12)
    for step in range(12):
        points, wanted = there.ask(2).cpu().clone(), here.ask(2).clone()
        assert torch.allclose(points, wanted, atol=2e-4), step
        losses, gradients = function(wanted)
        if step == 5:
            losses[1] += 1e6
        accepted = there.tell(2, losses.to(CUDA), gradients.to(CUDA))
        assert accepted.tolist() == here.tell(2, losses, gradients).tolist()


@pytest.mark.parametrize("name", ["lbfgs", "adam"])
def test_no_step_of_an_optimiser_waits(name: str) -> None:
    optimizer = OPTIMIZERS[name](
        spec(optimizer=name, preconditioner_levels=2, learning_rate_schedule="cosine"),
        3,
        SIZE,
        torch.zeros(0, device=CUDA),
    )
    start, goal = (naive.draw(3, *SIZE, seed=seed).to(CUDA) for seed in (1, 2))

    def step() -> None:
        offset = optimizer.ask(2).clone() - goal
        optimizer.tell(2, offset.square().sum((1, 2, 3)), 2 * offset)

    for slot in range(2):
        optimizer.admit(slot, start, 9)
    step()  # what torch prepares once may wait
    with no_waiting():
        for _ in range(4):
            step()
        optimizer.move(1, 0)
        optimizer.admit(1, start, 9)
        step()


# --- the objective ---------------------------------------------------------------------------


class Case:
    """`balanced` on one device, of two images, with random weights."""

    def __init__(self, arch: str, is_masked: bool, device: str, dtype: torch.dtype) -> None:
        self.recipe: Recipe = recipe_on(arch, recipe_fields("balanced"))
        architecture = ARCHITECTURES[arch]
        generator = torch.Generator().manual_seed(3)
        tensors = {
            part.name: (
                torch.randn(part.shape, generator=generator) * (2 / part.fan_in) ** 0.5,
                0.1 * torch.randn(part.channels_out, generator=generator),
            )
            for part in architecture.convolutions(self.recipe.layers)
        }
        self.extractor = Extractor(
            architecture, tensors, self.recipe.layers, mean=naive.MEAN, std=naive.STD,
            padding=self.recipe.padding, device=device, dtype=dtype,
        )  # fmt: skip
        self.objective = Objective(objective_spec(self.recipe), self.extractor)
        self.images = naive.draw(2, 3, *SIZE, seed=4).to(device)
        each = [self._targets(seed, is_masked) for seed in range(2)]
        self.targets = {name: torch.cat([one[name] for one in each]) for name in each[0]}

    def _targets(self, seed: int, is_masked: bool) -> Targets:
        device = self.extractor.device
        content, style = (naive.draw(1, 3, *SIZE, seed=10 * seed + k).to(device) for k in (5, 6))
        statistics = image_statistics(style.square(), self.objective.spec, self.extractor)
        mask = (naive.draw(1, 1, *SIZE, seed=7) > 0.3).float().to(device) if is_masked else None
        return self.objective.targets(content, statistics, 1.0, mask)

    def evaluate(self) -> tuple[Losses, Tensor]:
        return self.objective.evaluate(self.images, self.targets)


def assert_same(found: tuple[Losses, Tensor], wanted: tuple[Losses, Tensor], error: float) -> None:
    for name, value in found[0]._asdict().items():
        there = getattr(wanted[0], name)
        assert torch.allclose(value.cpu(), there.cpu(), rtol=error), name
    for image in range(2):
        slope, expected = found[1][image].cpu(), wanted[1][image].cpu()
        assert float((slope - expected).norm() / expected.norm()) < 3 * error


@pytest.mark.parametrize(("arch", "is_masked"), CASES)
def test_the_objective_in_float32_is_that_of_the_cpu(arch: str, is_masked: bool) -> None:
    there, here = (Case(arch, is_masked, device, torch.float32) for device in (CUDA, "cpu"))
    assert_same(there.evaluate(), here.evaluate(), 1e-4)


@pytest.mark.parametrize(("arch", "is_masked"), CASES)
def test_the_objective_in_bfloat16_is_near_that_in_float32(arch: str, is_masked: bool) -> None:
    lean, exact = (Case(arch, is_masked, CUDA, dtype) for dtype in (torch.bfloat16, torch.float32))
    # Against the same targets: bfloat16 has 8 bits, and each layer rounds.
    lean.targets = exact.targets
    assert_same(lean.evaluate(), exact.evaluate(), 0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gram_matrices_are_exact_in_float32(dtype: torch.dtype) -> None:
    """TF32 keeps 10 bits: it would be off by far more."""
    features = naive.draw(2, 32, 64, 96, seed=2).to(CUDA, dtype, memory_format=torch.channels_last)
    wanted = features.double().flatten(2) @ features.double().flatten(2).transpose(1, 2)
    found = gram_matrix(features)
    assert found.dtype == torch.float32
    assert float((found.double() - wanted).abs().max() / wanted.abs().max()) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("arch", "is_masked"), CASES)
def test_no_evaluation_waits(arch: str, is_masked: bool, dtype: torch.dtype) -> None:
    case = Case(arch, is_masked, CUDA, dtype)
    case.evaluate()  # what torch and cuDNN prepare once may wait
    with no_waiting():
        case.evaluate()


# --- graphs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_evaluation_played_back_gives_the_numbers_of_one_that_is_run(dtype: torch.dtype) -> None:
    case = Case("vgg19", False, CUDA, dtype)
    graphed = GraphedEvaluation(case.objective, case.images, case.targets)
    for seed in (8, 9):
        case.images = naive.draw(2, 3, *SIZE, seed=seed).to(CUDA)
        found = graphed(case.images)
        assert_same(found, case.evaluate(), 1e-3 if dtype == torch.bfloat16 else 1e-5)


def test_targets_that_are_written_anew_count_when_an_evaluation_is_played_back() -> None:
    case = Case("vgg19", False, CUDA, torch.float32)
    graphed = GraphedEvaluation(case.objective, case.images, case.targets)
    before = graphed(case.images)[0].total.clone()
    for name, value in case.targets.items():
        if name.startswith("style."):
            value.mul_(0.5)
    found = graphed(case.images)
    assert_same(found, case.evaluate(), 1e-5)
    assert not torch.allclose(found[0].total, before, rtol=1e-3)


# --- memory ----------------------------------------------------------------------------------


def lbfgs() -> Any:
    return spec(history=10, preconditioner_levels=3)


def test_a_probe_s_peaks_grow_by_what_each_image_takes() -> None:
    case = Case("vgg19", False, CUDA, torch.bfloat16)
    size = (256, 256)
    measure_peaks(case.objective, lbfgs(), size, is_masked=False)  # cuDNN's workspaces
    peaks = measure_peaks(case.objective, lbfgs(), size, is_masked=False)
    # At the least the ring of ten pairs, in float32.
    assert peaks.of_two - peaks.of_one > 2 * 10 * 3 * 256 * 256 * 4
    torch.cuda.reset_peak_memory_stats(CUDA)
    before = torch.cuda.memory_allocated(CUDA)
    run_once(case.objective, lbfgs(), 6, size, is_masked=False)
    peak = torch.cuda.max_memory_allocated(CUDA) - before
    assert peak == pytest.approx(peaks.of_one + 5 * (peaks.of_two - peaks.of_one), rel=0.25)


def test_as_many_images_fit_as_the_probe_says() -> None:
    case = Case("vgg19", False, CUDA, torch.bfloat16)
    peaks = measure_peaks(case.objective, lbfgs(), (256, 256), is_masked=False)
    # Of a share of the memory: filling all of it would be in the way of others.
    free = min(free_bytes(torch.device(CUDA)), 2 * 2**30)
    images = max_images(free, peaks)
    before = torch.cuda.memory_allocated(CUDA)
    torch.cuda.reset_peak_memory_stats(CUDA)
    run_once(case.objective, lbfgs(), images, (256, 256), is_masked=False)
    assert torch.cuda.max_memory_allocated(CUDA) - before < free


def test_a_device_s_budget_of_a_shape_is_that_of_the_probe(tmp_path: Path) -> None:
    settings = Project(tmp_path).settings()
    device = Device(CUDA, tmp_path, tmp_path / "cache")
    small, large = (device.pixel_budget_of(settings, edge, edge) for edge in (64, 256))
    assert small >= 64 * 64
    assert large >= 256 * 256
    assert max(small, large) <= device.pixel_budget


def test_an_optimiser_s_numbers_stay_on_its_device() -> None:
    optimizer: Optimizer = OPTIMIZERS["lbfgs"](lbfgs(), 2, SIZE, torch.zeros(0, device=CUDA))
    optimizer.admit(0, naive.draw(3, *SIZE).to(CUDA), 5)
    assert optimizer.ask(1).device == torch.device(CUDA)
