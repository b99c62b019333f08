"""One run from start to end: plan, set stale outputs aside, make what is missing, write records."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from stylebatch.crash_points import reached
from stylebatch.dataset import Dataset
from stylebatch.errors import RunError, UserError
from stylebatch.feed import Feed, Stop, StopRequest, Tally
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
from stylebatch.limits import Limits, count_failures
from stylebatch.lock import LostOutputError, check_owner
from stylebatch.manifest import Manifest
from stylebatch.pace import Pace
from stylebatch.plan import plan_jobs
from stylebatch.plan_summary import PlanSummary
from stylebatch.records import Event, JobFailed, Notice, Style, WorkerJoined, WorkerLost
from stylebatch.run_log import logger, logging_to
from stylebatch.scheduler import Scheduler
from stylebatch.shard import Shard
from stylebatch.shards import hold, merge_shards

if TYPE_CHECKING:
    from stylebatch.worker import WorkerSpec


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
        max_failures: as `run.max_failures`; None: the manifest's.
        shard: make only what is its part, and set nothing aside; records are left to a merge.
    """

    limit: int | None = None
    retry_failed: bool = False
    keep_stale: bool = False
    deadline_s: float | None = None
    max_failures: int | str | None = None
    shard: Shard | None = None


@dataclass(slots=True)
class RunSummary:
    """What `run.json` says; of a shard's run, that in its own folder, and of its part only.

    Attributes:
        shard: I/N, None for a run of the whole.
        merged: the shards, as I/N, whose ledgers it has merged.
        failed: in this run and before it.
        workers: the device of each, seconds that it was there, and those that the device was busy.
        stopped_by: deadline, signal or max_failures; None where nothing is left to do.
        error: what ended the run, None where it came to its end.
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
    workers: list[dict[str, Any]] = field(default_factory=list)
    stopped_by: str | None = None
    exit_code: int = 0
    error: str | None = None


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
    with writing(dataset, summary) as started_s:
        beneath = dataset.whole.ledger if dataset.shard else None
        with Ledger.open(dataset.ledger, beneath=beneath) as ledger:
            _Run(manifest, request, watcher, stop, dataset, ledger, summary).run(started_s)
    return summary


def new_summary(dataset: Dataset, manifest: str) -> RunSummary:
    """Begin what there will be to say of a run that starts now."""
    run_id = dataset.name_run(new_run_id())
    shard = str(dataset.shard) if dataset.shard else None
    return RunSummary(run_id, manifest, datetime.now(UTC).isoformat(), shard)


@contextmanager
def writing(dataset: Dataset, summary: RunSummary) -> Iterator[float]:
    """Hold an output, or a shard of it, ready to be written: swept, merged, logged to.

    Yields:
        when that began, by the monotonic clock, in seconds.

    Raises:
        UserError: the output is held (10) or lost (5).
    """
    started_s = time.monotonic()
    with _output_errors(dataset):
        dataset.make_folders()
        with hold(dataset, summary.run_id), logging_to(dataset.log):
            try:
                reached("swept")
                if dataset.shard is None:
                    summary.merged = merge_shards(dataset)
                yield started_s
            except Exception as error:
                summary.seconds = round(time.monotonic() - started_s, 3)
                _note_error(dataset, summary, error)
                raise
            finally:
                dataset.remove_temporaries(summary.run_id)


def _note_error(dataset: Dataset, summary: RunSummary, error: Exception) -> None:
    """Let `run.json` say what ended a run, if the output is still there and ours."""
    summary.exit_code = error.exit_code if isinstance(error, UserError) else 1
    summary.error = str(error).strip() or repr(error)
    with suppress(OSError, LostOutputError):
        check_owner(dataset, summary.run_id)
        dataset.write_summary(asdict(summary))


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
        found = f"the output can't be written ({error.strerror})"
        todo = "mend it and run again: what is done is kept"
        raise LostOutputError(where, found, "", todo) from error


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
        self.failed_before = 0

    def run(self, started_s: float) -> None:
        self.started_s = started_s
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
        self.failed_before = self.summary.failed = sum(count.failed for count in counts)
        self.watcher.planned(planned.counts, found, self.summary.set_aside)
        logger.info("run %s: %s", self.summary.run_id, dict(planned.counts))
        tally = self._make(planned, specs) if specs else Tally(0)
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
        self.summary.workers = [{"device": spec.device} for spec in specs]
        scheduler = Scheduler(
            planned,
            cost=lambda group: (
                group.width * group.height * settings[group.settings_id].recipe.steps
            ),
            limit=self.request.limit,
            num_workers=len(specs),
        )
        known = self.ledger.get("pace") or {}
        paces = {kind: Pace(earlier=Pace.from_json(rows)) for kind, rows in known.items()}
        feed = Feed(
            make_executor(self.manifest, specs),
            scheduler,
            self.ledger,
            _Logged(self.watcher),
            stop=self.stop,
            limits=self._limits(scheduler.left),
            paces=paces,
            check=lambda: check_owner(self.dataset, self.summary.run_id),
        )
        try:
            return feed.run()
        finally:
            self._note_tally(feed.tally)
            with suppress(RunError):
                self.ledger.put("pace", {kind: pace.to_json() for kind, pace in paces.items()})

    def _limits(self, num_jobs: int) -> Limits:
        options, settings = self.manifest.run, all_settings(self.manifest)
        deadline_s = self.request.deadline_s or options.deadline_s
        return Limits(
            max_deaths=options.max_deaths,
            max_retries=options.max_retries,
            max_failures=count_failures(
                self.request.max_failures or options.max_failures, num_jobs
            ),
            image_timeout_s=options.image_timeout_s,
            deadline_at=None if deadline_s is None else self.started_s + deadline_s,
            most_evaluations={key: each.recipe.max_evaluations for key, each in settings.items()},
        )

    def _note_tally(self, tally: Tally) -> None:
        """Let the summary say how far it came, also where an error ended it."""
        summary = self.summary
        summary.done, summary.failed = tally.done, tally.failed + self.failed_before
        summary.evaluations = tally.evaluations
        for worker, spec in enumerate(summary.workers):
            spec["seconds"] = round(tally.there_s.get(worker, 0.0), 3)
            spec["busy_seconds"] = round(tally.busy_s.get(worker, 0.0), 3)

    def _finish(self, tally: Tally) -> None:
        summary = self.summary
        summary.remaining = summary.planned - summary.done_before - summary.done - summary.failed
        if summary.remaining and tally.stopped_by:
            summary.stopped_by = str(tally.stopped_by)
        is_resumable = summary.stopped_by in (Stop.DEADLINE, Stop.SIGNAL)
        summary.exit_code = 4 if is_resumable else 3 if summary.failed else 0
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
        match event:
            case JobFailed(output=output, reason=reason):
                logger.warning("failed: %s: %s", output, reason)
            case WorkerLost(worker, reason, pid):
                logger.warning("worker %d (process %s) is lost: %s", worker, pid, reason)
            case WorkerJoined(worker, device):
                logger.info("worker %d is there, on %s", worker, device)
            case Notice(worker, text):
                logger.info("worker %d: %s", worker, text)
        self._watcher.event(event)

    def tick(self, tally: Tally) -> None:
        self._watcher.tick(tally)
