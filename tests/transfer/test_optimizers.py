"""The optimisers against dense matrices in float64, torch's Adam, and their own batch-mates."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import naive
from support.functions import SHAPE, Function, function_of, make, quadratic, spec
from support.synchronisation import NoReadingBack, NoWaiting
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stylebatch.transfer.optimizers import OPTIMIZERS
from stylebatch.transfer.optimizers.preconditioner import _double, precondition
from stylebatch.transfer.optimizers.protocol import Optimizer, OptimizerSpec
from stylebatch.transfer.reductions import sum_pixels


def run(optimizer: Optimizer, function: Function, start: Tensor, steps: int) -> list[Tensor]:
    """Optimise one image; return the points evaluated."""
    optimizer.admit(0, start, steps)
    points = []
    for _ in range(steps):
        points.append(optimizer.ask(1).clone())
        optimizer.tell(1, *function(points[-1]))
    return points


# --- projected L-BFGS ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"history": 3},
        {"max_rms_change": 1.0, "max_change": 1.0, "first_rms_change": 0.01},
        {"max_change": 0.06, "first_rms_change": 0.2},
    ],
    ids=["usual", "short-history", "no-caps", "tight-caps"],
)
def test_every_step_is_that_of_a_dense_inverse_bfgs(changes: dict[str, Any]) -> None:
    settings = spec(**changes)
    function, optimizer = function_of(*quadratic(30)), make(settings)
    start = naive.draw(*SHAPE)
    optimizer.admit(0, start, 20)
    dense, verdicts = naive.DenseLBFGS(start, settings), []
    for step in range(14):
        point = optimizer.ask(1).clone()
        if step:
            wanted = dense.next_point()
            change = (wanted.flatten() - dense.x).norm()
            assert float((point[0] - wanted).norm()) < 1e-3 * float(change) + 1e-6, step
        losses, gradients = function(point)
        accepted = bool(optimizer.tell(1, losses, gradients))
        assert accepted == dense.tell(point, float(losses), gradients)
        verdicts.append(accepted)
    assert sum(entry is not None for entry in dense.entries) > settings.history


def test_a_direction_after_refused_steps_is_that_of_a_dense_inverse_bfgs() -> None:
    settings = spec(history=4)
    function, optimizer = function_of(*quadratic(30)), make(settings)
    start = naive.draw(*SHAPE)
    optimizer.admit(0, start, 20)
    dense = naive.DenseLBFGS(start, settings)
    for step in range(16):
        point = optimizer.ask(1).clone()
        if step:
            wanted = dense.next_point()
            change = (wanted.flatten() - dense.x).norm()
            assert float((point[0] - wanted).norm()) < 1e-3 * float(change) + 1e-6, step
        losses, gradients = function(point)
        if step in (3, 7, 8):
            losses = losses + 1e6
        assert bool(optimizer.tell(1, losses, gradients)) == (step not in (3, 7, 8))
        dense.tell(point, float(losses), gradients)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_no_point_ever_leaves_the_range_of_pixels(optimizer: str) -> None:
    A, c = quadratic(100)
    function = function_of(A, 8 * c - 3.5)
    points = run(make(spec(optimizer=optimizer)), function, naive.draw(*SHAPE), 60)
    assert all(bool(((point >= 0) & (point <= 1)).all()) for point in points)
    assert bool(((points[-1] == 0) | (points[-1] == 1)).any())


@pytest.mark.parametrize("levels", [0, 2], ids=["plain", "preconditioned"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_reaches_the_bounded_optimum_of_a_quadratic(seed: int, levels: int) -> None:
    """Half of the pixels end on a bound."""
    A, c = quadratic(30, seed)
    function = function_of(A, c)
    optimum = naive.minimise_in_unit_box(A, c)
    assert bool(((optimum == 0) | (optimum == 1)).any())
    least = float(function(optimum.view(1, *SHAPE))[0])
    optimizer = make(spec(preconditioner_levels=levels))
    points = run(optimizer, function, naive.draw(*SHAPE), 50)
    losses = [float(function(point)[0]) for point in points]
    assert min(losses) < least + 1e-5 * losses[0]
    best = points[losses.index(min(losses))]
    assert float((best.flatten() - optimum).abs().max()) < 0.01


def test_a_refused_step_shortens_the_step_of_its_own_image_only() -> None:
    function, optimizer = function_of(*quadratic(5)), make(spec(), 2)
    starts = torch.stack([naive.draw(*SHAPE, seed=1), naive.draw(*SHAPE, seed=2)])
    for slot in range(2):
        optimizer.admit(slot, starts[slot], 9)
    alone = run(make(spec()), function, starts[0], 4)
    for _ in range(2):
        optimizer.tell(2, *function(optimizer.ask(2).clone()))
    refused = optimizer.ask(2).clone()
    losses, gradients = function(refused)
    losses[1] += 1e6
    assert optimizer.tell(2, losses, gradients).tolist() == [True, False]
    after = optimizer.ask(2).clone()
    # Of such a rise the parabola is lowest next to nothing ahead: no less than 0.05 is taken.
    nearer = 0.05 * refused[1] + 0.95 * position(optimizer, 1)
    assert torch.allclose(after[1], nearer, atol=1e-6)
    assert torch.allclose(refused[0], alone[2][0], atol=1e-6)
    assert torch.allclose(after[0], alone[3][0], atol=1e-6)


def position(optimizer: Any, slot: int) -> Tensor:
    """Return the point that a slot's next step starts from."""
    point: Tensor = optimizer._x[slot]
    return point


