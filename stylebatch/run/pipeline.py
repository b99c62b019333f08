"""One run from start to end: plan, make what is missing, set aside what has no place, record."""

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from stylebatch.errors import RunError, UserError
from stylebatch.ledger import Ledger, PlannedJobs
from stylebatch.manifest import Manifest
from stylebatch.output.foreign import check_records
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import check_owner
from stylebatch.output.publishing import check_still_there, fetch_records
from stylebatch.output.shard import Shard
from stylebatch.output.store import check_state
from stylebatch.plan import PlanSummary
from stylebatch.records import Job, Notice, WorkerJoined
from stylebatch.run.activity import Activity
from stylebatch.run.adopt import adopt_lost, note_behind
from stylebatch.run.annotations import annotate, note_sources
from stylebatch.run.aside import set_aside, settle, take_back
from stylebatch.run.inputs import note_inputs, note_stale
from stylebatch.run.judging import note_thresholds, take_out
from stylebatch.run.limits import COMMIT_S, Limits, limits_of
from stylebatch.run.logged import Logged
from stylebatch.run.loop import Loop
from stylebatch.run.manifests import note_manifest
from stylebatch.run.metadata import Refresher, describe_settings, write_records
from stylebatch.run.pace import read_paces
from stylebatch.run.planning import make_plan
from stylebatch.run.progress import Stop, StopRequest, Tally
from stylebatch.run.saved import find_begun, remove_saved
from stylebatch.run.scheduler import Scheduler, cost_of
from stylebatch.run.session import RunSummary, new_summary, reading_output, write_summary, writing
from stylebatch.run.specs import Work, make_executor, passed_over_options, worker_specs
from stylebatch.run.start import check_one_disk, check_output, prepare_all_weights
from stylebatch.run.watcher import Watcher
from stylebatch.system import files
from stylebatch.system.crash_points import reached
from stylebatch.system.log import logger
from stylebatch.system.words import counted
from stylebatch.worker.spec import WorkerSpec, pace_keys


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What the command line adds to a manifest.

    Attributes:
        allow_removals: set aside what has no input any more, however much it is.
        rehash: read all inputs, also those that seem unchanged.
        limit: make so many images at most, and set nothing aside but what they replace.
        deadline_s: from the start; None: the manifest's.
        max_failures: as `run.max_failures`; None: the manifest's.
        shard: likewise only what is its part; records are left to a merge.
    """

    limit: int | None = None
    retry_failed: bool = False
    keep_stale: bool = False
    allow_removals: bool = False
    rehash: bool = False
    deadline_s: float | None = None
    max_failures: int | str | None = None
    shard: Shard | None = None


def run(manifest: Manifest, request: RunRequest, watcher: Watcher, stop: StopRequest) -> RunSummary:
    """Make every image of a manifest that is not there yet.

    Raises:
        UserError: with exit code 2 nothing was started; 10: the output is held; 5: the output is
            lost, what is done is kept.
        WorkerError: an error of stylebatch's own in a worker.
    """
    dataset = manifest.dataset(request.shard)
    if dataset.store and dataset.shard:
        found = f"the output is in an object store ({dataset.place}), which shards can't share"
        todo = "give each shard an output of its own, or use `executor: ray`"
        raise UserError("--shard", found, "", todo)
    summary = new_summary(dataset, str(manifest.path))
    if files.stat_file(dataset.home) is None:
        check_output(dataset.root)
        with reading_output(dataset):
            check_records(dataset)
    elif dataset.store:
        check_state(dataset.state, dataset.store)
        with reading_output(dataset):
            check_still_there(dataset)
    with writing(dataset, summary) as started_s:
        is_behind = fetch_records(dataset)
        beneath = dataset.whole.ledger if dataset.shard else None
        with Ledger.open(dataset.ledger, beneath=beneath) as ledger:
            run = _Run(manifest, request, watcher, stop, dataset, ledger, summary)
            if is_behind:
                note_behind(ledger)
            if not dataset.shard and (count := adopt_lost(dataset, ledger, run.check_adopting)):
                summary.adopted = count
                logger.info("%d images adopted: the ledger had been lost, or was behind", count)
            run.run(started_s)
    return summary


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
        self.failed_before = self.rejected_before = self.num_stale = 0
        self.activity = Activity(dataset, summary.run_id)
        self._refresher = Refresher(dataset, ledger)
        self._loop: Loop | None = None
        ledger.begin_run(summary.run_id)

    def run(self, started_s: float) -> None:
        self.started_s = started_s
        retry, shard = self.request.retry_failed, self.request.shard
        run_id = self.summary.run_id
        self._doing("planning")
        planned, found, styles = make_plan(
            self.manifest,
            self.ledger,
            retry_failed=retry,
            rehash=self.request.rehash,
            takes_out=not self.request.keep_stale and self.request.limit is None,
            shard=shard,
            check=self._check_stop,
        )
        # Also where nothing is to be made: other prose in a recipe gives images another id.
        settings = self.manifest.all_settings() | self.manifest.carrying_settings()
        self.ledger.remember_settings(
            {key: describe_settings(each) for key, each in settings.items()}
        )
        note_sources(self.ledger, self.manifest)
        counts = planned.counts.values()
        specs: list[WorkerSpec] = []
        stopped_by = self._stopped_by()
        if any(count.pending for count in counts) and not stopped_by:
            # Before anything in the output is touched: weights or a device may be missing.
            check_one_disk(self.dataset, run_id)
            self._doing("loading weights")
            waiting = {group.settings_id for group in planned.groups()}
            prepare_all_weights(self.manifest, self._note_download, waiting)
            work = Work.of_groups(
                planned.groups(), self.manifest.all_settings(), self.request.limit
            )
            specs = worker_specs(self.manifest, styles, self.dataset, run_id, work)
        reached("planned")
        note_thresholds(self.ledger, self.manifest)
        note_manifest(self.manifest, self.ledger)
        self._look_aside(planned, is_stopped=bool(stopped_by))
        self.summary.planned = sum(count.total for count in counts)
        self.summary.done_before = sum(count.done for count in counts) + self.summary.taken_back
        self.failed_before = self.summary.failed = sum(count.failed for count in counts)
        self.rejected_before = sum(count.rejected for count in counts)
        if stopped_by:
            # What is no longer accepted stands: it is left to the next run.
            self.rejected_before -= sum(count.outside for count in counts)
        self.summary.rejected = self.rejected_before
        self.watcher.planned(planned.counts, found, self.num_stale)
        logger.info("run %s: %s", self.summary.run_id, dict(planned.counts))
        # With --quiet these are all that tells of them.
        note_inputs(self.summary, found)
        self._warn(found.warnings())
        is_all_there = not (self.summary.unreachable or self.summary.withheld)
        begun = find_begun(self.dataset, planned, is_all_there=is_all_there)
        tally = self._make(planned, specs, begun) if specs else Tally(0, stopped_by=stopped_by)
        self._finish(planned, tally)

    def _warn(self, texts: list[str]) -> None:
        self.summary.warnings = [*self.summary.warnings, *texts]
        for text in texts:
            logger.warning("%s", text)

    def _doing(self, text: str) -> None:
        self.activity.doing(text)
        self.watcher.doing(text)

    def _note_download(self, notice: Notice) -> None:
        self._doing(notice.text)
        Logged(self.watcher, self.activity).event(notice)

    def check_adopting(self, count: int) -> None:
        """Let a signal end the taking in of images, with which the next run goes on."""
        if self.stop.count:
            raise KeyboardInterrupt
        self._doing(f"knowing images again by metadata.jsonl: {counted(count, 'image')} so far")

    def _check_stop(self, found: PlanSummary) -> None:
        """Let a second signal end the planning, which may take minutes, at once."""
        if self.stop.count >= 2:
            raise KeyboardInterrupt
        images = sum(pair.images for pair in found.pairs.values())
        text = f"planning: {counted(images, 'image')} so far"
        if self.stop.count:
            text += "; stops when the plan is made, or at once (Ctrl-C)"
        self._doing(text)

    def _stopped_by(self) -> Stop | None:
        """Return what makes it too late to begin anything."""
        if self.stop.count:
            return Stop.SIGNAL
        return Stop.DEADLINE if self._limits(0).left_s(time.monotonic()) <= -COMMIT_S else None

    def _look_aside(self, planned: PlannedJobs, *, is_stopped: bool) -> None:
        """Find what the plan no longer has, which stays for the time, and take back what it has."""
        summary = self.summary
        if self.request.keep_stale and not self.request.shard:
            note_stale(summary, planned.find_stale(is_noted=False), keeps_all=True)
        elif not self.request.shard:
            stale = planned.find_stale(allow_removals=self.request.allow_removals)
            self.num_stale = stale.stale
            note_stale(summary, stale)
            if not is_stopped and self.request.limit is None:
                set_aside(self.dataset, self.ledger, planned.unmade(), summary.run_id)
        if not is_stopped:
            summary.taken_out = take_out(self.dataset, self.ledger, planned, summary.run_id)
            summary.taken_back = take_back(self.dataset, self.ledger, planned, summary.run_id)

    def _set_stale_aside(self, planned: PlannedJobs) -> None:
        """Set aside what the plan no longer has: once all is there that it has."""
        if self.num_stale and not self.summary.remaining and self.request.limit is None:
            self.summary.set_aside = set_aside(
                self.dataset, self.ledger, planned.stale(), self.summary.run_id
            )

    def _make(self, planned: PlannedJobs, specs: list[WorkerSpec], begun: list[Job]) -> Tally:
        self._warn(passed_over_options(self.manifest.run))
        settings = self.manifest.all_settings()
        scheduler = Scheduler(
            planned,
            cost=partial(cost_of, settings, is_limited=self.request.limit is not None),
            limit=self.request.limit,
            num_workers=len(specs),
            begun=begun,
        )
        keys = pace_keys(specs)
        loop = Loop(
            make_executor(self.manifest, specs),
            scheduler,
            self.ledger,
            logged := Logged(self.watcher, self.activity),
            stop=self.stop,
            limits=self._limits(scheduler.left),
            paces=read_paces(self.ledger.get("pace") or {}, keys),
            check=self._look,
        )
        self._loop = loop
        try:
            return loop.run()
        finally:
            self._note_tally(loop.tally)
            self.summary.first_pages = logged.as_read.of_pages
            self._warn(logged.as_read.warnings())
            with suppress(RunError):
                measured = loop.paces.items()
                self.ledger.put("pace", {keys.get(k, k): pace.to_json() for k, pace in measured})

    def _look(self) -> None:
        """Look after the output, about every second: whose it is, and what its records tell."""
        check_owner(self.dataset, self.summary.run_id)
        self.ledger.check_in_place()
        done = self._loop.tally.done if self._loop else 0
        self._refresher.refresh(self.summary.done_before + done)

    def _limits(self, num_jobs: int) -> Limits:
        request, deadline_s = self.request, self.request.deadline_s or self.manifest.run.deadline_s
        deadline_at = None if deadline_s is None else self.started_s + deadline_s
        return limits_of(self.manifest, num_jobs, deadline_at, request.max_failures)

    def _note_tally(self, tally: Tally) -> None:
        """Let the summary say how far it came, also where an error ended it."""
        summary = self.summary
        summary.done, summary.failed = tally.done, tally.failed + self.failed_before
        summary.rejected = tally.rejected + self.rejected_before
        summary.evaluations = tally.evaluations
        summary.saved, summary.resumed = tally.saved, tally.resumed
        if tally.shortest_s is not None:
            summary.shortest_s = round(tally.shortest_s, 1)
        summary.workers = [_described(tally, *each) for each in sorted(tally.joined.items())]

    def _finish(self, planned: PlannedJobs, tally: Tally) -> None:
        summary = self.summary
        ended = summary.done_before + summary.done + summary.failed + summary.rejected
        summary.remaining = summary.planned - ended
        settle(self.dataset, self.ledger)
        self._set_stale_aside(planned)
        summary.replaced = self.ledger.replaced
        outdated = sum(count.outdated for count in planned.counts.values())
        summary.outdated = outdated - summary.replaced + self.num_stale - summary.set_aside
        if summary.remaining and tally.stopped_by:
            summary.stopped_by = str(tally.stopped_by)
        is_resumable = summary.stopped_by in (Stop.DEADLINE, Stop.SIGNAL)
        is_all_there = not (summary.unreachable or summary.withheld)
        is_part = self.dataset.shard or self.request.limit is not None
        if is_all_there and not (summary.remaining or is_part):
            # Also of what has failed: once that is retried, it begins anew.
            remove_saved(self.dataset)
        is_whole = is_all_there and not summary.failed
        summary.exit_code = 4 if is_resumable else 0 if is_whole else 3
        self._doing("writing the records")
        if self.dataset.shard is None:
            annotate(self.dataset, self.ledger, summary)
            write_records(self.dataset, self.ledger, lambda text: self._warn([text]))
        summary.seconds = round(time.monotonic() - self.started_s, 3)
        write_summary(self.dataset, summary)
        reached("summary-written")
        logger.info("run %s ended: %s", summary.run_id, asdict(summary))


def _described(tally: Tally, worker: int, joined: WorkerJoined) -> dict[str, Any]:
    """Return what `run.json` says of a worker."""
    told = {"device": joined.device, "model": joined.model, "where": joined.where}
    return {
        **{key: value for key, value in told.items() if value},
        "seconds": round(tally.there_s.get(worker, 0.0), 3),
        "busy_seconds": round(tally.busy_s.get(worker, 0.0), 3),
    }
