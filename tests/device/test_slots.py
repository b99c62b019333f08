"""How many images at once: by the budget, by what is known, and half where memory did not do."""

from typing import Any

import pytest
from support.projects import Project

from stylebatch.device.slots import Room, Slots
from stylebatch.records import Kind, Shape


class Counted:
    """A device that counts how often its memory was given back."""

    def __init__(self, pixel_budget: int) -> None:
        self.pixel_budget, self.num_freed = pixel_budget, 0
        self.smaller_tiles: list[int] = []

    def pixel_budget_of(self, *args: Any, **options: Any) -> int:
        return self.pixel_budget

    def shrink_tiles(self, settings: Any, width: int, height: int) -> int:
        return self.smaller_tiles.pop(0) if self.smaller_tiles else 0

    def free_memory(self) -> None:
        self.num_freed += 1


def slots(pixels: int, *args: Any) -> tuple[Slots, Counted]:
    device = Counted(pixels)
    return Slots(device, *args), device  # type: ignore[arg-type]


def kind(settings: Any, width: int, height: int, is_masked: bool) -> Kind:
    return (Shape(settings.id, width, height), is_masked)


@pytest.fixture
def settings(tmp_path: Any) -> Any:
    return Project(tmp_path).settings()


def test_the_budget_says_how_many_and_one_is_the_least(settings: Any) -> None:
    found, _ = slots(4 * 32 * 32)
    assert found.count(settings, kind(settings, 32, 32, False)) == 4
    assert found.count(settings, kind(settings, 32, 64, False)) == 2
    assert found.count(settings, kind(settings, 500, 500, False)) == 1
    told, _ = slots(4 * 32 * 32, 2 * 32 * 32)
    assert told.count(settings, kind(settings, 32, 32, False)) == 2


def test_halves_down_to_one_and_then_there_is_nothing_to_try(settings: Any) -> None:
    found, device = slots(8 * 32 * 32)
    square = kind(settings, 32, 32, False)
    tried = found.count(settings, kind(settings, 32, 32, False))
    for wanted in (4, 2, 1):
        tried = found.halve(settings, square, tried).slots
        assert tried == wanted == found.count(settings, kind(settings, 32, 32, False))
    assert found.halve(settings, square, tried) == Room(0)
    assert found.count(settings, kind(settings, 32, 32, False)) == 1
    assert device.num_freed == 4


def test_only_the_kind_that_did_not_fit_has_fewer(settings: Any) -> None:
    found, _ = slots(8 * 32 * 32)
    found.halve(settings, (Shape(settings.id, 32, 32), True), 8)
    assert found.count(settings, kind(settings, 32, 32, True)) == 4
    assert found.count(settings, kind(settings, 32, 32, False)) == 8
    assert found.count(settings, kind(settings, 16, 16, True)) == 16


def test_what_another_worker_has_found_out_is_believed(settings: Any) -> None:
    known = {(Shape(settings.id, 32, 32), False): 3}
    found, _ = slots(8 * 32 * 32, None, known)
    assert found.count(settings, kind(settings, 32, 32, False)) == 3
    found.halve(settings, (Shape(settings.id, 32, 32), False), 3)
    assert known == {(Shape(settings.id, 32, 32), False): 3}, "what was given is not changed"


def test_an_image_that_does_not_fit_alone_is_tried_in_tiles_while_there_are_smaller_ones(
    settings: Any,
) -> None:
    found, device = slots(32 * 32)
    device.smaller_tiles = [512, 256]
    square = kind(settings, 1024, 1024, False)
    rooms = [found.halve(settings, square, 1) for _ in range(3)]
    assert rooms == [Room(1, 512), Room(1, 256), Room(0)]
    assert [str(room) for room in (Room(4), *rooms[:2])] == [
        "4 images at once",
        "1 image at once, in tiles of 512 px",
        "1 image at once, in tiles of 256 px",
    ]
    assert found.count(settings, square) == 1
