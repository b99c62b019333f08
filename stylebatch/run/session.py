"""One run's hold on an output: from its lock to its `run.json`, however it ends."""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from stylebatch.errors import UserError
from stylebatch.ledger import damaged_ledger, is_damage, merge_ledgers, merge_shards
from stylebatch.output.activity import remove_activity
from stylebatch.output.errors import LostOutputError, NoLocksError, StoreRefusedError
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock, check_owner, withdraw
from stylebatch.output.publishing import publish
from stylebatch.run.aside import settle_output
from stylebatch.run.progress import Stop
from stylebatch.system import files
from stylebatch.system.crash_points import reached
from stylebatch.system.log import logging_to


@dataclass(slots=True)
class RunSummary:
    """What `run.json` says; of a shard's run, that in its own folder, and of its part only.

    Attributes:
        manifest: its path, as it was given; where none was, that of the run before.
        manifest_path: likewise, absolute.
        shard: I/N, None for a run of the whole.
        merged: the shards, as I/N, whose ledgers it has merged.
        adopted: images that its ledger did not know, and that the metadata prove to be its own.
        done_before: with what was taken back.
        failed: in this run and before it.
        rejected: likewise: made, and not worth enough.
        taken_back: images that lay aside with what is wanted now.
        replaced: images whose successors were made or taken back: they lie aside.
        set_aside: images that the plan no longer has, and that lie aside now.
        taken_out: images that stood and are not worth enough by thresholds of now: likewise.
        unreachable: why inputs can't be reached, by path from the manifest's folder.
        kept: images that are not in the plan and stay, as their input can't be reached.
        withheld: likewise, as the inputs of more than `run.max_removals` are gone.
        passed_over: files that are no images (or of another kind), by pair and suffix.
        first_pages: images that it made of files with several pages or frames: of the first.
        outdated: images that stand at its end although the plan wants them otherwise, or not.
        workers: the device of each, seconds that it was there, and those that the device was busy.
        saved: images that were begun, and that the next run goes on with.
        resumed: images that were so in an earlier run, and that this one went on with.
        stopped_by: deadline, signal or max_failures; None where nothing is left to do.
        shortest_s: about how long the shortest image takes, where the deadline left less than that
            and one was begun all the same.
        warnings: what its plan came across that the user may not have meant.
        annotations: what was counted of them, by pair and kind.
        failed_annotations: what is wrong with them, and stands in `failures.jsonl`.
        error: what ended the run, None where it came to its end.
    """

    run_id: str
    manifest: str
    started: str
    manifest_path: str = ""
    shard: str | None = None
    merged: list[str] = field(default_factory=list)
    adopted: int = 0
    seconds: float = 0.0
    planned: int = 0
    done_before: int = 0
    done: int = 0
    failed: int = 0
    rejected: int = 0
    remaining: int = 0
    taken_back: int = 0
    replaced: int = 0
    set_aside: int = 0
    taken_out: int = 0
    kept: int = 0
    withheld: int = 0
    outdated: int = 0
    first_pages: int = 0
    evaluations: int = 0
    workers: list[dict[str, Any]] = field(default_factory=list)
    saved: int = 0
    resumed: int = 0
    stopped_by: str | None = None
    shortest_s: float | None = None
    exit_code: int = 0
    warnings: list[str] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, dict[str, int]] = field(default_factory=dict)
    annotations: dict[str, dict[str, dict[str, int]]] = field(default_factory=dict)
    failed_annotations: int = 0
    error: str | None = None


