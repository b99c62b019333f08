"""Executors: they start workers and carry messages. `EXECUTORS` is the registry."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from stylebatch.errors import UserError
from stylebatch.manifest import RunOptions
from stylebatch.records import Event, Job
from stylebatch.worker.spec import WorkerSpec


class Executor(Protocol):
    """What the one loop (`run/loop.py`) needs of whatever runs the workers.

    A worker that is there is announced by `WorkerJoined`, one that has died by `WorkerLost`, after
    which its number is not used again until `replace` has started another.
    """

    def start(self) -> list[int]:
        """Start all workers and return their numbers; each announces itself by an event.

        Others may come later, and announce themselves likewise.
        """

    def submit(self, worker: int, jobs: list[Job]) -> None:
        """Queue jobs at a worker."""

    def poll(self, timeout_s: float) -> list[Event]:
        """Return what has happened, waiting for it up to a time."""

    def replace(self, worker: int) -> bool:
        """Start a worker anew after its death.

        Returns:
            whether it is on its way: else it waits for a place, or does not come again.
        """

    def kill(self, worker: int, reason: str) -> None:
        """End a worker that doesn't answer, if that can be done; `WorkerLost` tells the reason."""

    def drain(self, worker: int) -> None:
        """Let a worker finish what is in its slots and forget what waits behind."""

    def save(self, worker: int) -> None:
        """Let a worker end soon: what is in its slots is finished or saved; else as `drain`."""

    def stop(self, at_once: bool) -> None:
        """End the workers: after what they are doing, or at once and without a trace."""


def _inline(specs: Sequence[WorkerSpec], options: RunOptions) -> Executor:
    from stylebatch.run.executors.inline import InlineExecutor

    return InlineExecutor(specs[0])


def _local(specs: Sequence[WorkerSpec], options: RunOptions) -> Executor:
    from stylebatch.run.executors.local import LocalExecutor

    return LocalExecutor(specs)


def _ray(specs: Sequence[WorkerSpec], options: RunOptions) -> Executor:
    from stylebatch.run.executors.on_ray import RayExecutor

    return RayExecutor(specs[0], options.ray)


def check_executor(name: str) -> None:
    """Refuse an executor that needs what is not installed.

    Raises:
        UserError: with the command that installs it.
    """
    if name == "ray" and importlib.util.find_spec("ray") is None:
        found, allowed = "ray needs Ray, which is not installed", "without it inline and local"
        raise UserError("run.executor", found, allowed, "pip install 'stylebatch[ray]'")


# Imported when called: a worker brings torch with it, and Ray is not there for everybody.
EXECUTORS: Mapping[str, Callable[[Sequence[WorkerSpec], RunOptions], Executor]] = {
    "inline": _inline,
    "local": _local,
    "ray": _ray,
}
