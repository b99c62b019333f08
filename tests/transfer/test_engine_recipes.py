"""What recipes ask of the engine: which image is kept, other starts, a second pass, snapshots."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support import naive
from support.engines import (
    MAX_REFUSED,
    Terms,
    bowl,
    engine,
    levels_of,
    problem,
    real_objective,
    real_problem,
    run,
    slope,
    solver,
    stub,
    summit,
)
from torch import Tensor

from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem, SecondPassSpec, Snapshot, Status
from stylebatch.transfer.reductions import sum_pixels

# Too long steps: the loss goes up and down.
LONG: dict[str, Any] = {
    "optimizer": "adam",
    "learning_rate": 0.2,
    "learning_rate_schedule": "constant",
}


class Path:
    """What torch's own Adam does on the bowl: the points it evaluates, and where it ends."""

    def __init__(self, start: Tensor, steps: int, rate: float, *, clamp: bool = True) -> None:
        x = start.clone().requires_grad_()
        adam = torch.optim.Adam([x], rate, (0.9, 0.999), 1e-8)
        self.points, self.losses = [], []
        for _ in range(steps):
            loss, gradient = bowl(x.detach()[0], start[0])
            self.points.append(x.detach().clone())
            self.losses.append(float(loss))
            x.grad = gradient[None]
            adam.step()
            if clamp:
                with torch.no_grad():
                    x.clamp_(0, 1)
        self.points.append(x.detach().clone())
        self.best = self.losses.index(min(self.losses))


