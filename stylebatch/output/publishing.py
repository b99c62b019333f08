"""Records between an output's state folder and its store: written here, read by others there.

All that stands in the state folder is in the store as well, but for `.stylebatch`.
"""

import errno
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from stylebatch.errors import UserError
from stylebatch.output.json_lines import read_mapping
from stylebatch.output.layout import Dataset
from stylebatch.output.lease import check_not_elsewhere
from stylebatch.output.lock import putting_records
from stylebatch.output.stored_tree import StoredTree, at_once
from stylebatch.system import files, object_stores, object_writes
from stylebatch.system.crash_points import reached
from stylebatch.system.log import logger
from stylebatch.system.object_stores import StoredObject

# A file that is larger goes up in parts, which can't be conditional.
_MOST_AT_ONCE = 2**26


class _Known(NamedTuple):
    """A file as it was put into the store, and what the store said of it."""

    size: int
    mtime_ns: int
    etag: str


# None: a run was killed while it was put there.
_Published = dict[str, _Known | None]


def publish(dataset: Dataset, tell: Callable[[str], object] = logger.warning) -> int:
    """Put what has changed in the state folder into the store; return how many files.

    What somebody has edited in the store meanwhile lies aside there.

    Args:
        tell: is told of that.

    Raises:
        OSError: the store can't be written.
    """
    if dataset.stored is None:
        return 0
    with putting_records(dataset):
        return _publish(dataset, dataset.stored, tell)


def _publish(dataset: Dataset, tree: StoredTree, tell: Callable[[str], object]) -> int:
    known, now = _read(dataset), dict(_files(dataset.root))
    changed = [path for path, stat in now.items() if not _is_as_known(known.get(path), stat)]
    gone = [path for path in known if path not in now]
    if not (changed or gone):
        return 0
    _check_current(dataset, tree, known)
    # What a kill leaves is nobody's edit.
    _write(dataset, known | dict.fromkeys(changed))

    def put(path: str) -> _Known:
        is_begun = path in known and known[path] is None
        return _put(dataset, path, now[path], known.get(path), None if is_begun else tell)

    done = dict(zip(changed, at_once(put, changed), strict=True))
    reached("records-stored")
    object_writes.delete([tree.url(dataset.root / path) for path in gone])
    kept = {path: each for path, each in known.items() if path in now}
    _write(dataset, {**kept, **done})
    return len(changed) + len(gone)


def _check_current(dataset: Dataset, tree: StoredTree, known: _Published) -> None:
    """Refuse to put records there where a run with another state has newer ones, or will have.

    Raises:
        OutputHeldError: it is writing there.
        UserError: it has ended since.
    """
    check_not_elsewhere(tree, dataset.holder)
    check_still_there(dataset)
    name = dataset.summary.name
    if (told := known.get(name)) is None:
        return
    found = tree.find(dataset.summary)
    if found is not None and found.etag != told.etag:
        todo = "`stylebatch run` takes in what it has made"
        found_there = f"a run with another state than {dataset.root} has gone on there since"
        raise UserError(dataset.place, found_there, "", todo)


def check_still_there(dataset: Dataset) -> None:
    """Refuse a store in which nothing is of what was put there: it may be another one.

    Raises:
        UserError: so it is.
        OSError: the store can't be read.
    """
    records = {name for name, known in _read(dataset).items() if known and "/" not in name}
    if dataset.stored is None or not records:
        return
    listed = object_stores.list_folder(dataset.stored.prefix).objects
    if records.isdisjoint(each.key.rpartition("/")[2] for each in listed):
        found = f"has none of the records that were put there, as {dataset.root} tells"
        todo = "look at bucket and endpoint; to make all of it anew, remove that folder"
        raise UserError(dataset.place, found, "", todo)


def _is_as_known(known: _Known | None, stat: tuple[int, int]) -> bool:
    return known is not None and (known.size, known.mtime_ns) == stat


