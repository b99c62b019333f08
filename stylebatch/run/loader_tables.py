"""The tables inside `images/` that Hugging Face's `imagefolder` takes its columns from.

It reads a `metadata.jsonl` where it finds one among a split's files, loads the images of its lines,
whose paths begin at the table's own folder, and no others. So each split's folder has one, of its
images; what is in no split is told of at the top.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from stylebatch.output.by_names import table_folder
from stylebatch.output.json_lines import json_line
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.system import files, folders
from stylebatch.system.log import logger

# Of each of them the type is the same in every line, and none is null: it compares the types that
# the first lines of each table have.
COLUMNS = (
    *("file_name", "label", "split", "kind", "pair"),
    *("content", "style", "variant", "strength"),
)

Row = dict[str, Any]


@contextmanager
def loader_tables(dataset: Dataset) -> Iterator[Callable[[Row], Row]]:
    """Let lines of the metadata be told one by one, which are given back; then replace the tables.

    One of a folder that is not there is left out, and one that somebody else wrote is left alone.
    Those of folders that have no images any more are removed, and their folders if that is all.
    """
    listed = set(_listed(dataset))
    writers: dict[str, Callable[[str], object] | None] = {}
    with ExitStack() as stack:

        def tell(row: Row) -> Row:
            folder = row["file_name"].partition("/")[2].rpartition("/")[0]
            top = table_folder(folder, row["split"])
            if top not in writers:
                writers[top] = _begin(dataset, top, stack)
            if write := writers[top]:
                write(json_line(_line(row, top)))
            return row

        yield tell
        # First: what a kill leaves can be found, and removed where it has no place any more.
        written = {top for top, write in writers.items() if write}
        _list(dataset, listed | written)
    for top in listed - written:
        path = dataset.loader_table(top)
        if _is_ours(path):
            files.remove_file(path)
            folders.remove_empty_folders(path.parent, dataset.images)
    _list(dataset, written)


def has_loader_tables(dataset: Dataset) -> bool:
    """Whether all are there that were written last."""
    if files.stat_file(dataset.tables) is None:
        return False
    return all(files.stat_file(dataset.loader_table(top)) for top in _listed(dataset))


def _begin(dataset: Dataset, top: str, stack: ExitStack) -> Callable[[str], object] | None:
    path = dataset.loader_table(top)
    if not dataset.tree.has_folder(path.parent):
        return None
    files.make_folders_below(dataset.root, path.parent)  # of a state, which has no images
    if files.stat_file(path) is not None and not _is_ours(path):
        logger.warning("%s is not stylebatch's: it is left as it is", path)
        return None
    # Beside the images nothing is seen before it is whole.
    return stack.enter_context(files.lines_atomic(path, dataset.unfinished_table))


def _line(row: Mapping[str, Any], top: str) -> Row:
    """Return what a table says of an image: values of one type, whatever the row has none of."""
    below = f"{IMAGES}/{top}/" if top else f"{IMAGES}/"
    return {
        "file_name": row["file_name"].removeprefix(below),
        "label": row["label"] or "",
        "split": row["split"] or "train",
        "kind": row["kind"],
        "pair": row["pair"],
        "content": row["content"],
        "style": row["style"] or "",
        "variant": row["variant"] or 0,
        "strength": float(row["strength"]),
    }


def _is_ours(path: Path) -> bool:
    """Whether we wrote a table that is there: its first line has our columns, in our order."""
    try:
        with path.open("rb") as file:
            return tuple(json.loads(file.readline())) == COLUMNS
    except (OSError, ValueError, TypeError):
        return False


def _listed(dataset: Dataset) -> list[str]:
    """Return the folders whose tables were written last, POSIX below `images/`."""
    try:
        found: list[str] = json.loads(files.read_bytes(dataset.tables))["folders"]
    except FileNotFoundError:
        return []
    return found


def _list(dataset: Dataset, tops: Iterable[str]) -> None:
    found = sorted(tops)
    if files.stat_file(dataset.tables) is None or found != sorted(_listed(dataset)):
        files.write_json_atomic(dataset.tables, {"folders": found})
