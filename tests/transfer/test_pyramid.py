"""Pyramid levels: how many, which sizes and budgets, and where each starts."""

import pytest
import torch
from support import naive

from stylebatch.transfer.pyramid import enlarge, next_start, shrink
from stylebatch.transfer.sizes import level_budgets, level_sizes, num_levels


@pytest.mark.parametrize(
    ("edge", "wanted"),
    [(64, 1), (191, 1), (192, 2), (383, 2), (384, 3), (767, 3), (768, 4)],
)
def test_auto_adds_a_level_at_each_doubling_from_192_px(edge: int, wanted: int) -> None:
    assert num_levels("auto", edge, 150) == wanted
    assert num_levels("auto", 150, edge) == wanted


def test_auto_has_one_level_where_the_start_is_the_content() -> None:
    assert num_levels("auto", 2048, 2048, is_from_content=True) == 1
    assert num_levels(3, 2048, 2048, is_from_content=True) == 3


@pytest.mark.parametrize("is_from_content", [False, True])
@pytest.mark.parametrize(
    ("edge", "wanted"), [(128, 1), (191, 1), (192, 2), (511, 2), (512, 3), (2047, 3), (2048, 4)]
)
def test_quarters_go_down_to_32_px_at_the_longest_edge_from_192_px_on(
    edge: int, wanted: int, is_from_content: bool
) -> None:
    assert num_levels("quarters", edge, edge, is_from_content=is_from_content) == wanted
    # At the shortest no less than 16.
    assert num_levels("quarters", edge, 63, is_from_content=is_from_content) == 1
    assert num_levels("quarters", 64, edge, is_from_content=is_from_content) == min(2, wanted)


def test_as_many_levels_as_asked_for_but_the_coarsest_keeps_16_px() -> None:
    assert num_levels(3, 64, 200) == 3
    assert num_levels(4, 64, 200) == 3
    assert num_levels(8, 16, 16) == 1
    assert num_levels("auto", 1024, 40) == 2


def test_a_coarse_level_gets_an_eighth_of_the_evaluations() -> None:
    assert level_budgets("auto", 1, 100) == [100]
    assert level_budgets(3, 3, 80) == [10, 10, 60]
    assert level_budgets(2, 2, 3) == [1, 2]


def test_each_level_is_half_the_next_and_the_last_is_the_image_itself() -> None:
    assert level_sizes(3, 64, 96) == [(16, 24), (32, 48), (64, 96)]
    assert level_sizes(2, 45, 33)[-1] == (45, 33)
    assert level_sizes(1, 45, 33) == [(45, 33)]


def test_quarters_are_a_quarter_of_the_next() -> None:
    assert level_sizes(3, 512, 384, times=4) == [(32, 24), (128, 96), (512, 384)]


@pytest.mark.parametrize(
    ("levels", "steps", "wanted"),
    [
        (1, 100, [100]),
        (2, 100, [8, 92]),
        (4, 100, [8, 8, 8, 76]),
        (3, 40, [3, 3, 34]),
        # No more than a third, and at least three on each: the coarsest are left out.
        (3, 12, [3, 9]),
        (2, 9, [3, 6]),
        (2, 8, [8]),
        (3, 1, [1]),
    ],
)
def test_each_quarter_gets_few_evaluations(levels: int, steps: int, wanted: list[int]) -> None:
    assert level_budgets("quarters", levels, steps) == wanted


@pytest.mark.parametrize("asked", ["auto", "quarters"])
@pytest.mark.parametrize(("levels", "steps"), [(1, 7), (2, 7), (3, 20), (3, 3), (4, 101)])
def test_budgets_add_up_to_the_steps_and_the_finest_has_the_most(
    levels: int, steps: int, asked: str
) -> None:
    budgets = level_budgets(asked, levels, steps)
    assert len(budgets) == levels or (asked == "quarters" and len(budgets) < levels)
    assert sum(budgets) == steps
    assert min(budgets) >= 1
    assert budgets[-1] == max(budgets)


def test_shrinking_and_enlarging_keep_a_flat_image_flat_and_in_range() -> None:
    flat = torch.full((1, 3, 32, 48), 0.25)
    assert torch.allclose(shrink(flat, (16, 24)), torch.tensor(0.25), atol=1e-6)
    assert torch.allclose(enlarge(flat, (64, 96)), torch.tensor(0.25), atol=1e-6)
    small = shrink(naive.draw(1, 3, 32, 48).round(), (16, 24))
    assert small.shape == (1, 3, 16, 24)
    assert float(small.min()) >= 0
    assert float(small.max()) <= 1


@pytest.mark.parametrize("size", [(32, 48), (33, 47)], ids=str)
def test_an_untouched_coarse_level_gives_the_content_back_exactly(size: tuple[int, int]) -> None:
    content = naive.draw(1, 3, *size)
    coarse = shrink(content, (size[0] // 2, size[1] // 2))
    assert torch.equal(next_start(coarse, content, size), content)


def test_a_changed_coarse_level_passes_its_change_on() -> None:
    content = 0.3 + 0.4 * naive.draw(1, 3, 32, 32)
    coarse = shrink(content, (16, 16)) + 0.1
    found = next_start(coarse, content, (32, 32))
    assert torch.allclose(found, content + 0.1, atol=1e-5)


def test_without_a_content_the_next_start_is_the_coarse_image_enlarged_in_range() -> None:
    coarse = naive.draw(1, 3, 16, 16).round()
    found = next_start(coarse, None, (32, 32))
    assert torch.equal(found, enlarge(coarse, (32, 32)).clamp(0, 1))