def fetch_records(dataset: Dataset) -> bool:
    """Bring records into a state that is new, or behind, and into any a card that was edited.

    Returns:
        whether it was behind: a run with another state has gone on since.

    Raises:
        OSError: the store can't be read.
    """
    tree = dataset.stored
    if tree is None:
        return False
    before = _read(dataset)
    known = dict(before)
    there = {
        each.key.rpartition("/")[2]: each for each in object_stores.list_folder(tree.prefix)[0]
    }
    is_new = files.stat_file(dataset.ledger) is None and not known
    is_behind = _has_changed(known, there.get(dataset.summary.name), dataset.summary.name)
    for name, each in there.items():
        path = dataset.root / name
        is_record = path in _records(dataset) or path.match("metadata-*.jsonl")
        is_edited_card = path == dataset.card and _has_changed(known, each, name)
        if (is_record and (is_new or is_behind)) or is_edited_card:
            files.write_atomic(path, tree.read(path), make_folders=False)
            known[name] = _told(path, each)
    if known != before or is_new:
        _write(dataset, known)
    return is_behind


def _has_changed(known: _Published, found: StoredObject | None, name: str) -> bool:
    """Whether others have put an object in the place of one that was put from here."""
    told = known.get(name)
    return told is not None and found is not None and found.etag != told.etag


def unpublished(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield what the store holds otherwise than it was put there, and how it is."""
    tree = dataset.stored
    if tree is None:
        return
    there: dict[str, dict[str, str]] = {}
    for path, known in _read(dataset).items():
        folder, _, name = path.rpartition("/")
        if folder not in there:
            found = object_stores.list_folder(tree.url(dataset.root / folder)).objects
            there[folder] = {each.key.rpartition("/")[2]: each.etag for each in found}
        etag = there[folder].get(name)
        if etag is None:
            yield path, "is not in the store"
        elif known is None or etag != known.etag:
            yield path, "is in the store otherwise than it was put there"


def _put(
    dataset: Dataset,
    name: str,
    stat: tuple[int, int],
    before: _Known | None,
    tell: Callable[[str], object] | None,
) -> _Known:
    """Put a file in its place in the store.

    Args:
        before: what was put there last, None of nothing.
        tell: is told of what others have put there; None where that may be ours.
    """
    path, tree = dataset.root / name, dataset.stored
    assert tree is not None
    url = tree.url(path)
    data = files.read_bytes(path) if stat[0] <= _MOST_AT_ONCE else path
    if isinstance(data, Path) or tell is None:
        object_writes.put(url, data)
        return _told(path, object_stores.head(url), stat)
    seen = StoredObject("", before.size, before.etag) if before else None
    try:
        object_writes.put(url, data, is_new=seen is None, replaces=seen)
    except FileNotFoundError:
        object_writes.put(url, data)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ESTALE):
            raise
        if tree.read(path) != data:
            _keep_aside(dataset, path, tell)
            object_writes.put(url, data)
    return _told(path, object_stores.head(url), stat)


def _keep_aside(dataset: Dataset, path: Path, tell: Callable[[str], object]) -> None:
    """Let what somebody has put in the place of a file of ours lie aside."""
    name = path.relative_to(dataset.root)
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"
    target = dataset.stale_folder(run_id) / name
    dataset.tree.link(path, target)
    tell(
        f"{name.as_posix()} was edited in the store since it was written: as it was then it lies "
        f"in {target.relative_to(dataset.root).as_posix()}"
    )


def _files(root: Path) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield what is to be in the store: paths, with sizes and times."""
    for above, names, found in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".")]
        for name in found:
            path = Path(above, name)
            if not name.startswith(".") and (stat := files.stat_file(path)) is not None:
                yield path.relative_to(root).as_posix(), stat


def _records(dataset: Dataset) -> tuple[Path, ...]:
    return (
        *(dataset.metadata, dataset.settings, dataset.failures, dataset.card),
        dataset.whole.summary,
    )


def _told(path: Path, found: StoredObject, stat: tuple[int, int] | None = None) -> _Known:
    size, mtime_ns = stat or files.stat_file(path) or (0, 0)
    return _Known(size, mtime_ns, found.etag)


def _read(dataset: Dataset) -> _Published:
    told = read_mapping(dataset.published)
    try:
        return {path: each and _Known(*each) for path, each in told.items()}
    except TypeError:
        return {}


def _write(dataset: Dataset, known: _Published) -> None:
    files.write_atomic(dataset.published, json.dumps(known).encode(), make_folders=False)
