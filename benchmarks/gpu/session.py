"""Parts of a session one after another, each in a process of its own and within its share of time.

No torch: what a part does to its device or its process stays there.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.notes import Found, read_notes

# Of a part that says nothing more: what its process has said last.
LAST_LINES = 12


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the session.

    Attributes:
        share: of the time, in seconds of ten minutes. What a part leaves goes to those behind it.
    """

    name: str
    title: str
    share: float


PARTS = (
    Part("machine", "The machine", 15),
    Part("tests", "The tests marked `cuda`", 110),
    Part("bits", "Bits", 40),
    Part("losses", "Losses and pictures against the CPU", 65),
    Part("rate", "The card's own rate", 25),
    Part("throughput", "Throughput by size and batch", 125),
    Part("idle", "The pool: idle time", 70),
    Part("memory", "Memory: what fits, and what becomes of a run that lacks it", 50),
    Part("errors", "Errors and lost workers", 50),
    Part("graphs", "CUDA graphs on and off", 35),
    Part("cudnn", "`cudnn.benchmark` on and off", 35),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a part.

    Attributes:
        how: done | over its time | failed | no time left.
        why: of one that failed, the last that its process has said.
        limit_s: what it was given.
    """

    part: Part
    how: str
    seconds: float
    limit_s: float
    found: Found
    why: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON can hold it."""
        told = {"how": self.how, "seconds": round(self.seconds, 1), "limit_s": self.limit_s}
        found = asdict(self.found)
        return {"part": self.part.name, **told, "why": self.why, **found}


Command = Callable[[Part, Path, float], Sequence[str]]


def run_parts(
    parts: Sequence[Part],
    budget_s: float,
    folder: Path,
    command: Command,
    tell: Callable[[str], object] = lambda text: None,
) -> list[Ended]:
    """Run parts within a budget of seconds.

    Args:
        folder: each part gets one of its own there, and its notes.
        command: (part, its folder, its seconds) → what to start.
    """
    until, ended = time.monotonic() + budget_s, []
    for place, part in enumerate(parts):
        left_s = until - time.monotonic()
        shares = sum(each.share for each in parts[place:])
        limit_s = round(max(0.0, left_s * part.share / shares), 1)
        if limit_s < 1:
            ended.append(Ended(part, "no time left", 0.0, limit_s, Found()))
        else:
            ended.append(_run_part(part, limit_s, folder / part.name, command))
        tell(f"{part.name}: {ended[-1].how}, {ended[-1].seconds:.0f} s of {limit_s:.0f}")
    return ended


def _run_part(part: Part, limit_s: float, folder: Path, command: Command) -> Ended:
    folder.mkdir(parents=True)
    started_s, how, why = time.monotonic(), "done", ""
    with (folder / "output.txt").open("wb") as output:
        # In a session of its own: whatever it has started ends with it.
        process = subprocess.Popen(
            command(part, folder, limit_s),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            how = "over its time"
        except BaseException:
            _end(process)
            raise
        else:
            if code:
                how, why = "failed", f"exit code {code}\n{_last_lines(folder / 'output.txt')}"
        finally:
            _end(process)
    found = read_notes(folder / "notes.jsonl")
    return Ended(part, how, time.monotonic() - started_s, limit_s, found, why)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a part with all that it has started; of one that has ended, what it has left behind."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_lines(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.splitlines()[-LAST_LINES:])


def part_command(
    device: str, shared: Path | None, *, is_small: bool
) -> Callable[[Part, Path, float], Sequence[str]]:
    """Return what starts a part on a device."""

    def command(part: Part, folder: Path, limit_s: float) -> Sequence[str]:
        words = [sys.executable, "-m", "benchmarks.gpu.part", part.name, "--device", device]
        words += ["--folder", str(folder), "--budget-s", str(limit_s)]
        words += ["--shared", str(shared)] if shared else []
        return [*words, "--small"] if is_small else words

    return command
