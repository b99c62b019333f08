"""How a run is shown: live on a terminal, one line without one, nothing when quiet."""

from collections import Counter
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from stylebatch.cli.speed import Speed
from stylebatch.cli.tables import say
from stylebatch.cli.wording import furthest_text, left_text, stop_text
from stylebatch.ledger import PairCounts
from stylebatch.plan import PlanSummary
from stylebatch.records import Event, JobDone, JobFailed, Notice, Progress, WorkerLost
from stylebatch.run import Tally, Watcher
from stylebatch.system.words import counted

BAR_WIDTHS = 10, 30


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

    def remark(self, text: str) -> None:
        """Print what somebody who is watching may want to know beside it."""


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
    """Without a terminal: the result on stdout, and images that failed on stderr as they come.

    What the pool mends itself is in the log: a run that ends well prints one line.
    """

    def __init__(self) -> None:
        self._errors = Console(stderr=True, highlight=False)
        self._has_told_stop = False

    def __enter__(self) -> "LineView":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        pass

    def doing(self, text: str) -> None:
        pass

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        for line in summary.split_lines(is_found=True):
            self.say(line)

    def event(self, event: Event) -> None:
        # How many were rejected stands in the line at the end: that is no trouble.
        if isinstance(event, JobFailed) and not event.is_rejected:
            say(self._errors, f"stylebatch: {trouble(event)}")

    def tick(self, tally: Tally) -> None:
        # Somebody has pressed Ctrl-C there; to a file the last line tells it.
        if tally.stopped_by and not self._has_told_stop and self._errors.is_terminal:
            self._has_told_stop = True
            say(self._errors, f"stylebatch: {stop_text(tally.stopped_by, tally.finishing)}")

    def say(self, text: str) -> None:
        print(text, flush=True)

    def remark(self, text: str) -> None:
        pass


class QuietView(LineView):
    """With `--quiet`: images that failed, and nothing else."""

    def tick(self, tally: Tally) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class LiveView(LineView):
    """On a terminal: a bar, the speed, the time left, and a line for each worker."""

    def __init__(
        self, most: Mapping[str, int], console: Console | None = None, speed: Speed | None = None
    ) -> None:
        """Show a run.

        Args:
            most: evaluations of an image at most, by settings.
        """
        super().__init__()
        self._console = console or Console(highlight=False)
        # Drawn at every tick, four times a second: no thread is needed.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._speed = speed or Speed(most)

    def __enter__(self) -> "LiveView":
        self._live.__enter__()
        self.doing("planning")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._live.update(Text())
        self._live.__exit__(kind, error, at)

    def doing(self, text: str) -> None:
        self._live.update(Text(f"{text} …", style="dim"), refresh=True)

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        super().planned(counts, summary, stale)
        for line in summary.warnings():
            say(self._console, f"warning: {line}", "yellow")

    def event(self, event: Event) -> None:
        match event:
            case JobDone():
                self._speed.finished(event)
            case Progress():
                self._speed.progressed(event)
            case WorkerLost(worker=worker):
                self._speed.lost(worker)
        if text := trouble(event):
            style = "yellow" if isinstance(event, Notice) else "red"
            say(self._console, text, style)

    def tick(self, tally: Tally) -> None:
        self._live.update(render(tally, self._speed, self._console.width), refresh=True)

    def say(self, text: str) -> None:
        say(self._console, text)

    def remark(self, text: str) -> None:
        self.say(text)


def render(tally: Tally, speed: Speed, width: int) -> Group:
    """Draw the live part of a view on a terminal of so many columns."""
    finished = f"{tally.ended:,}/{counted(tally.total, 'image')}"
    going = _going(tally, speed)
    # The bar has what the texts leave; where that is too little, they go to a line of their own.
    has_room = width - len("  ".join([finished, *going])) - 2 >= BAR_WIDTHS[0]
    beside = [finished, *going] if has_room else [finished]
    room = width - len("  ".join(beside)) - 2
    bar_width = max(1, min(BAR_WIDTHS[1], room))
    line = Table.grid(padding=(0, 2))
    line.add_row(
        ProgressBar(max(1, tally.total), speed.images(tally), width=bar_width),
        Text("  ".join(beside), no_wrap=True, overflow="ellipsis"),
    )
    rest = [] if has_room else [Text("  " + "  ".join(going), no_wrap=True, overflow="ellipsis")]
    below = [*_stop_lines(tally), *_first_lines(tally), *_worker_lines(tally, speed)]
    return Group(line, *rest, *below)


def _going(tally: Tally, speed: Speed) -> list[str]:
    """Return the speed and the time left, as soon as there is something to tell."""
    if tally.ended >= tally.total:
        return []
    texts = []
    if per_minute := speed.images_per_minute(tally.pace):
        texts.append(f"{per_minute:,.{0 if per_minute >= 10 else 1}f} images/min")
    # A run that was stopped does not make what is left.
    if not tally.stopped_by and tally.devices:
        texts.append(left_text(tally.left_s, tally.most_left_s))
    return texts


def _first_lines(tally: Tally) -> list[Text]:
    """Give a sign of life before the first image: it may take an hour."""
    if tally.ended or not tally.furthest:
        return []
    return [Text(f"  {furthest_text(tally.furthest)}", style="dim")]


def _worker_lines(tally: Tally, speed: Speed) -> list[Text]:
    if not tally.devices:
        return [Text("  starting workers …", style="dim")]
    workers = Counter(tally.devices.values())
    lines = []
    for worker, device in sorted(tally.devices.items()):
        name = f"{device} (worker {worker})" if workers[device] > 1 else device
        what = ", ".join(_doing(tally.running.get(worker, 0), speed.evaluations_per_second(worker)))
        lines.append(Text(f"  {name}: {what}", style="dim", no_wrap=True, overflow="ellipsis"))
    return lines


def _doing(running: int, per_second: float | None) -> list[str]:
    if not running:
        return ["idle"]
    texts = [f"{counted(running, 'image')} at once"]
    if per_second:
        texts.append(f"{per_second:,.{0 if per_second >= 10 else 1}f} evaluations/s")
    return texts


def _stop_lines(tally: Tally) -> list[Text]:
    if not tally.stopped_by:
        return []
    return [Text(f"  {stop_text(tally.stopped_by, tally.finishing)}", style="yellow")]
