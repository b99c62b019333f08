"""Engines for tests: small solvers, real objectives, and stubs made of one function."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from support import naive
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Losses, Objective, ObjectiveSpec
from stylebatch.transfer.optimizers.lbfgs import ProjectedLBFGS
from stylebatch.transfer.optimizers.protocol import OptimizerSpec
from stylebatch.transfer.problem import Problem, Result, Row, SolverSpec
from stylebatch.transfer.pyramid import shrink
from stylebatch.transfer.reductions import sum_pixels
from stylebatch.transfer.sizes import level_sizes
from stylebatch.transfer.starts import StartSpec

MAX_REFUSED = ProjectedLBFGS.max_refused


def solver(**changes: Any) -> SolverSpec:
    """Return the `balanced` solver on a small budget; changes of either spec's fields."""
    optimizer: dict[str, Any] = {
        "optimizer": "lbfgs",
        "history": 5,
        "preconditioner_levels": 2,
        "first_rms_change": 0.05,
        "max_rms_change": 0.05,
        "max_change": 0.25,
        "tolerated_rise": 0.02,
        "learning_rate": 0.02,
        "learning_rate_schedule": "cosine",
        "betas": (0.9, 0.999),
        "epsilon": 1e-8,
        "clamp": True,
        "pixel_scale": (1.0, 1.0, 1.0),
    }
    fields: dict[str, Any] = {
        "start": "content", "steps": 10, "tolerance": 0.0, "window": 3, "keep": "best", "levels": 1,
    }  # fmt: skip
    for name, value in changes.items():
        (optimizer if name in optimizer else fields)[name] = value
    fields["start"] = StartSpec({fields["start"]: 1.0})
    return SolverSpec(**fields, optimizer=OptimizerSpec(**optimizer))


def run(engine: Engine, problems: Sequence[Problem]) -> dict[Any, Result]:
    """Admit problems wherever a slot is free until all are done; check what each step reports."""
    waiting, results = list(problems), {}
    while waiting or engine.running:
        while waiting and engine.running < engine.capacity:
            engine.admit(waiting.pop(0))
        report = engine.step()
        assert engine.running <= engine.capacity
        results.update({result.key: result for result in report.results})
    for result in results.values():
        assert [row.evaluation for row in result.rows] == list(range(1, len(result.rows) + 1))
        assert result.kept in result.rows
    return results


SPEC = ObjectiveSpec(
    {"conv2_1": 1}, "relative", 1, {"conv1_1": 1, "conv2_1": 1}, "relative", "n", 10, "mean", 0.0
)


def real_objective(dtype: torch.dtype = torch.float32) -> Objective:
    layers = [*SPEC.content_layers, *SPEC.style_layers]
    extractor = Extractor(
        ARCHITECTURES["vgg19"], naive.weights(), layers, mean=naive.MEAN, std=naive.STD, dtype=dtype
    )
    return Objective(SPEC, extractor)


def real_problem(objective: Objective, key: int, levels: int, size: tuple[int, int]) -> Problem:
    """Return a problem with a content, a style and a strength of its own."""
    style = naive.draw(1, 3, 32, 32, seed=100 + key).pow(1 + key % 3)
    grams = []
    for level in level_sizes(levels, 32, 32):
        maps = objective.extractor(shrink(style, level))
        grams.append({x: naive.gram(maps[x][0], "n") for x in SPEC.style_layers})
    content = naive.draw(1, 3, *size, seed=key)
    content = shrink(content, (size[0] // 4, size[1] // 4))
    content = torch.nn.functional.interpolate(content, size, mode="bilinear")
    return Problem(key, content, tuple(grams), strength=0.1 + key, noise_seed=key)


Terms = tuple[Tensor, Tensor]


class Stub:
    """An objective made of one function of (image, content) → (loss, gradient)."""

    def __init__(self, function: Callable[[Tensor, Tensor], Terms]) -> None:
        self.function, self.extractor = function, self
        self.device = torch.device("cpu")

    def targets(
        self, content: Tensor, statistics: Any, strength: float, mask: Tensor | None
    ) -> dict[str, Tensor]:
        return {"content": content, "content_style": torch.ones(1)}

    def evaluate(self, images: Tensor, targets: dict[str, Tensor]) -> tuple[Losses, Tensor]:
        pairs = [self.function(*pair) for pair in zip(images, targets["content"], strict=True)]
        losses, gradients = (torch.stack(parts) for parts in zip(*pairs, strict=True))
        return Losses(losses, losses, 0 * losses, 0 * losses), gradients


def stub(function: Callable[[Tensor, Tensor], Terms]) -> Objective:
    """Return a stub as what an engine takes: it has all that one asks of an objective."""
    return cast(Objective, Stub(function))


def engine(function: Callable[[Tensor, Tensor], Terms], edge: int = 16, **changes: Any) -> Engine:
    return Engine(stub(function), solver(**changes), 4, edge, edge)


def problem(key: int = 0, edge: int = 16, levels: int = 1) -> Problem:
    content = 0.3 + 0.4 * naive.draw(1, 3, edge, edge, seed=key)
    return Problem(key, content, ({},) * levels, noise_seed=key)


def bowl(x: Tensor, content: Tensor) -> Terms:
    """A loss whose least is 1, at an image a bit off the content."""
    offset = x - (content + 0.1)
    return 1 + sum_pixels(offset.square()[None])[0], 2 * offset


def slope(x: Tensor, content: Tensor) -> Terms:
    """A loss that falls for as long as it may."""
    return 1 + x.mean(), torch.full_like(x, 1e-3)


def summit(x: Tensor, content: Tensor) -> Terms:
    """A loss that is higher everywhere but at the content."""
    return torch.tensor(1.0 if torch.equal(x, content) else 2.0), torch.ones_like(x)


def levels_of(rows: Sequence[Row]) -> list[int]:
    counts = [0] * (1 + max(row.level for row in rows))
    for row in rows:
        counts[row.level] += 1
    return counts


def keys_in(engine: Engine) -> list[Any]:
    """Return the keys of the images in an engine's slots, those between two levels last."""
    in_slots = [entry for batch in engine._batches.values() for entry in batch.entries]
    entries = [*in_slots, *(entry for entry, _ in engine._between)]
    return [entry.problem.key for entry in entries]
