"""Finished images into the output tree, in groups: encode, write, fsync, rename, then say so."""

import queue
import threading
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from stylebatch.dataset import Dataset
from stylebatch.files import move, sync_folder, write_synced
from stylebatch.images import Pixels, encode_png, resize
from stylebatch.lock import LostOutputError, check_owner
from stylebatch.loss_log import LossRow, encode_log
from stylebatch.records import Job, JobDone

GROUP_IMAGES = 32
GROUP_S = 0.5


@dataclass(frozen=True, slots=True)
class Finished:
    """A stylised image on its way out.

    Attributes:
        pixels: (h, w, 3) as optimised.
        width, height: of the file; resampled to it.
        alpha: (height, width) to put back, or None.
        facts: what `metadata.jsonl` will say of how it went.
    """

    job: Job
    pixels: Pixels
    width: int
    height: int
    alpha: Pixels | None
    rows: list[LossRow]
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Written:
    event: JobDone
    image: Path
    log: Path


class _Mark(Enum):
    FLUSH = "commit what is there"
    END = "and leave"


class Committer:
    """Commits finished images in a thread of its own, so that the device goes on meanwhile.

    `put` hands one over, `done` gives the events of what is in place. An error in the thread is
    raised by the next `done`.
    """

    def __init__(self, dataset: Dataset, run_id: str, worker: int) -> None:
        self._dataset, self._worker, self._run_id = dataset, worker, run_id
        self._folder = dataset.temporary_folder(run_id) / f"worker{worker}"
        self._inbox: queue.SimpleQueue[Finished | _Mark] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[JobDone | BaseException] = queue.SimpleQueue()
        self._pending = 0
        self._thread = threading.Thread(target=self._run, name="commit", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """How many images were handed over and have not come out of `done` yet."""
        return self._pending

    def put(self, finished: Finished) -> None:
        """Hand over an image."""
        self._pending += 1
        self._inbox.put(finished)

    def flush(self) -> None:
        """Commit what is there without waiting for a group to fill."""
        self._inbox.put(_Mark.FLUSH)

    def done(self, timeout_s: float = 0.0) -> list[JobDone]:
        """Return the events of what has been committed since, waiting for the first if asked.

        Raises:
            LostOutputError: the output can't be written.
        """
        events: list[JobDone] = []
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
                if isinstance(item, Finished) and self._commit_group(item):
                    break
        except OSError as error:
            where = str(error.filename or self._dataset.root)
            found = f"the output can't be written ({error.strerror})"
            todo = "mend it and run again: what is done is kept"
            self._outbox.put(LostOutputError(where, found, "", todo))
        except BaseException as error:  # belongs to the worker's own thread
            self._outbox.put(error)

    def _commit_group(self, first: Finished) -> bool:
        """Commit a group that starts with an image; return whether the end was seen."""
        group = [self._write(first, 0)]
        until, item = time.monotonic() + GROUP_S, None
        while len(group) < GROUP_IMAGES:
            try:
                item = self._inbox.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                break
            if not isinstance(item, Finished):
                break
            group.append(self._write(item, len(group)))
        self._publish(group)
        return item is _Mark.END

    def _write(self, item: Finished, number: int) -> _Written:
        """Encode an image and its loss log into the run's temporary folder, synced."""
        image = encode_png(resize(item.pixels, item.width, item.height), item.alpha)
        written = _Written(
            JobDone(self._worker, item.job.output, item.job.fingerprint, len(image), item.facts),
            self._folder / f"{number}.png.tmp",
            self._folder / f"{number}.csv.tmp",
        )
        write_synced(written.image, image)
        write_synced(written.log, encode_log(item.rows))
        return written

    def _publish(self, group: list[_Written]) -> None:
        """Rename a group into place, sync each folder once, then report."""
        check_owner(self._dataset, self._run_id)
        folders: dict[Path, None] = {}
        for written in group:
            output = written.event.output
            log, image = self._dataset.log_path(output), self._dataset.image_path(output)
            move(written.log, log)
            move(written.image, image)
            folders |= {log.parent: None, image.parent: None}
        for folder in folders:
            sync_folder(folder)
        for written in group:
            self._outbox.put(written.event)
