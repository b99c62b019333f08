"""What is set aside: images that have no place any more, with all that belongs to them.

A run's folder below `.stylebatch/stale` is laid out as the output is.
"""

from collections.abc import Iterable
from pathlib import Path

from stylebatch.output.layout import Dataset
from stylebatch.system import files


def set_aside(dataset: Dataset, outputs: Iterable[str], run_id: str) -> int:
    """Move images, and what belongs to them, to a run's stale folder; return how many.

    Folders that are empty then are removed: `ImageFolder` takes each one for a class.
    """
    outputs = list(outputs)
    aside = Dataset(dataset.stale_folder(run_id))
    of_progress = [
        path.relative_to(dataset.progress).as_posix()
        for output in outputs
        for path in _files_in(dataset.progress_folder(output))
    ]
    logs = [dataset.log_path(output).relative_to(dataset.losses).as_posix() for output in outputs]
    _move(dataset.losses, logs, aside.losses)
    _move(dataset.side_by_side, outputs, aside.side_by_side)
    _move(dataset.progress, of_progress, aside.progress)
    return _move(dataset.images, outputs, aside.images)


def _files_in(folder: Path) -> list[Path]:
    return [folder / name for name in files.list_sizes(folder)]


def _move(root: Path, paths: Iterable[str], target: Path) -> int:
    moved, folders = 0, set()
    for path in paths:
        if files.stat_file(root / path) is not None:
            files.move(root / path, target / path)
            moved += 1
            folders.add(path.rpartition("/")[0])
    for folder in folders:
        # On the disk before the ledger forgets them, or a power cut could bring them back.
        files.sync_folder(target / folder)
        files.sync_folder(files.remove_empty_folders(root / folder, root))
    return moved
