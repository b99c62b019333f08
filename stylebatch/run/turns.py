"""Whose turn it is: queues of one shape each, in lots, those first that lie first."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import inf

from stylebatch.records import Group, Shape
from stylebatch.run.lots import MIN_LOT, Queue, lot_of

# Where a queue waits that holds images which an earlier run has begun: before all that are
# optimised, but for photographs that are carried over.
_BEGUN, _CARRIED, _CARRIED_LAST = -0.5, -1.0, 4.0


class Turns:
    """The queues, each waiting for its next lot; they begin to when the first turn is asked for."""

    def __init__(self, queues: Iterable[Queue], cost: Callable[[Group], float]) -> None:
        """Take the queues.

        Args:
            cost: of one job of a group, in any unit; infinite of what goes before all others.
        """
        self._queues, self._cost = list(queues), cost
        self._waiting: list[tuple[float, int, Queue]] | None = None

    @property
    def are_over(self) -> bool:
        """Whether they have begun, and no queue holds any more jobs."""
        return self._waiting is not None and not any(queue.left for _, _, queue in self._waiting)

    def again(self, queue: Queue) -> None:
        """Let a queue wait that may have been empty."""
        if self._waiting is not None and not queue.is_open:
            self._wait(queue, queue.place(MIN_LOT))

    def next(self, pixel_budget: int, takes: Callable[[Shape], bool]) -> tuple[Queue, int] | None:
        """Return the queue whose turn it is, and how many of it follow each other.

        Args:
            takes: whether whoever asks is in time for a shape.
        """
        if self._waiting is None:
            self._waiting = []
            for each in self._queues:
                self._wait(each, each.place(lot_of(each.group, pixel_budget)))
        queue = self._take(pixel_budget, takes)
        if queue is None:
            return None
        # Others may share what is left of it, where there is nothing else.
        lot = len(queue.begun) or lot_of(queue.group, pixel_budget)
        self._wait(queue, queue.place(lot, reserved=lot))
        return queue, lot

    def _wait(self, queue: Queue, place: float) -> None:
        """Let a queue wait for its next turn; of those that others are at, the longest first.

        What takes no evaluation stands outside the order: before all, or behind.
        """
        assert self._waiting is not None
        queue.is_open = True
        order = place if place <= 1 else 2 + 1 / (1 + queue.left * self._cost(queue.group))
        if not queue.group.width:
            order = _CARRIED if self._cost(queue.group) == inf else _CARRIED_LAST
        elif queue.begun:
            order = _BEGUN
        heappush(self._waiting, (order, queue.number, queue))

    def _take(self, pixel_budget: int, takes: Callable[[Shape], bool]) -> Queue | None:
        assert self._waiting is not None
        others, found = [], None
        while self._waiting and found is None:
            order, _, queue = entry = heappop(self._waiting)
            if not queue.left:
                queue.is_open = False
            elif order == _BEGUN and not queue.begun:
                self._wait(queue, queue.place(lot_of(queue.group, pixel_budget)))
            elif takes(queue.group.shape):
                found = queue
            else:
                others.append(entry)
        for each in others:
            heappush(self._waiting, each)
        return found
