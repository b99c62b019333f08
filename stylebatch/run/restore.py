"""What lies in `stale/`, put back or removed for good when somebody asks for it."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from stylebatch.ledger import AsideImage, Ledger, open_together
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.run.annotations import annotate
from stylebatch.run.aside import Move, place, settle_output
from stylebatch.run.metadata import write_records
from stylebatch.run.session import hold, new_run_id, new_summary, output_errors, writing
from stylebatch.system import files
from stylebatch.system.folders import TreeSize

# How a run's id begins: with its start, in UTC.
_STARTED = re.compile(r"[0-9]{8}T[0-9]{6}(?=\.)")


@dataclass(slots=True)
class Restored:
    """What was put back, or would be.

    Attributes:
        images: how many have their places again.
        replaced: of these, where another image stood, which lies aside now.
        standing: of those that lie aside, where an image stands that was left there.
    """

    images: int = 0
    replaced: int = 0
    standing: int = 0


def restore_output(
    dataset: Dataset, *, is_replacing: bool = False, is_dry: bool = False
) -> Restored:
    """Put images that lie aside back to the paths that they had, and write the records.

    Of each path the image that was set aside last, where none stands now. The ledger has them as
    out of date: the next run of a manifest that wants others replaces them.

    Args:
        is_replacing: also where an image of ours stands; that is set aside in turn.
        is_dry: only count.

    Raises:
        UserError: a run of it, or of one of its shards, goes on (10); the output is lost (5).
    """
    found = Restored()
    if is_dry:
        with open_together(dataset) as ledger:
            for _ in _chosen(dataset, ledger, found, is_replacing):
                pass
        return found
    summary = new_summary(dataset, "")
    with writing(dataset, summary), Ledger.open(dataset.ledger) as ledger:
        for moves in _chosen(dataset, ledger, found, is_replacing):
            ledger.aside.claim((move.image for move in moves), summary.run_id)
            place(dataset, ledger, moves, summary.run_id)
            ledger.aside.mark_outdated(move.output for move in moves)
        annotate(dataset, ledger, summary)
        write_records(dataset, ledger)
    return found


def _chosen(
    dataset: Dataset, ledger: Ledger, found: Restored, is_replacing: bool
) -> Iterator[list[Move]]:
    for images in ledger.aside.newest(dataset):
        standing = [each.output for each in images if _stands(dataset, each)]
        # What is not ours stays in any case.
        left = set(standing) - (ledger.has_jobs(standing) if is_replacing else set())
        moves = [
            Move(image, image.output, image.output in standing)
            for image in images
            if image.output not in left
        ]
        found.images += len(moves)
        found.replaced += sum(move.is_replacement for move in moves)
        found.standing += len(left)
        if moves:
            yield moves


def _stands(dataset: Dataset, image: AsideImage) -> bool:
    return dataset.tree.size(dataset.image_path(image.output)) is not None


def list_aside(dataset: Dataset) -> list[tuple[str, float, TreeSize]]:
    """Return each run that put something aside, when it began (s since 1970), and how much."""
    return [
        (run_id, _started_s(dataset, run_id), _size(dataset, run_id)) for run_id in _runs(dataset)
    ]


def clean_output(dataset: Dataset, *, older_than_s: float = 0.0, is_dry: bool = False) -> TreeSize:
    """Remove for good what lies in `stale/`; return how much it is.

    Args:
        older_than_s: only of runs that have begun so long ago.
        is_dry: only count.

    Raises:
        UserError: a run of it, or of one of its shards, goes on (10); it can't be removed (5).
    """
    if is_dry:
        return _clean(dataset, older_than_s, lambda run_id: None)
    with output_errors(dataset), hold(dataset, new_run_id()):
        # What a killed run left there may have to go back first.
        for each in (dataset, *dataset.shards()):
            settle_output(each)
        return _clean(dataset, older_than_s, lambda run_id: _remove(dataset, run_id))


def _runs(dataset: Dataset) -> list[str]:
    return sorted(dataset.tree.list_folders(dataset.stale))


def _size(dataset: Dataset, run_id: str) -> TreeSize:
    return dataset.tree.tree_size(dataset.stale_folder(run_id))


def _clean(dataset: Dataset, older_than_s: float, remove: Callable[[str], object]) -> TreeSize:
    num_files, num_bytes = 0, 0
    for run_id in _runs(dataset):
        if time.time() - _started_s(dataset, run_id) >= older_than_s:
            size = _size(dataset, run_id)
            remove(run_id)
            num_files, num_bytes = num_files + size.num_files, num_bytes + size.num_bytes
    return TreeSize(num_files, num_bytes)


def _remove(dataset: Dataset, run_id: str) -> None:
    folder = dataset.stale_folder(run_id)
    dataset.tree.remove_folder(folder)
    if dataset.tree.has_folder(folder):
        found, todo = "can't be removed", "look at who owns it, then run again"
        raise LostOutputError(str(folder), found, "", todo)
    # A row without its file means nothing: those in shards' ledgers may stay.
    if files.stat_file(dataset.ledger) is not None:
        with Ledger.open(dataset.ledger) as ledger:
            ledger.aside.drop_run(run_id)


def _started_s(dataset: Dataset, run_id: str) -> float:
    """Return when a run began, in seconds since 1970; by its folder's time where its name fails."""
    if found := _STARTED.match(run_id):
        return datetime.strptime(found[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    stat = files.stat_file(dataset.stale_folder(run_id))
    return stat[1] / 1e9 if stat else 0.0
