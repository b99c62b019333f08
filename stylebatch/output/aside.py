"""What is set aside: images that have no place any more, with all that belongs to them.

A run's folder below `.stylebatch/stale` is laid out as the output is.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from stylebatch.output.layout import Dataset
from stylebatch.system import files, folders, listing


def image_aside(dataset: Dataset, run_id: str, output: str) -> Path:
    """Where an image is that a run has set aside."""
    return _aside(dataset, run_id).image_path(output)


def files_of(dataset: Dataset, output: str) -> tuple[Path, ...]:
    """Where an image and what belongs to it are, if they are; the image last."""
    return (dataset.log_path(output), dataset.side_by_side_path(output), dataset.image_path(output))


def keep_aside(dataset: Dataset, output: str, run_id: str) -> set[Path]:
    """Let an image that is about to be replaced, and what belongs to it, lie aside as well.

    What a run has kept before stays as it is: the same again is no harm.

    Returns:
        the folders that have new entries: to be synced before anything is replaced.
    """
    if dataset.progress_folder(output).exists():
        keep_progress_aside(dataset, output, run_id)
    grown = set()
    kept = files_of(_aside(dataset, run_id), output)
    for source, target in zip(files_of(dataset, output), kept, strict=True):
        # Also a link to nothing is somebody's.
        if not os.path.lexists(target) and os.path.lexists(source):
            files.make_folders_below(dataset.root, target.parent)
            files.link(source, target)
            grown.add(target.parent)
    return grown


def keep_progress_aside(dataset: Dataset, output: str, run_id: str) -> None:
    """Move the pictures on the way to an image that is being replaced; once in a run.

    Those of its successor come while the image stands: a folder aside, which may be empty, says
    that what is in their place is new.
    """
    source, target = (each.progress_folder(output) for each in (dataset, _aside(dataset, run_id)))
    if target.exists():
        return
    if source.exists():
        files.make_folders_below(dataset.root, target.parent)
        files.rename(source, target)
    else:
        files.make_folders_below(dataset.root, target)


def claim_progress(dataset: Dataset, output: str, run_id: str) -> None:
    """Let the pictures on the way that are in place be those of an image that this run goes on
    with, not of the one that it replaces: an earlier run has moved these."""
    if dataset.progress_folder(output).exists():
        folder = _aside(dataset, run_id).progress_folder(output)
        files.make_folders_below(dataset.root, folder)


def put_back(dataset: Dataset, output: str, run_id: str) -> None:
    """Put what a run has kept aside of an image into its place, whatever is there."""
    aside = _aside(dataset, run_id)
    emptied = set()
    for source, target in zip(files_of(aside, output), files_of(dataset, output), strict=True):
        if files.stat_file(source) is not None:
            files.make_folders_below(dataset.root, target.parent)
            files.rename(source, target)
            files.remove_file(source)  # where both were names of one file, both are still there
            files.sync_folder(target.parent)
            emptied.add(source.parent)
    kept, place = aside.progress_folder(output), dataset.progress_folder(output)
    if kept.exists():
        folders.remove_tree(place)
        files.make_folders_below(dataset.root, place.parent)
        files.rename(kept, place)
        folders.remove_empty_folders(place, dataset.progress)
        emptied.add(kept.parent)
    _remove_empty(dataset, emptied)


def take_back(
    dataset: Dataset, from_run: str, from_output: str, output: str, run_id: str
) -> set[Path]:
    """Put an image that lies aside, and what belongs to it, in place; it lies aside as well then.

    Args:
        from_run, from_output: which run set it aside, and its path below `images/` then.
        run_id: of the run that takes it back.

    Returns:
        the folders that have new entries.
    """
    aside, grown = _aside(dataset, from_run), set()
    temporary = dataset.temporary_folder(run_id) / "taken-back.tmp"
    files.make_folders_below(dataset.root, temporary.parent)
    place = dataset.progress_folder(output)
    moves = [(each, place / each.name) for each in _files_in(aside.progress_folder(from_output))]
    moves += zip(files_of(aside, from_output), files_of(dataset, output), strict=True)
    for source, target in moves:
        if target != dataset.image_path(output) and files.stat_file(source) is None:
            files.remove_file(target)  # of the image that stood there
            continue
        files.make_folders_below(dataset.root, target.parent)
        files.link(source, temporary)
        files.rename(temporary, target)
        files.remove_file(temporary)  # as in `put_back`
        grown.add(target.parent)
    return grown


def remove_aside(dataset: Dataset, run_id: str, outputs: Iterable[str]) -> None:
    """Remove images, and what belongs to them, from where a run has set them aside."""
    aside, emptied = _aside(dataset, run_id), set()
    for output in outputs:
        progress = aside.progress_folder(output)
        for path in (*files_of(aside, output), *_files_in(progress)):
            files.remove_file(path)
            emptied.add(path.parent)
        emptied.add(progress)
    _remove_empty(dataset, emptied)


def set_aside(dataset: Dataset, outputs: Iterable[str], run_id: str) -> int:
    """Move images, and what belongs to them, to a run's stale folder; return how many.

    Folders that are empty then are removed: `ImageFolder` takes each one for a class.
    """
    outputs = list(outputs)
    aside = _aside(dataset, run_id)
    of_progress = list(_names(dataset.progress, _progress_files(dataset, outputs)))
    logs = list(_names(dataset.losses, map(dataset.log_path, outputs)))
    rows = list(_names(dataset.side_by_side, map(dataset.side_by_side_path, outputs)))
    _move(dataset.losses, logs, aside.losses)
    _move(dataset.side_by_side, rows, aside.side_by_side)
    _move(dataset.progress, of_progress, aside.progress)
    return _move(dataset.images, outputs, aside.images)


def _aside(dataset: Dataset, run_id: str) -> Dataset:
    return Dataset(dataset.stale_folder(run_id))


def _progress_files(dataset: Dataset, outputs: Iterable[str]) -> Iterator[Path]:
    for output in outputs:
        yield from _files_in(dataset.progress_folder(output))


def _files_in(folder: Path) -> list[Path]:
    return [folder / name for name in listing.list_sizes(folder)]


def _names(root: Path, paths: Iterable[Path]) -> Iterator[str]:
    return (path.relative_to(root).as_posix() for path in paths)


def _move(root: Path, paths: Iterable[str], target: Path) -> int:
    moved, left = 0, set()
    for path in paths:
        if files.stat_file(root / path) is not None:
            files.move(root / path, target / path)
            moved += 1
            left.add(path.rpartition("/")[0])
    for folder in left:
        # On the disk before the ledger forgets them, or a power cut could bring them back.
        files.sync_folder(target / folder)
        files.sync_folder(folders.remove_empty_folders(root / folder, root))
    return moved


def _remove_empty(dataset: Dataset, emptied: Iterable[Path]) -> None:
    for folder in emptied:
        folders.remove_empty_folders(folder, dataset.stale)