def test_a_rise_within_what_is_tolerated_is_accepted_and_a_larger_one_is_not() -> None:
    optimizer = make(spec(tolerated_rise=0.02), 3)
    for slot in range(3):
        optimizer.admit(slot, naive.draw(*SHAPE), 9)
    slopes = naive.draw(3, *SHAPE, seed=4)
    optimizer.ask(3)
    assert optimizer.tell(3, torch.tensor([10.0, 10.0, 10.0]), slopes).tolist() == [True] * 3
    optimizer.ask(3)
    losses = torch.tensor([9.0, 10.19, 10.21])
    assert optimizer.tell(3, losses, slopes).tolist() == [True, True, False]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_numeric_trouble_is_refused_and_leaves_no_trace_in_the_image(
    optimizer: str, what: str
) -> None:
    function, solver = function_of(*quadratic(5)), make(spec(optimizer=optimizer))
    solver.admit(0, naive.draw(*SHAPE), 40)
    for step in range(40):
        point = solver.ask(1).clone()
        assert bool(point.isfinite().all())
        losses, gradients = function(point)
        if step in (5, 6, 20):
            losses = losses * math.nan if what == "loss" else losses
            gradients[0, 0, 1, 1] = math.inf
        accepted = bool(solver.tell(1, losses, gradients))
        assert not (accepted and step in (5, 6, 20))
    first = float(function(naive.draw(1, *SHAPE))[0])
    assert float(function(point)[0]) < 0.7 * first


def test_a_pair_of_negative_curvature_is_not_stored() -> None:
    settings = spec()
    optimizer = make(settings)
    optimizer.admit(0, torch.full(SHAPE, 0.5), 9)
    first = optimizer.ask(1).clone()
    slope = naive.draw(1, *SHAPE) - 0.5
    optimizer.tell(1, torch.tensor([3.0]), slope)
    second = optimizer.ask(1).clone()
    steeper = slope - (second - first)  # sᵀy = -‖s‖²
    assert bool(optimizer.tell(1, torch.tensor([2.0]), steeper))
    third = optimizer.ask(1)
    # Nothing is known of the curvature: the step is a first step, along the gradient.
    rms = float(steeper.square().mean().sqrt())
    wanted = second - settings.first_rms_change / rms * steeper
    assert torch.allclose(third, wanted, atol=1e-6)


