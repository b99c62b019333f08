"""The inverse Hessian of curvature pairs against the two-loop recursion, image by image."""

import pytest
import torch
from support import naive
from torch import Tensor

from stylebatch.transfer.optimizers.curvature import CurvaturePairs

SHAPE = (3, 6, 7)
LIKE = torch.zeros(0)
Pair = tuple[Tensor, Tensor] | None


def two_loops(pairs: list[Pair], v: Tensor, gamma: float) -> Tensor:
    """Return H·v in float64 (Nocedal & Wright 2006, algorithm 7.4); pairs: the oldest first."""
    q, alphas = v.flatten().double(), []
    known = [(s.flatten().double(), y.flatten().double()) for s, y in filter(None, pairs)]
    for s, y in reversed(known):
        alphas.append(s @ q / (s @ y))
        q = q - alphas[-1] * y
    r = gamma * q
    for (s, y), alpha in zip(known, reversed(alphas), strict=True):
        r = r + (alpha - y @ r / (s @ y)) * s
    return r.view(v.shape)


def draw_pair(step: int, image: int) -> tuple[Tensor, Tensor]:
    """Return s and y with sᵀy > 0, far from conjugate to those before."""
    s = naive.draw(*SHAPE, seed=100 * step + image) - 0.3
    stiff = 1 + 20 * naive.draw(*SHAPE, seed=image)
    return s, stiff * s + 0.3 * s.roll(1, -1)


def store(pairs: CurvaturePairs, step: int, images: list[int], wanted: list[bool]) -> list[Pair]:
    drawn = [draw_pair(step, image) for image in images]
    s, y = (torch.stack(parts) for parts in zip(*drawn, strict=True))
    pairs.store(s, y, (s * y).sum((1, 2, 3)), torch.tensor(wanted))
    return [pair if is_wanted else None for pair, is_wanted in zip(drawn, wanted, strict=True)]


@pytest.mark.parametrize("history", [1, 2, 5])
@pytest.mark.parametrize("steps", [0, 1, 4, 13])
def test_it_is_the_two_loop_recursion(history: int, steps: int) -> None:
    pairs = CurvaturePairs(history, (3, *SHAPE), LIKE)
    kept: list[list[Pair]] = [[], []]
    for step in range(steps):
        wanted = [step % 4 != 2, step % 3 != 0]
        for image, pair in enumerate(store(pairs, step, [0, 1], wanted)):
            kept[image].append(pair)
    v = naive.draw(2, *SHAPE, seed=7) - 0.5
    found = pairs.apply_inverse_hessian(v, lambda q: 0.1 * q)
    for image in range(2):
        expected = two_loops(kept[image][-history:], v[image], 0.1)
        error = (found[image].double() - expected).norm() / expected.norm()
        assert float(error) < 1e-5, image


def test_pairs_move_with_their_image_and_are_forgotten_with_it() -> None:
    pairs = CurvaturePairs(3, (2, *SHAPE), LIKE)
    kept = [store(pairs, step, [0, 1], [True, True])[1] for step in range(4)]
    pairs.move(1, 0)
    pairs.clear(1)
    v = naive.draw(2, *SHAPE, seed=7)
    moved, forgotten = pairs.apply_inverse_hessian(v, lambda q: 0.1 * q)
    assert torch.allclose(moved.double(), two_loops(kept[-3:], v[0], 0.1), atol=1e-4)
    assert torch.equal(forgotten, 0.1 * v[1])


def test_what_is_forgotten_is_that_of_the_masked_images_until_then() -> None:
    pairs = CurvaturePairs(4, (3, *SHAPE), LIKE)
    kept = [store(pairs, step, [0, 1], [True, True]) for step in range(3)]
    pairs.forget(torch.tensor([True, False]))
    kept += [store(pairs, step, [0, 1], [True, True]) for step in range(3, 5)]
    v = naive.draw(2, *SHAPE, seed=7) - 0.5
    found = pairs.apply_inverse_hessian(v, lambda q: 0.1 * q).double()
    for image, first in enumerate((3, 1)):
        wanted = two_loops([each[image] for each in kept[first:]], v[image], 0.1)
        assert torch.allclose(found[image], wanted, atol=1e-4)


def test_a_pair_that_is_not_stored_may_be_anything() -> None:
    pairs = CurvaturePairs(3, (1, *SHAPE), LIKE)
    kept = store(pairs, 0, [0], [True])
    wild = torch.full((1, *SHAPE), torch.nan)
    pairs.store(wild, -wild, torch.tensor([-1.0]), torch.tensor([False]))
    v = naive.draw(1, *SHAPE, seed=7)
    found = pairs.apply_inverse_hessian(v, lambda q: 0.1 * q)
    assert torch.allclose(found[0].double(), two_loops(kept, v[0], 0.1), atol=1e-4)
