"""Images into a ledger that does not know them: by what the metadata say of them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from stylebatch.ledger.columns import KEPT_COLUMNS, marks
from stylebatch.ledger.database import Database
from stylebatch.ledger.outcomes import STANDING

# Keys of a line of the metadata → columns; the others that are no columns are facts.
_RENAMED = {"seed": "noise_seed"}
_NOT_KEPT = frozenset({"file_name", "kind", "accepted", "folder", "name"})
# Columns that are empty and not null where a line has null.
_EMPTY = ("style", "style_digest", "mask", "mask_digest")


@dataclass(frozen=True, slots=True)
class AdoptedImage:
    """An image that is to be known as ours.

    Attributes:
        output: its path below `images/`.
        told: its line of the metadata, {} where none tells of it.
        size: of its file, in bytes.
        is_proven: whether the file is the very one that the line tells of; else it is known as out
            of date, and a run makes it again.
    """

    output: str
    told: Mapping[str, Any]
    size: int
    is_proven: bool


def adopt(database: Database, images: Iterable[AdoptedImage]) -> None:
    """Take images into a ledger that does not have them so, in one transaction."""
    columns = (*KEPT_COLUMNS, "state", "deaths", "size")
    insert = f"INSERT OR REPLACE INTO main.jobs ({', '.join(columns)}) VALUES ({marks(columns)})"
    with database.transaction():
        for image in images:
            folder, _, name = image.output.rpartition("/")
            state = "done" if image.is_proven else "outdated"
            row = (folder, name, *_kept(image), state, 0, image.size)
            database.connection.execute(insert, row)
            drop = "DELETE FROM main.successors WHERE folder = ? AND name = ?"
            database.connection.execute(drop, (folder, name))
            facts = json.dumps(_facts(image.told), sort_keys=True, ensure_ascii=False)
            add = "INSERT OR REPLACE INTO main.facts VALUES (?, ?, ?)"
            database.connection.execute(add, (folder, name, facts))
        database.count_change()


def known_images(database: Database, outputs: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Return size and fingerprint of those of some outputs that stand, as a ledger knows."""
    query = (
        "SELECT size, fingerprint FROM main.jobs WHERE folder = ? AND name = ? "
        f"AND state IN {STANDING}"
    )
    rows = (
        (output, database.connection.execute(query, output.rpartition("/")[::2]).fetchone())
        for output in outputs
    )
    return {output: tuple(row) for output, row in rows if row}


def _kept(image: AdoptedImage) -> tuple[object, ...]:
    told = {_RENAMED.get(key, key): value for key, value in image.told.items()}
    defaults: dict[str, object] = dict.fromkeys(
        ("fingerprint", "pair", "settings_id", "content", "content_digest", *_EMPTY), ""
    )
    defaults |= {"variant": 1, "strength": 0.0}
    values = {key: told.get(key) for key in KEPT_COLUMNS[2:]}
    # Of a line that somebody has edited, what no column holds.
    values = {
        key: value if isinstance(value, str | int | float | None) else None
        for key, value in values.items()
    }
    if not image.is_proven:
        # Of no plan: whatever a run wants in its place is another.
        values["fingerprint"] = ""
    return tuple(defaults.get(key) if value is None else value for key, value in values.items())


def _facts(told: Mapping[str, Any]) -> dict[str, Any]:
    kept = {*KEPT_COLUMNS, *_RENAMED, *_NOT_KEPT}
    is_original = told.get("kind") == "original"
    return {
        key: value
        for key, value in told.items()
        if key not in kept and not (is_original and value is None)
    }
