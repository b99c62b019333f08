"""A small plan's jobs, and executors that are really driven through them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.runs import Small, children_of

from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.records import Event, Job
from stylebatch.run import make_plan, worker_specs
from stylebatch.run.executors import Executor

RUN = "run"


class Work:
    """A plan's jobs, and what a worker of theirs is started with."""

    def __init__(self, small: Small) -> None:
        manifest = load_manifest(small.write())
        self.small, self.dataset = small, Dataset(manifest.output)
        with Ledger.open(self.dataset.ledger, read_only=True) as ledger:
            planned, _, styles = make_plan(manifest, ledger)
            self.jobs: list[Job] = []
            for group in planned.groups():
                self.jobs += planned.take(group, 100)
        (self.spec,) = worker_specs(manifest, styles, manifest.dataset(), RUN)


@contextmanager
def held(small: Small) -> Iterator[Work]:
    """Hold a project's output while its jobs are made by hand."""
    work = Work(small)
    work.dataset.make_folders()
    with OutputLock(work.dataset, RUN):
        yield work


def poll_until(executor: Executor, holds: Callable[[list[Event]], Any]) -> list[Event]:
    """Collect events until they hold what is waited for; pytest's timeout ends it otherwise."""
    events: list[Event] = []
    while not holds(events):
        events += executor.poll(0.1)
    return events


def has(kind: type[Event]) -> Callable[[list[Event]], bool]:
    """Return whether an event of a kind is among some."""
    return lambda events: any(isinstance(event, kind) for event in events)


_LASTING = (b"resource_tracker", b"moto.server")


def lasting() -> list[int]:
    """Return the children that stay while this process does.

    They are multiprocessing's resource tracker, and the store that all tests share.
    """
    return [
        pid
        for pid in children_of(os.getpid())
        if any(name in Path(f"/proc/{pid}/cmdline").read_bytes() for name in _LASTING)
    ]
