"""Finished images into the output tree, in groups: encode, write, put in place, then say so."""

import queue
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from stylebatch.device.canvas import Canvas, finish, side_by_side
from stylebatch.device.originals import Carried
from stylebatch.output.acceptance import Scores
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import LossRow, encode_log
from stylebatch.output.loss_table import encode_table
from stylebatch.pictures.formats import PNG, FileFormat, Provenance, encode
from stylebatch.pictures.images import Pixels, encode_png
from stylebatch.recipes import Recipe
from stylebatch.records import Job, JobDone, JobFailed, Losses
from stylebatch.system.crash_points import reached
from stylebatch.system.files import digest_bytes
from stylebatch.worker.placing import File, Written, make_placer

GROUP_IMAGES = 32
GROUP_S = 0.5


@dataclass(frozen=True, slots=True)
class Finished:
    """A stylised image on its way out.

    Attributes:
        pixels: (h, w, 3) as optimised.
        canvas: what its file is made on.
        beside: the style image, where a picture of content, result and style is wanted.
        facts: what `metadata.jsonl` will say of how it went.
        provenance: what its file says of that.
        measure: gives the image's scores, which takes as long as encoding it.
    """

    job: Job
    recipe: Recipe
    pixels: Pixels
    canvas: Canvas
    beside: Pixels | None
    rows: Sequence[LossRow]
    facts: dict[str, Any]
    file_format: FileFormat = PNG
    provenance: Provenance | None = None
    measure: Callable[[], Scores] = dict


@dataclass(frozen=True, slots=True)
class CarriedOver:
    """A photograph on its way out beside what is made of it."""

    job: Job
    carried: Carried


@dataclass(frozen=True, slots=True)
class Progressed:
    """An image that is being optimised, as it is after so many evaluations."""

    job: Job
    recipe: Recipe
    pixels: Pixels
    canvas: Canvas
    evaluation: int


@dataclass(frozen=True, slots=True)
class _Made:
    written: Written
    rows: Sequence[LossRow] = ()


_Item = Finished | CarriedOver


class _Mark(Enum):
    FLUSH = "commit what is there"
    END = "and leave"


