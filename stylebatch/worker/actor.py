"""A worker inside an actor of Ray's: messages come in and events go out by calls of the driver's.

Nothing here imports Ray but what asks it, in the actor, for what the actor was given.
"""

import os
import queue
import socket
import threading
import time
import traceback
from dataclasses import replace

from stylebatch.errors import UserError
from stylebatch.extractors.weights import fetch, find_named_set, is_fetched
from stylebatch.records import Event, RunFailed, WorkerJoined
from stylebatch.system.files import default_cache_folder
from stylebatch.worker.placing import check_place
from stylebatch.worker.process import Inbox, Message, serve
from stylebatch.worker.spec import WorkerSpec


class ActorWorker:
    """Serves in a thread of its own; `tell` keeps its order as long as one thread calls it."""

    def __init__(self) -> None:
        self._inbox, self._outbox = Inbox(), queue.SimpleQueue[list[Event] | None]()

    def begin(self, spec: WorkerSpec, folder: str) -> None:
        """Start to serve, with the device and the cores that the actor was given.

        Args:
            folder: where the driver is: relative paths begin there.
        """
        threading.Thread(target=self._serve, args=(spec, folder), daemon=True).start()

    def tell(self, message: Message) -> None:
        """Take a message to the worker."""
        self._inbox.put(message)

    def hear(self, most_s: float, gather_s: float) -> list[Event] | None:
        """Wait up to a time for events, then a moment for more; None when no more will come."""
        try:
            found = self._outbox.get(timeout=most_s)
        except queue.Empty:
            return []
        until = time.monotonic() + gather_s
        events: list[Event] = []
        while found is not None:
            events += found
            try:
                found = self._outbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                return events
        self._outbox.put(None)  # for who asks next
        return events or None

    def _serve(self, spec: WorkerSpec, folder: str) -> None:
        try:
            placed = _placed(_in_folder(spec, folder))
            check_place(spec.dataset, spec.run_id)
            _fetch_weights(placed)
            serve(placed, self._inbox, self._outbox.put, _tell_where)
        except FileNotFoundError:
            todo = "let all nodes see the same folders, under the same paths"
            found = f"{folder} is not there on {socket.gethostname()}"
            text = str(UserError("run.executor", found, "", todo))
            self._outbox.put([RunFailed(spec.worker, text, is_ours=False)])
        except UserError as error:
            text = f"{error} (on {socket.gethostname()})"
            self._outbox.put([RunFailed(spec.worker, text, is_ours=False)])
        except Exception:
            self._outbox.put([RunFailed(spec.worker, traceback.format_exc(), is_ours=True)])
        finally:
            self._outbox.put(None)


def _in_folder(spec: WorkerSpec, folder: str) -> WorkerSpec:
    """Go where the driver is; a node without that folder may do where nothing of it is needed."""
    try:
        os.chdir(folder)
    except FileNotFoundError:
        if not spec.is_apart:
            raise
        if not spec.cache.is_absolute():
            return replace(spec, cache=default_cache_folder())
    return spec


def _placed(spec: WorkerSpec) -> WorkerSpec:
    """Return a specification with the device and the threads that the actor was given."""
    import ray

    gpus = ray.get_gpu_ids()
    if gpus:
        # Ray does so itself, but for what others have set before, as Slurm does.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, gpus))
    cores = ray.get_runtime_context().get_assigned_resources().get("CPU", 1)
    device = spec.device
    if device == "auto":
        device = "cuda:0" if gpus else "cpu"
    is_kept = spec.keeps_memory and device == "cpu"
    return replace(spec, device=device, threads=max(1, int(cores)), keeps_memory=is_kept)


def _fetch_weights(spec: WorkerSpec) -> None:
    """Download named sets that this machine does not have."""
    for settings in spec.settings.values():
        named = find_named_set(settings.weights) if settings.network is not None else None
        if named is not None and not is_fetched(named):
            fetch(named)


def _tell_where(event: WorkerJoined) -> WorkerJoined:
    return replace(event, where=f"{socket.gethostname()}:{os.getpid()}")
