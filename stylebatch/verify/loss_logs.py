"""Loss logs held against the images that they are of."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import COLUMNS

_HEADER = ",".join(COLUMNS)
_EVALUATION, _TOTAL = COLUMNS.index("evaluation"), COLUMNS.index("total")
# Nine digits, and in a table a float32, are as near as this.
_NEAR = 1e-6


def trouble_of_file(data: bytes, facts: Mapping[str, Any]) -> str:
    """Return what is wrong with a CSV of an image, "" if nothing.

    Args:
        facts: of the image: `evaluations`, and `losses` with the `total` of what was kept.
    """
    text = data.decode("ascii", "replace")
    if not text.endswith("\n"):
        return "it ends in the middle of a line"
    header, *lines = text.splitlines()
    if header != _HEADER:
        return f"its first line is not {_HEADER}"
    try:
        rows = [tuple(map(float, line.split(","))) for line in lines]
    except ValueError:
        return "it has something else than numbers"
    if any(len(row) != len(COLUMNS) for row in rows):
        return f"it has a line with another number of columns than {len(COLUMNS)}"
    return trouble_of_rows([row[_EVALUATION] for row in rows], [row[_TOTAL] for row in rows], facts)


def trouble_of_rows(
    evaluations: Sequence[float], totals: Sequence[float], facts: Mapping[str, Any]
) -> str:
    """Return how the evaluations of an image and their totals don't fit its facts, "" if they do.

    Args:
        facts: as in `trouble_of_file`.
    """
    if list(evaluations) != list(range(1, len(evaluations) + 1)):
        return "its evaluations are not 1, 2, …"
    if len(evaluations) != facts.get("evaluations"):
        return f"it has evaluations 1 to {len(evaluations)}, its image {facts.get('evaluations')}"
    kept = (facts.get("losses") or {}).get("total")
    if kept is None or any(math.isclose(total, kept, rel_tol=_NEAR) for total in totals):
        return ""
    return f"the image's own loss, {kept:.6g}, is none of its evaluations'"


def is_logged(row: Mapping[str, Any]) -> bool:
    """Whether an image, as the ledger tells of it, was made with a log of its losses."""
    facts = row["facts"]
    # What was not optimised has no losses; `losses: none` writes none, and says so.
    return bool(facts.get("losses")) and facts.get("loss_log", "") is not None


def trouble_of_log(dataset: Dataset, row: Mapping[str, Any]) -> str:
    """Return what is wrong with the CSV of an image that has one, "" if nothing."""
    try:
        data = dataset.tree.read(dataset.log_path(row["output"]))
    except FileNotFoundError:
        return "it is not there"
    except OSError as error:
        return f"it can't be read ({error.strerror or error})"
    return trouble_of_file(data, row["facts"])


def has_any_file(dataset: Dataset) -> bool:
    """Whether there is any loss log as CSV: else `losses: none` was said, in an older version."""
    return any(True for _ in dataset.tree.walk(dataset.losses, frozenset({".csv"})))


class Tables:
    """Images whose losses are in tables: looked at when all are known, as a table has several."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}

    def add(self, row: Mapping[str, Any]) -> None:
        """Take an image, as the ledger tells of it."""
        facts = row["facts"]
        kept = {"evaluations": facts.get("evaluations"), "losses": facts.get("losses")}
        self._waiting.setdefault(facts["loss_log"], []).append((row["output"], kept))

    def troubles(self, dataset: Dataset) -> Iterator[tuple[str, str, str]]:
        """Yield image, table (its name) and what is wrong, where something is."""
        for name, images in self._waiting.items():
            try:
                found = read_table(dataset.tree.read(dataset.log_table_path(name)))
            except FileNotFoundError:
                yield from ((output, name, "it is not there") for output, _ in images)
                continue
            except (OSError, ValueError) as error:
                yield from ((output, name, f"it can't be read ({error})") for output, _ in images)
                continue
            if found is None:
                continue
            for output, facts in images:
                evaluations, totals = found.get(output, ([], []))
                if trouble := trouble_of_rows(evaluations, totals, facts):
                    yield output, name, trouble


def read_table(data: bytes) -> dict[str, tuple[list[float], list[float]]] | None:
    """Return the evaluations and totals of each image in a table; None where nothing reads Parquet.

    Raises:
        ValueError: it is damaged.
    """
    try:
        import pyarrow  # type: ignore[import-untyped]
        from pyarrow import parquet
    except ImportError:
        return None
    columns = ["file_name", "evaluation", "total"]
    table = parquet.read_table(pyarrow.BufferReader(data), columns=columns).to_pydict()
    found: dict[str, tuple[list[float], list[float]]] = {}
    for name, evaluation, total in zip(*(table[column] for column in columns), strict=True):
        evaluations, totals = found.setdefault(name, ([], []))
        evaluations.append(evaluation)
        totals.append(total)
    return found