def test_a_new_image_in_a_slot_knows_nothing_of_the_one_before_it() -> None:
    function, start = function_of(*quadratic(30)), naive.draw(*SHAPE, seed=3)
    for name in ("lbfgs", "adam"):
        used = make(spec(optimizer=name, history=3))
        run(used, function, naive.draw(*SHAPE, seed=4), 7)
        used.ask(1)
        used.tell(1, torch.tensor([math.nan]), torch.full((1, *SHAPE), math.nan))
        fresh = run(make(spec(optimizer=name, history=3)), function, start, 12)
        for found, wanted in zip(run(used, function, start, 12), fresh, strict=True):
            assert torch.equal(found, wanted)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_no_number_is_read_back(optimizer: str) -> None:
    """On a GPU the host would wait for it."""
    changes = {"preconditioner_levels": 2, "learning_rate_schedule": "cosine"}
    function, solver = function_of(*quadratic(5)), make(spec(optimizer=optimizer, **changes), 3)
    with NoReadingBack():
        for slot in range(2):
            solver.admit(slot, naive.draw(*SHAPE, seed=slot), 9)
        for step in range(6):
            losses, gradients = function(solver.ask(2).clone())
            solver.tell(2, losses + (1e6 if step == 3 else 0), gradients)
        solver.move(1, 0)
        solver.admit(1, naive.draw(*SHAPE), 9)
        solver.tell(2, *function(solver.ask(2).clone()))


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_slot_is_filled_and_moved_without_sending_numbers(optimizer: str) -> None:
    """What a slot starts with is written by the device: only the image itself travels."""
    solver, start = make(spec(optimizer=optimizer), 3), naive.draw(*SHAPE)
    with NoWaiting():
        solver.admit(0, start, 9)
        solver.move(0, 1)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("size", [(32, 32), (20, 28)], ids=str)
def test_all_of_a_step_stays_on_a_gpu(optimizer: str, size: tuple[int, int]) -> None:
    """On tensors without numbers, which tell a wrong shape or device: no GPU is needed."""
    changes = {"preconditioner_levels": 2, "learning_rate_schedule": "cosine"}
    with FakeTensorMode():
        like = torch.zeros(0, device="cuda")
        solver = OPTIMIZERS[optimizer](spec(optimizer=optimizer, **changes), 4, size, like)
        for slot in range(3):
            solver.admit(slot, like.new_zeros(3, *size), 9)
        for _ in range(2):
            points = solver.ask(3).clone()
            accepted = solver.tell(3, like.new_zeros(3), torch.zeros_like(points))
        solver.move(2, 0)
        assert (points.shape, points.device.type) == ((3, 3, *size), "cuda")
        assert (accepted.shape, accepted.device.type) == ((3,), "cuda")


@pytest.mark.parametrize("read", [float, bool, lambda x: x[x > 0], lambda x: x.nonzero()])
def test_a_number_that_is_read_back_is_noticed(read: Callable[[Tensor], Any]) -> None:
    with pytest.raises(AssertionError), NoReadingBack():
        read(torch.ones(1))


# --- independence of batch-mates -------------------------------------------------------------


@dataclass
class Visit:
    """An image's stay in the batch: what it is, when it comes, for how many evaluations."""

    image: int
    arrives: int
    steps: int


SIZE = (20, 28)
IMAGES = 5


def bumpy(x: Tensor, image: int) -> tuple[Tensor, Tensor]:
    """Return a loss and gradient whose arithmetic is the same in any batch; image 3 has trouble."""
    goal, weight = 1.6 * naive.draw(3, *SIZE, seed=image) - 0.3, 1 + 9 * naive.draw(3, *SIZE)
    offset, along = x - goal, x - x.roll(1, -1)
    gradient = weight * offset + 4 * (along - along.roll(-1, -1)) + 20 * offset**3
    loss = sum_pixels((0.5 * weight * offset**2 + 2 * along**2 + 5 * offset**4)[None])[0]
    if image == 3 and float(x[0, 0, 0]) > 0.5:
        return loss * math.nan, gradient * math.nan
    if image == 4 and int(x.sum() * 1000) % 3 == 0:
        return loss * 1.5, gradient
    return loss, gradient


