"""Sweeps as they are written → their points: fields over a pair, each with a name."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count, product
from typing import Any, NamedTuple

from stylebatch.manifest.model import SweepPoint
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import Sweep
from stylebatch.manifest.yaml_lines import Loc, format_loc

MAX_POINTS = 1000
# Of a file's name, whose other parts take up to 200 of the 255 bytes that file systems allow.
MAX_SUFFIX = 48
_UNSAFE = re.compile(r"[^A-Za-z0-9_+-]")
_PLAIN = str.maketrans("=, ", "---", "#()")


@dataclass(frozen=True, slots=True)
class Point:
    """A point: values that win over everything else, and where each of them is written."""

    swept: SweepPoint
    values: Mapping[str, Any]
    places: Mapping[str, Loc]


class _Value(NamedTuple):
    """One value of one field, at an index of the field's list."""

    field: str
    at: int
    value: Any

    @property
    def label(self) -> str:
        if isinstance(self.value, dict) and self.field.endswith("_layers") and len(self.value) == 1:
            return f"{self.field}={next(iter(self.value))}"
        is_scalar = isinstance(self.value, str | int | float)
        return f"{self.field}={_scalar(self.value) if is_scalar else f'#{self.at + 1}'}"


def read_points(pair: str, sweeps: list[Sweep], loc: Loc, findings: Findings) -> list[Point]:
    """Return the points of a pair's sweeps, in the order in which they are written.

    Args:
        loc: where the sweeps are written.
    """
    grids = {entry: _grid(sweep, (*loc, entry), findings) for entry, sweep in enumerate(sweeps)}
    num_points = sum(math.prod(map(len, grid)) for grid in grids.values() if grid)
    if num_points > MAX_POINTS:
        found, allowed = f"found {num_points:,} points", f"allowed are up to {MAX_POINTS:,}"
        findings.add(loc, found, allowed, "write fewer values, or fewer fields in one entry")
        return []
    points: dict[str, Point] = {}
    names = _Names()
    for entry, grid in grids.items():
        for chosen in product(*grid) if grid else ():
            if first := points.get(identity := _identity(chosen)):
                there = format_loc((*loc, first.swept.entry))
                _note_repeated(chosen, (*loc, entry), there, findings)
                continue
            swept = SweepPoint(pair, entry, *names.of(_label(chosen)))
            values = {field: value for field, _, value in chosen}
            places = {field: (*loc, entry, field, at) for field, at, _ in chosen}
            points[identity] = Point(swept, values, places)
    return list(points.values())


def _note_repeated(chosen: tuple[_Value, ...], here: Loc, there: str, findings: Findings) -> None:
    place = here if len(chosen) > 1 else (*here, chosen[0].field, chosen[0].at)
    found = f"{_label(chosen)} is a point of {there} already"
    findings.add(place, found, "allowed is each point once", "remove one of them")


def _label(chosen: tuple[_Value, ...]) -> str:
    return ",".join(value.label for value in chosen)


def _grid(sweep: Sweep, here: Loc, findings: Findings) -> list[list[_Value]]:
    """Return the values of an entry by field, in the order in which the fields are written."""
    if findings.is_broken(*here):
        return []
    written: Any = findings.document.data
    for part in here:
        written = written[part]
    fields = {field: getattr(sweep, field) for field in written}
    if not any(fields.values()):
        allowed = "allowed is any field of the recipe, or recipe, with a list of values"
        findings.add(here, "found no field", allowed, "add one, or remove it")
        return []
    return [
        [_Value(field, at, value) for at, value in enumerate(values)]
        for field, values in fields.items()
        if values is not None
    ]


def _identity(chosen: tuple[_Value, ...]) -> str:
    values = {value.field: value.value for value in chosen}
    return json.dumps(values, sort_keys=True, default=lambda model: model.model_dump())


def _scalar(value: str | float) -> str:
    return value if isinstance(value, str) else json.dumps(value).removesuffix(".0")


class _Names:
    """Labels and suffixes, each once: file systems that ignore case must not mix two up."""

    def __init__(self) -> None:
        self._labels: set[str] = set()
        self._suffixes: set[str] = set()

    def of(self, label: str) -> tuple[str, str]:
        """Return a label and a suffix; from the second on, those that are alike get a number."""
        again = (f"{label} ({number})" for number in count(2))
        label = _first_free(chain([label], again), self._labels)
        plain = _UNSAFE.sub("_", label.translate(_PLAIN))
        ends = chain([""], (f"-{number}" for number in count(2)))
        suffixes = (plain[: MAX_SUFFIX - len(end)] + end for end in ends)
        return label, _first_free(suffixes, self._suffixes)


def _first_free(names: Iterator[str], taken: set[str]) -> str:
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name
