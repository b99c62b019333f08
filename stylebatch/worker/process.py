"""A worker in a process of its own: messages come and events go through one pipe."""

import os
import queue
import threading
import traceback
from multiprocessing.connection import Connection
from typing import Literal

from stylebatch.errors import UserError
from stylebatch.records import Event, Job, RunFailed, WorkerJoined, WorkerLost
from stylebatch.system.crash_points import reached
from stylebatch.system.processes import end_with_parent
from stylebatch.worker.plain import PlainWorker
from stylebatch.worker.spec import WorkerSpec

# The specification first, and once.
Message = WorkerSpec | list[Job] | Literal["drain", "save", "stop"]


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


def make_worker(spec: WorkerSpec) -> PlainWorker:
    """Make the worker that a specification needs; errors as of its device and weights."""
    if not spec.needs_network:
        return PlainWorker(spec)
    # Here and not above: it brings torch.
    from stylebatch.worker.worker import Worker

    return Worker(spec)


def _start_worker(spec: WorkerSpec, pipe: "Connection[list[Event], Message]") -> PlainWorker | None:
    """Make the worker.

    What goes wrong concerns the whole run, as any other would fare the same; but for its device,
    which may be in use or just being reset, while others go on.
    """
    try:
        return make_worker(spec)
    except UserError as error:
        pipe.send([RunFailed(spec.worker, str(error), is_ours=False)])
    except Exception as error:
        if spec.needs_network and _is_of_device(error):
            found = str(error).strip().partition("\n")[0]
            pipe.send([WorkerLost(spec.worker, f"its device can't be opened ({found})")])
        else:
            pipe.send([RunFailed(spec.worker, traceback.format_exc(), is_ours=True)])
    return None


def _is_of_device(error: Exception) -> bool:
    from stylebatch.device.errors import is_device_error, is_out_of_memory

    return is_device_error(error) or is_out_of_memory(error)


def _listen(pipe: "Connection[list[Event], Message]", inbox: "queue.SimpleQueue[Message]") -> None:
    """Pass messages on; end the process when the parent's end of the pipe closes."""
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        os._exit(1)


def _take_messages(
    worker: PlainWorker,
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
        elif message == "save":
            pipe.send([worker.save_slots()])
        elif isinstance(message, list):
            worker.submit(message)
    return True
