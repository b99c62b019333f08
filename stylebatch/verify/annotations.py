"""Files of annotations held against what the ledger knows of them."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

from stylebatch.ledger import AnnotationFile, Ledger
from stylebatch.output.layout import Dataset
from stylebatch.system import files
from stylebatch.verify.differences import Difference, Found, Tell
from stylebatch.verify.images import in_parallel

_BLOCK = 256


def look_at_annotations(
    dataset: Dataset, ledger: Ledger, found: Found, tell: Tell, *, is_quick: bool
) -> None:
    """Note files of annotations that are missing or have been changed."""
    look = partial(_look, dataset, is_quick=is_quick)
    for num_files, differences in in_parallel(look, _blocks(ledger.annotations.all())):
        found.annotations += num_files
        found.differences += differences
        tell("looking at annotations", found.annotations, None)


def _blocks(rows: Iterator[AnnotationFile]) -> Iterator[list[AnnotationFile]]:
    while block := list(islice(rows, _BLOCK)):
        yield block


def _look(
    dataset: Dataset, rows: Sequence[AnnotationFile], *, is_quick: bool
) -> tuple[int, list[Difference]]:
    told = [(row.path, _trouble(dataset, row, is_quick=is_quick)) for row in rows]
    return len(rows), [Difference("annotation", path, what) for path, what in told if what]


def _trouble(dataset: Dataset, row: AnnotationFile, *, is_quick: bool) -> str:
    path = dataset.root / row.path
    stat = files.stat_file(path)
    if stat is None:
        return "is not there"
    if stat[0] != row.size:
        return f"{stat[0]:,} bytes, not {row.size:,}: somebody has changed it"
    try:
        is_same = is_quick or files.digest_file(path) == row.digest
    except OSError as error:
        return f"can't be read ({error.strerror or error})"
    return "" if is_same else "other bytes than were written: somebody has changed it"
