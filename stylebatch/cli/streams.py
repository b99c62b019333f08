"""Standard output and error that outlast whoever reads them: no run is lost with a terminal."""

import io
import os
import sys
from typing import Any

STREAMS = {"stdout": 1, "stderr": 2}


class LastingOutput(io.RawIOBase):
    """Writes to a descriptor until that fails: a pipe that ended, a terminal gone, a disk full.

    What is written from then on is lost, and nobody is told, as there is nobody to tell.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._is_lost = descriptor, False

    def writable(self) -> bool:
        """Say that it is."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write bytes; return how many were, all of them where nobody reads any more."""
        if not self._is_lost:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                raise
            except OSError:
                self._is_lost = True
        return len(data)


def keep_streams() -> None:
    """Let neither a stream that was closed nor one that ends stop or fail what is being done.

    What a stream's encoding has no letters for is escaped. Streams that were put in the place of
    the process's own are left alone.
    """
    # Else the next file that is opened is the process's standard output.
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= max(STREAMS.values()):
        pass
    os.close(descriptor)
    for name, descriptor in STREAMS.items():
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__"):
            continue
        lasting = io.TextIOWrapper(
            io.BufferedWriter(LastingOutput(descriptor)),
            encoding=stream.encoding if stream else "utf-8",
            errors="backslashreplace",
            line_buffering=stream is None or stream.line_buffering or name == "stderr",
        )
        setattr(sys, name, lasting)
