"""Progress bars: for evaluations, also in a notebook, and for all that takes a while."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stylebatch.system.words import counted


@contextmanager
def passing_bar(*, is_wanted: bool = True) -> Iterator[Callable[[str, int, int | None], None]]:
    """Show on stderr how far something is, where that is a terminal; at its end nothing is left.

    Args:
        is_wanted: without it nothing is shown on a terminal either.

    Yields:
        what is to be told what is being done, how far it is, and of how much, None if nobody knows.
    """
    columns = (
        *(TextColumn("{task.description}"), BarColumn()),
        *(MofNCompleteColumn(), TimeRemainingColumn()),
    )
    console, is_shown = Console(stderr=True), is_wanted and sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("", total=None)

        def tell(what: str, done: int, total: int | None) -> None:
            bar.update(task, description=what, completed=done, total=total)

        yield tell


class EvaluationsBar:
    """Counts evaluations of several images; what one that ended early had left counts as done.

    It is drawn on stderr, in a notebook below the cell (with ipywidgets in place).
    """

    def __init__(self, num_images: int, most: int, *, is_shown: bool) -> None:
        """Begin with nothing done.

        Args:
            most: evaluations of an image, at most.
        """
        self._num_images, self._most = num_images, most
        self._evaluated: Counter[int] = Counter()
        self._num_finished = 0
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,} evaluations at most,"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not is_shown)
        self._task = self._progress.add_task("", total=num_images * most)
        self._describe()

    def evaluated(self, image: int) -> None:
        """Note one more evaluation of an image, by its number."""
        # One that started again, out of memory, is counted once.
        if self._evaluated[image] < self._most:
            self._evaluated[image] += 1
            self._progress.advance(self._task)

    def finished(self, image: int) -> None:
        """Note that an image is there."""
        self._progress.advance(self._task, self._most - self._evaluated[image])
        self._evaluated[image] = self._most
        self._num_finished += 1
        self._describe()

    def _describe(self) -> None:
        text = f"{self._num_finished:,} of {counted(self._num_images, 'image')}"
        self._progress.update(self._task, description=text)

    def __enter__(self) -> "EvaluationsBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()
