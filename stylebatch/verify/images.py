"""Every image that the ledger has, held against its file and its loss log."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from itertools import islice
from typing import Any, TypeVar

from stylebatch.errors import UserError
from stylebatch.ledger import Ledger
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.pictures.images import IMAGE_SUFFIXES, decode
from stylebatch.system import files
from stylebatch.system.cores import usable_cores
from stylebatch.verify.differences import Difference, Found, Tell
from stylebatch.verify.loss_logs import Tables, has_any_file, is_logged, trouble_of_log

_BLOCK = 256
# As many blocks under way: no more of a million images is held.
_AHEAD = 2
# Whose files are known by size at a time.
_FOLDERS = 4
T = TypeVar("T")
R = TypeVar("R")
Row = Mapping[str, Any]
# Of the files in a folder below `images/`.
Sizes = Callable[[str], Mapping[str, int]]
# A kind of difference, and what was found.
Told = tuple[str, str]


def look_at_images(
    dataset: Dataset, ledger: Ledger, found: Found, tell: Tell, *, is_quick: bool
) -> None:
    """Note how images and their loss logs differ from what a ledger tells.

    Args:
        is_quick: by sizes and names only.
    """
    total = sum(sum(map(states.get, ("done", "outdated"), (0, 0))) for states in _counts(ledger))
    sizes = lru_cache(_FOLDERS)(partial(_sizes_in, dataset))
    look, tables = partial(_look, dataset, sizes if is_quick else None), Tables()
    for block in in_parallel(look, _with_sizes(ledger), dataset.readers):
        for row, size, differences in block:
            found.images += 1
            found.num_bytes += size
            found.differences += differences
            if is_logged(row) and not is_quick:
                found.loss_logs += 1
                if "loss_log" in row["facts"]:
                    tables.add(row)
        tell("looking at images", found.images, total)
    if not is_quick:
        _look_at_tables(dataset, tables, found)
    _forgive_none(dataset, found)


def _counts(ledger: Ledger) -> Iterable[Mapping[str, int]]:
    return ledger.counts().values()


def _sizes_in(dataset: Dataset, folder: str) -> dict[str, int]:
    return dataset.tree.sizes(dataset.images / folder)


def in_parallel(work: "partial[R]", blocks: Iterable[T], threads: int | None = None) -> Iterator[R]:
    """Yield what work makes of each block, in order; a few are under way at a time."""
    threads = threads or usable_cores()
    with ThreadPoolExecutor(threads) as pool:
        waiting = []
        source = iter(blocks)
        for block in islice(source, threads * _AHEAD):
            waiting.append(pool.submit(work, block))
        while waiting:
            yield waiting.pop(0).result()
            waiting += [pool.submit(work, block) for block in islice(source, 1)]


def _with_sizes(ledger: Ledger) -> Iterator[list[tuple[Row, int]]]:
    """Yield the images that stand with their recorded sizes, in blocks."""
    rows = ledger.done()
    while block := list(islice(rows, _BLOCK)):
        sizes = ledger.known_images(row["output"] for row in block)
        yield [(row, sizes[row["output"]][0]) for row in block]


def _look(
    dataset: Dataset, sizes: Sizes | None, block: Sequence[tuple[Row, int]]
) -> list[tuple[Row, int, list[Difference]]]:
    found = []
    for row, size in block:
        output, num_bytes = row["output"], 0
        if sizes:
            told = _by_size(sizes, output, size)
        else:
            num_bytes, told = _by_bytes(dataset, row, size)
        differences = []
        if told is not None:
            kind, what = told
            differences.append(Difference(kind, f"{IMAGES}/{output}", what, output))
        # What is wrong with an image is mended with its log.
        elif not sizes and is_logged(row) and "loss_log" not in row["facts"]:
            log = dataset.log_path(output).relative_to(dataset.root).as_posix()
            if trouble := trouble_of_log(dataset, row):
                differences.append(Difference("loss log", log, trouble, output))
        found.append((row, num_bytes, differences))
    return found


def _by_size(sizes: Sizes, output: str, size: int) -> Told | None:
    folder, _, name = output.rpartition("/")
    there = sizes(folder).get(name)
    if there is None:
        return "missing", "no file"
    return None if there == size else ("changed", f"{there:,} bytes, not {size:,}")


def _by_bytes(dataset: Dataset, row: Row, size: int) -> tuple[int, Told | None]:
    """Return how many bytes an image has, and how it differs."""
    path, digest = dataset.image_path(row["output"]), row["facts"].get("digest")
    try:
        data = dataset.tree.read(path)
    except FileNotFoundError:
        return 0, ("missing", "no file")
    except OSError as error:
        return 0, ("unreadable", error.strerror or str(error))
    if digest is not None and files.digest_bytes(data) == digest:
        return len(data), None
    if trouble := _trouble_in(data, str(path)):
        return len(data), ("unreadable", trouble)
    if digest is None:
        # Made before there were digests: it can be read, and more is not known.
        is_changed = len(data) != size
        return len(data), ("changed", f"{len(data):,} bytes, not {size:,}") if is_changed else None
    what = "a readable image, but not the one that was written: retouched, or replaced"
    return len(data), ("changed", what)


def _trouble_in(data: bytes, where: str) -> str:
    try:
        decode(data, where)
    except UserError as error:
        return str(error).removeprefix(f"{where}: ")
    return ""


def _look_at_tables(dataset: Dataset, tables: Tables, found: Found) -> None:
    gone = set(found.outputs(("missing", "changed", "unreadable")))
    for output, name, trouble in tables.troubles(dataset):
        if output not in gone:
            path = dataset.log_table_path(name).relative_to(dataset.root).as_posix()
            told = f"{trouble} (of {IMAGES}/{output})"
            found.differences.append(Difference("loss log", path, told, output))


def _forgive_none(dataset: Dataset, found: Found) -> None:
    """Say nothing of logs where there are none at all: older versions told of no `none`."""
    if found.counts().get("loss log") == found.loss_logs and not has_any_file(dataset):
        found.differences = [each for each in found.differences if each.kind != "loss log"]
        found.notes.append(
            "there are no loss logs at all (`losses: none`, or removed): none is missed"
        )
        found.loss_logs = 0


def look_for_others(dataset: Dataset, ledger: Ledger, found: Found, tell: Tell) -> None:
    """Note images in the tree that are not in the ledger, or not done there."""
    looked = 0
    for _, stats in dataset.tree.walk(dataset.images, IMAGE_SUFFIXES):
        for start in range(0, len(stats), _BLOCK):
            outputs = [stat.path for stat in stats[start : start + _BLOCK]]
            standing = ledger.known_images(outputs)
            others = [output for output in outputs if output not in standing]
            begun = ledger.has_jobs(others)
            for output in others:
                kind = "unrecorded" if output in begun else "extra"
                told = "the ledger has it as not done" if output in begun else "no run has made it"
                found.differences.append(Difference(kind, f"{IMAGES}/{output}", told, output))
            looked += len(outputs)
            tell("looking for others", looked, None)
