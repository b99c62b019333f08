"""`stylebatch status --watch`: the same again and again, until nothing is running any more."""

import io
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stylebatch.ledger import LedgerError
from stylebatch.system.words import counted

# Whoever reads a ledger keeps its writer waiting: for this share of the time at most.
LARGEST_SHARE = 0.1

Found = Mapping[str, Any]


def looks(
    look: Callable[[], Found], every_s: float, on_busy: Callable[[Exception], object]
) -> Iterator[Found]:
    """Yield what is found, again and again, until no run is going on.

    Args:
        look: opens what it reads each time anew.
        on_busy: is told why something that was there could not be read; it is tried again.

    Raises:
        UserError: there is nothing to look at.
    """
    is_first = True
    while True:
        started = time.monotonic()
        try:
            found = look()
        except (LedgerError, sqlite3.OperationalError) as error:
            if is_first and isinstance(error, LedgerError):
                raise
            on_busy(error)
            took_s = time.monotonic() - started
        else:
            took_s = time.monotonic() - started
            yield found
            if not is_running(found):
                return
        is_first = False
        time.sleep(max(every_s, took_s * (1 / LARGEST_SHARE - 1)))


def is_running(found: Found) -> bool:
    """Whether a run is going on: of the whole, or of any shard."""
    return bool(found["running"] or any(found["shards"].values()))


def watch(
    look: Callable[[], Found],
    show: Callable[[Found, Console], None],
    every_s: float,
    then: Callable[[Found], object] = lambda found: None,
) -> None:
    """Show what is found until no run is going on, or until Ctrl-C.

    On a terminal it is drawn anew in its place, else each time below the last. Arguments and errors
    as in `looks`.

    Args:
        show: prints what is found.
        then: is called after that.
    """
    screen, rate = _Screen(), Rate()
    try:
        with screen:
            for found in looks(look, every_s, screen.note):
                screen.draw(found, show, rate.tell(found))
                then(found)
    except KeyboardInterrupt:
        pass  # what was drawn last stays


class Rate:
    """How fast the ledger fills, since the look before the first image that came."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._since = ""

    def tell(self, found: Found, now_s: float | None = None) -> str:
        """Return a line: images, and how many a minute. How long the rest takes the run knows."""
        if not is_running(found):
            return "no run is going on"
        now_s = time.monotonic() if now_s is None else now_s
        finished = sum(found["total"][state] for state in ("done", "failed", "rejected"))
        if self._first is None or finished <= self._first[1]:
            # What it does before, planning say, tells nothing of how fast it is.
            self._first, self._since = (now_s, finished), f"{datetime.now():%H:%M:%S}"
            return "no more finished yet" if finished else "nothing finished yet"
        made, passed_s = finished - self._first[1], now_s - self._first[0]
        per_minute = 60 * made / passed_s
        speed = f"{per_minute:,.{0 if per_minute >= 10 else 1}f} images/min"
        return f"since {self._since}: {counted(made, 'image')}, {speed}"


class _Screen:
    """Blocks of text: each in the place of the last on a terminal, below it elsewhere."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, auto_refresh=False)

    def __enter__(self) -> "_Screen":
        if self._console.is_terminal:
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._console.is_terminal:
            self._live.__exit__(*error)

    def draw(self, found: Found, show: Callable[[Found, Console], None], rate: str) -> None:
        # A console of its own: what the other one prints has the last block below it.
        is_terminal, paper = self._console.is_terminal, io.StringIO()
        width = self._console.width
        show(found, Console(file=paper, width=width, force_terminal=is_terminal, highlight=False))
        text = f"{datetime.now():%Y-%m-%d %H:%M:%S}  {rate}\n{paper.getvalue()}"
        if is_terminal:
            self._live.update(Text.from_ansi(text), refresh=True)
        else:
            print(text, flush=True)

    def note(self, error: Exception) -> None:
        print(f"the ledger can't be read just now ({error}): trying again", flush=True)
