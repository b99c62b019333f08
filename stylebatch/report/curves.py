"""Losses by evaluation: read from the loss logs, and thinned to what a small chart can show."""

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import COLUMNS
from stylebatch.report.records import Row, name_of
from stylebatch.system import files

TERMS = ("total", "content", "style", "tv")
MOST_POINTS = 80
# So many curves at most: more would take as long to read as all else together.
MOST_CURVES = 20_000
# A pair's curves are taken together from so many of its images.
MOST_TOGETHER = 300

# (evaluations, columns of a loss log).
Log = NDArray[np.float64]
# Evaluations, each term's loss at them, and the positions at which a level of the pyramid begins.
Curve = dict[str, list[Any]]
# Is told how many logs were read of how many.
Tell = Callable[[int, int], object]


class LogKind(IntEnum):
    """What there is of an image's losses: a curve, and a file that a reader may open."""

    NONE = 0
    CSV = 1
    TABLE = 2
    # More than `MOST_CURVES` come before it.
    UNREAD = 3


def log_kinds(images: Sequence[Row], curves: Mapping[str, Curve]) -> list[LogKind]:
    """Return of each image what there is."""
    kinds, num_optimised = [], 0
    for row in images:
        num_optimised += bool(row.get("losses"))
        if name_of(row) in curves:
            kinds.append(LogKind.TABLE if row.get("loss_log") else LogKind.CSV)
        elif row.get("losses") and num_optimised > MOST_CURVES and not row.get("loss_log"):
            kinds.append(LogKind.UNREAD)
        else:
            kinds.append(LogKind.NONE)
    return kinds


def read_curves(dataset: Dataset, images: Sequence[Row], tell: Tell) -> dict[str, Curve]:
    """Return the curves of those images that have a loss log, by their path below `images/`.

    Of a set with more than `MOST_CURVES` of them, of the first; none of a log that is damaged.
    """
    optimised = [row for row in images if row.get("losses")][:MOST_CURVES]
    curves: dict[str, Curve] = {}
    in_tables: dict[str, set[str]] = {}
    for number, row in enumerate(optimised, 1):
        name = name_of(row)
        if table := row.get("loss_log"):
            in_tables.setdefault(table, set()).add(name)
        elif curve := thin(_read_log(dataset.log_path(name))):
            curves[name] = curve
        tell(number, len(optimised))
    if in_tables and importlib.util.find_spec("pyarrow"):
        for table, names in in_tables.items():
            for name, rows in _read_table(dataset.log_table_path(table), names):
                if curve := thin(rows):
                    curves[name] = curve
    return curves


def _read_log(path: Path) -> Log | None:
    """Return a log's numbers; the csv module would take four times as long, over all the page."""
    try:
        head, _, body = files.read_bytes(path).decode("ascii").partition("\n")
        numbers = list(map(float, body.strip().replace("\n", ",").split(",")))
        if tuple(head.strip().split(",")) == COLUMNS:
            return np.array(numbers).reshape(-1, len(COLUMNS))
    except (OSError, ValueError):  # gone, cut, or somebody's own
        pass
    return None


def _read_table(path: Path, names: set[str]) -> Iterator[tuple[str, Log]]:
    # Takes a while, and only an output with such tables has it.
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        table = parquet.read_table(path)
        # An image's rows are those of the file that its metadata name.
        of_file = np.array([each == path.name for each in table["loss_log"].to_pylist()])
        of_image = np.array(table["file_name"].to_pylist(), dtype=object)
        numbers = np.column_stack([np.asarray(table[key], dtype=float) for key in COLUMNS])
    except (OSError, KeyError, ValueError, ArrowException):
        return
    for name in sorted(names):
        yield name, numbers[of_file & (of_image == name)]


def thin(log: Log | None) -> Curve | None:
    """Return what a chart shows of a loss log: points that the optimiser went on from.

    At most `MOST_POINTS`, evenly over them, the first and the last among them; losses in four
    digits, None where one is no number. None of a log without such points.
    """
    if log is None:
        return None
    points = log[log[:, COLUMNS.index("accepted")] == 1]
    if not len(points):
        return None
    if len(points) > MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)]
    levels = points[:, COLUMNS.index("level")]
    values = {term: _short(points[:, COLUMNS.index(term)]) for term in TERMS}
    at = points[:, COLUMNS.index("evaluation")].astype(int).tolist()
    return {"at": at, **values, "levels": (np.flatnonzero(np.diff(levels)) + 1).tolist()}


def _short(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers in four digits; what is none is none in JSON either."""
    is_known = np.isfinite(values)
    sizes = np.abs(np.where(is_known & (values != 0), values, 1.0))
    scale = 10.0 ** (3 - np.floor(np.log10(sizes)))
    rounded = (np.round(np.where(is_known, values, 0.0) * scale) / scale).tolist()
    return [value if known else None for value, known in zip(rounded, is_known, strict=True)]


def together(images: Sequence[Row], curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """Return each pair's medians: of its images' losses at each evaluation that most of them had.

    Pairs have settings of their own, and losses of other settings are not comparable. The pair with
    most curves comes first.
    """
    by_pair: dict[str, list[Curve]] = {}
    for row in images:
        if curve := curves.get(name_of(row)):
            by_pair.setdefault(row.get("pair") or "", []).append(curve)
    return [
        {"pair": pair, "images": len(found), **_medians(_spread(found))}
        for pair, found in sorted(by_pair.items(), key=lambda item: -len(item[1]))
    ]


def _spread(curves: list[Curve]) -> list[Curve]:
    step = max(1, -(-len(curves) // MOST_TOGETHER))
    return curves[::step]


def _medians(curves: Sequence[Curve]) -> dict[str, list[Any]]:
    """Return medians of each term, and tenths of the total, over evaluations.

    Every curve counts with its last point before or at an evaluation; the axis ends where half of
    them have ended.
    """
    ends = sorted(curve["at"][-1] for curve in curves)
    last = ends[len(ends) // 2]
    num_points = min(MOST_POINTS, last)
    at = sorted({max(1, round((n + 1) * last / num_points)) for n in range(num_points)})
    found: dict[str, list[Any]] = {"at": at, **{term: [] for term in TERMS}, "low": [], "high": []}
    places = [0] * len(curves)
    for evaluation in at:
        for number, curve in enumerate(curves):
            while places[number] + 1 < len(curve["at"]) and (
                curve["at"][places[number] + 1] <= evaluation
            ):
                places[number] += 1
        for term in TERMS:
            values = sorted(
                value
                for curve, place in zip(curves, places, strict=True)
                if (value := curve[term][place]) is not None
            )
            found[term].append(float(f"{median(values):.4g}") if values else None)
            if term == "total":
                found["low"].append(values[len(values) // 10] if values else None)
                found["high"].append(values[-1 - len(values) // 10] if values else None)
    return found


assert set(TERMS) <= set(COLUMNS)
