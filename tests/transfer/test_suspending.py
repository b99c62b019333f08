"""An image that is taken out of an engine and goes on in another: the same bits at its end."""

import math
from collections.abc import Callable, Hashable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from support import naive
from support.engines import Terms, bowl, engine, problem, real_objective, real_problem, solver, stub
from support.functions import SHAPE, function_of, make, quadratic, spec
from support.lateness import late
from support.suspending import alone, carried, check_same_result, finish, keep_busy, take_out
from torch import Tensor

from stylebatch.transfer.engine import Engine
from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.problem import Result, SecondPassSpec, Status
from stylebatch.transfer.suspended import StateError, Suspended

# --- optimisers ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("evaluations", [0, 1, 4, 9])
@pytest.mark.parametrize("is_restored", [False, True])
def test_an_optimiser_goes_on_in_another_slot_of_another_one(
    name: str, evaluations: int, is_restored: bool
) -> None:
    """Whose ring has turned elsewhere, beside a neighbour that it is not told of."""
    function = function_of(*quadratic(5))
    settings = spec(optimizer=name, history=4)
    first, second = make(settings), make(settings, 2)
    first.admit(0, naive.draw(*SHAPE, seed=1), 40)
    for _ in range(evaluations):
        first.tell(1, *function(first.ask(1).clone()))
    if is_restored:
        first.restore(torch.tensor([True]), naive.draw(1, *SHAPE, seed=3))
    second.admit(0, naive.draw(*SHAPE, seed=2), 40)
    for _ in range(3):
        second.tell(1, *function(second.ask(1).clone()))
    second.resume(1, first.export(0))
    for _ in range(8):
        point = first.ask(1).clone()
        points = second.ask(2).clone()
        assert torch.equal(points[1:], point)
        # One by one: what is tried here is the optimiser and not the function.
        losses, gradients = map(torch.cat, zip(function(points[:1]), function(point), strict=True))
        accepted = second.tell(2, losses, gradients)
        assert torch.equal(accepted[1:], first.tell(1, *function(point)))


# --- on real features ------------------------------------------------------------------------

CASES: dict[str, tuple[dict[str, Any], tuple[int, int], torch.dtype]] = {
    "lbfgs": ({"steps": 13, "tolerance": 0.05}, (16, 20), torch.float32),
    "bfloat16": ({"steps": 13}, (16, 20), torch.bfloat16),
    "two-levels": (
        {"steps": 24, "levels": 2, "start": "noise", "tolerance": 0.2},
        (32, 32),
        torch.float32,
    ),
    "adam": ({"steps": 11, "optimizer": "adam", "keep": "last"}, (16, 20), torch.float32),
    "after-best": (
        {"steps": 9, "optimizer": "adam", "keep": "after_best", "learning_rate": 0.2},
        (16, 20),
        torch.float32,
    ),
    "after-last": (
        {"steps": 9, "optimizer": "adam", "keep": "after_last"},
        (16, 20),
        torch.float32,
    ),
    "second-pass": (
        {"steps": 6, "second_pass": SecondPassSpec(16, "longest", 5)},
        (32, 32),
        torch.float32,
    ),
    "guarded": ({"steps": 12, "max_content": 0.02}, (16, 20), torch.float32),
}


@pytest.mark.parametrize("case", CASES)
def test_an_image_comes_out_with_the_same_bits_whenever_it_was_taken_out(case: str) -> None:
    """After every third evaluation; each time into another slot, with other neighbours."""
    changes, size, dtype = CASES[case]
    objective, settings = real_objective(dtype), solver(**changes)

    def new(capacity: int) -> Engine:
        return Engine(objective, settings, capacity, *size)

    levels = len(new(1).sizes)
    image, *others = (real_problem(objective, key, levels, size) for key in range(5))
    wanted = alone(new(1), image)
    num_resumed = 0
    for evaluations in range(0, len(wanted.rows), 3):
        before, after = new(3), new(4)
        keep_busy(before, others[:2], evaluations % 4)
        found = take_out(before, image, evaluations)
        if not isinstance(found, Result):
            keep_busy(after, others[1 : 1 + evaluations % 4], 1 + evaluations % 5)
            after.resume(image, carried(found))
            found = finish(after, image.key)
            num_resumed += 1
        check_same_result(found, wanted)
    assert num_resumed > 1


