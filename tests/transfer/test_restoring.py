"""An optimiser sent back to a point: what it forgets, what it keeps, and whom it leaves alone."""

import math
from typing import Any

import pytest
import torch
from support import naive
from support.functions import SHAPE, function_of, make, quadratic, spec
from torch import Tensor

NAMES = ["lbfgs", "adam"]


def walk(optimizer: Any, steps: int, active: int = 1) -> list[Tensor]:
    """Evaluate a quadratic for some steps; return the points (active, …) of each."""
    function, points = function_of(*quadratic(5)), []
    for _ in range(steps):
        points.append(optimizer.ask(active).clone())
        optimizer.tell(active, *function(points[-1]))
    return points


def gentle(name: str, by: float) -> Any:
    """Return settings with every length of step multiplied; a first step is shorter than others."""
    usual = spec(optimizer=name, first_rms_change=0.01)
    lengths = ("first_rms_change", "max_rms_change", "max_change", "learning_rate")
    return spec(optimizer=name, **{length: getattr(usual, length) * by for length in lengths})


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("times", [1, 2])
def test_a_restored_image_goes_on_as_a_new_one_with_steps_a_quarter_as_long(
    name: str, times: int
) -> None:
    optimizer = make(gentle(name, 1))
    optimizer.admit(0, naive.draw(*SHAPE, seed=1), 40)
    best = walk(optimizer, 7)[4]
    # A step that has been shortened is forgotten as well.
    for _ in range(2):
        optimizer.tell(1, torch.tensor([math.inf]), torch.ones(1, *SHAPE))
    for _ in range(times):
        optimizer.restore(torch.tensor([True]), best)
    fresh = make(gentle(name, 0.25**times))
    fresh.admit(0, best[0], 40)
    found, wanted = walk(optimizer, 9), walk(fresh, 9)
    assert torch.equal(found[0], best)
    for point, other in zip(found, wanted, strict=True):
        assert torch.allclose(point, other, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_after_numbers_that_are_none_a_restored_image_is_as_good_as_new(name: str) -> None:
    optimizer = make(spec(optimizer=name))
    optimizer.admit(0, naive.draw(*SHAPE, seed=1), 40)
    best = walk(optimizer, 5)[4]
    for _ in range(3):
        point = optimizer.ask(1).clone()
        optimizer.tell(1, torch.tensor([math.nan]), torch.full_like(point, math.nan))
    optimizer.restore(torch.tensor([True]), best)
    assert all(bool(point.isfinite().all()) for point in walk(optimizer, 6))


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_image_takes_the_measure_of_its_gradients_anew(name: str) -> None:
    """What made the trouble may have been 2⁹⁰ times as steep: its square is beyond float32."""
    optimizer, fresh = make(spec(optimizer=name)), make(spec(optimizer=name))
    start = naive.draw(*SHAPE, seed=1)
    optimizer.admit(0, start, 40)
    losses, gradients = function_of(*quadratic(5))(optimizer.ask(1).clone())
    optimizer.tell(1, losses, 2.0**90 * gradients)
    optimizer.restore(torch.tensor([True]), start[None])
    fresh.admit(0, start, 40)
    fresh.restore(torch.tensor([True]), start[None])
    for point, other in zip(walk(optimizer, 5), walk(fresh, 5), strict=True):
        assert torch.allclose(point, other, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_images_in_trouble_are_sent_back(name: str) -> None:
    both, alone = make(spec(optimizer=name), 2), make(spec(optimizer=name))
    starts = [naive.draw(*SHAPE, seed=seed) for seed in (1, 2)]
    for slot in range(2):
        both.admit(slot, starts[slot], 40)
    alone.admit(0, starts[1], 40)
    best = walk(both, 4, 2)[2]
    both.restore(torch.tensor([True, False]), best)
    found, wanted = walk(both, 5, 2), walk(alone, 9)[4:]
    assert torch.equal(found[0][0], best[0])
    for point, other in zip(found, wanted, strict=True):
        # The quadratic's own product depends on the batch.
        assert torch.allclose(point[1], other[0], atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_where_nothing_is_in_trouble_nothing_changes(name: str) -> None:
    told, untold = make(spec(optimizer=name)), make(spec(optimizer=name))
    for optimizer in (told, untold):
        optimizer.admit(0, naive.draw(*SHAPE), 40)
        walk(optimizer, 3)
    told.restore(torch.tensor([False]), torch.full((1, *SHAPE), math.nan))
    for point, other in zip(walk(told, 6), walk(untold, 6), strict=True):
        assert torch.equal(point, other)


@pytest.mark.parametrize("name", NAMES)
def test_care_moves_with_its_image_and_ends_with_it(name: str) -> None:
    careful, usual = make(spec(optimizer=name), 2), make(spec(optimizer=name))
    start = naive.draw(*SHAPE, seed=1)
    for slot in range(2):
        careful.admit(slot, start, 40)
    walk(careful, 2, 2)
    careful.restore(torch.tensor([False, True]), start.expand(2, *SHAPE))
    careful.move(1, 0)
    moved = walk(careful, 2)
    usual.admit(0, start, 40)
    plain = walk(usual, 2)
    lengths = [float((points[1] - points[0]).norm()) for points in (moved, plain)]
    assert lengths[0] == pytest.approx(0.25 * lengths[1], rel=0.05)
    careful.admit(0, start, 40)
    assert torch.equal(walk(careful, 2)[1], plain[1])


def test_the_cosine_schedule_goes_on_where_it_was() -> None:
    optimizer = make(spec(optimizer="adam", learning_rate_schedule="cosine"))
    start = torch.full(SHAPE, 0.5)
    optimizer.admit(0, start, 20)
    for _ in range(10):
        optimizer.tell(1, torch.ones(1), torch.full((1, *SHAPE), 0.5))
    optimizer.restore(torch.tensor([True]), start[None])
    optimizer.tell(1, torch.ones(1), torch.full((1, *SHAPE), 0.5))
    rate = 0.25 * 0.02 * 0.5 * (1 + math.cos(math.pi * 10 / 20))
    assert torch.allclose(start - optimizer.ask(1)[0], torch.tensor(rate), atol=1e-6)
