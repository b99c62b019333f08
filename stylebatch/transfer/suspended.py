"""An image between two engines: all that it has to go on with, as tensors and plain numbers."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from stylebatch.transfer.problem import Entry, Problem, Row

# Raised whenever the names, shapes or meaning of what stands in it change.
FORMAT = 1


class StateError(ValueError):
    """A state that no engine of this kind has given."""


class Suspended(NamedTuple):
    """An image that has been taken out of an engine before its end.

    Attributes:
        tensors: on the CPU, by name: images, optimiser, progress.
        numbers: what the host knows of it; JSON can hold it, with NaN and infinity.
    """

    tensors: Mapping[str, Tensor]
    numbers: Mapping[str, Any]


class Underway(NamedTuple):
    """How far an image in a slot is.

    Attributes:
        seconds: since it was admitted, and before it was taken out, if it was.
        evaluations: made.
        left: evaluations to come at most.
    """

    seconds: float
    evaluations: int
    left: int

    @property
    def left_s(self) -> float:
        """Seconds to come at most, as fast as it went on until now; infinite before it did."""
        return self.seconds / self.evaluations * self.left if self.evaluations else float("inf")


def numbers_of(entry: Entry) -> dict[str, Any]:
    """Return what the host knows of an image of which nothing is under way."""
    return {
        "level": entry.level,
        "budget": entry.budget,
        "done": entry.done,
        "unspent": entry.unspent,
        "restored": entry.restored,
        "retried": entry.retried,
        "best": entry.best.evaluation if entry.best else 0,
        "kept": entry.kept.evaluation if entry.kept else 0,
        "seconds": time.perf_counter() - entry.admitted_s,
        "rows": [list(row) for row in entry.rows],
    }


def entry_of(problem: Problem, numbers: Mapping[str, Any], levels: int) -> Entry:
    """Return what `numbers_of` was told of, for an engine with so many levels.

    Raises:
        StateError: it can't have been told of any.
    """
    try:
        rows = [Row(*row) for row in numbers["rows"]]
        entry = Entry(
            problem,
            time.perf_counter() - numbers["seconds"],
            level=numbers["level"],
            budget=numbers["budget"],
            started=numbers["done"],
            done=numbers["done"],
            rows=rows,
            best=_row(rows, numbers["best"]),
            kept=_row(rows, numbers["kept"]),
            unspent=numbers["unspent"],
            restored=numbers["restored"],
            retried=numbers["retried"],
        )
        is_sound = 0 <= entry.level < levels and 0 <= entry.done < entry.budget
        is_sound = is_sound and [row.evaluation for row in rows] == [*range(1, len(rows) + 1)]
    except (KeyError, TypeError, IndexError) as error:
        raise StateError(f"no state of an image ({error!r})") from error
    if not (is_sound and entry.done <= len(rows)):
        raise StateError("no state of an image of this size")
    return entry


def _row(rows: Sequence[Row], evaluation: int) -> Row | None:
    return rows[evaluation - 1] if evaluation else None


def check_alike(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Refuse tensors that are not of the same names, kinds and shapes as those wanted.

    Raises:
        StateError: they are not.
    """
    found, allowed = (
        {name: (each.dtype, tuple(each.shape)) for name, each in tensors.items()}
        for tensors in (given, wanted)
    )
    if found != allowed:
        names = sorted(
            name for name in found.keys() | allowed.keys() if found.get(name) != allowed.get(name)
        )
        raise StateError(f"tensors of another kind: {', '.join(names)}")