def trajectories(settings: OptimizerSpec, visits: list[Visit]) -> dict[int, list[Tensor]]:
    """Run visits through slots that are filled, moved and freed as the engine does."""
    optimizer = make(settings, IMAGES, SIZE)
    slots: list[Visit] = []
    found: dict[int, list[Tensor]] = {visit.image: [] for visit in visits}
    for time in range(80):
        for visit in (visit for visit in visits if visit.arrives == time):
            optimizer.admit(len(slots), naive.draw(3, *SIZE, seed=50 + visit.image), visit.steps)
            slots.append(visit)
        if not slots:
            continue
        points = optimizer.ask(len(slots)).clone()
        for point, visit in zip(points, slots, strict=True):
            found[visit.image].append(point)
        numbers = [bumpy(p, visit.image) for p, visit in zip(points, slots, strict=True)]
        losses, gradients = (torch.stack(parts) for parts in zip(*numbers, strict=True))
        optimizer.tell(len(slots), losses, gradients)
        for slot in reversed(range(len(slots))):
            if len(found[slots[slot].image]) == slots[slot].steps:
                if slot != len(slots) - 1:
                    optimizer.move(len(slots) - 1, slot)
                slots[slot] = slots[-1]
                slots.pop()
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {"preconditioner_levels": 2, "history": 3},
        {"optimizer": "adam", "learning_rate_schedule": "cosine"},
    ],
    ids=["lbfgs", "adam"],
)
def test_solves_do_not_influence_each_other(changes: dict[str, Any]) -> None:
    settings = spec(**changes)
    alone = {
        image: trajectories(settings, [Visit(image, 0, 12 + image)])[image]
        for image in range(IMAGES)
    }
    together = [Visit(image, 0, 12 + image) for image in range(IMAGES)]
    one_by_one = [Visit(image, 3 * (IMAGES - image), 12 + image) for image in range(IMAGES)]
    pairs = [Visit(image, (0, 1, 13, 14, 27)[image], 12 + image) for image in (4, 0, 2, 1, 3)]
    for visits in (together, one_by_one, pairs):
        found = trajectories(settings, visits)
        for image in range(IMAGES):
            for step, (point, wanted) in enumerate(zip(found[image], alone[image], strict=True)):
                assert torch.equal(point, wanted), f"image {image}, evaluation {step}"


# --- the preconditioner ----------------------------------------------------------------------


@pytest.mark.parametrize("here", [1, 2, 5, 8])
def test_doubling_is_bilinear_interpolation(here: int) -> None:
    image = naive.draw(2, 3, here, here + 1)
    wanted = F.interpolate(image, scale_factor=2, mode="bilinear", align_corners=False)
    assert torch.allclose(_double(_double(image, -2), -1), wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(16, 16), (24, 40), (23, 33), (25, 17)], ids=str)
def test_no_direction_is_uphill_after_the_preconditioner(size: tuple[int, int]) -> None:
    """vᵀ·P·v > 0 for every grey or coloured v: eigenvalues of the symmetric part."""
    count = math.prod(size)
    single = torch.eye(count, dtype=torch.float64).view(count, 1, *size)
    for colour in ((1.0, 1.0, 1.0), (1.0, -1.0, 0.0)):
        images = single * torch.tensor(colour, dtype=torch.float64).view(1, 3, 1, 1)
        P = precondition(images, 6)[:, 0].reshape(count, count)
        assert float(torch.linalg.eigvalsh(P + P.T)[0]) > 0


