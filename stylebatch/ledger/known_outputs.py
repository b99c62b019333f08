"""What a ledger knows of the outputs that a plan wants."""

from typing import NamedTuple

from stylebatch.ledger.columns import OWN, SHARED, Row, shared_values
from stylebatch.ledger.database import Database
from stylebatch.ledger.outcomes import STANDING
from stylebatch.plan import PlannedFolder


class KnownOutput(NamedTuple):
    """What the ledger knows of an output.

    Attributes:
        next_fingerprint, next_state: of what is to replace it, None where nothing was begun.
        reason: why it failed.
        is_shared: whether what its folder's jobs share (`SHARED`) is as planned.
        own: the values of `OWN`.
    """

    name: str
    fingerprint: str
    state: str
    size: int | None
    next_fingerprint: str | None
    next_state: str | None
    reason: str | None
    is_shared: bool
    own: Row


def known_outputs(database: Database, planned: PlannedFolder) -> dict[str, KnownOutput]:
    """Read what the ledger knows of some jobs' outputs (and of others between them)."""
    names = [job.name for job in planned.jobs] or [""]
    rows = database.select(
        f"SELECT j.name, j.fingerprint, j.state, j.size, s.fingerprint, s.state, "
        "coalesce(s.reason, j.reason), "
        f"{' AND '.join(f'j.{name} IS ?' for name in SHARED)}, "
        f"{', '.join(f'j.{name}' for name in OWN)} "
        "FROM main.jobs AS j LEFT JOIN main.successors AS s USING (folder, name) "
        "WHERE j.folder = ? AND j.name BETWEEN ? AND ?",
        (*shared_values(planned), planned.folder, min(names), max(names)),
    )
    return {row[0]: KnownOutput._make((*row[:8], row[8:])) for row in rows}


def noted_state(row: KnownOutput, fingerprint: str, sizes: dict[str, int]) -> str:
    """Return which state the ledger is to have of an output that a plan wants so.

    An image that is gone leaves nothing to tell of: what is to replace it takes its place. One of
    another size than was recorded (somebody has retouched it, or it is damaged) is out of date: it
    is set aside when its successor comes.
    """
    if row.state not in STANDING:
        return row.state
    if row.name not in sizes:
        return "pending"
    is_as_made = row.fingerprint == fingerprint and sizes[row.name] == row.size
    return "done" if is_as_made else "outdated"
