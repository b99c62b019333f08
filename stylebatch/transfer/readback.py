"""Numbers on their way from a device to the host, which does not wait for them."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

# One evaluation under way while the host reads the one before and starts the next. More would keep
# no device busier, and an image that has finished holds its slot for longer.
DEPTH = 2

Subject = TypeVar("Subject")


class Mark(Protocol):
    """A mark in a device's work, set again for each parcel."""

    def record(self) -> None:
        """Set the mark behind all that has been started."""

    def query(self) -> bool:
        """Return whether the device has come past it."""

    def synchronize(self) -> None:
        """Wait until it has."""


class Passed:
    """The mark of a device whose copies are done when they return."""

    def record(self) -> None:
        pass

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        pass


class CudaMark:
    """A mark in the current stream of a CUDA device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._event: torch.cuda.Event = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def record(self) -> None:
        # Without the stream it would be that of whichever device is the current one.
        self._event.record(torch.cuda.current_stream(self._device))

    def query(self) -> bool:
        return bool(self._event.query())  # type: ignore[no-untyped-call]

    def synchronize(self) -> None:
        self._event.synchronize()


def make_mark(device: torch.device) -> Mark:
    """Return the kind of mark that a device needs."""
    return CudaMark(device) if device.type == "cuda" else Passed()


class _Parcel(NamedTuple, Generic[Subject]):
    subject: Subject
    buffer: Tensor
    mark: Mark


class Readback(Generic[Subject]):
    """A ring of buffers on the host, each with a mark that says when it has been filled.

    Parcels arrive in the order in which they were sent. At most `depth` are under way.
    """

    def __init__(
        self,
        device: torch.device,
        max_numbers: int,
        depth: int = DEPTH,
        make_mark: Callable[[torch.device], Mark] = make_mark,
    ) -> None:
        """Make room for `depth` parcels of up to `max_numbers` float32 each."""
        # Only into pinned memory does CUDA copy without waiting; other devices have to wait.
        self._is_cuda = device.type == "cuda"
        self._buffers = torch.zeros((depth, max_numbers), pin_memory=self._is_cuda)
        self._marks = [make_mark(device) for _ in range(depth)]
        self._under_way: deque[_Parcel[Subject]] = deque()
        self._next = 0

    @property
    def is_full(self) -> bool:
        """Whether every buffer is in use."""
        return len(self._under_way) == len(self._marks)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is under way."""
        return not self._under_way

    def send(self, numbers: Tensor, subject: Subject) -> None:
        """Start to copy numbers (R, n) to the host; `subject` comes back with them."""
        assert not self.is_full, "receive before sending more"
        buffer = self._buffers[self._next, : numbers.numel()].view(numbers.shape)
        buffer.copy_(numbers, non_blocking=self._is_cuda)
        mark = self._marks[self._next]
        mark.record()
        self._under_way.append(_Parcel(subject, buffer, mark))
        self._next = (self._next + 1) % len(self._marks)

    def receive(self, *, is_waiting: bool = False) -> Iterator[tuple[Subject, list[list[float]]]]:
        """Return what has arrived, with n lists of R numbers each, oldest first.

        Args:
            is_waiting: wait for the oldest parcel. A full ring is waited for in any case, so that
                there is room for the next.
        """
        if self._under_way and (is_waiting or self.is_full):
            self._under_way[0].mark.synchronize()
        while self._under_way and self._under_way[0].mark.query():
            parcel = self._under_way.popleft()
            yield parcel.subject, parcel.buffer.T.tolist()
