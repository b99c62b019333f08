"""The ring of buffers: what is sent comes back whole, in order, and not before it is there."""

from typing import Any

import pytest
import torch

from stylebatch.transfer.readback import Passed, Readback

CPU = torch.device("cpu")


class Mark(Passed):
    """A mark that is passed when a test says so, or when it is waited for."""

    def __init__(self) -> None:
        self.is_passed, self.waits = False, 0

    def record(self) -> None:
        self.is_passed = False

    def query(self) -> bool:
        return self.is_passed

    def synchronize(self) -> None:
        self.is_passed, self.waits = True, self.waits + 1


def ring(depth: int) -> tuple[Readback[str], list[Mark]]:
    marks: list[Mark] = []

    def make(device: torch.device) -> Mark:
        marks.append(Mark())
        return marks[-1]

    return Readback(CPU, 12, depth, make), marks


def numbers(seed: int, slots: int = 3) -> torch.Tensor:
    return torch.rand(4, slots, generator=torch.Generator().manual_seed(seed))


def received(readback: Readback[str], **how: Any) -> list[tuple[str, list[list[float]]]]:
    return list(readback.receive(**how))


def test_on_the_cpu_numbers_are_there_at_once_slot_by_slot() -> None:
    readback: Readback[str] = Readback(CPU, 12)
    for seed, slots in enumerate([3, 1, 2, 3, 3]):
        sent = numbers(seed, slots)
        readback.send(sent, str(seed))
        assert received(readback) == [(str(seed), sent.T.tolist())]
    assert received(readback, is_waiting=True) == []


def test_nothing_comes_before_its_mark_and_nothing_out_of_order() -> None:
    readback, marks = ring(4)
    for seed in range(3):
        readback.send(numbers(seed), str(seed))
    assert received(readback) == []
    marks[1].is_passed = True
    assert received(readback) == [], "the oldest is still under way"
    marks[0].is_passed = True
    assert [subject for subject, _ in received(readback)] == ["0", "1"]
    assert [mark.waits for mark in marks] == [0, 0, 0, 0]


def test_what_is_waited_for_is_the_oldest_and_only_that() -> None:
    readback, marks = ring(4)
    for seed in range(3):
        readback.send(numbers(seed), str(seed))
    assert received(readback, is_waiting=True) == [("0", numbers(0).T.tolist())]
    assert [mark.waits for mark in marks] == [1, 0, 0, 0]


def test_a_full_ring_is_waited_for_so_that_there_is_room_for_the_next() -> None:
    readback, marks = ring(2)
    for seed in range(7):
        assert not readback.is_full
        readback.send(numbers(seed), str(seed))
        wanted = [] if seed == 0 else [(str(seed - 1), numbers(seed - 1).T.tolist())]
        assert received(readback) == wanted
    assert sum(mark.waits for mark in marks) == 6


def test_more_than_the_ring_holds_is_refused() -> None:
    readback, _ = ring(2)
    readback.send(numbers(0), "0")
    readback.send(numbers(1), "1")
    with pytest.raises(AssertionError):
        readback.send(numbers(2), "2")


def test_what_was_sent_may_change_afterwards() -> None:
    readback, marks = ring(2)
    sent = numbers(0)
    readback.send(sent, "0")
    sent.zero_()
    marks[0].is_passed = True
    assert received(readback) == [("0", numbers(0).T.tolist())]
