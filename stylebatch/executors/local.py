"""Local executor: one spawned process per device, each with a pipe of its own.

No multiprocessing queue, lock, manager or pool: a process that is killed inside one of those leaves
it locked for the others. A pipe has one process at each end; half a message is a death.
"""

import os
import queue
import signal
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Literal

from stylebatch.device.errors import is_device_error, is_out_of_memory
from stylebatch.errors import UserError
from stylebatch.records import (
    Event,
    Job,
    RunFailed,
    SlotsReduced,
    WorkerJoined,
    WorkerLost,
)
from stylebatch.system.crash_points import reached
from stylebatch.system.processes import end_with_parent
from stylebatch.worker import Worker, WorkerSpec

STOP_TIMEOUT_S = 60.0
Message = list[Job] | Literal["drain", "stop"]


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
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run_child(pipe: "Connection[list[Event], Message]", spec: WorkerSpec) -> None:
    """Run a worker in a process of its own until it is told to stop or its parent is gone."""
    end_with_parent()
    if spec.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec.cores)
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(pipe, inbox), name="listen", daemon=True).start()
    try:
        worker = _start_worker(spec, pipe)
        if worker is None:
            return
        pipe.send([WorkerJoined(spec.worker, spec.device, worker.pixel_budget)])
        while _take_messages(worker, inbox, pipe):
            if events := worker.advance():
                pipe.send(events)
                reached("events-sent")
                if any(isinstance(event, RunFailed | WorkerLost) for event in events):
                    break
        worker.close()
    except OSError:
        os._exit(1)  # the parent is gone
    # Nothing is left to write, and torch takes a second to be torn down.
    os._exit(0)


def _start_worker(spec: WorkerSpec, pipe: "Connection[list[Event], Message]") -> Worker | None:
    """Make the worker.

    What goes wrong concerns the whole run, as any other would fare the same; but for its device,
    which may be in use or just being reset, while others go on.
    """
    try:
        return Worker(spec)
    except UserError as error:
        pipe.send([RunFailed(spec.worker, str(error), is_ours=False)])
    except Exception as error:
        if is_device_error(error) or is_out_of_memory(error):
            found = str(error).strip().partition("\n")[0]
            pipe.send([WorkerLost(spec.worker, f"its device can't be opened ({found})")])
        else:
            pipe.send([RunFailed(spec.worker, traceback.format_exc(), is_ours=True)])
    return None


def _listen(pipe: "Connection[list[Event], Message]", inbox: "queue.SimpleQueue[Message]") -> None:
    """Pass messages on; end the process when the parent's end of the pipe closes."""
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)


def _take_messages(
    worker: Worker,
    inbox: "queue.SimpleQueue[Message]",
    pipe: "Connection[list[Event], Message]",
) -> bool:
    """Give a worker its messages, waiting while it has nothing to do; return whether to go on."""
    while worker.is_idle or not inbox.empty():
        message = inbox.get()
        if message == "stop":
            return False
        if message == "drain":
            pipe.send([worker.drop_waiting()])
        elif isinstance(message, list):
            worker.submit(message)
    return True
