"""What is set aside: images that have no place any more, with all that belongs to them.

A run's folder below `.stylebatch/stale` is laid out as the output is.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from stylebatch.output.layout import Dataset


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
    tree = dataset.tree
    if tree.has_folder(dataset.progress_folder(output)):
        keep_progress_aside(dataset, output, run_id)
    grown = set()
    kept = files_of(_aside(dataset, run_id), output)
    for source, target in zip(files_of(dataset, output), kept, strict=True):
        if not tree.stands(target) and tree.stands(source):
            tree.link(source, target)
            grown.add(target.parent)
    return grown


def keep_progress_aside(dataset: Dataset, output: str, run_id: str) -> None:
    """Move the pictures on the way to an image that is being replaced; once in a run.

    Those of its successor come while the image stands: a folder aside, which may be empty, says
    that what is in their place is new.
    """
    tree = dataset.tree
    source, target = (each.progress_folder(output) for each in (dataset, _aside(dataset, run_id)))
    if tree.has_folder(target):
        return
    if tree.has_folder(source):
        tree.move_folder(source, target)
    else:
        tree.make_folder(target)


def claim_progress(dataset: Dataset, output: str, run_id: str) -> None:
    """Let the pictures on the way that are in place be those of an image that this run goes on
    with, not of the one that it replaces: an earlier run has moved these."""
    if dataset.tree.has_folder(dataset.progress_folder(output)):
        dataset.tree.make_folder(_aside(dataset, run_id).progress_folder(output))


def put_back(dataset: Dataset, output: str, run_id: str) -> None:
    """Put what a run has kept aside of an image into its place, whatever is there."""
    tree, aside = dataset.tree, _aside(dataset, run_id)
    emptied = set()
    for source, target in zip(files_of(aside, output), files_of(dataset, output), strict=True):
        if tree.size(source) is not None:
            tree.move(source, target)
            tree.settle([target.parent])
            emptied.add(source.parent)
    kept, place = aside.progress_folder(output), dataset.progress_folder(output)
    if tree.has_folder(kept):
        tree.remove_folder(place)
        tree.move_folder(kept, place)
        tree.prune(place, dataset.progress)
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
    tree, aside, grown = dataset.tree, _aside(dataset, from_run), set()
    temporary = dataset.temporary_folder(run_id) / "taken-back.tmp"
    place = dataset.progress_folder(output)
    moves = [
        (each, place / each.name) for each in _files_in(dataset, aside.progress_folder(from_output))
    ]
    moves += zip(files_of(aside, from_output), files_of(dataset, output), strict=True)
    for source, target in moves:
        if target != dataset.image_path(output) and tree.size(source) is None:
            tree.remove(target)  # of the image that stood there
            continue
        tree.replace(source, target, temporary)
        grown.add(target.parent)
    return grown


def remove_aside(dataset: Dataset, run_id: str, outputs: Iterable[str]) -> None:
    """Remove images, and what belongs to them, from where a run has set them aside."""
    aside, emptied = _aside(dataset, run_id), set()
    for output in outputs:
        progress = aside.progress_folder(output)
        for path in (*files_of(aside, output), *_files_in(dataset, progress)):
            dataset.tree.remove(path)
            emptied.add(path.parent)
        emptied.add(progress)
    _remove_empty(dataset, emptied)


def set_aside(dataset: Dataset, outputs: Iterable[str], run_id: str) -> int:
    """Move images, and what belongs to them, to a run's stale folder; return how many.

    Folders that are empty then are removed: `ImageFolder` takes each one for a class.
    """
    outputs = list(outputs)
    aside = _aside(dataset, run_id)
    of_progress = list(_progress_files(dataset, outputs))
    _move(dataset, map(dataset.log_path, outputs), dataset.losses, aside.losses)
    rows = map(dataset.side_by_side_path, outputs)
    _move(dataset, rows, dataset.side_by_side, aside.side_by_side)
    _move(dataset, of_progress, dataset.progress, aside.progress)
    return _move(dataset, map(dataset.image_path, outputs), dataset.images, aside.images)


def _aside(dataset: Dataset, run_id: str) -> Dataset:
    return Dataset(dataset.stale_folder(run_id))


def _progress_files(dataset: Dataset, outputs: Iterable[str]) -> Iterator[Path]:
    if dataset.tree.has_folder(dataset.progress):
        for output in outputs:
            yield from _files_in(dataset, dataset.progress_folder(output))


def _files_in(dataset: Dataset, folder: Path) -> list[Path]:
    return [folder / name for name in dataset.tree.sizes(folder)]


def _move(dataset: Dataset, paths: Iterable[Path], root: Path, target: Path) -> int:
    tree = dataset.tree
    moved = tree.move_all((path, target / path.relative_to(root)) for path in paths)
    for folder, there in {source.parent: target.parent for source, target in moved}.items():
        # On the disk before the ledger forgets them, or a power cut could bring them back.
        tree.settle([there])
        tree.settle([tree.prune(folder, root)])
    return len(moved)


def _remove_empty(dataset: Dataset, emptied: Iterable[Path]) -> None:
    for folder in emptied:
        dataset.tree.prune(folder, dataset.stale)
