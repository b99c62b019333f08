"""A worker in a process of its own: messages come and events go through one pipe."""

import os
import queue
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Literal

from stylebatch.errors import UserError
from stylebatch.records import Event, Job, RunFailed, WorkerJoined, WorkerLost
from stylebatch.system.crash_points import reached
from stylebatch.system.heap import keep_freed_memory
from stylebatch.system.processes import end_with_parent
from stylebatch.worker.plain import PlainWorker
from stylebatch.worker.spec import WorkerSpec

# The specification first, and once.
Message = WorkerSpec | list[Job] | Literal["drain", "save", "stop"]
Inbox = queue.SimpleQueue[Message]
Send = Callable[[list[Event]], object]


def run_child(pipe: "Connection[list[Event], Message]") -> None:
    """Run a worker in a process of its own until it is told to stop or its parent is gone.

    What it is to be comes through the pipe as well: it may be long, and what is told a process
    before it has started somebody waits for.
    """
    end_with_parent()
    try:
        spec = pipe.recv()
    except (EOFError, OSError):
        os._exit(1)
    assert isinstance(spec, WorkerSpec)
    if spec.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, spec.cores)
    inbox = Inbox()
    threading.Thread(target=_listen, args=(pipe, inbox), name="listen", daemon=True).start()
    try:
        serve(spec, inbox, pipe.send)
    except OSError:
        os._exit(1)  # the parent is gone
    # Nothing is left to write, and torch takes a second to be torn down.
    os._exit(0)


def serve(
    spec: WorkerSpec,
    inbox: Inbox,
    send: Send,
    welcome: Callable[[WorkerJoined], WorkerJoined] = lambda event: event,
) -> None:
    """Run a worker until it is told to stop, or fails as a whole: events come out by `send`.

    Args:
        welcome: makes of the first event what is to be told of where it is.
    """
    if spec.keeps_memory:
        keep_freed_memory()
    worker = _start_worker(spec, send)
    if worker is None:
        return
    joined = WorkerJoined(spec.worker, spec.device, worker.pixel_budget, model=worker.model)
    send([welcome(joined)])
    while _take_messages(worker, inbox, send):
        if events := worker.advance():
            send(events)
            reached("events-sent")
            if any(isinstance(event, RunFailed | WorkerLost) for event in events):
                break
    worker.close()


def make_worker(spec: WorkerSpec) -> PlainWorker:
    """Make the worker that a specification needs; errors as of its device and weights."""
    if not spec.needs_network:
        return PlainWorker(spec)
    # Here and not above: it brings torch.
    from stylebatch.worker.worker import Worker

    return Worker(spec)


def _start_worker(spec: WorkerSpec, send: Send) -> PlainWorker | None:
    """Make the worker.

    What goes wrong concerns the whole run, as any other would fare the same; but for its device,
    which may be in use or just being reset, while others go on.
    """
    try:
        return make_worker(spec)
    except UserError as error:
        send([RunFailed(spec.worker, str(error), is_ours=False)])
    except Exception as error:
        if spec.needs_network and _is_of_device(error):
            found = str(error).strip().partition("\n")[0]
            send([WorkerLost(spec.worker, f"its device can't be opened ({found})")])
        else:
            send([RunFailed(spec.worker, traceback.format_exc(), is_ours=True)])
    return None


def _is_of_device(error: Exception) -> bool:
    from stylebatch.device.errors import is_device_error, is_out_of_memory

    return is_device_error(error) or is_out_of_memory(error)


def _listen(pipe: "Connection[list[Event], Message]", inbox: Inbox) -> None:
    """Pass messages on; end the process when the parent's end of the pipe closes."""
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)


def _take_messages(worker: PlainWorker, inbox: Inbox, send: Send) -> bool:
    """Give a worker its messages, waiting while it has nothing to do; return whether to go on."""
    while worker.is_idle or not inbox.empty():
        message = inbox.get()
        if message == "stop":
            return False
        if message == "drain":
            send([worker.drop_waiting()])
        elif message == "save":
            send([worker.save_slots()])
        elif isinstance(message, list):
            worker.submit(message)
    return True