@pytest.mark.parametrize("keep", ["best", "last", "after_best", "after_last"])
def test_what_is_kept_is_what_torch_s_adam_has_there(keep: str) -> None:
    result = run(engine(bowl, keep=keep, steps=9, **LONG), [problem()])[0]
    path = Path(problem().content, 9, 0.2)
    assert 0 < path.best < 8, "a best in the middle"
    wanted = {"best": path.best, "last": 8, "after_best": path.best + 1, "after_last": 9}[keep]
    assert torch.allclose(result.image, path.points[wanted], atol=1e-5)
    others = [point for k, point in enumerate(path.points) if k != wanted]
    assert not any(torch.allclose(result.image, other, atol=1e-4) for other in others)
    # Of an image after an update, the losses are those before it: it was never evaluated.
    assert result.kept == result.rows[min(wanted, 8) - (keep == "after_best")]
    assert result.kept.total == pytest.approx(path.losses[result.kept.evaluation - 1], rel=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_image_after_the_best_is_there_also_where_the_best_comes_last(steps: int) -> None:
    changes = LONG | {"learning_rate": 0.01}
    result = run(engine(bowl, keep="after_best", steps=steps, **changes), [problem()])[0]
    path = Path(problem().content, steps, 0.01)
    assert path.best == steps - 1
    assert torch.allclose(result.image, path.points[steps], atol=1e-6)
    assert result.kept == result.rows[-1]


def test_each_image_of_a_batch_keeps_its_own_image_after_the_best() -> None:
    def tilted(x: Tensor, content: Tensor) -> Terms:
        offset = x - (content + 0.3 * content.mean())
        return 1 + sum_pixels(offset.square()[None])[0], 2 * offset

    problems = [problem(0), problem(1), Problem(2, problem().content / 3, ({},))]
    changes: dict[str, Any] = {**LONG, "steps": 7, "keep": "after_best"}
    together = run(engine(tilted, **changes), problems)
    assert len({result.kept.evaluation for result in together.values()}) > 1
    for one in problems:
        alone = run(engine(tilted, **changes), [one])[one.key]
        assert torch.equal(together[one.key].image, alone.image)


def test_an_image_after_an_update_of_lbfgs_is_the_next_one_it_would_evaluate() -> None:
    seen: list[Tensor] = []

    def watched(x: Tensor, content: Tensor) -> Terms:
        seen.append(x.detach().clone())
        return bowl(x, content)

    result = run(engine(watched, keep="after_last", steps=4), [problem()])[0]
    seen.clear()
    run(engine(watched, keep="last", steps=5), [problem()])
    assert torch.equal(result.image[0], seen[4])


def test_only_adam_without_clamping_leaves_the_range() -> None:
    def outside(x: Tensor, content: Tensor) -> Terms:
        return 10 + x.mean(), torch.ones_like(x)

    changes: dict[str, Any] = {**LONG, "steps": 9, "keep": "after_last"}
    free = run(engine(outside, clamp=False, **changes), [problem()])[0].image
    wanted = problem().content - 9 * 0.2
    assert torch.allclose(free, wanted, atol=1e-5)
    held = run(engine(outside, clamp=True, **changes), [problem()])[0].image
    assert torch.equal(held, torch.zeros_like(held))


def test_adam_in_another_variable_is_torch_s_adam_on_that_variable() -> None:
    scale, rate = torch.tensor([255.0, 100.0, 1 / 0.225]).view(1, 3, 1, 1), 2.0
    content = problem().content
    v = (content * scale).requires_grad_()
    adam = torch.optim.Adam([v], rate, (0.9, 0.999), 1e-3)
    for _ in range(6):
        adam.zero_grad()
        # The bowl, as a function of v.
        torch.autograd.backward((v / scale - (content + 0.1)).square().sum())
        adam.step()
    changes: dict[str, Any] = {
        **LONG,
        "learning_rate": rate,
        "epsilon": 1e-3,
        "clamp": False,
        "steps": 6,
    }
    pixel_scale = tuple(scale.flatten().tolist())
    result = run(engine(bowl, keep="after_last", pixel_scale=pixel_scale, **changes), [problem()])[
        0
    ]
    assert torch.allclose(result.image, v.detach() / scale, rtol=1e-4, atol=1e-5)


# --- starts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2])
def test_an_image_starts_from_its_own_style_image(levels: int) -> None:
    style = naive.draw(1, 3, 32, 32, seed=9)
    given = Problem(0, naive.draw(1, 3, 32, 32), ({},) * levels, style_image=style)
    seen: list[Tensor] = []

    def watched(x: Tensor, content: Tensor) -> Terms:
        seen.append(x.detach().clone())
        return slope(x, content)

    run(engine(watched, 32, start="style", levels=levels, steps=levels), [given])
    size = 32 // levels
    wanted = F.interpolate(style, (size, size), mode="bicubic", antialias=True).clamp(0, 1)
    assert torch.allclose(seen[0], wanted[0] if levels == 2 else style[0], atol=1e-6)


# --- a second pass ---------------------------------------------------------------------------


def climb(function: Any, edge: int, first: float, second: int, **changes: Any) -> Engine:
    spec = solver(
        second_pass=SecondPassSpec(round(first * edge), "longest", second), levels="auto", **changes
    )
    return Engine(stub(function), spec, 4, edge, edge)


@pytest.mark.parametrize(
    ("size", "first_px", "fit", "first"),
    [
        ((48, 64), 32, "longest", (24, 32)),
        ((800, 1067), 512, "shortest", (512, 683)),
        ((200, 20), 100, "longest", (100, 16)),
    ],
)
def test_a_second_pass_comes_after_one_at_the_first_size(
    size: tuple[int, int], first_px: int, fit: str, first: tuple[int, int]
) -> None:
    spec = solver(second_pass=SecondPassSpec(first_px, fit, 5), levels="auto")
    assert Engine(stub(slope), spec, 1, *size).sizes == [first, size]


def test_each_pass_has_its_own_evaluations() -> None:
    result = run(climb(slope, 48, 0.5, 4, steps=7), [problem(0, 48, 2)])[0]
    assert levels_of(result.rows) == [7, 4]
    assert result.image.shape == (1, 3, 48, 48)
    assert result.kept.level == 1


def test_what_a_first_pass_leaves_is_not_carried_over() -> None:
    def flat_below(x: Tensor, content: Tensor) -> Terms:
        return (torch.tensor(1.0), 0 * x) if x.shape[-1] < 48 else slope(x, content)

    early = climb(flat_below, 48, 0.5, 6, steps=30, tolerance=1e-6, window=3, optimizer="adam")
    result = run(early, [problem(0, 48, 2)])[0]
    assert levels_of(result.rows) == [4, 6]
    assert result.status is Status.BUDGET_SPENT


@pytest.mark.parametrize(("keep", "wanted"), [("last", 2), ("after_last", 3)])
def test_a_second_pass_starts_from_the_enlarged_result_of_the_first(keep: str, wanted: int) -> None:
    points: list[Tensor] = []

    def watched(x: Tensor, content: Tensor) -> Terms:
        points.append(x.detach()[None].clone())
        return bowl(x, content)

    changes: dict[str, Any] = {**LONG, "learning_rate": 0.01, "keep": keep}
    run(climb(watched, 48, 0.5, 1, steps=3, **changes), [problem(0, 48, 2)])
    path = Path(points[0], 3, 0.01)
    enlarged = F.interpolate(path.points[wanted], (48, 48), mode="bicubic", align_corners=False)
    assert torch.allclose(points[3], enlarged.clamp(0, 1), atol=1e-5)
    # Nothing of the content's own detail is put back.
    assert not torch.allclose(points[3], problem(0, 48).content, atol=0.1)


# --- snapshots -------------------------------------------------------------------------------


def snapshots(climbing: Engine, *problems: Problem) -> list[Snapshot]:
    for one in problems:
        climbing.admit(one)
    found = []
    while climbing.running:
        found += climbing.step().snapshots
    return found


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, []),
        ({"progress_at": frozenset({1, 4, 99})}, [1, 4]),
        ({"progress_every": 3}, [3, 6, 9]),
        ({"progress_every": 4, "progress_at": frozenset({1, 8})}, [1, 4, 8]),
        ({"progress_every": 1}, list(range(1, 11))),
    ],
)
def test_snapshots_are_of_the_evaluations_asked_for(asked: Any, wanted: list[int]) -> None:
    found = snapshots(engine(slope, optimizer="adam", **asked), problem(1), problem(2))
    for key in (1, 2):
        assert [shot.evaluation for shot in found if shot.key == key] == wanted


