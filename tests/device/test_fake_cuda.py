"""Every recipe on a CUDA device without numbers: nothing of it stays on the host or is waited for.

What a GPU computes only one can show (test_cuda.py); which device each tensor lies on, how it lies
there and what the host waits for can be seen on any machine.
"""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from support.fake_cuda import CUDA, NoWaitingCopies, fake_cuda, gradient
from torch import Tensor

from stylebatch.device.from_recipe import objective_spec, solver_spec
from stylebatch.device.memory import run_once
from stylebatch.device.style_statistics import image_statistics
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.extractors.weights import find_weights
from stylebatch.recipes import Recipe, recipe_fields, recipe_names, recipe_on
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective, Targets
from stylebatch.transfer.problem import Problem
from stylebatch.transfer.readback import Passed, Readback
from stylebatch.transfer.slots import Batch

pytestmark = pytest.mark.skipif(
    torch.version.cuda is None, reason="this torch knows nothing of CUDA"
)

SIZE = (64, 96)
RECIPES = [name for name in sorted(recipe_names()) if "optimizer" in recipe_fields(name)]


class Started:
    """An engine on the device with two of three slots in use, before its first evaluation."""

    def __init__(self, arch: str, recipe: Recipe, dtype: torch.dtype, is_masked: bool) -> None:
        architecture = ARCHITECTURES[arch]
        tensors = {
            part.name: (torch.empty(part.shape), torch.empty(part.channels_out))
            for part in architecture.convolutions(recipe.layers)
        }
        weights = find_weights(arch, "random", Path.cwd())
        constants = weights.normalisation
        self.extractor = Extractor(
            architecture, tensors, recipe.layers, mean=constants.mean, std=constants.std,
            pooling=recipe.pooling, padding=recipe.padding, device=CUDA, dtype=dtype,
        )  # fmt: skip
        self.objective = Objective(objective_spec(recipe), self.extractor)
        self.spec = solver_spec(recipe, constants, self.extractor.smallest_edge_px)
        self.engine = self.make_engine()
        self.problems = [self._problem(key, is_masked) for key in range(2)]
        for problem in self.problems:
            self.engine.admit(problem)

    def make_engine(self) -> Engine:
        # Of fake tensors no event can tell when they have been copied.
        readback = partial(Readback, make_mark=lambda _: Passed())
        return Engine(self.objective, self.spec, 3, *SIZE, make_readback=readback)

    def _problem(self, key: int, is_masked: bool) -> Problem:
        content, style = (torch.empty(1, 3, *SIZE, device=CUDA) for _ in range(2))
        statistics = tuple(
            image_statistics(
                torch.empty(1, 3, *size, device=CUDA), self.objective.spec, self.extractor
            )
            for size in self.engine.sizes
        )
        mask = torch.empty(1, 1, *SIZE, device=CUDA) if is_masked else None
        return Problem(key, content, statistics, 0.8, key, style, mask)

    @property
    def batch(self) -> Batch:
        """The slots of its only level so far."""
        (batch,) = self.engine._batches.values()
        return batch


def real_problem(dtype: torch.dtype, is_masked: bool) -> tuple[Objective, Tensor, Targets]:
    """Return `balanced` with random numbers on the CPU, an image and its targets."""
    recipe = recipe_on("vgg19", recipe_fields("balanced"))
    weights = find_weights("vgg19", "random", Path.cwd())
    generator = torch.Generator().manual_seed(0)
    tensors = {
        part.name: (
            torch.randn(part.shape, generator=generator) * (2 / part.fan_in) ** 0.5,
            torch.zeros(part.channels_out),
        )
        for part in ARCHITECTURES["vgg19"].convolutions(recipe.layers)
    }
    constants = weights.normalisation
    extractor = Extractor(
        ARCHITECTURES["vgg19"], tensors, recipe.layers, mean=constants.mean, std=constants.std,
        pooling=recipe.pooling, padding=recipe.padding, dtype=dtype,
    )  # fmt: skip
    objective = Objective(objective_spec(recipe), extractor)
    content, style, image = (torch.rand(1, 3, 32, 48, generator=generator) for _ in range(3))
    statistics = image_statistics(style, objective.spec, extractor)
    mask = torch.rand(1, 1, 32, 48, generator=generator) if is_masked else None
    return objective, image, objective.targets(content, statistics, 0.8, mask)


# Precision and mask: each with each costs twice the time and finds no more.
KINDS = [(torch.float32, False), (torch.bfloat16, True)]
# Statistics, scales and networks that no recipe of ours has.
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "mean_std": ("vgg19", {"statistic": "mean_std"}),
    "mean_covariance": ("vgg19", {"statistic": "mean_covariance", "style_loss": "relative"}),
    "wasserstein": ("vgg19", {"statistic": "wasserstein"}),
    "two scales, in levels": ("vgg19", {"scales": [1.0, 1.0], "levels": 2, "start": "noise"}),
    "reflected": ("vgg19", {"padding": "reflect", "pooling": "average"}),
    "slim": ("slim", {}),
    "alexnet": ("alexnet", {}),
    "squeezenet1_1": ("squeezenet1_1", {}),
    "after a step": ("vgg19", {"optimizer": "adam", "keep": "after_last", "progress_every": 1}),
}