def new_run_id() -> str:
    """Name a run by its time and process, so that names sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"


def new_summary(dataset: Dataset, manifest: str) -> RunSummary:
    """Begin what there will be to say of a run that starts now."""
    run_id = dataset.name_run(new_run_id())
    shard = str(dataset.shard) if dataset.shard else None
    place = str(Path(manifest).absolute()) if manifest else ""
    if not manifest:
        told = last_summary(dataset)
        manifest, place = told.get("manifest") or "", told.get("manifest_path") or ""
    return RunSummary(run_id, manifest, datetime.now(UTC).isoformat(), place, shard)


def last_summary(dataset: Dataset) -> dict[str, Any]:
    """Return the `run.json` of an output, or of one of its shards, that names a manifest.

    One that is there and can't be read counts as none; {} where there is none.
    """
    for each in (dataset, *(() if dataset.shard else dataset.shards())):
        with suppress(OSError, ValueError):
            told = json.loads(files.read_bytes(each.summary))
            if isinstance(told, dict) and told.get("manifest"):
                return told
    return {}


def hold(dataset: Dataset, run_id: str) -> OutputLock:
    """Return the lock on an output, or a shard of it, that also clears away what is over.

    Temporaries of killed runs are swept. Shards that part the output in another way are merged
    into its ledger before anybody reads it; a run of the whole merges all, see `merge_shards`.
    """

    def prepare() -> None:
        dataset.sweep_temporaries(run_id)
        if dataset.shard:
            merge_ledgers(dataset.whole, [rival for rival in dataset.rivals() if rival.shard])
            # Nobody may write this ledger any more while shards run: what a killed run left of a
            # transaction, of an older version, or of a commit, is mended here.
            settle_output(dataset.whole)

    return OutputLock(dataset, run_id, prepare)


@contextmanager
def writing(dataset: Dataset, summary: RunSummary) -> Iterator[float]:
    """Hold an output, or a shard of it, ready to be written: swept, merged, logged to.

    Where a run is refused (2) that began an output, or its shard, nothing of it is left, but
    `run.json` in a folder that was there.

    Yields:
        when that began, by the monotonic clock, in seconds.

    Raises:
        UserError: the output is held (10) or lost (5).
    """
    started_s = time.monotonic()
    with output_errors(dataset):
        is_new = files.stat_file(dataset.home) is None
        made = dataset.make_folders()
        try:
            with hold(dataset, summary.run_id), logging_to(dataset.log):
                try:
                    reached("swept")
                    if dataset.shard is None:
                        summary.merged = merge_shards(dataset)
                    settle_output(dataset)
                    yield started_s
                except BaseException as error:
                    summary.seconds = round(time.monotonic() - started_s, 3)
                    is_undone = is_new and _is_refusal(error)
                    # In a folder that was there, somebody may look for what became of the run.
                    if not is_undone or dataset.root not in made:
                        _note_error(dataset, summary, error)
                    if is_undone:
                        withdraw(dataset, made)
                    raise
                finally:
                    remove_activity(dataset)
                    dataset.remove_temporaries(summary.run_id)
        except (NoLocksError, StoreRefusedError):
            if is_new:
                dataset.unmake_folders(made)
            raise


def _is_refusal(error: BaseException) -> bool:
    return isinstance(error, UserError) and error.exit_code == UserError.exit_code


def write_summary(dataset: Dataset, summary: RunSummary, *, is_put: bool = True) -> None:
    """Write `run.json`: how the last run went.

    Args:
        is_put: into the object store as well, if the output is in one.
    """
    files.write_json_atomic(dataset.summary, asdict(summary))
    if is_put:
        publish(dataset)


def _note_error(dataset: Dataset, summary: RunSummary, error: BaseException) -> None:
    """Let `run.json` say what ended a run, if the output is still there and ours."""
    if isinstance(error, KeyboardInterrupt):
        summary.exit_code, summary.stopped_by = 4, str(Stop.SIGNAL)
    else:
        summary.exit_code = error.exit_code if isinstance(error, UserError) else 1
        summary.error = str(error).strip() or repr(error)
    with suppress(OSError, LostOutputError):
        check_owner(dataset, summary.run_id)
        # Who interrupts a run may do so as a store does not answer: the next one puts it there.
        write_summary(dataset, summary, is_put=not isinstance(error, KeyboardInterrupt))


@contextmanager
def reading_output(dataset: Dataset) -> Iterator[None]:
    """Let what the system says of an output be what a command is refused for."""
    try:
        yield
    except OSError as error:
        found = f"can't be read ({error.strerror or error})"
        todo = "look whether it is there, and whether you may"
        raise UserError(str(error.filename or dataset.place), found, "", todo) from error


@contextmanager
def output_errors(dataset: Dataset) -> Iterator[None]:
    """Let what the system says of the output concern the whole run.

    Inputs that can't be read are told apart where they are read.
    """
    try:
        yield
    except OSError as error:
        raise LostOutputError.from_os_error(error, dataset.root) from error
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            raise damaged_ledger(dataset.ledger, error) from error
        raise
