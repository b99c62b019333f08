"""Commands on a terminal of their own, what it shows then, and what they wrote."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path

from support.runs import (
    COMMAND,
    PATIENCE_S,
    one_core,
)


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """Return everything below a folder with what would tell that it was written."""
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*")}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in stats.items()}


def on_a_terminal(
    *arguments: str,
    columns: int = 100,
    on_written: Callable[[str], object] = str,
    environment: Mapping[str, str] | None = None,
    answers: Mapping[str, str] | None = None,
) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and all that was written.

    Args:
        on_written: is told what was written so far, each time there is more.
        environment: variables beside those that there are.
        answers: what the terminal says when it is asked something, once each.
    """
    unanswered = dict(answers or {})
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    variables = {**os.environ, "TERM": "xterm-256color", **(environment or {})}
    with one_core():
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=variables
        )
    os.close(theirs)
    written = b""
    try:
        while data := os.read(ours, 65536):
            written += data
            for query in [each for each in unanswered if each.encode() in written]:
                os.write(ours, unanswered.pop(query).encode())
            on_written(written.decode(errors="replace"))
    except OSError:
        pass  # how Linux says that the other end is closed
    os.close(ours)
    return process.wait(timeout=PATIENCE_S), written.decode()


def screen(written: str) -> list[str]:
    """Return what a terminal shows of what was written: lines, erased lines, steps upwards."""
    lines, row = [""], 0
    for part in re.findall(r"\x1b\[[0-9;?]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", written):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\x1b[1A":
            row -= 1
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith(("\x1b", "\r")):
            lines[row] += part
    return [line.rstrip() for line in lines if line.strip()]
