"""What arrives late: the same images, rows and outcomes, only later. Nothing waits in a step."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from support import naive
from support.engines import (
    SPEC,
    Terms,
    bowl,
    keys_in,
    problem,
    real_objective,
    real_problem,
    solver,
    stub,
)
from support.lateness import LateMark, late
from support.synchronisation import NoWaiting, no_waiting
from torch import Tensor

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.extractor import Extractor
from stylebatch.transfer.objective import Objective
from stylebatch.transfer.problem import Problem, Result, Row, SecondPassSpec, SolverSpec, Status
from stylebatch.transfer.readback import Passed, Readback

# --- lateness --------------------------------------------------------------------------------


@dataclass
class Course:
    """What came out of an engine, and after which step each row did."""

    results: dict[Any, Result]
    rows: dict[Any, list[Row]]
    arrivals: dict[Any, list[int]]
    snapshots: dict[tuple[Any, int], Tensor]
    steps: int


def follow(engine: Engine, problems: list[Problem]) -> Course:
    """Admit problems wherever a slot is free until all are done."""
    waiting = list(problems)
    course = Course({}, {p.key: [] for p in problems}, {p.key: [] for p in problems}, {}, 0)
    while waiting or engine.running:
        while waiting and engine.running < engine.capacity:
            engine.admit(waiting.pop(0))
        report = engine.step()
        course.steps += 1
        for key, row in report.rows:
            assert key not in course.results, "a row after the end"
            course.rows[key].append(row)
            course.arrivals[key].append(course.steps)
        for shot in report.snapshots:
            # As it is now: later steps must not change it.
            course.snapshots[shot.key, shot.evaluation] = shot.image.clone()
            assert course.rows[shot.key][-1].evaluation == shot.evaluation
        course.results.update({result.key: result for result in report.results})
    return course


def check_same(found: Course, wanted: Course) -> None:
    assert found.results.keys() == wanted.results.keys()
    for key, result in wanted.results.items():
        other = found.results[key]
        assert torch.equal(other.image, result.image), key
        # As text: a NaN is not equal to itself.
        assert str([row[:7] for row in other.rows]) == str([row[:7] for row in result.rows])
        assert found.rows[key] == other.rows
        assert str(other.kept[:7]) == str(result.kept[:7])
        assert other.status is result.status
        assert other.restored == result.restored
        assert other.retried_with_adam == result.retried_with_adam
    assert found.snapshots.keys() == wanted.snapshots.keys()
    for shot, image in wanted.snapshots.items():
        assert torch.equal(found.snapshots[shot], image), shot


LAGS = [1, 2, 5]


@pytest.mark.slow
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"steps": 9, "tolerance": 0.1}, (16, 20)),
        ({"steps": 48, "levels": 2, "start": "noise", "tolerance": 0.2}, (32, 32)),
        ({"steps": 8, "optimizer": "adam", "keep": "last", "tolerance": 0.05}, (16, 20)),
        ({"steps": 7, "optimizer": "adam", "keep": "after_best", "learning_rate": 0.2}, (16, 20)),
        ({"steps": 5, "second_pass": SecondPassSpec(16, "longest", 4)}, (32, 32)),
    ],
    ids=["lbfgs", "two-levels", "adam", "after", "second-pass"],
)
def test_lateness_costs_time_and_never_a_pixel(
    changes: dict[str, Any], size: tuple[int, int], lag: int
) -> None:
    """With refills, early stops, levels and snapshots of every evaluation."""
    objective, spec = real_objective(), solver(**changes, progress_every=1)
    levels = len(Engine(objective, spec, 1, *size).sizes)
    problems = [real_problem(objective, key, levels, size) for key in range(5)]
    wanted = follow(Engine(objective, spec, 2, *size), problems)
    found = follow(Engine(objective, spec, 2, *size, make_readback=late(lag)), problems)
    check_same(found, wanted)
    assert min(found.arrivals[0]) == 1 + lag, "the first row should have been late"
    assert found.steps > wanted.steps


def fate(x: Tensor, content: Tensor) -> Terms:
    """Trouble by the grey of the content: behind a wall, in a climb, and from the start on."""
    total, gradient = bowl(x, content)
    grey = float(content[0, 0, 0])
    if not bool((content == grey).all()):
        return total, gradient
    is_far = float((x - content).mean()) > 0.043
    if grey < 0.35:
        return (total * math.nan, gradient) if is_far else (total, gradient)
    if grey < 0.55:
        return (total, gradient * math.inf) if is_far else (total, gradient)
    return total * math.nan, gradient


@pytest.mark.slow
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("keep", ["best", "last", "after_best"])
@pytest.mark.parametrize("changes", [{}, {"optimizer": "adam", "learning_rate": 0.015}])
def test_late_news_of_trouble_changes_nothing(changes: dict[str, Any], keep: str, lag: int) -> None:
    spec = solver(steps=18, keep=keep, progress_every=1, **changes)
    greys = [Problem(grey, torch.full((1, 3, 16, 16), grey), ({},)) for grey in (0.3, 0.5, 0.7)]
    problems = [greys[0], problem(1), greys[2], problem(2), greys[1], problem(3)]
    wanted = follow(Engine(stub(fate), spec, 3, 16, 16), problems)
    late_one = Engine(stub(fate), spec, 3, 16, 16, make_readback=late(lag))
    check_same(follow(late_one, problems), wanted)
    assert wanted.results[0.7].status is Status.DIVERGED
    assert wanted.results[0.3].restored
    assert not wanted.results[1].retried_with_adam


@pytest.mark.parametrize("lag", LAGS)
def test_an_engine_that_only_waits_neither_spins_nor_starts_what_nobody_needs(lag: int) -> None:
    count = 0

    def counted(x: Tensor, content: Tensor) -> Terms:
        nonlocal count
        count += 1
        return bowl(x, content)

    spec = solver(steps=4)
    engine = Engine(stub(counted), spec, 2, 16, 16, make_readback=late(lag))
    course = follow(engine, [problem(1), problem(2)])
    assert count == 2 * 4
    # Each step starts an evaluation or brings one home.
    assert course.steps <= 4 + min(lag, 4)


def test_the_host_is_never_further_ahead_than_the_ring_is_deep() -> None:
    """An early end is known after `depth` evaluations at the latest."""
    count = 0

    def flat(x: Tensor, content: Tensor) -> Terms:
        nonlocal count
        count += 1
        return torch.tensor(1.0), torch.zeros_like(x)

    def never(device: torch.device, max_numbers: int) -> Readback[Any]:
        return Readback(device, max_numbers, 3, lambda _: LateMark(1000, []))

    spec = solver(steps=100, tolerance=0.01, window=5, optimizer="adam")
    engine = Engine(stub(flat), spec, 1, 16, 16, make_readback=never)
    course = follow(engine, [problem()])
    assert len(course.results[0].rows) == 6
    # Three are under way when the first is waited for; two more were started for nothing.
    assert count == 6 + 2


def test_a_slot_is_free_once_its_end_has_arrived_and_not_before() -> None:
    engine = Engine(stub(bowl), solver(steps=1), 1, 16, 16, make_readback=late(1))
    engine.admit(problem(1))
    assert engine.step().results == []
    assert (engine.running, keys_in(engine)) == (1, [1])
    assert [result.key for result in engine.step().results] == [1]
    assert (engine.running, keys_in(engine)) == (0, [])


# --- running out of memory -------------------------------------------------------------------


def test_what_has_arrived_is_not_lost_where_the_next_step_can_not_be_started() -> None:
    """Every image is either among the results so far or among the engine's problems."""
    engine = Engine(stub(bowl), solver(steps=3), 2, 16, 16, make_readback=late(1))
    engine.admit(problem(1))
    engine.step()
    engine.admit(problem(2))
    done = [result.key for _ in range(2) for result in engine.step().results]

    def fail(images: Tensor, targets: Any) -> Any:
        raise torch.OutOfMemoryError("no memory")

    engine._objective.evaluate = fail  # type: ignore[method-assign]
    with pytest.raises(torch.OutOfMemoryError):
        engine.step()
    assert Counter([*done, *keys_in(engine)]) == Counter([1, 2])


