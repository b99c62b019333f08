"""Progress bars: of evaluations, on a terminal and in a notebook; of anything that is counted."""

from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stylebatch.system.words import counted


class CountBar:
    """Counts things on stderr, on a terminal."""

    def __init__(self, noun: str, *, is_shown: bool) -> None:
        """Begin with nothing; how many there are is told later."""
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,} of {task.total:,}"),
            TimeElapsedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), disable=not is_shown)
        self._task = self._progress.add_task(noun, total=0)

    def update(self, done: int, total: int) -> None:
        """Tell how many are done, of how many."""
        self._progress.update(self._task, completed=done, total=total)

    def __enter__(self) -> "CountBar":
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()


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
