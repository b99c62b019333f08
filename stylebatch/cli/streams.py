"""Standard output and error that outlast whoever reads them: no run is lost with a terminal."""

import errno
import io
import os
import select
import sys
from typing import Any

from stylebatch.errors import UserError

STREAMS = {"stdout": 1, "stderr": 2}


# So long a run waits for whoever reads what it tells: a pager, a terminal that Ctrl-S has stopped.
PATIENCE_S = 5.0
# A pipe that is ready takes so much at once: more would wait for its reader.
_AT_ONCE = select.PIPE_BUF

# How a system answers where nobody reads any more: a pipe that ended, a terminal or a stream gone.
UNREAD = {errno.EPIPE, errno.EIO, errno.EBADF}


class StreamError(UserError):
    """What was asked for could not be told."""

    exit_code = 1

    @classmethod
    def from_os_error(cls, descriptor: int, error: OSError) -> "StreamError":
        """Make one of what the system says."""
        where = f"standard {'output' if descriptor == 1 else 'error'}"
        return cls(where, f"can't be written ({error.strerror})", "", "what stands there is cut")


class LastingOutput(io.RawIOBase):
    """Writes to a descriptor until nobody reads it any more; what follows then is lost.

    Whoever sets `stands_all` goes on whatever happens to it, a full disk included, and does not
    wait for a reader that does not read: what follows is lost until it reads again.
    """

    stands_all = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._is_lost, self._is_stuck = descriptor, False, False

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
        """Write bytes; return how many were, all of them where nobody reads any more.

        Raises:
            StreamError: a full disk and the like, once, unless all is stood.
        """
        while not self._is_lost:
            if self.stands_all and not self._is_ready():
                break
            try:
                return os.write(self._descriptor, data[:_AT_ONCE] if self.stands_all else data)
            except BlockingIOError:
                # Whoever started us reads it, later.
                if not self.stands_all:
                    select.select([], [self._descriptor], [])
            except OSError as error:
                self._is_lost = True
                if not (self.stands_all or error.errno in UNREAD):
                    raise StreamError.from_os_error(self._descriptor, error) from error
        return len(data)

    def _is_ready(self) -> bool:
        """Whether it can be written to now, or soon where it could a moment ago."""
        try:
            wait_s = 0.0 if self._is_stuck else PATIENCE_S
            _, ready, _ = select.select([], [self._descriptor], [], wait_s)
        except OSError:
            return True  # closed: writing tells
        self._is_stuck = not ready
        return bool(ready)


def stand_all() -> None:
    """Let nothing that happens to the streams end what is being done from now on."""
    LastingOutput.stands_all = True


def keep_streams() -> None:
    """Let neither a stream that was closed nor one that nobody reads stop what is being done.

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
