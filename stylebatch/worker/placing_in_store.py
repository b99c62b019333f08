"""Files of finished images into an object store: put at their keys, looked at, told of.

Two may write one key: a worker that was given up, or whose run was taken over, and its successor.
Whoever writes looks first at what stands there, then at whether it may write, and then replaces
that object and no other. What its successor has put there, which came after it was shut out, is so
never replaced.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from stylebatch.output.aside import files_of, keep_aside, keep_progress_aside
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.lease import check_lease
from stylebatch.output.stored_tree import StoredTree, at_once
from stylebatch.records import Job, JobDone, JobFailed
from stylebatch.system import object_writes
from stylebatch.system.crash_points import reached
from stylebatch.system.object_stores import StoredObject
from stylebatch.system.read_ahead import is_transient
from stylebatch.system.words import counted

# What a group waits with in memory.
GROUP_BYTES = 2**26
# How often an object is put that is not as it was sent, or that others put meanwhile.
_TRIES = 3


class StoredImage(NamedTuple):
    """The bytes of an image's files by their places, the image's own last."""

    event: JobDone
    files: Mapping[Path, bytes]
    is_replacement: bool


class StoreWriter:
    """Puts objects of one worker in place, as long as it may."""

    def __init__(self, dataset: Dataset, tree: StoredTree, run_id: str, folder: Path) -> None:
        """Prepare to write.

        Args:
            folder: the worker's own, whose key says whether it was given up.
        """
        self._dataset, self._tree = dataset, tree
        self._run_id, self._folder = run_id, folder

    def check(self) -> None:
        """Check that this worker may write.

        Raises:
            LostOutputError: the output is another run's, or the worker was given up.
            OSError: the store can't be asked.
        """
        check_lease(self._tree, self._dataset.whole.holder, self._run_id)
        if self._tree.is_shut_out(self._folder):
            raise LostOutputError(self._tree.prefix, "this worker was given up", "", "run again")

    def place(
        self, group: Sequence[StoredImage], tables: Mapping[Path, bytes]
    ) -> Iterator[JobDone | JobFailed]:
        """Put a group in place, as `Placer.place`."""
        replaced = [image for image in group if image.is_replacement]
        paths = [path for image in replaced for path in image.files]
        standing = dict(zip(paths, at_once(self._tree.find, paths), strict=True))
        self.check()
        reached("owner-checked")
        for _ in at_once(self._keep_aside, [image.event.output for image in replaced]):
            reached("kept-aside")
        for path, data in tables.items():
            self._put(path, data, self._run_id)
        yield from at_once(lambda image: self._place_one(image, standing), group)

    def _keep_aside(self, output: str) -> None:
        keep_aside(self._dataset, output, self._run_id)

    def _place_one(
        self, image: StoredImage, standing: Mapping[Path, StoredObject | None]
    ) -> JobDone | JobFailed:
        event = image.event
        try:
            for path, data in image.files.items():
                self._put(path, data, event.fingerprint, standing.get(path))
                reached("object-put")
            if image.is_replacement:
                # What it has not, as its recipe no longer asks for it.
                for path in files_of(self._dataset, event.output):
                    if path not in image.files:
                        self._tree.remove(path)
        except OSError as error:
            if not is_transient(error):
                raise
            self._check_writable()
            reason = f"can't be written ({error.strerror}): {error.filename}"
            return JobFailed(event.worker, event.output, event.fingerprint, reason, True)
        return event

    def _check_writable(self) -> None:
        """Raise an OSError where nothing can be written, so that the run ends, not the image."""
        self._tree.try_out(self._folder)
        self.check()

    def _put(
        self, path: Path, data: bytes, fingerprint: str, standing: StoredObject | None = None
    ) -> None:
        """Put an object in the place of one, or of none, and see that it is there as a whole."""
        etag = ""
        for _ in range(_TRIES):
            try:
                etag = self._tree.put(path, data, fingerprint, standing)
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ESTALE, errno.ENOENT):
                    raise
            found = self._tree.find(path)
            # Also one that was sent again, as nobody heard that it had come.
            if found and found.size == len(data) and etag == found.etag:
                return
            if found and found.size == len(data) and self._tree.read(path) == data:
                return
            self.check()
            standing = found
        there = "nothing is there"
        if standing:
            there = counted(standing.size, "byte", "is there", "are there")
        raise OSError(errno.EIO, f"{there}, not {len(data)}", self._tree.url(path))

    def place_at_once(self, path: Path, data: bytes, job: Job) -> None:
        """Put a picture on the way in place; one that can't be is passed over."""
        self.check()
        try:
            if job.is_replacement:
                keep_progress_aside(self._dataset, job.output, self._run_id)
            object_writes.put(self._tree.url(path), data)
        except OSError as error:
            if not is_transient(error):
                raise