def test_an_image_between_two_levels_is_still_the_engine_s() -> None:
    def narrow(x: Tensor, content: Tensor) -> Terms:
        if x.shape[-1] == 32:
            raise torch.OutOfMemoryError("no memory")
        return bowl(x, content)

    engine = Engine(stub(narrow), solver(steps=2, levels=2), 1, 32, 32)
    engine.admit(problem(0, 32, 2))
    assert len(engine.step().rows) == 1
    assert (engine.running, keys_in(engine)) == (1, [0])
    with pytest.raises(torch.OutOfMemoryError):
        engine.step()
    assert (engine.running, keys_in(engine)) == (1, [0])


# --- no waiting ------------------------------------------------------------------------------

WAITS: list[Callable[[Tensor], Any]] = [
    lambda x: x.sum().item(),
    lambda x: bool((x > 0).any()),
    lambda x: x[x > 0],
    lambda x: x.nonzero(),
    lambda x: torch.equal(x, x),
    lambda x: x[[0, 1]],
    lambda x: x.__setitem__([0, 1], 0.0),
    lambda x: x.__setitem__(x > 0, torch.zeros(3)),
    lambda x: x.new_tensor([1.0, 2.0]),
    lambda x: [1 for each in x if each > 0],
]


@pytest.mark.parametrize("number", range(len(WAITS)))
def test_waiting_is_noticed(number: int) -> None:
    with pytest.raises(AssertionError), NoWaiting():
        WAITS[number](torch.ones(3))