class Committer:
    """Commits finished images in a thread of its own, so that the device goes on meanwhile.

    `put` hands one over, `done` gives the events of what is in place. An error in the thread is
    raised by the next `done`.
    """

    def __init__(
        self,
        dataset: Dataset,
        run_id: str,
        worker: int,
        losses: Losses = "csv",
        incarnation: int = 0,
    ) -> None:
        self._losses, self._table = losses, ""
        self._dataset, self._worker, self._run_id = dataset, worker, run_id
        self._placer = make_placer(dataset, run_id, worker, incarnation)
        self._inbox: queue.SimpleQueue[_Item | Progressed | _Mark] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[JobDone | JobFailed | BaseException] = queue.SimpleQueue()
        self._pending = 0
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many images were handed over and have not come out of `done` yet."""
        return self._pending

    def put(self, finished: "_Item") -> None:
        """Hand over an image."""
        self._pending += 1
        self._inbox.put(finished)

    def put_progress(self, progressed: Progressed) -> None:
        """Hand over an image on its way: it is written at once, and no event tells of it."""
        self._inbox.put(progressed)

    def flush(self) -> None:
        """Commit what is there without waiting for a group to fill."""
        self._inbox.put(_Mark.FLUSH)

    def done(self, timeout_s: float = 0.0) -> list[JobDone | JobFailed]:
        """Return what has come of images since, waiting for the first if asked.

        Raises:
            LostOutputError: the output can't be written.
        """
        events: list[JobDone | JobFailed] = []
        try:
            item = self._outbox.get(timeout=timeout_s) if timeout_s else self._outbox.get_nowait()
            while True:
                if isinstance(item, BaseException):
                    raise item
                events.append(item)
                item = self._outbox.get_nowait()
        except queue.Empty:
            pass
        self._pending -= len(events)
        return events

    def close(self) -> None:
        """Commit what is left and end the thread."""
        self._inbox.put(_Mark.END)
        self._thread.join()

    def _run(self) -> None:
        try:
            while (item := self._inbox.get()) is not _Mark.END:
                if isinstance(item, Progressed):
                    self._write_progress(item)
                elif isinstance(item, _Item) and self._commit_group(item):
                    break
        except OSError as error:
            self._outbox.put(LostOutputError.from_os_error(error, self._dataset.root))
        except BaseException as error:  # belongs to the worker's own thread
            self._outbox.put(error)

    def _commit_group(self, first: _Item) -> bool:
        """Commit a group that starts with an image; return whether the end was seen."""
        # Never one that was there: another worker may have had this one's number.
        self._table = f"{self._run_id}-{self._worker}-{secrets.token_hex(4)}.parquet"
        group = [self._write(first, 0)]
        until, item = time.monotonic() + GROUP_S, None
        while len(group) < GROUP_IMAGES and not self._placer.is_full:
            try:
                item = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if isinstance(item, Progressed):
                self._write_progress(item)
                continue
            if not isinstance(item, _Item):
                break
            group.append(self._write(item, len(group)))
        self._publish(group)
        return item is _Mark.END

    def _write(self, item: _Item, number: int) -> _Made:
        """Let the files of what is finished be written, if not in place yet."""
        return (
            self._carry(item, number)
            if isinstance(item, CarriedOver)
            else self._encode(item, number)
        )

    def _carry(self, item: CarriedOver, number: int) -> _Made:
        job, carried = item.job, item.carried
        facts = {"digest": digest_bytes(carried.data)}
        event = JobDone(self._worker, job.output, job.fingerprint, len(carried.data), facts)
        target = self._dataset.image_path(job.output)
        file = self._placer.write(target, carried.data, f"{number}-0", carried.source)
        return _Made(Written(event, {target: file}, job.is_replacement))

    def _encode(self, item: Finished, number: int) -> _Made:
        """Encode an image and what stands beside it."""
        made, output = finish(item.pixels, item.canvas, item.recipe), item.job.output
        image = encode(made, item.canvas.alpha, item.file_format, item.provenance)
        # What was not optimised has no losses.
        losses = self._losses if item.rows else "none"
        table = self._table if losses == "parquet" else None
        # Where there is none although there were losses, it is not missing.
        logged = {"loss_log": table} if item.rows and losses != "csv" else {}
        facts = {**item.facts, **item.measure(), **logged, "digest": digest_bytes(image)}
        event = JobDone(self._worker, output, item.job.fingerprint, len(image), facts)
        files = {}
        if losses == "csv":
            files[self._dataset.log_path(output)] = encode_log(item.rows)
        if item.beside is not None:
            assert item.canvas.content is not None
            row = side_by_side(item.canvas.content, made, item.beside)
            files[self._dataset.side_by_side_path(output)] = encode_png(row, None)
        # The image last: it is what tells that all of it is there.
        files[self._dataset.image_path(output)] = image
        written = {
            target: self._placer.write(target, data, f"{number}-{index}")
            for index, (target, data) in enumerate(files.items())
        }
        return _Made(Written(event, written, item.job.is_replacement), item.rows if table else ())

    def _write_table(self, group: list[_Made]) -> dict[Path, File]:
        """Write the loss logs of a group as one table, where that is asked for."""
        logs = [(made.written.event.output, made.rows) for made in group if made.rows]
        if not logs:
            return {}
        target = self._dataset.log_table_path(self._table)
        return {target: self._placer.write(target, encode_table(self._table, logs), "losses")}

    def _write_progress(self, item: Progressed) -> None:
        """Nothing waits for it and nothing is lost with it."""
        made = finish(item.pixels, item.canvas, item.recipe)
        data = encode_png(made, item.canvas.alpha)
        target = self._dataset.progress_path(item.job.output, item.evaluation)
        self._placer.place_at_once(target, data, item.job)

    def _publish(self, group: list[_Made]) -> None:
        """Put a group into place, then report."""
        tables = self._write_table(group)
        reached("group-written")
        for event in self._placer.place([made.written for made in group], tables):
            self._outbox.put(event)
