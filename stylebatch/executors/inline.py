"""Inline executor: one worker in the calling process, stepped by `poll`."""

from stylebatch.records import Event, Job, WorkerJoined
from stylebatch.worker import Worker, WorkerSpec


class InlineExecutor:
    """Runs one worker where it is called: for debugging, tests and notebooks."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._spec = spec
        self._worker: Worker | None = None
        self._news: list[Event] = []

    def start(self) -> None:
        self._worker = Worker(self._spec)
        joined = WorkerJoined(self._spec.worker, self._spec.device, self._worker.pixel_budget)
        self._news.append(joined)

    def submit(self, worker: int, jobs: list[Job]) -> None:
        assert self._worker is not None
        self._worker.submit(jobs)

    def poll(self, timeout_s: float) -> list[Event]:
        assert self._worker is not None
        news, self._news = self._news, []
        return news or self._worker.advance()

    def replace(self, worker: int) -> None:
        raise AssertionError("a worker in this process can't die alone")

    def drain(self) -> None:
        assert self._worker is not None
        self._news.append(self._worker.drop_waiting())

    def stop(self, at_once: bool) -> None:
        if self._worker is not None:
            self._worker.close()