def test_an_image_that_is_taken_out_night_after_night_takes_as_many_evaluations() -> None:
    objective, settings, size = real_objective(), solver(steps=10), (16, 20)
    image = real_problem(objective, 0, 1, size)
    wanted = alone(Engine(objective, settings, 1, *size), image)
    state = take_out(Engine(objective, settings, 1, *size), image, 1)
    for _ in range(8):
        assert isinstance(state, Suspended)
        night = Engine(objective, settings, 2, *size)
        night.resume(image, carried(state))
        (row,) = (row for _, row in night.step().rows)
        assert row == replace_seconds(wanted, row.evaluation - 1, row.seconds)
        night.settle()
        state = night.take_out(image.key)
    assert isinstance(state, Suspended)
    last = Engine(objective, settings, 2, *size)
    last.resume(image, carried(state))
    check_same_result(finish(last, image.key), wanted)


def replace_seconds(result: Result, index: int, seconds: float) -> Any:
    return result.rows[index]._replace(seconds=seconds)


def test_who_stays_does_not_notice() -> None:
    objective, settings, size = real_objective(), solver(steps=9), (16, 20)
    problems = [real_problem(objective, key, 1, size) for key in range(3)]
    shared = Engine(objective, settings, 3, *size)
    keep_busy(shared, problems[1:], 2)
    take_out(shared, problems[0], 3)
    assert shared.running == 2
    results = {}
    while shared.running:
        results.update({result.key: result for result in shared.step().results})
    for image in problems[1:]:
        wanted = alone(Engine(objective, settings, 1, *size), image)
        check_same_result(results[image.key], wanted)


def test_pictures_on_the_way_are_those_of_an_image_that_stayed() -> None:
    objective, size = real_objective(), (16, 20)
    settings = replace(solver(steps=8), progress_at=frozenset({2, 5, 8}))
    image = real_problem(objective, 0, 1, size)

    def shots(engine: Engine) -> dict[int, Tensor]:
        found = {}
        while engine.running:
            report = engine.step()
            found.update({shot.evaluation: shot.image for shot in report.snapshots})
        return found

    whole = Engine(objective, settings, 1, *size)
    whole.admit(image)
    wanted = shots(whole)
    state = take_out(Engine(objective, settings, 1, *size), image, 3)
    assert isinstance(state, Suspended)
    rest = Engine(objective, settings, 1, *size)
    rest.resume(image, carried(state))
    found = shots(rest)
    assert (set(wanted), set(found)) == ({2, 5, 8}, {5, 8})
    assert all(torch.equal(found[evaluation], wanted[evaluation]) for evaluation in found)


# --- trouble ---------------------------------------------------------------------------------


