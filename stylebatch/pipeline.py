"""One run from start to end: plan, set stale outputs aside, make what is missing, write records."""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stylebatch.crash_points import reached
from stylebatch.dataset import Dataset
from stylebatch.feed import Feed, StopRequest, Tally
from stylebatch.feed import Watcher as FeedWatcher
from stylebatch.inputs import resolve_styles
from stylebatch.launch import (
    all_settings,
    describe_settings,
    make_executor,
    prepare_all_weights,
    worker_specs,
)
from stylebatch.ledger import Ledger
from stylebatch.ledger_plan import PairCounts, PlannedJobs
from stylebatch.lock import LostOutputError
from stylebatch.manifest import Manifest
from stylebatch.plan import PlanSummary, plan_jobs
from stylebatch.records import Event, JobFailed, Style
from stylebatch.scheduler import Scheduler
from stylebatch.shard import Shard
from stylebatch.shards import hold, merge_shards

if TYPE_CHECKING:
    from stylebatch.worker import WorkerSpec

logger = logging.getLogger("stylebatch")

LOG_BYTES, LOG_FILES = 2_000_000, 5
LOG_NOTE = "the log is "


class Watcher(FeedWatcher, Protocol):
    """Is told how a run goes; `cli.py` shows it."""

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        """Take what the plan found before the first job starts."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line adds to a manifest.

    Attributes:
        limit: make so many images at most, and set nothing aside.
        deadline_s: from the start; None: the manifest's.
        shard: make only what is its part, and set nothing aside; records are left to a merge.
    """

    limit: int | None = None
    retry_failed: bool = False
    keep_stale: bool = False
    deadline_s: float | None = None
    shard: Shard | None = None


@dataclass(slots=True)
class RunSummary:
    """What `run.json` says; of a shard's run, that in its own folder, and of its part only.

    Attributes:
        shard: I/N, None for a run of the whole.
        merged: the shards, as I/N, whose ledgers it has merged.
    """

    run_id: str
    manifest: str
    started: str
    shard: str | None = None
    merged: list[str] = field(default_factory=list)
    seconds: float = 0.0
    planned: int = 0
    done_before: int = 0
    done: int = 0
    failed: int = 0
    remaining: int = 0
    set_aside: int = 0
    evaluations: int = 0
    devices: list[str] = field(default_factory=list)
    stopped_by: str | None = None
    exit_code: int = 0


def new_run_id() -> str:
    """Name a run by its time and process, so that names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"


def make_plan(
    manifest: Manifest,
    ledger: Ledger,
    *,
    retry_failed: bool = False,
    redo: bool = False,
    shard: Shard | None = None,
) -> tuple[PlannedJobs, PlanSummary, dict[str, Style]]:
    """Plan a manifest, or a shard of it, against a ledger: what is done, failed, to do.

    Writes no output.

    Raises:
        UserError: inputs that can't be read, outputs that collide or that are not ours.
    """
    summary = PlanSummary()
    styles = resolve_styles(manifest, ledger)
    images = Dataset(manifest.output).images
    planned = ledger.begin_plan(manifest, styles, images, retry_failed=retry_failed, redo=redo)
    for folder in plan_jobs(manifest, ledger, styles, summary, shard):
        planned.add(folder)
    planned.finish()
    return planned, summary, styles


def run(manifest: Manifest, request: RunRequest, watcher: Watcher, stop: StopRequest) -> RunSummary:
    """Make every image of a manifest that is not there yet.

    Raises:
        UserError: with exit code 2 nothing was started; 10: the output is held; 5: the output is
            lost, what is done is kept.
        WorkerError: an error of stylebatch's own in a worker.
    """
    dataset = Dataset(manifest.output, request.shard)
    summary = new_summary(dataset, str(manifest.path))
    with writing(dataset, summary):
        beneath = dataset.whole.ledger if dataset.shard else None
        with Ledger.open(dataset.ledger, beneath=beneath) as ledger:
            _Run(manifest, request, watcher, stop, dataset, ledger, summary).run()
    return summary


def new_summary(dataset: Dataset, manifest: str) -> RunSummary:
    """Begin what there will be to say of a run that starts now."""
    run_id = dataset.name_run(new_run_id())
    shard = str(dataset.shard) if dataset.shard else None
    return RunSummary(run_id, manifest, datetime.now(UTC).isoformat(), shard)


@contextmanager
def writing(dataset: Dataset, summary: RunSummary) -> Iterator[None]:
    """Hold an output, or a shard of it, ready to be written: swept, ledgers merged, logged to.

    Raises:
        UserError: the output is held (10) or lost (5).
    """
    with _output_errors(dataset):
        dataset.make_folders()
        with hold(dataset, summary.run_id), _logging_to(dataset.log):
            reached("swept")
            if dataset.shard is None:
                summary.merged = merge_shards(dataset)
            yield


@contextmanager
def _output_errors(dataset: Dataset) -> Iterator[None]:
    """Let what the system says of the output concern the whole run.

    Inputs that can't be read are told apart where they are read.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # of the terminal or pipe that we print to
    except OSError as error:
        where = str(error.filename or dataset.root)
        raise LostOutputError(where, f"the output can't be written ({error.strerror})") from error