@pytest.mark.parametrize("size", [(16, 16), (9, 13), (2, 6), (70, 66)], ids=str)
@pytest.mark.parametrize("levels", [0, 1, 3, 6])
def test_the_preconditioner_weighs_scales_and_colours(size: tuple[int, int], levels: int) -> None:
    images = naive.draw(2, 3, *size)
    found = precondition(images, levels)
    for image in range(2):
        wanted = naive.precondition(images[image], levels)
        assert torch.allclose(found[image].double(), wanted, rtol=1e-5, atol=1e-4)


# --- Adam ------------------------------------------------------------------------------------


def test_adam_is_that_of_torch_where_no_pixel_meets_its_bound() -> None:
    A, _ = quadratic(30)
    function = function_of(A, torch.full((48,), 0.5, dtype=torch.float64))
    start = 0.3 + 0.4 * naive.draw(*SHAPE)
    points = run(make(spec(optimizer="adam", epsilon=1e-3)), function, start, 30)
    x = start[None].clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=0.02, betas=(0.9, 0.999), eps=1e-3)
    for step, point in enumerate(points):
        assert 0 < float(point.min()) < float(point.max()) < 1
        assert torch.allclose(point, x.detach(), atol=1e-6), step
        x.grad = function(x.detach())[1]
        adam.step()


def test_adam_moves_by_half_a_cosine_over_the_budget_of_its_own_slot() -> None:
    optimizer = make(spec(optimizer="adam", learning_rate_schedule="cosine"), 2)
    budgets = (8, 20)
    for slot in range(2):
        optimizer.admit(slot, torch.full(SHAPE, 0.9), budgets[slot])
    before = optimizer.ask(2).clone()
    for step in range(8):
        # With a constant gradient each pixel moves by exactly the rate.
        optimizer.tell(2, torch.ones(2), torch.full((2, *SHAPE), 0.5))
        after = optimizer.ask(2).clone()
        for slot in range(2):
            rate = 0.02 * 0.5 * (1 + math.cos(math.pi * step / budgets[slot]))
            assert torch.allclose(before[slot] - after[slot], torch.tensor(rate), atol=1e-6)
        before = after


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("unit", [2.0**80, 2.0**-80, 2.0**-3])
def test_a_loss_in_other_units_gives_the_same_path(optimizer: str, unit: float) -> None:
    """Fourth powers of Gram matrices have slopes of 10²⁵: their squares are beyond float32."""
    usual, scaled = (path_of(optimizer, factor) for factor in (1.0, unit))
    assert torch.equal(usual, scaled)
    assert not torch.equal(usual[0], usual[-1])


def path_of(optimizer: str, factor: float) -> Tensor:
    """Return the points of a few steps down a bowl whose loss is multiplied by a factor."""
    wanted = naive.draw(1, 3, 8, 8, seed=5)
    # Adam's ε is stated in the units of the gradient.
    climber = make(spec(optimizer=optimizer, epsilon=1e-8 * factor), size=(8, 8))
    climber.admit(0, naive.draw(3, 8, 8, seed=6), 12)
    points = []
    for _ in range(12):
        x = climber.ask(1).clone()
        offset = x - wanted
        climber.tell(1, factor * sum_pixels(offset.square()), factor * 2 * offset)
        points.append(x)
    return torch.cat(points)


@pytest.mark.parametrize("loss", [math.inf, math.nan])
def test_a_step_to_a_loss_that_is_no_number_is_halved(loss: float) -> None:
    function, optimizer = function_of(*quadratic(5)), make(spec())
    optimizer.admit(0, naive.draw(*SHAPE, seed=1), 9)
    for _ in range(2):
        optimizer.tell(1, *function(optimizer.ask(1).clone()))
    refused = optimizer.ask(1).clone()
    _, gradients = function(refused)
    assert optimizer.tell(1, torch.tensor([loss]), gradients).tolist() == [False]
    middle = 0.5 * (refused[0] + position(optimizer, 0))
    inside = (refused[0] > 0) & (refused[0] < 1)  # elsewhere the bound has cut the step
    assert inside.sum() > 40
    assert torch.allclose(optimizer.ask(1)[0][inside], middle[inside], atol=1e-6)