def check(arch: str, recipe: Recipe, kind: tuple[torch.dtype, bool]) -> None:
    """Go an image's whole way: in, stepped, out, in again, to the next level."""
    started = Started(arch, recipe, *kind)
    batch = started.batch
    for _ in range(3):
        with NoWaitingCopies() as watch:
            batch.start()
        assert watch.copies == 1, "the losses on their way to the host"
        batch.readback._under_way.clear()
    assert {each.device for each in tensors_of(batch)} == {torch.device(CUDA)}
    first, second = batch.entries
    first.done = second.done = 3
    state = batch.export(first)
    assert {each.device.type for each in state.values()} == {"cpu"}
    image = batch.retire(first)
    assert (image.device, image.dtype) == (torch.device(CUDA), torch.float32)
    assert batch.entries == [second]
    batch.resume(first, state, started.engine._aim(first, 0))
    batch.start()
    if len(started.engine.sizes) > 1:
        started.engine._promote(second, batch.retire(second))
        started.engine._batches[1, False].start()
    # A second try.
    first.retried = True
    started.engine._start(first)
    started.engine._batches[0, True].start()


@pytest.mark.parametrize("kind", KINDS, ids=["float32", "masked-bfloat16"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in ("balanced", "matlab") else pytest.mark.slow)
        for name in RECIPES
    ],
)
def test_a_recipe_s_whole_way_stays_on_the_device(
    name: str, kind: tuple[torch.dtype, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    with fake_cuda(monkeypatch):
        check("vgg19", recipe_on("vgg19", recipe_fields(name)), kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=["float32", "masked-bfloat16"])
@pytest.mark.parametrize("name", OTHERS)
def test_so_does_that_of_fields_and_networks_which_no_recipe_has(
    name: str, kind: tuple[torch.dtype, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    arch, fields = OTHERS[name]
    with fake_cuda(monkeypatch):
        check(arch, recipe_on(arch, recipe_fields("balanced") | fields), kind)


def test_the_probe_of_memory_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        recipe = recipe_on("vgg19", recipe_fields("balanced"))
        started = Started("vgg19", recipe, torch.bfloat16, is_masked=False)
        with NoWaitingCopies() as watch:
            run_once(started.objective, started.spec.optimizer, 2, SIZE, is_masked=True)
        assert watch.copies == 0


# --- the oracle ------------------------------------------------------------------------------


def test_a_tensor_left_on_the_host_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        there, here = torch.empty(2, 3, device=CUDA), torch.empty(2, 3)
        with pytest.raises(RuntimeError, match="same device"):
            there + here


@pytest.mark.parametrize(
    "act",
    [
        lambda there, here: there.cpu(),
        lambda there, here: here.copy_(there),
        lambda there, here: there.copy_(here),
        lambda there, here: here.to(CUDA),
        lambda there, here: there[0].item(),
        lambda there, here: there[there > 0],
    ],
    ids=["cpu", "copy down", "copy up", "to", "item", "mask"],
)
def test_a_wait_is_noticed(act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        there, here = torch.empty(3, device=CUDA), torch.empty(3)
        with pytest.raises(AssertionError), NoWaitingCopies():
            act(there, here)


def test_a_copy_that_is_not_waited_for_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        there, here = torch.empty(3, device=CUDA), torch.empty(3)
        with NoWaitingCopies() as watch:
            here.copy_(there, non_blocking=True)
            here.to(CUDA, non_blocking=True)
            there.copy_(there + 1)
        assert watch.copies == 2


@pytest.mark.parametrize("kind", [(torch.float32, False), (torch.float32, True)], ids=str)
def test_the_gradient_taken_node_by_node_is_torch_s(kind: tuple[torch.dtype, bool]) -> None:
    objective, images, targets = real_problem(*kind)
    images = images.requires_grad_()
    total = objective.losses(images, targets).total.sum()
    (found,) = gradient(total, images)
    (wanted,) = torch.autograd.grad(total, images)
    # Where two paths meet, torch adds them in another order.
    assert float((found - wanted).norm() / wanted.norm()) < 1e-5


def tensors_of(holder: object) -> list[Tensor]:
    """Return all tensors that an object of ours holds, at whatever depth."""
    if isinstance(holder, Tensor):
        return [holder]
    if isinstance(holder, dict):
        return [each for value in holder.values() for each in tensors_of(value)]
    if isinstance(holder, list | tuple):
        return [each for value in holder for each in tensors_of(value)]
    if not type(holder).__module__.startswith("stylebatch.transfer"):
        return []
    # What the host reads the numbers from, and what it has been given.
    if isinstance(holder, Readback | Problem):
        return []
    return tensors_of(getattr(holder, "__dict__", {}))
