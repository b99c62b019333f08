"""Local executor: one spawned process per device, each with a pipe of its own.

No multiprocessing queue, lock, manager or pool: a process that is killed inside one of those leaves
it locked for the others. A pipe has one process at each end; half a message is a death.

Nothing here waits without a limit for a process, which may be stopped at any point: threads read
and write its pipe, and what does not end though it is killed is left to the system.
"""

import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from queue import Empty, SimpleQueue

from stylebatch.records import (
    Event,
    Job,
    SlotsReduced,
    WorkerLost,
)
from stylebatch.run.executors.child import Child
from stylebatch.system.processes import starting_another
from stylebatch.worker.process import Message, run_child
from stylebatch.worker.spec import WorkerSpec

# To finish what it is doing, of a worker that is told to stop.
STOP_TIMEOUT_S = 60.0
# To end, of one that is killed: whoever traces it, or a disk that hangs, can keep it for ever.
KILL_TIMEOUT_S = 10.0


class LocalExecutor:
    """Workers as spawned processes. A fork would copy torch's threads' locks in any state."""

    def __init__(self, specs: Sequence[WorkerSpec]) -> None:
        self._specs = {spec.worker: spec for spec in specs}
        self._children: dict[int, Child] = {}
        self._news: SimpleQueue[tuple[Child, list[Event] | None]] = SimpleQueue()

    def start(self) -> list[int]:
        for worker in self._specs:
            self.replace(worker)
        return list(self._specs)

    def replace(self, worker: int) -> bool:
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        spec = self._specs[worker]
        # Of whoever comes next.
        self._specs[worker] = replace(spec, incarnation=spec.incarnation + 1)
        process = context.Process(
            target=run_child, args=(theirs,), name=f"stylebatch-{spec.device}", daemon=True
        )
        with starting_another():
            process.start()
        theirs.close()
        self._children[worker] = child = Child(worker, process, ours, self._news)
        child.send(spec)
        return True

    def submit(self, worker: int, jobs: list[Job]) -> None:
        self._tell(worker, jobs)

    def _tell(self, worker: int, message: Message) -> None:
        # One that has died is noticed by `poll`, at the end of its pipe.
        if child := self._children.get(worker):
            child.send(message)

    def poll(self, timeout_s: float) -> list[Event]:
        for child in self._children.values():
            if child.killed_at is not None:
                child.hang_up_after(KILL_TIMEOUT_S)
        events: list[Event] = []
        try:
            child, received = self._news.get(timeout=timeout_s)
            while True:
                if self._children.get(child.worker) is child:
                    events += self._receive(child, received)
                child, received = self._news.get_nowait()
        except Empty:
            return events

    def _receive(self, child: Child, received: list[Event] | None) -> list[Event]:
        if received is None:
            return [self._bury(child)]
        events: list[Event] = []
        for event in received:
            if isinstance(event, WorkerLost):
                child.killed_for = event.reason
                return [*events, self._bury(child)]
            if isinstance(event, SlotsReduced):
                self._specs[event.worker] = self._specs[event.worker].knowing(event)
            events.append(event)
        return events

    def _bury(self, child: Child) -> WorkerLost:
        del self._children[child.worker]
        spec = self._specs[child.worker]
        spec.dataset.shut_out(spec.run_id, spec.worker, spec.incarnation - 1)
        child.process.kill()
        code = child.end_within(KILL_TIMEOUT_S)
        how = "killed, and still there" if code is None else f"exit code {code}"
        if code is not None and code < 0:
            how = f"killed by {signal.Signals(-code).name}"
        reason = child.killed_for or f"its process has ended ({how})"
        return WorkerLost(child.worker, reason, child.process.pid)

    def kill(self, worker: int, reason: str) -> None:
        if child := self._children.get(worker):
            child.killed_for, child.killed_at = reason, time.monotonic()
            child.process.kill()

    def drain(self, worker: int) -> None:
        self._tell(worker, "drain")

    def save(self, worker: int) -> None:
        self._tell(worker, "save")

    def stop(self, at_once: bool) -> None:
        children = list(self._children.values())
        self._children.clear()
        if not at_once:
            for child in children:
                child.send("stop")
            until = time.monotonic() + STOP_TIMEOUT_S
            for child in children:
                child.process_ends_within(until - time.monotonic())
        for child in children:
            child.process.kill()
        until = time.monotonic() + KILL_TIMEOUT_S
        for child in children:
            child.end_within(until - time.monotonic())
