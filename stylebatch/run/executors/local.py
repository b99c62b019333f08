"""Local executor: one spawned process per device, each with a pipe of its own.

No multiprocessing queue, lock, manager or pool: a process that is killed inside one of those leaves
it locked for the others. A pipe has one process at each end; half a message is a death.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from stylebatch.records import (
    Event,
    Job,
    SlotsReduced,
    WorkerLost,
)
from stylebatch.worker.process import Message, run_child
from stylebatch.worker.spec import WorkerSpec

STOP_TIMEOUT_S = 60.0


@dataclass(slots=True)
class _Child:
    process: BaseProcess
    pipe: "Connection[Message, list[Event]]"
    killed_for: str | None = None


class LocalExecutor:
    """Workers as spawned processes. A fork would copy torch's threads' locks in any state."""

    def __init__(self, specs: Sequence[WorkerSpec]) -> None:
        self._specs = {spec.worker: spec for spec in specs}
        self._children: dict[int, _Child] = {}

    def start(self) -> list[int]:
        for worker in self._specs:
            self.replace(worker)
        return list(self._specs)

    def replace(self, worker: int) -> None:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        spec = self._specs[worker]
        process = context.Process(
            target=run_child, args=(theirs, spec), name=f"stylebatch-{spec.device}", daemon=True
        )
        with _signals_held():
            process.start()
        theirs.close()
        self._children[worker] = _Child(process, ours)

    def submit(self, worker: int, jobs: list[Job]) -> None:
        self._send(worker, jobs)

    def _send(self, worker: int, message: Message) -> None:
        child = self._children.get(worker)
        if child is None:
            return
        # One that has died is noticed by `poll`, at the end of its pipe.
        with suppress(OSError):
            child.pipe.send(message)

    def poll(self, timeout_s: float) -> list[Event]:
        pipes = {child.pipe: worker for worker, child in self._children.items()}
        events: list[Event] = []
        for pipe in connection.wait(list(pipes), timeout_s):
            assert isinstance(pipe, Connection)
            events.extend(self._receive(pipes[pipe]))
        return events

    def _receive(self, worker: int) -> list[Event]:
        child = self._children[worker]
        events: list[Event] = []
        try:
            while child.pipe.poll():
                for event in child.pipe.recv():
                    if isinstance(event, WorkerLost):
                        child.killed_for = event.reason
                        raise EOFError
                    if isinstance(event, SlotsReduced):
                        self._remember(event)
                    events.append(event)
        except Exception:  # the end of the pipe, or whatever half a message unpickles to
            events.append(self._bury(worker))
        return events

    def _remember(self, event: SlotsReduced) -> None:
        """Let whoever replaces a worker know what its device's memory suffices for."""
        spec = self._specs[event.worker]
        known = {**spec.max_slots, (event.shape, event.is_masked): event.slots}
        self._specs[event.worker] = replace(spec, max_slots=known)

    def _bury(self, worker: int) -> WorkerLost:
        child = self._children.pop(worker)
        child.pipe.close()
        child.process.kill()
        child.process.join()
        if child.killed_for:
            return WorkerLost(worker, child.killed_for, child.process.pid)
        code = child.process.exitcode
        how = (
            f"killed by {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        )
        return WorkerLost(worker, f"its process has ended ({how})", child.process.pid)

    def kill(self, worker: int, reason: str) -> None:
        if child := self._children.get(worker):
            child.killed_for = reason
            child.process.kill()

    def drain(self, worker: int) -> None:
        self._send(worker, "drain")

    def stop(self, at_once: bool) -> None:
        for worker, child in self._children.items():
            if at_once:
                child.process.kill()
            else:
                self._send(worker, "stop")
        for child in self._children.values():
            child.process.join(None if at_once else STOP_TIMEOUT_S)
            if child.process.is_alive():
                child.process.kill()
                child.process.join()
            child.pipe.close()
        self._children.clear()


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let signals wait while a process starts, which inherits that they are blocked.

    Ctrl-C reaches the whole process group, children that are still importing included; what is to
    be done about it the parent decides.
    """
    # Started with the first process, and unblocks them: it has to be there before.
    resource_tracker.ensure_running()
    stopping = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
