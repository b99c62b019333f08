"""Solvers on one pair of photograph and style: what each hands back after so many evaluations.

Every method works on the same objective from the same start, and tells a `Watch` of each
evaluation. The watch stops its clock and judges what a user would be handed then: clipped, rounded
to 8 bits, its loss in float32.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from benchmarks.setting.pairs import Pair, objective_in
from stylebatch.device.choice import choose_precision
from stylebatch.device.from_recipe import solver_spec
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem

# Every evaluation while losses fall fast, then every fifth: judging takes a third of an evaluation.
JUDGED = frozenset([*range(1, 21), *range(25, 1001, 5)])


def _clock() -> float:
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()


@dataclass(slots=True)
class Watch:
    """Notes one method's way.

    Attributes:
        judge: image (1, 3, H, W) → float32 loss of its 8 bits; None: not yet of full size.
        judged: (evaluation, that loss).
        seconds: after each evaluation, without what judging took; on one thread its CPU time,
            which other work on the machine hardly changes.
    """

    judge: Callable[[Tensor], float | None]
    judged: list[tuple[int, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    _began: float = field(default_factory=_clock)

    def saw(self, image: Tensor) -> None:
        """Take what the method would hand back after one more evaluation."""
        self.seconds.append(_clock() - self._began)
        if len(self.seconds) in JUDGED:
            with self._stopped():
                if (loss := self.judge(image)) is not None:
                    self.judged.append((len(self.seconds), loss))

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        before = _clock()
        yield
        self._began += _clock() - before


def run_textbook(pair: Pair, budget: int, watch: Watch) -> None:
    """The loop of most tutorials: pixels are clamped behind L-BFGS's back."""
    image = pair.start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], lr=1, max_iter=20, history_size=100)

    def closure() -> float:
        image.data.clamp_(0, 1)
        loss, image.grad = pair.evaluate(image)
        watch.saw(image)
        return loss

    _until(budget, watch, lambda: optimizer.step(closure))  # type: ignore[no-untyped-call]


def run_unclamped(pair: Pair, budget: int, watch: Watch) -> None:
    """The same loop without the clamp: the watch clips what it judges."""
    _run_torch_lbfgs(pair, budget, watch)


def run_strong_wolfe(pair: Pair, budget: int, watch: Watch) -> None:
    """The same with a strong-Wolfe line search."""
    _run_torch_lbfgs(pair, budget, watch, line_search_fn="strong_wolfe")


def _run_torch_lbfgs(pair: Pair, budget: int, watch: Watch, **options: Any) -> None:
    image = pair.start.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([image], lr=1, max_iter=20, history_size=100, **options)

    def closure() -> float:
        loss, image.grad = pair.evaluate(image)
        watch.saw(image)
        return loss

    _until(budget, watch, lambda: optimizer.step(closure))  # type: ignore[no-untyped-call]


def _until(budget: int, watch: Watch, step: Callable[[], object]) -> None:
    while (done := len(watch.seconds)) < budget:
        step()
        if len(watch.seconds) == done + 1 and done:
            return  # torch has stopped: one evaluation, and it will not move again


def run_scipy(pair: Pair, budget: int, watch: Watch) -> None:
    """SciPy's L-BFGS-B with bounds 0 to 1, its own defaults but for where it stops."""
    shape, best = pair.start.shape, (float("inf"), pair.start)

    def evaluate(x: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        nonlocal best
        image = torch.from_numpy(x).to(torch.float32).view(shape)
        loss, gradient = pair.evaluate(image)
        if loss < best[0]:
            best = loss, image
        watch.saw(best[1])
        return loss, gradient.double().flatten().numpy()

    start = pair.start.flatten().double().numpy()
    limits = {"maxfun": budget, "maxiter": budget, "ftol": 0, "gtol": 0}
    bounds = [(0.0, 1.0)] * start.size
    minimize(evaluate, start, jac=True, method="L-BFGS-B", bounds=bounds, options=limits)


def run_adam(pair: Pair, budget: int, watch: Watch) -> None:
    """torch's Adam, rate .02 falling along a cosine, pixels clamped after every step."""
    image = pair.start.clone().requires_grad_()
    optimizer = torch.optim.Adam([image], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, budget)
    for _ in range(budget):
        _, image.grad = pair.evaluate(image)
        watch.saw(image)
        optimizer.step()
        schedule.step()
        image.data.clamp_(0, 1)


def run_ours(pair: Pair, budget: int, watch: Watch) -> None:
    """`balanced` as it is, in the precision that `auto` chooses here, without early stops."""
    _run_engine(pair, budget, watch, choose_precision("auto", "cpu"))


def run_ours_on_one_level(pair: Pair, budget: int, watch: Watch) -> None:
    """The same without its coarser levels."""
    _run_engine(pair, budget, watch, choose_precision("auto", "cpu"), levels=1)


def run_ours_float32(pair: Pair, budget: int, watch: Watch) -> None:
    """The same in float32: the gain that is not bfloat16's."""
    _run_engine(pair, budget, watch, torch.float32)


def _run_engine(
    pair: Pair, budget: int, watch: Watch, precision: torch.dtype, **changes: object
) -> None:
    settings = pair.settings
    recipe = settings.recipe.model_copy(update={"steps": budget, "progress_every": 1} | changes)
    spec = solver_spec(recipe, settings.weights.normalisation)
    engine = Engine(objective_in(settings, precision), spec, 1, pair.edge, pair.edge)
    seed = 0 if pair.start_name == "noise" else None
    statistics = tuple(pair.statistics_at(edge) for edge, _ in engine.sizes)
    engine.admit(Problem(pair.name, pair.content, statistics, noise_seed=seed))
    while engine.running:
        for snapshot in engine.step().snapshots:
            watch.saw(snapshot.image)


METHODS: dict[str, tuple[Callable[[Pair, int, Watch], None], int]] = {
    "textbook": (run_textbook, 300),
    "textbook, no clamp": (run_unclamped, 100),
    "strong Wolfe": (run_strong_wolfe, 100),
    "SciPy L-BFGS-B": (run_scipy, 100),
    "Adam": (run_adam, 100),
    # As far as the textbook loop gets at its best.
    "ours": (run_ours, 150),
    "ours, one level": (run_ours_on_one_level, 150),
    "ours, float32": (run_ours_float32, 150),
}
