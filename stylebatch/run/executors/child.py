"""A worker's process as its executor has it: threads wait for it, the executor never does."""

import multiprocessing.process
import socket
import threading
import time
from contextlib import suppress
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue

from stylebatch.records import Event
from stylebatch.worker.process import Message

LOOK_EVERY_S = 0.02


class Child:
    """A process, its pipe, and a thread for each direction.

    A process that is stopped reads nothing, or has sent half a message: only its thread waits.

    Attributes:
        killed_for: why, where it was.
        killed_at: when, by the monotonic clock.
    """

    def __init__(
        self,
        worker: int,
        process: BaseProcess,
        pipe: "Connection[Message, list[Event]]",
        news: "SimpleQueue[tuple[Child, list[Event] | None]]",
    ) -> None:
        """Begin to listen.

        Args:
            news: takes what it says, and None when nothing more can come.
        """
        self.worker, self.process = worker, process
        self.killed_for: str | None = None
        self.killed_at: float | None = None
        self._pipe, self._news = pipe, news
        self._outbox: SimpleQueue[Message | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=run, name=f"{name}-{worker}", daemon=True)
            for name, run in (("hear", self._hear), ("tell", self._tell))
        ]
        for thread in self._threads:
            thread.start()

    def send(self, message: Message) -> None:
        """Let it be told something, whenever it listens; to one that has died it is lost."""
        self._outbox.put(message)

    def _tell(self) -> None:
        with suppress(OSError):
            while (message := self._outbox.get()) is not None:
                self._pipe.send(message)

    def _hear(self) -> None:
        try:
            while True:
                self._news.put((self, self._pipe.recv()))
        except Exception:  # the end of the pipe, or whatever half a message unpickles to
            self._news.put((self, None))

    def hang_up_after(self, seconds: float) -> None:
        """Give up listening to one that was killed so long ago and still has its pipe."""
        if self.killed_at is not None and time.monotonic() - self.killed_at > seconds:
            self._hang_up()

    def _hang_up(self) -> None:
        """End both directions, and with them the threads: closing alone wakes nobody."""
        with (
            suppress(OSError),
            socket.fromfd(self._pipe.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as end,
        ):
            end.shutdown(socket.SHUT_RDWR)
        self._outbox.put(None)

    def process_ends_within(self, seconds: float) -> int | None:
        """Wait so long for its exit code; None if it has none by then."""
        until = time.monotonic() + seconds
        connection.wait([self.process.sentinel], max(0.0, seconds))
        # Its files are closed before it can be reaped; `join` would wait for that without a limit.
        while (code := self.process.exitcode) is None and time.monotonic() < until:
            # `time.sleep` fails where whoever fakes the clock lets it jump meanwhile.
            threading.Event().wait(LOOK_EVERY_S)
        return code

    def end_within(self, seconds: float) -> int | None:
        """Be done with one that was killed: return its exit code, None if it does not end."""
        code = self.process_ends_within(seconds)
        if code is None:
            # Else this process would wait for it at its own end.
            multiprocessing.process._children.discard(self.process)  # type: ignore[attr-defined]
        self._hang_up()
        for thread in self._threads:
            thread.join(1.0)
        self._pipe.close()
        return code