CASES: dict[str, dict[str, Any]] = {
    "lbfgs": {"tolerance": 1e-9},
    "lbfgs-after": {"keep": "after_last"},
    "guarded": {"max_content": 1e-6},
    "adam": {"optimizer": "adam", "tolerance": 1e-9},
    "adam-after": {"optimizer": "adam", "keep": "after_best", "pixel_scale": (255.0, 9.0, 1.0)},
    "snapshots": {"progress_every": 1, "keep": "last"},
}


def objective_on(device: str, **changes: Any) -> Objective:
    """Return the objective of these tests with a variation in a scale of its own."""
    spec = replace(SPEC, tv_weight=1e-3, pixel_scale=(255.0, 100.0, 4.0), **changes)
    layers = [*spec.content_layers, *spec.style_layers]
    weights = naive.weights()
    constants: dict[str, Any] = {"mean": naive.MEAN, "std": naive.STD}
    extractor = Extractor(ARCHITECTURES["vgg19"], weights, layers, **constants, device=device)
    return Objective(spec, extractor)


def started(objective: Objective, spec: SolverSpec, masked: bool) -> Engine:
    """Return an engine in the middle of three images, none of which ends soon."""
    engine = Engine(objective, spec, 3, 16, 20)
    for key in range(3):
        one = real_problem(real_objective(), key, 1, (16, 20))
        mask = torch.ones(1, 1, 16, 20) if masked else None
        engine.admit(replace(one, mask=mask))
    for _ in range(3):
        engine.step()
    return engine


@pytest.mark.slow
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_never_waits_for_the_device(name: str, masked: bool) -> None:
    engine = started(objective_on("cpu"), solver(steps=50, **CASES[name]), masked)
    with NoWaiting():
        for _ in range(3):
            assert len(engine.step().rows) == 3


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", CASES)
def test_a_step_never_waits_for_a_cuda_device(name: str, masked: bool) -> None:
    engine = started(objective_on("cuda"), solver(steps=50, **CASES[name]), masked)
    with no_waiting():
        rows = [len(engine.step().rows) for _ in range(6)]
    assert sum(rows) >= 3 * 4


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_what_arrives_late_is_what_a_host_that_waits_sees() -> None:
    class Waiting(Passed):
        def record(self) -> None:
            torch.cuda.synchronize()

    objective, spec = objective_on("cuda"), solver(steps=9, tolerance=0.1, progress_every=1)
    problems = [real_problem(real_objective(), key, 1, (16, 20)) for key in range(5)]
    at_once = partial(Readback, make_mark=lambda _: Waiting())
    wanted = follow(Engine(objective, spec, 2, 16, 20, make_readback=at_once), problems)
    found = follow(Engine(objective, spec, 2, 16, 20), problems)
    for key, result in wanted.results.items():
        # Not by bits: which images share a batch may differ, and so may CUDA's last digits.
        assert len(found.results[key].rows) == pytest.approx(len(result.rows), abs=2)
        assert torch.allclose(found.results[key].image, result.image, atol=0.05)
        last = [image for (k, _), image in found.snapshots.items() if k == key][-1]
        assert torch.equal(last, found.results[key].image)
