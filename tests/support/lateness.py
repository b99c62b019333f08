"""Readbacks whose numbers come late, as they do from a device that is busy."""

from collections.abc import Callable
from typing import Any

import torch

from stylebatch.transfer.readback import Passed, Readback


class LateMark(Passed):
    """A mark that is passed when so many more have been set in its ring, or when waited for."""

    def __init__(self, lag: int, marks: list["LateMark"]) -> None:
        self.lag, self.marks, self.is_passed = lag, marks, True

    def record(self) -> None:
        self.marks.append(self)
        self.is_passed = False

    def query(self) -> bool:
        latest = max(k for k, mark in enumerate(self.marks) if mark is self)
        return self.is_passed or len(self.marks) - 1 - latest >= self.lag

    def synchronize(self) -> None:
        self.is_passed = True


def late(lag: int) -> Callable[[torch.device, int], Readback[Any]]:
    """Return what makes readbacks whose numbers come so many evaluations late."""

    def make(device: torch.device, max_numbers: int) -> Readback[Any]:
        marks: list[LateMark] = []
        # One more, so that the ring is not what brings them.
        return Readback(device, max_numbers, lag + 2, lambda _: LateMark(lag, marks))

    return make