@pytest.mark.parametrize("keep", ["best", "last", "after_best", "after_last"])
def test_a_snapshot_is_what_would_be_given_back_if_it_ended_there(keep: str) -> None:
    changes: dict[str, Any] = {**LONG, "keep": keep}
    found = snapshots(engine(bowl, steps=8, progress_every=1, **changes), problem(1), problem(2))
    assert len(found) == 16
    for shot in found:
        assert isinstance(shot.key, int)
        ended = run(engine(bowl, steps=shot.evaluation, **changes), [problem(shot.key)])
        assert torch.equal(shot.image, ended[shot.key].image), shot.evaluation


def test_a_snapshot_is_not_changed_by_what_comes_later() -> None:
    running = engine(bowl, steps=6, progress_every=1, **LONG, keep="last")
    running.admit(problem())
    shots, copies = [], []
    while running.running:
        shots += running.step().snapshots
        copies.append(shots[-1].image.clone())
    assert all(torch.equal(shot.image, copy) for shot, copy in zip(shots, copies, strict=True))


def test_snapshots_go_on_counting_from_level_to_level() -> None:
    found = snapshots(
        climb(slope, 48, 0.5, 4, steps=3, progress_every=2, optimizer="adam"), problem(0, 48, 2)
    )
    assert [shot.evaluation for shot in found] == [2, 4, 6]
    assert [shot.image.shape[-1] for shot in found] == [24, 48, 48]


def test_where_nothing_is_accepted_a_snapshot_is_the_start() -> None:
    found = snapshots(engine(summit, steps=60, progress_every=5), problem())
    assert [shot.evaluation for shot in found] == [5, 10]
    assert MAX_REFUSED == 10
    assert all(torch.equal(shot.image, problem().content) for shot in found)


# --- masks -----------------------------------------------------------------------------------


def half_mask(height: int, width: int) -> Tensor:
    mask = torch.ones(1, 1, height, width)
    mask[..., : width // 2] = 0
    return mask


def masked(one: Problem, mask: Tensor) -> Problem:
    return Problem(one.key, one.content, one.statistics, one.strength, one.noise_seed, mask=mask)


def test_adam_leaves_what_is_under_the_black_of_a_mask_alone() -> None:
    objective = real_objective()
    one = masked(real_problem(objective, 1, 1, (16, 20)), half_mask(16, 20))
    spec = solver(optimizer="adam", keep="last", steps=5)
    result = run(Engine(objective, spec, 1, 16, 20), [one])[1]
    assert torch.equal(result.image[..., :10], one.content[..., :10])
    assert bool((result.image[..., 10:] != one.content[..., 10:]).any())


@pytest.mark.parametrize("levels", [1, 2])
def test_masked_solves_do_not_influence_each_other(levels: int) -> None:
    objective, size = real_objective(), (32, 32)
    spec = solver(steps=8, tolerance=0.1, levels=levels)
    problems = [
        masked(real_problem(objective, key, levels, size), naive.draw(1, 1, *size, seed=30 + key))
        for key in range(3)
    ]
    alone = run(Engine(objective, spec, 1, *size), problems)
    together = run(Engine(objective, spec, 2, *size), problems[::-1])
    for key, wanted in alone.items():
        assert torch.equal(together[key].image, wanted.image)
        assert [row[:6] for row in together[key].rows] == [row[:6] for row in wanted.rows]
        assert all(math.isfinite(row.total) for row in wanted.rows)


def test_a_white_mask_gives_the_image_of_no_mask() -> None:
    objective = real_objective()
    one = real_problem(objective, 1, 1, (16, 20))
    plain = run(Engine(objective, solver(steps=6), 1, 16, 20), [one])[1]
    white = masked(one, torch.ones(1, 1, 16, 20))
    assert torch.equal(run(Engine(objective, solver(steps=6), 1, 16, 20), [white])[1].image,
                       plain.image)  # fmt: skip
