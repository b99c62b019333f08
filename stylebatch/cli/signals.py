"""What ends a run from outside: from this process's first moment until it has its exit code."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from stylebatch.errors import INTERRUPTED

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What `python -m stylebatch` runs.
_MODULE = ("stylebatch", "__main__.py")
_Handler = Callable[[int, FrameType | None], Any] | int | None


def _stop_at_once(number: int, frame: FrameType | None) -> None:
    """End while nothing is begun: no output is held, and no process started."""
    os.write(2, b"stylebatch: stopped before anything was begun; run it again\n")
    os._exit(INTERRUPTED)


def heard() -> list[signal.Signals]:
    """Return the signals that count: whoever lets one be ignored has seen to that."""
    return [each for each in STOPPING if signal.getsignal(each) is not signal.SIG_IGN]


def hear_early() -> None:
    """Let signals end a run that has not begun with the exit code for that.

    Only where this process is the command line's own: who else imports it has handlers too.
    """
    program = Path(sys.argv[0] if sys.argv else "")
    is_ours = program.name in ("stylebatch", "-c") or program.parts[-2:] == _MODULE
    if is_ours and sys.argv[1:2] == ["run"]:
        for each in heard():
            signal.signal(each, _stop_at_once)


@contextmanager
def hearing(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a handler hear them meanwhile; a process that only ends after that hears no more."""
    before: dict[signal.Signals, _Handler] = {}
    for each in heard():
        before[each] = signal.signal(each, handler)
    try:
        yield
    finally:
        for each, earlier in before.items():
            is_ending = earlier is _stop_at_once
            signal.signal(each, signal.SIG_IGN if is_ending else earlier)
