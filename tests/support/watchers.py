"""Runs in this process in which something happens once the plan is made."""

from collections.abc import Callable

from support.runs import Small

from stylebatch.manifest import load_manifest
from stylebatch.records import Event
from stylebatch.run import RunRequest, RunSummary, StopRequest, run
from stylebatch.run.progress import Tally


class Quiet:
    """Takes all that a run tells, and does nothing."""

    def doing(self, text: str) -> None:
        pass

    def planned(self, *_: object) -> None:
        pass

    def event(self, event: Event) -> None:
        pass

    def tick(self, tally: Tally) -> None:
        pass


class _AfterPlanning(Quiet):
    def __init__(self, then: Callable[[], object]) -> None:
        self._then = then

    def planned(self, *_: object) -> None:
        self._then()


def go_after_planning(small: Small, then: Callable[[], object]) -> RunSummary:
    """Run a project; something happens after its plan is made, before anything is read for it."""
    return run(load_manifest(small.write()), RunRequest(), _AfterPlanning(then), StopRequest())
