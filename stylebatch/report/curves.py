"""Losses by evaluation: read from the loss logs, and thinned to what a small chart can show."""

import csv
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import COLUMNS
from stylebatch.report.records import Row, name_of

TERMS = ("total", "content", "style", "tv")
MOST_POINTS = 100
# So many curves at most: more would take as long to read as all else together.
MOST_CURVES = 20_000
# A pair's curves are taken together from so many of its images.
MOST_TOGETHER = 300

# A row of a loss log: its columns as text or numbers.
LogRow = Mapping[str, Any]
# Evaluations, each term's loss at them, and the positions at which a level of the pyramid begins.
Curve = dict[str, list[Any]]
# Is told how many logs were read of how many.
Tell = Callable[[int, int], object]


def read_curves(dataset: Dataset, images: Sequence[Row], tell: Tell) -> dict[str, Curve]:
    """Return the curves of those images that have a loss log, by their path below `images/`."""
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
            for name, rows in _read_table(dataset.log_table_path(table), names).items():
                if curve := thin(rows):
                    curves[name] = curve
    return curves


def _read_log(path: Path) -> list[LogRow]:
    with (
        suppress(OSError, UnicodeError, csv.Error),
        path.open(encoding="utf-8", newline="") as file,
    ):
        return list(csv.DictReader(file))
    return []


def _read_table(path: Path, names: set[str]) -> dict[str, list[LogRow]]:
    # Takes a while, and only an output with such tables has it.
    from pyarrow import ArrowException, parquet  # type: ignore[import-untyped]

    try:
        rows = parquet.read_table(path).to_pylist()
    except (OSError, ArrowException):
        return {}
    found: dict[str, list[LogRow]] = {}
    for row in rows:
        if row["file_name"] in names and row["loss_log"] == path.name:
            found.setdefault(row["file_name"], []).append(row)
    return found


def thin(rows: Iterable[LogRow]) -> Curve | None:
    """Return what a chart shows of a loss log: points that the optimiser went on from.

    At most `MOST_POINTS`, evenly over the evaluations, the first and the last among them.
    None of a log without such points, or one that is damaged.
    """
    try:
        points = [
            (int(row["evaluation"]), int(row["level"]), *(float(row[term]) for term in TERMS))
            for row in rows
            if str(row["accepted"]) in ("1", "True")
        ]
    except (KeyError, TypeError, ValueError):
        return None
    if not points:
        return None
    if len(points) > MOST_POINTS:
        last = len(points) - 1
        points = [points[round(at * last / (MOST_POINTS - 1))] for at in range(MOST_POINTS)]
    columns = list(zip(*points, strict=True))
    levels = columns[1]
    starts = [at for at in range(1, len(levels)) if levels[at] != levels[at - 1]]
    values = {
        term: [_short(value) for value in column]
        for term, column in zip(TERMS, columns[2:], strict=True)
    }
    return {"at": list(columns[0]), **values, "levels": starts}


def _short(value: float) -> float | None:
    """Return a number in four digits; what is none is none in JSON either."""
    return float(f"{value:.4g}") if abs(value) < float("inf") else None


def together(images: Sequence[Row], curves: Mapping[str, Curve]) -> list[dict[str, Any]]:
    """Return each pair's medians: of its images' losses at each evaluation that most of them had.

    Pairs have settings of their own, and losses of other settings are not comparable. The pair with
    most curves comes first.
    """
    by_pair: dict[str, list[Curve]] = {}
    for row in images:
        if curve := curves.get(name_of(row)):
            by_pair.setdefault(row["pair"], []).append(curve)
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
            found[term].append(_short(median(values)) if values else None)
            if term == "total":
                found["low"].append(values[len(values) // 10] if values else None)
                found["high"].append(values[-1 - len(values) // 10] if values else None)
    return found


assert set(TERMS) <= set(COLUMNS)
