"""One run from start to end: plan, set stale outputs aside, make what is missing, write records."""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from platformdirs import user_cache_path

from stylebatch.dataset import Dataset
from stylebatch.executors import EXECUTORS, Executor
from stylebatch.feed import Feed, StopRequest, Tally
from stylebatch.feed import Watcher as FeedWatcher
from stylebatch.inputs import resolve_styles
from stylebatch.ledger import Ledger
from stylebatch.ledger_plan import PairCounts, PlannedJobs
from stylebatch.lock import LostOutputError, OutputLock
from stylebatch.manifest import Manifest
from stylebatch.plan import PlanSummary, plan_jobs
from stylebatch.recipes import Settings
from stylebatch.records import Event, JobFailed, Notice, Style
from stylebatch.scheduler import Scheduler
from stylebatch.weights import find_download, is_checked_without_torch, load_tensors

if TYPE_CHECKING:
    from stylebatch.worker import WorkerSpec

logger = logging.getLogger("stylebatch")

PACKAGES = ("stylebatch", "torch", "torchvision", "pillow", "numpy")
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
    """

    limit: int | None = None
    retry_failed: bool = False
    keep_stale: bool = False
    deadline_s: float | None = None


@dataclass(slots=True)
class RunSummary:
    """What `run.json` says."""

    run_id: str
    manifest: str
    started: str
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
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.getpid()}"


def cache_folder(manifest: Manifest) -> Path:
    """Return the folder for style targets: `run.cache`, else $STYLEBATCH_CACHE, else the usual."""
    if manifest.run.cache is not None:
        return manifest.run.cache
    if from_environment := os.environ.get("STYLEBATCH_CACHE"):
        return Path(from_environment)
    return user_cache_path("stylebatch")


def make_plan(
    manifest: Manifest, ledger: Ledger, *, retry_failed: bool = False, redo: bool = False
) -> tuple[PlannedJobs, PlanSummary, dict[str, Style]]:
    """Plan a manifest against a ledger: what is done, failed, to do; writes no output.

    Raises:
        UserError: inputs that can't be read, outputs that collide or that are not ours.
    """
    summary = PlanSummary()
    styles = resolve_styles(manifest, ledger)
    images = Dataset(manifest.output).images
    planned = ledger.begin_plan(manifest, styles, images, retry_failed=retry_failed, redo=redo)
    for folder in plan_jobs(manifest, ledger, styles, summary):
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
    dataset = Dataset(manifest.output)
    summary = RunSummary(new_run_id(), str(manifest.path), datetime.now(UTC).isoformat())
    with _output_errors(dataset):
        dataset.make_folders()
        with OutputLock(dataset, summary.run_id), _logging_to(dataset.log):
            dataset.sweep_temporaries(summary.run_id)
            with Ledger.open(dataset.ledger) as ledger:
                _Run(manifest, request, watcher, stop, dataset, ledger, summary).run()
    return summary


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
        planned, found, styles = make_plan(self.manifest, self.ledger, retry_failed=retry)
        # Also where nothing is to be made: other prose in a recipe gives images another id.
        settings = _all_settings(self.manifest).items()
        self.ledger.remember_settings({key: describe_settings(value) for key, value in settings})
        counts = planned.counts.values()
        specs: list[WorkerSpec] = []
        if any(count.pending for count in counts):
            # Before anything in the output is touched: weights or a device may be missing.
            prepare_all_weights(self.manifest, self.watcher)
            output, run_id = self.manifest.output, self.summary.run_id
            specs = worker_specs(self.manifest, styles, output, run_id)
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
        if self.request.keep_stale or self.request.limit is not None:
            return
        planned.find_stale()
        for outputs in planned.stale():
            self.summary.set_aside += self.dataset.set_aside(outputs, self.summary.run_id)
            self.ledger.forget(outputs)

    def _make(self, planned: PlannedJobs, specs: "list[WorkerSpec]") -> Tally:
        settings = _all_settings(self.manifest)
        self.ledger.remember_settings(
            {key: describe_settings(value) for key, value in settings.items()}
        )
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
        is_short = bool(summary.stopped_by) and summary.remaining > 0
        summary.exit_code = 4 if is_short else 3 if summary.failed else 0
        summary.seconds = round(time.monotonic() - self.started_s, 3)
        self.dataset.write_records(self.ledger)
        self.dataset.write_summary(asdict(summary))
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


def _all_settings(manifest: Manifest) -> dict[str, Settings]:
    return {pair.settings.id: pair.settings for pair in manifest.pairs}


def prepare_all_weights(manifest: Manifest, watcher: FeedWatcher) -> None:
    """Download weights that are not there yet, and read once what only torch can read.

    What is wrong with them then starts nothing.

    Raises:
        WeightsError: no download, a file that is none, a layer that is missing.
    """
    for settings in _all_settings(manifest).values():
        if not is_checked_without_torch(settings.weights):
            if place := find_download(settings.weights):
                text = f"downloading the weights '{settings.weights.source}' to {place}"
                watcher.event(Notice(worker=0, text=text))
            load_tensors(settings.weights, settings.recipe.layers)


def worker_specs(
    manifest: Manifest, styles: Mapping[str, Style], output: Path, run_id: str
) -> "list[WorkerSpec]":
    """Return what each worker is started with: one a device, or shares of the CPU.

    Raises:
        DeviceError: a device that is not there.
    """
    from stylebatch.device import choose_devices, usable_cores
    from stylebatch.worker import WorkerSpec

    options = manifest.run
    names = choose_devices(options.devices)
    workers = 1 if options.cpu_workers == "auto" else options.cpu_workers
    devices = [name for name in names for _ in range(workers if name == "cpu" else 1)]
    if options.executor == "inline":
        devices = devices[:1]
    threads = max(1, usable_cores() // max(1, devices.count("cpu")))
    first = WorkerSpec(
        worker=0,
        device=devices[0],
        run_id=run_id,
        root=manifest.root,
        output=output,
        settings=_all_settings(manifest),
        styles=dict(styles),
        cache=cache_folder(manifest),
        threads=threads,
    )
    return [replace(first, worker=n, device=device) for n, device in enumerate(devices)]


def make_executor(manifest: Manifest, specs: "list[WorkerSpec]") -> Executor:
    """Make the executor that a manifest asks for; it has started nothing yet."""
    return EXECUTORS[manifest.run.executor](specs)


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return what `settings.json` says of settings: recipe, extractor, precision, versions."""
    return {
        # Jobs with the same settings may differ in strength: the metadata says each one's.
        "recipe": settings.recipe.model_dump(mode="json", exclude={"strength"}),
        "extractor": {
            "arch": settings.weights.arch,
            "weights": settings.weights.source,
            "normalisation": asdict(settings.weights.normalisation),
            "layers_digest": settings.layers_digest,
        },
        "precision": settings.precision,
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


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
