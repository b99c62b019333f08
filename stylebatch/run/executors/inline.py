"""Inline executor: one worker in the calling process, stepped by `poll`."""

from stylebatch.records import Event, Job, RunFailed, WorkerJoined, WorkerLost
from stylebatch.worker.plain import PlainWorker
from stylebatch.worker.process import make_worker
from stylebatch.worker.spec import WorkerSpec


class InlineExecutor:
    """Runs one worker where it is called: for debugging, tests and notebooks."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: PlainWorker | None = None
        self._news: list[Event] = []

    def start(self) -> list[int]:
        self._worker = make_worker(self._spec)
        joined = WorkerJoined(self._spec.worker, self._spec.device, self._worker.pixel_budget)
        self._news.append(joined)
        return [self._spec.worker]

    def submit(self, worker: int, jobs: list[Job]) -> None:
        assert self._worker is not None
        self._worker.submit(jobs)

    def poll(self, timeout_s: float) -> list[Event]:
        assert self._worker is not None
        news, self._news = self._news, []
        # Whatever there is to tell: somebody may ask for news of that kind at every turn.
        return news + [self._fatal(event) for event in self._worker.advance()]

    def _fatal(self, event: Event) -> Event:
        """A device that has failed is lost to this process: nothing else can take over here."""
        if not isinstance(event, WorkerLost):
            return event
        todo = "run again: it continues; with run.executor: local another process takes over"
        return RunFailed(event.worker, f"{self._spec.device}: {event.reason}; {todo}", False)

    def replace(self, worker: int) -> bool:
        raise AssertionError("a worker in this process can't die alone")

    def kill(self, worker: int, reason: str) -> None:
        """Nothing: whoever could end it is waiting for it."""

    def drain(self, worker: int) -> None:
        assert self._worker is not None
        self._news.append(self._worker.drop_waiting())

    def save(self, worker: int) -> None:
        assert self._worker is not None
        self._news.append(self._worker.save_slots())

    def stop(self, at_once: bool) -> None:
        if self._worker is not None:
            self._worker.close()
