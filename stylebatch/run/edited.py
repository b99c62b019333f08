"""Records that somebody has edited are set aside before they are written anew."""

from collections.abc import Iterator
from pathlib import Path

from stylebatch.output.json_lines import read_mapping
from stylebatch.output.layout import Dataset
from stylebatch.run.session import new_run_id
from stylebatch.system import files


def set_edited_aside(dataset: Dataset) -> Iterator[str]:
    """Move records that are not as they were written to `stale/`; yield what to say of each.

    What is known of them is forgotten: until `note_written` says otherwise they are being written,
    and what a kill leaves is nobody's edit.
    """
    written = read_mapping(dataset.written)
    files.remove_file(dataset.written)
    folder = dataset.stale_folder(new_run_id())
    for path in _records(dataset):
        if path.name not in written or files.stat_file(path) is None:
            continue
        if files.digest_file(path) == written[path.name]:
            continue
        target = folder / path.name
        files.move(path, target)
        yield (
            f"{path.name} was edited since it was written: as it was then it lies in "
            f"{target.relative_to(dataset.root).as_posix()}"
        )


def note_written(dataset: Dataset) -> None:
    """Note what the records are, as they have just been written."""
    there = (path for path in _records(dataset) if files.stat_file(path) is not None)
    files.write_json_atomic(dataset.written, {path.name: files.digest_file(path) for path in there})


def _records(dataset: Dataset) -> tuple[Path, ...]:
    return (dataset.metadata, dataset.settings, dataset.failures)
