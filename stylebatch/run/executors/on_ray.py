"""Ray executor: a worker is an actor, one for each GPU or machine of a cluster that comes and goes.

What Ray does is left to it: where an actor runs, what nodes there are, which of them have died.
"""

import math
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import (
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RuntimeEnvSetupError,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from stylebatch.errors import UserError
from stylebatch.manifest import RayOptions
from stylebatch.records import Event, Job, Notice, SlotsReduced, WorkerLost
from stylebatch.run.executors.ray_cluster import connect
from stylebatch.system.words import counted
from stylebatch.worker.actor import ActorWorker
from stylebatch.worker.process import Message
from stylebatch.worker.spec import PROGRESS_EVERY_S, WorkerSpec

# How often the cluster's nodes are looked at.
LOOK_EVERY_S = 2.0
# How long an actor may wait for something to tell; then it is asked again.
HEAR_S = 20.0
# Of each worker, so that the driver takes so many messages a second of all together at most.
MOST_MESSAGES_S = 200.0
STOP_TIMEOUT_S = 60.0
# What waits for a place for so long is told of.
PATIENCE_S = 10.0
# What Ray says of a process that ended by itself: it may be its image's doing.
_OWN_END = "worker process has died"
# What it says of one that could not even be made, as where stylebatch is not installed.
_UNMADE = "creation task"


@dataclass(slots=True)
class _Actor:
    """A worker's actor.

    Attributes:
        node: where it was put; "" where Ray chooses.
        asked_s: when, by the monotonic clock.
    """

    spec: WorkerSpec
    handle: Any
    node: str
    asked_s: float
    is_there: bool = False
    killed_for: str = ""


class RayExecutor:
    """Workers as actors that are never restarted by Ray: whoever replaces one knows its jobs.

    Without a number of workers there is one for each GPU that the cluster has, or for each machine
    without any: what joins gets one, what leaves takes its own along. With a number so many are
    asked for, and those that find no place wait for it: that is what an autoscaler sees.
    """

    def __init__(self, spec: WorkerSpec, options: RayOptions) -> None:
        self._spec, self._options = replace(spec, device=spec.device or "auto"), options
        self._actors: dict[int, _Actor] = {}
        self._specs: dict[int, WorkerSpec] = {}
        self._places: dict[int, str] = {}
        self._refs: dict[Any, _Actor] = {}
        # Made once: Ray sends each to the cluster.
        made = ray.remote(max_restarts=0, concurrency_groups={"tell": 1, "hear": 1})
        self._actor_class: Any = made(ActorWorker)
        self._looked_s = -math.inf
        self._is_our_connection = self._has_told = False

    def start(self) -> list[int]:
        if not ray.is_initialized():
            self._is_our_connection = True
            connect(self._options)
        self._look()
        if not self._actors:
            found = f"the cluster has no node with {self._needs()}"
            raise UserError("run.ray", found, "", "add one, or change cpus and gpus there")
        return []

    def _look(self) -> None:
        """Have a worker wherever one belongs that has none."""
        self._looked_s = time.monotonic()
        if self._options.workers != "auto":
            for worker in range(self._options.workers):
                if worker not in self._specs:
                    self._begin(worker)
            return
        known = set(self._places.values())
        for place, resources in self._all_places().items():
            # One whose worker was lost gets another by `replace`, or was given up.
            if place not in known:
                self._begin(len(self._specs), place, resources)

    def _all_places(self) -> dict[str, Mapping[str, float]]:
        """Return where workers belong, with what their nodes have.

        Nodes by identity, which none has twice, and a number where they have several GPUs.
        """
        places: dict[str, Mapping[str, float]] = {}
        for node in sorted(ray.nodes(), key=lambda each: each["NodeID"]):
            resources = node["Resources"]
            if not node["Alive"] or resources.get("CPU", 0) < self._cpus(resources):
                continue
            count = int(resources.get("GPU", 0) // (self._gpus(resources) or 1))
            if not self._gpus(resources):
                count = 1
            places |= {f"{node['NodeID']}/{number}": resources for number in range(count)}
        return places

    def _gpus(self, resources: Mapping[str, float]) -> float:
        if self._options.gpus != "auto":
            return self._options.gpus
        return 1.0 if resources.get("GPU", 0) >= 1 else 0.0

    def _cpus(self, resources: Mapping[str, float]) -> float:
        """Return how many cores a worker gets: of a node's GPUs each the same, else all of them."""
        if self._options.cpus != "auto":
            return self._options.cpus
        gpus = self._gpus(resources)
        if not gpus:
            return max(1.0, resources.get("CPU", 1))
        return max(1.0, resources.get("CPU", 1) // (resources.get("GPU", 1) // gpus))

    def _begin(
        self, worker: int, place: str = "", resources: Mapping[str, float] | None = None
    ) -> None:
        spec = self._specs.get(worker) or replace(self._spec, worker=worker)
        every_s = max(PROGRESS_EVERY_S, len(self._specs) / MOST_MESSAGES_S)
        spec = replace(spec, report_every_s=every_s)
        # Of whoever comes next.
        self._specs[worker] = replace(spec, incarnation=spec.incarnation + 1)
        self._places[worker] = place
        node = place.partition("/")[0]
        handle = self._actor_class.options(**self._claim(node, resources)).remote()
        actor = _Actor(spec, handle, node, time.monotonic())
        self._actors[worker] = actor
        begun = handle.begin.options(concurrency_group="tell").remote(spec, os.getcwd())
        self._refs[begun] = actor

    def _claim(self, node: str, resources: Mapping[str, float] | None) -> dict[str, Any]:
        """Return what an actor asks for; without a node's resources Ray chooses where."""
        options = self._options
        if resources is None:
            gpus = 0.0 if options.gpus == "auto" else options.gpus
            cpus = 1.0 if options.cpus == "auto" else options.cpus
            return {"num_cpus": cpus, "num_gpus": gpus}
        return {
            "num_cpus": self._cpus(resources),
            "num_gpus": self._gpus(resources),
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False),
        }

    def _needs(self) -> str:
        cpus, gpus = self._options.cpus, self._options.gpus
        told = counted(1 if cpus == "auto" else math.ceil(cpus), "core")
        return told if gpus in ("auto", 0) else f"{told} and {gpus:g} GPU"

    def submit(self, worker: int, jobs: list[Job]) -> None:
        self._tell(worker, jobs)

    def _tell(self, worker: int, message: Message) -> None:
        # One that has died is noticed by `poll`.
        if actor := self._actors.get(worker):
            actor.handle.tell.options(concurrency_group="tell").remote(message)

    def poll(self, timeout_s: float) -> list[Event]:
        if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._look()
        events = self._tell_waiting()
        if not self._refs:
            time.sleep(timeout_s)
            return events
        ready, _ = ray.wait(list(self._refs), timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(self._refs), num_returns=len(self._refs), timeout=0)
        for ref in ready:
            actor = self._refs.pop(ref)
            if self._actors.get(actor.spec.worker) is actor:
                events += self._receive(actor, ref)
        return events

    def _tell_waiting(self) -> list[Event]:
        """Say once that nobody finds a place."""
        now = time.monotonic()
        waiting = [each for each in self._actors.values() if not each.is_there]
        if self._has_told or not waiting or len(waiting) < len(self._actors):
            return []
        if any(now - each.asked_s < PATIENCE_S for each in waiting):
            return []
        self._has_told = True
        text = f"waiting for the cluster: no worker has found a place yet ({self._needs()} each)"
        return [Notice(waiting[0].spec.worker, text)]

    def _receive(self, actor: _Actor, ref: Any) -> list[Event]:
        try:
            heard = ray.get(ref) if actor.is_there else self._begun(actor, ref)
        except RayError as error:
            return [self._bury(actor, *_told(error))]
        if heard is None:
            return [self._bury(actor, "it has ended", is_blameless=False)]
        gather_s = len(self._actors) / MOST_MESSAGES_S
        asked = actor.handle.hear.options(concurrency_group="hear").remote(HEAR_S, gather_s)
        self._refs[asked] = actor
        events: list[Event] = []
        for event in heard:
            if isinstance(event, SlotsReduced):
                worker = event.worker
                self._specs[worker] = self._specs[worker].knowing(event)
            if isinstance(event, WorkerLost):
                return [*events, self._bury(actor, event.reason, is_blameless=False)]
            events.append(event)
        return events

    @staticmethod
    def _begun(actor: _Actor, ref: Any) -> list[Event]:
        ray.get(ref)
        actor.is_there = True
        return []

    def _bury(self, actor: _Actor, reason: str, is_blameless: bool) -> WorkerLost:
        """Give an actor up, also one that may come back: what it wrote is not put in place."""
        spec = actor.spec
        del self._actors[spec.worker]
        with suppress(RayError):
            ray.kill(actor.handle, no_restart=True)
        spec.dataset.shut_out(spec.run_id, spec.worker, spec.incarnation)
        reason = actor.killed_for or reason
        return WorkerLost(spec.worker, reason, None, is_blameless and not actor.killed_for)

    def replace(self, worker: int) -> bool:
        """Ask for another where there is a place for it; a node that has gone takes its along."""
        place = self._places[worker]
        resources = self._all_places().get(place) if place else None
        if resources is not None or not place:
            self._begin(worker, place, resources)
        # It may wait for a place.
        return False

    def kill(self, worker: int, reason: str) -> None:
        if actor := self._actors.get(worker):
            actor.killed_for = reason
            ray.kill(actor.handle, no_restart=True)

    def drain(self, worker: int) -> None:
        self._tell(worker, "drain")

    def save(self, worker: int) -> None:
        self._tell(worker, "save")

    def stop(self, at_once: bool) -> None:
        actors = list(self._actors.values())
        self._actors.clear()
        if not at_once:
            self._let_end(actors)
        for actor in actors:
            with suppress(RayError):
                ray.kill(actor.handle, no_restart=True)
        if self._is_our_connection:
            ray.shutdown()

    def _let_end(self, actors: list[_Actor]) -> None:
        """Let workers put in place what is finished, and hear until they have."""
        for actor in actors:
            actor.handle.tell.options(concurrency_group="tell").remote("stop")
        there = {id(actor) for actor in actors if actor.is_there}
        waiting = {ref: each for ref, each in self._refs.items() if id(each) in there}
        until = time.monotonic() + STOP_TIMEOUT_S
        while waiting and time.monotonic() < until:
            ready, _ = ray.wait(list(waiting), timeout=max(0.0, until - time.monotonic()))
            for ref in ready:
                actor = waiting.pop(ref)
                with suppress(RayError):
                    if ray.get(ref) is not None:
                        asked = actor.handle.hear.options(concurrency_group="hear")
                        waiting[asked.remote(HEAR_S, 0.0)] = actor


def _told(error: RayError) -> tuple[str, bool]:
    """Return why an actor is lost, and whether no image can have been the cause."""
    text = " ".join(str(error).split())
    last = str(error).strip().rpartition("\n")[2].strip()
    if isinstance(error, ActorUnavailableError):
        return "its node does not answer", True
    if isinstance(error, OutOfMemoryError):
        return "Ray has ended it as its node ran low on memory", False
    if isinstance(error, RuntimeEnvSetupError):
        return f"its runtime environment can't be made ({last})", False
    if isinstance(error, RayActorError):
        if _UNMADE in text:
            return f"it can't be made ({last})", False
        if error.preempted:
            return "its node was taken away", True
        if _OWN_END in text:
            return "its process has ended", False
        return f"its actor is gone ({text.partition('The actor')[2].strip()[-200:]})", True
    return f"its actor is gone ({type(error).__name__})", True
