"""How a run is shown: live on a terminal, one line without one, nothing when quiet."""

import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stylebatch.feed import Tally
from stylebatch.ledger_plan import PairCounts
from stylebatch.pipeline import Watcher
from stylebatch.plan import PlanSummary
from stylebatch.records import Event, JobDone, JobFailed, Notice, WorkerLost

SPEED_WINDOW_S = 60.0
TEXT_WIDTH = 62  # of what stands beside the bar, at most


class RunView(Watcher, Protocol):
    """A watcher that shows what it is told; a context while the run lasts."""

    def __enter__(self) -> object: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None: ...

    def say(self, text: str) -> None:
        """Print a line of the result."""


def duration(seconds: float) -> str:
    """Write a time as people do: 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min"


def trouble(event: Event) -> str | None:
    """Return what an event has to say to a user at once, None for most."""
    match event:
        case JobFailed(output=output, reason=reason):
            return f"failed: {output}: {reason}"
        case WorkerLost(reason=reason, pid=pid):
            which = f" (process {pid})" if pid else ""
            return f"a worker{which} is lost, another takes its jobs: {reason}"
        case Notice(text=text):
            return text
        case _:
            return None


class LineView:
    """Without a terminal: failures on stderr as they come, the result on stdout."""

    def __init__(self) -> None:
        self._errors = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)

    def __enter__(self) -> "LineView":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        pass

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        pass

    def event(self, event: Event) -> None:
        if text := trouble(event):
            self._errors.print(f"stylebatch: {text}")

    def tick(self, tally: Tally) -> None:
        pass

    def say(self, text: str) -> None:
        print(text, flush=True)


class QuietView(LineView):
    """With `--quiet`: failures only."""

    def event(self, event: Event) -> None:
        if not isinstance(event, Notice):
            super().event(event)

    def say(self, text: str) -> None:
        pass


class LiveView(LineView):
    """On a terminal: a bar, the speed, the time left, and a line for each worker."""

    def __init__(self, steps: int) -> None:
        """Show a run whose images take `steps` evaluations at most, until it is known better."""
        super().__init__()
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._pace = _Pace(steps)

    def __enter__(self) -> "LiveView":
        self._live.__enter__()
        self._live.update(Text("planning …", style="dim"))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.update(Text())
        self._live.__exit__(kind, error, at)

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        for line in summary.warnings():
            self._console.print(f"warning: {line}", style="yellow", markup=False)

    def event(self, event: Event) -> None:
        if isinstance(event, JobDone):
            self._pace.finished(event.facts.get("evaluations", 0))
        if text := trouble(event):
            style = "yellow" if isinstance(event, Notice) else "red"
            self._console.print(text, style=style, markup=False, soft_wrap=True)

    def tick(self, tally: Tally) -> None:
        self._pace.tick(tally)
        self._live.update(self._render(tally))

    def say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _render(self, tally: Tally) -> Group:
        line = Table.grid(padding=(0, 2))
        total, made = max(1, tally.total), self._pace.images(tally)
        bar_width = min(30, max(8, self._console.width - TEXT_WIDTH))
        bar = ProgressBar(total=total, completed=made, width=bar_width)
        finished = f"{tally.done + tally.failed}/{tally.total} images"
        line.add_row(bar, finished, *self._pace.texts(tally))
        return Group(line, *_worker_lines(tally), *_stop_lines(tally))


def _worker_lines(tally: Tally) -> list[Text]:
    if not tally.devices:
        return [Text("  starting workers …", style="dim")]
    lines = []
    for worker, device in sorted(tally.devices.items()):
        running = tally.running.get(worker, 0)
        what = f"{running} {'image' if running == 1 else 'images'} at once" if running else "idle"
        lines.append(Text(f"  {device} (worker {worker}): {what}", style="dim"))
    return lines


def _stop_lines(tally: Tally) -> list[Text]:
    if not tally.stopped_by:
        return []
    text = f"  {tally.stopped_by}: finishing what has begun; once more (Ctrl-C) stops at once"
    return [Text(text, style="yellow")]


class _Pace:
    """How fast it goes, from evaluations: in a batch all images finish at nearly one time."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._images, self._evaluations = 0, 0
        self._history: deque[tuple[float, int]] = deque()

    def finished(self, evaluations: int) -> None:
        self._images += 1
        self._evaluations += evaluations

    def tick(self, tally: Tally) -> None:
        if not tally.evaluations:
            return
        now = time.monotonic()
        self._history.append((now, tally.evaluations))
        while now - self._history[0][0] > SPEED_WINDOW_S and len(self._history) > 2:
            self._history.popleft()

    def images(self, tally: Tally) -> float:
        """Count images, those that are not finished by their share."""
        begun = max(0, tally.evaluations - self._evaluations) / self._per_image
        running = sum(tally.running.values())
        return min(tally.total, tally.done + tally.failed + min(begun, running))

    @property
    def _per_image(self) -> float:
        return max(1.0, self._evaluations / self._images if self._images else self._steps)

    def texts(self, tally: Tally) -> list[str]:
        """Return the speed and the time left, as soon as there is something to tell."""
        if not self._history or tally.done + tally.failed >= tally.total:
            return []
        (then, before), (now, evaluations) = self._history[0], self._history[-1]
        if now - then < 1 or evaluations == before:
            return []
        per_second = (evaluations - before) / (now - then)
        left_s = (tally.total - self.images(tally)) * self._per_image / per_second
        return [f"{per_second:.0f} evaluations/s", f"{duration(left_s)} left"]
