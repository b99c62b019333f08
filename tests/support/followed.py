"""A worker in this process, advanced to its end."""

from support.runs import wait_until

from stylebatch.records import Event
from stylebatch.worker.worker import Worker


def follow(worker: Worker) -> list[Event]:
    """Advance until it is idle; return all that happened."""
    events: list[Event] = []

    def is_over() -> bool:
        events.extend(worker.advance())
        return worker.is_idle

    wait_until(is_over, "an idle worker")
    worker.close()
    return events