class _Run:
    """One run under its lock."""

    def __init__(
        self,
        manifest: Manifest,
        request: RunRequest,
        watcher: Watcher,
        stop: StopRequest,
        dataset: Dataset,
        ledger: Ledger,
        summary: RunSummary,
    ) -> None:
        self.manifest, self.request, self.watcher = manifest, request, watcher
        self.stop, self.dataset, self.ledger, self.summary = stop, dataset, ledger, summary
        self.started_s = time.monotonic()

    def run(self) -> None:
        retry = self.request.retry_failed
        shard = self.request.shard
        planned, found, styles = make_plan(
            self.manifest, self.ledger, retry_failed=retry, shard=shard
        )
        # Also where nothing is to be made: other prose in a recipe gives images another id.
        settings = all_settings(self.manifest).items()
        self.ledger.remember_settings({key: describe_settings(value) for key, value in settings})
        counts = planned.counts.values()
        specs: list[WorkerSpec] = []
        if any(count.pending for count in counts):
            # Before anything in the output is touched: weights or a device may be missing.
            prepare_all_weights(self.manifest, self.watcher)
            output, run_id = self.manifest.output, self.summary.run_id
            specs = worker_specs(self.manifest, styles, output, run_id, shard)
        reached("planned")
        self._set_stale_aside(planned)
        self.summary.planned = sum(count.total for count in counts)
        self.summary.done_before = sum(count.done for count in counts)
        failed_before = sum(count.failed for count in counts)
        self.watcher.planned(planned.counts, found, self.summary.set_aside)
        logger.info("run %s: %s", self.summary.run_id, dict(planned.counts))
        tally = self._make(planned, specs) if specs else Tally(0)
        self.summary.done, self.summary.failed = tally.done, tally.failed + failed_before
        self.summary.evaluations = tally.evaluations
        self._finish(tally)

    def _set_stale_aside(self, planned: PlannedJobs) -> None:
        request = self.request
        if request.keep_stale or request.limit is not None or request.shard:
            return
        planned.find_stale()
        for outputs in planned.stale():
            self.summary.set_aside += self.dataset.set_aside(outputs, self.summary.run_id)
            reached("stale-moved")
            self.ledger.forget(outputs)
            reached("stale-forgotten")

    def _make(self, planned: PlannedJobs, specs: "list[WorkerSpec]") -> Tally:
        settings = all_settings(self.manifest)
        self.summary.devices = [spec.device for spec in specs]
        scheduler = Scheduler(
            planned,
            cost=lambda group: (
                group.width * group.height * settings[group.settings_id].recipe.steps
            ),
            limit=self.request.limit,
        )
        deadline_s = self.request.deadline_s or self.manifest.run.deadline_s
        feed = Feed(
            make_executor(self.manifest, specs),
            scheduler,
            self.ledger,
            _Logged(self.watcher),
            stop=self.stop,
            deadline_at=None if deadline_s is None else self.started_s + deadline_s,
            max_deaths=self.manifest.run.max_deaths,
        )
        return feed.run()

    def _finish(self, tally: Tally) -> None:
        summary = self.summary
        summary.remaining = summary.planned - summary.done_before - summary.done - summary.failed
        if summary.remaining and tally.stopped_by:
            summary.stopped_by = str(tally.stopped_by)
        summary.exit_code = 4 if summary.stopped_by else 3 if summary.failed else 0
        summary.seconds = round(time.monotonic() - self.started_s, 3)
        if self.dataset.shard is None:
            self.dataset.write_records(self.ledger)
        self.dataset.write_summary(asdict(summary))
        reached("summary-written")
        logger.info("run %s ended: %s", summary.run_id, asdict(summary))


class _Logged:
    """Passes events on and writes to the log what somebody may look for there."""

    def __init__(self, watcher: FeedWatcher) -> None:
        self._watcher = watcher

    def event(self, event: Event) -> None:
        if isinstance(event, JobFailed):
            logger.warning("failed: %s: %s", event.output, event.reason)
        self._watcher.event(event)

    def tick(self, tally: Tally) -> None:
        self._watcher.tick(tally)


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write stylebatch's log records to a file that is rotated; nothing reaches the terminal."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    except BaseException as error:
        logger.exception("the run ended with an error")
        error.add_note(f"{LOG_NOTE}{path}")
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
