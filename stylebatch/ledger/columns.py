"""A job's fields as columns: one order, from which tables, rows and SQL follow."""

from collections.abc import Iterable
from dataclasses import fields, replace
from operator import attrgetter, itemgetter
from typing import Any

from stylebatch.plan import Planned, PlannedFolder
from stylebatch.records import Job
from stylebatch.system.paths import below

Row = tuple[object, ...]

_TYPES: dict[object, str] = {
    str: "TEXT",
    str | None: "TEXT",
    int: "INTEGER",
    int | None: "INTEGER",
    float: "REAL",
    bool: "INTEGER",
}
# Of a `Job` whose output is parted into folder and name: the first column, and the rest.
_OF_JOB = {field.name: _TYPES[field.type] for field in fields(Job)[1:]}
JOB_COLUMNS = ("folder", "name", *_OF_JOB)
# Of those in the ledger, beside how it went; the others a plan tells anew: at what size it is made,
# and whether in the place of another.
_KEPT = tuple(name for name in _OF_JOB if name not in ("width", "height", "is_replacement"))
KEPT_COLUMNS = ("folder", "name", *_KEPT, "style_digest")
# What is said of an output and decides no pixel, so that it may change while the image stays: what
# the jobs of a planned folder share, and what is each one's own.
SHARED, OWN = ("pair", "settings_id", "label", "split"), ("content", "style", "mask")
DESCRIBED = SHARED + OWN


def column_types() -> str:
    """Return `JOB_COLUMNS` as a table declares them."""
    return ", ".join(f"{name} {_OF_JOB.get(name, 'TEXT')}" for name in JOB_COLUMNS)


def marks(columns: Iterable[object]) -> str:
    """Return as many question marks as there are columns, or values of a row."""
    return ", ".join("?" for _ in columns)


_of_kept = attrgetter(*_KEPT)


def kept_row(job: Job, style_digest: str) -> Row:
    """Return the values of `KEPT_COLUMNS`."""
    folder, _, name = job.output.rpartition("/")
    return (folder, name, *_of_kept(job), style_digest)


# A planned job's content is told from the manifest's folder, and comes before the one in it.
_PLANNED = (
    *("folder", "pair", "settings_id", "label", "split", "content"),
    *Planned._fields,
    "is_replacement",
)
_in_order = itemgetter(*map(_PLANNED.index, JOB_COLUMNS))
_described = itemgetter(*map(_PLANNED.index, ("folder", "name", *DESCRIBED)))


def planned_row(planned: PlannedFolder, job: Planned, content: str, is_replacement: bool) -> Row:
    """Return the values of `JOB_COLUMNS`; `content` is its path from the manifest's folder."""
    row: Row = _in_order((*_all_of(planned, job, content), is_replacement))
    return row


def job_of(folder: str, name: str, *values: Any) -> Job:
    """Make a job of the values of `JOB_COLUMNS`, as SQLite gives them back."""
    others, is_replacement = values[:-1], bool(values[-1])
    return replace(Job(below(folder, name), *others), is_replacement=is_replacement)


shared_values = attrgetter(*SHARED)
_own_of = attrgetter(*OWN[1:])


def own_values(job: Planned, content: str) -> Row:
    """Return the values of `OWN`; `content` as in `planned_row`."""
    return (content, *_own_of(job))


def described_row(planned: PlannedFolder, job: Planned, content: str) -> Row:
    """Return folder, name, and the values of `DESCRIBED`; arguments as in `planned_row`."""
    row: Row = _described(_all_of(planned, job, content))
    return row


def _all_of(planned: PlannedFolder, job: Planned, content: str) -> Row:
    return (planned.folder, *shared_values(planned), content, *job)
