"""Files of finished images into their places: on this disk, synced and renamed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stylebatch.output.aside import files_of, keep_aside, keep_progress_aside
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.lease import check_lease
from stylebatch.output.lock import check_owner
from stylebatch.records import Job, JobDone, JobFailed
from stylebatch.system.crash_points import reached
from stylebatch.system.files import (
    link,
    make_folders_below,
    remove_file,
    rename,
    sync_folder,
    write_synced,
)
from stylebatch.worker.placing_in_store import GROUP_BYTES, StoredImage, StoreWriter

# A file that is not in place: where it lies until then, or its bytes.
File = Path | bytes


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an image that are not in place yet, the image's own last.

    Attributes:
        event: what is to be told once they are.
        files: by the place of each.
        is_replacement: another image of ours stands in its place.
    """

    event: JobDone
    files: Mapping[Path, File]
    is_replacement: bool


class Placer(Protocol):
    """Puts files in place, in groups."""

    @property
    def is_full(self) -> bool:
        """Whether no more should be written before a group is put in place."""

    def write(self, target: Path, data: bytes, name: str, source: Path | None = None) -> File:
        """Write a file that is to have its place with its group.

        Args:
            name: of its own in the group.
            source: the photograph that holds these bytes, where a link to it will do.
        """

    def place(
        self, group: Sequence[Written], tables: Mapping[Path, File]
    ) -> Iterable[JobDone | JobFailed]:
        """Put a group in place and return what came of it.

        What stands there lies aside by then, so that a kill between loses none of the two.

        Args:
            tables: files of the whole group, which come first: whatever is told of an image, its
                rows are there.

        Raises:
            LostOutputError: the output is another run's, or none's.
            OSError: it can't be written.
        """

    def place_at_once(self, target: Path, data: bytes, job: Job) -> None:
        """Put a picture on the way to an image in place, for which nothing waits."""


def make_placer(dataset: Dataset, run_id: str, worker: int, incarnation: int) -> Placer:
    """Make what puts a worker's files in place.

    Raises:
        LostOutputError: nothing can be written there.
    """
    folder = dataset.worker_folder(run_id, worker, incarnation)
    if dataset.stored:
        return StorePlacer(StoreWriter(dataset, dataset.stored, run_id, folder))
    return FolderPlacer(dataset, run_id, folder)


def check_place(dataset: Dataset, run_id: str) -> None:
    """Check that an output is still a run's own, wherever the worker is.

    Raises:
        LostOutputError: it is another run's, or none's.
    """
    if dataset.stored:
        check_lease(dataset.stored, dataset.holder, run_id)
    else:
        check_owner(dataset, run_id)


class StorePlacer:
    """Holds the bytes of a group, and puts them into an object store."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer, self._num_bytes = writer, 0

    @property
    def is_full(self) -> bool:
        return self._num_bytes >= GROUP_BYTES

    def write(self, target: Path, data: bytes, name: str, source: Path | None = None) -> bytes:
        self._num_bytes += len(data)
        return data

    def place(
        self, group: Sequence[Written], tables: Mapping[Path, File]
    ) -> Iterable[JobDone | JobFailed]:
        self._num_bytes = 0
        images = [
            StoredImage(each.event, _bytes_of(each.files), each.is_replacement) for each in group
        ]
        return self._writer.place(images, _bytes_of(tables))

    def place_at_once(self, target: Path, data: bytes, job: Job) -> None:
        self._writer.place_at_once(target, data, job)


def _bytes_of(files: Mapping[Path, File]) -> dict[Path, bytes]:
    return {path: file for path, file in files.items() if isinstance(file, bytes)}


class FolderPlacer:
    """Writes into a temporary folder, fsyncs, renames, and syncs each folder once."""

    is_full = False

    def __init__(self, dataset: Dataset, run_id: str, folder: Path) -> None:
        self._dataset, self._run_id, self._folder = dataset, run_id, folder
        try:
            make_folders_below(dataset.root, folder)
        except OSError as error:
            raise LostOutputError.from_os_error(error, dataset.root) from error

    def write(self, target: Path, data: bytes, name: str, source: Path | None = None) -> Path:
        # A name that nothing is ever written to: that would be written to the photograph.
        second_name = self._folder / f"{name}-link.tmp"
        if source is not None and _is_linked(source, second_name):
            temporary = second_name
        else:
            temporary = self._folder / f"{name}{target.suffix}.tmp"
            write_synced(temporary, data, make_folders=False)
        reached("temporary-written")
        return temporary

    def place(
        self, group: Sequence[Written], tables: Mapping[Path, File]
    ) -> Iterator[JobDone | JobFailed]:
        check_owner(self._dataset, self._run_id)
        reached("owner-checked")
        replaced = [written for written in group if written.is_replacement]
        self._keep_aside(replaced)
        moves = [*tables.items()]
        moves += [move for written in group for move in written.files.items()]
        folders = dict.fromkeys(target.parent for target, _ in moves)
        for folder in folders:
            make_folders_below(self._dataset.root, folder)
        for target, temporary in moves:
            assert isinstance(temporary, Path)
            rename(temporary, target)
            reached("file-renamed")
        reached("group-renamed")
        for written in replaced:
            # What its successor has not, as its recipe no longer asks for it.
            for path in files_of(self._dataset, written.event.output):
                if path not in written.files:
                    remove_file(path)
        for folder in folders:
            sync_folder(folder)
            reached("folder-synced")
        reached("folders-synced")
        for written in group:
            yield written.event

    def _keep_aside(self, group: Sequence[Written]) -> None:
        grown: set[Path] = set()
        for written in group:
            grown |= keep_aside(self._dataset, written.event.output, self._run_id)
        self._dataset.tree.settle(grown)
        if group:
            reached("kept-aside")

    def place_at_once(self, target: Path, data: bytes, job: Job) -> None:
        """Put it in place; its folder is not synced."""
        check_owner(self._dataset, self._run_id)
        temporary = self._folder / "progress.png.tmp"
        write_synced(temporary, data, make_folders=False)
        if job.is_replacement:
            keep_progress_aside(self._dataset, job.output, self._run_id)
        make_folders_below(self._dataset.root, target.parent)
        rename(temporary, target)


def _is_linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where it is on another disk, or can't be had."""
    remove_file(target)
    try:
        link(source, target)
    except OSError:
        return False
    return True