def at_evaluations(numbers: set[int], first: Any) -> Callable[[Tensor, Tensor], Terms]:
    """Return a bowl that is no number where the image is at some evaluations of its own."""
    count = [first]

    def function(x: Tensor, content: Tensor) -> Terms:
        count[0] += 1
        loss, gradient = bowl(x, content)
        return (loss * math.nan, gradient) if count[0] in numbers else (loss, gradient)

    return function


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("numbers", [{4, 5, 6}, {2}, {1, 2, 3}, {3, 4, 5, 8, 9, 10}], ids=str)
def test_trouble_is_remembered(optimizer: str, numbers: set[int]) -> None:
    """Restored, or on the second try, as far as it had come; NaN in what stands in its log."""

    def new(first: int) -> Engine:
        return engine(at_evaluations(numbers, first), steps=14, optimizer=optimizer)

    wanted = alone(new(0), problem())
    assert wanted.restored or wanted.retried_with_adam or numbers == {2}
    for evaluations in range(len(wanted.rows)):
        found = take_out(new(0), problem(), evaluations)
        if not isinstance(found, Result):
            other = new(evaluations)
            other.resume(problem(), carried(found))
            found = finish(other, 0)
        check_same_result(found, wanted)


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("evaluations", [1, 4, 7])
def test_what_is_under_way_is_waited_for_and_counts(lag: int, evaluations: int) -> None:
    objective, settings, size = real_objective(), solver(steps=9), (16, 20)
    image = real_problem(objective, 0, 1, size)
    wanted = alone(Engine(objective, settings, 1, *size), image)
    before = Engine(objective, settings, 2, *size, make_readback=late(lag))
    before.admit(image)
    made = 0
    while made < evaluations:
        made += len(before.step().rows)
    settled = before.settle()
    assert settled.rows, "some were under way"
    if settled.results:
        check_same_result(settled.results[0], wanted)
        return
    state = before.take_out(0)
    assert len(state.numbers["rows"]) == made + len(settled.rows)
    after = Engine(objective, settings, 1, *size)
    after.resume(image, carried(state))
    check_same_result(finish(after, 0), wanted)


# --- what is refused -------------------------------------------------------------------------


def state_of(**changes: Any) -> Suspended:
    found = take_out(engine(bowl, **changes), problem(), 3)
    assert isinstance(found, Suspended)
    return found


def without(name: str, state: Suspended) -> Suspended:
    tensors = {key: value for key, value in state.tensors.items() if key != name}
    return state._replace(tensors=tensors)


def told(name: str, value: Any, state: Suspended) -> Suspended:
    return state._replace(numbers={**state.numbers, name: value})


@pytest.mark.parametrize(
    "change",
    [
        partial(without, "optimizer.x"),
        partial(told, "level", 1),
        partial(told, "level", -1),
        partial(told, "done", 99),
        partial(told, "rows", [[1, 2]]),
        partial(told, "rows", []),
        partial(told, "best", 99),
        partial(told, "seconds", None),
        lambda state: state._replace(numbers={}),
        lambda state: state_of(optimizer="adam"),
        lambda state: state_of(history=7),
        lambda state: take_out(engine(bowl, edge=18), problem(edge=18), 3),
    ],
)
def test_what_another_kind_of_engine_has_given_is_refused_and_takes_no_slot(change: Any) -> None:
    other = engine(bowl)
    other.admit(problem(1))
    with pytest.raises(StateError):
        other.resume(problem(), change(state_of()))
    assert other.running == 1
    other.admit(problem())
    check_same_result(finish(other, 0), alone(engine(bowl), problem()))


def test_how_far_an_image_is_goes_on_counting() -> None:
    state = state_of(steps=10)
    other = Engine(stub(bowl), solver(steps=10), 1, 16, 16)
    other.resume(problem(), told("seconds", 100.0, state))
    (far,) = other.progress().values()
    assert (far.evaluations, far.left) == (3, 7)
    assert 100 <= far.seconds < 200
    assert far.left_s == pytest.approx(far.seconds / 3 * 7)
    result = finish(other, 0)
    assert result.rows[3].seconds >= 100 > result.rows[2].seconds


def test_evaluations_to_come_are_those_of_later_levels_as_well() -> None:
    settings = solver(steps=24, levels=2, start="noise", tolerance=0.3)
    two = Engine(stub(bowl), settings, 1, 32, 32)
    two.admit(problem(edge=32, levels=2))
    left: list[tuple[Hashable, int]] = []
    while two.running:
        left += [(key, each.left) for key, each in two.progress().items()]
        two.step()
    assert left[0] == (0, 24)
    assert [each for _, each in left] == sorted((each for _, each in left), reverse=True)


def test_an_image_that_has_converged_is_reported_and_not_taken_out() -> None:
    found = take_out(engine(bowl, steps=3), problem(), 9)
    assert isinstance(found, Result)
    assert found.status is Status.BUDGET_SPENT
