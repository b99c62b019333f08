"""What a ledger knows of sizes: files that were made, and the inputs of those that wait."""

import sqlite3
from typing import NamedTuple

from stylebatch.records import Group
from stylebatch.system.paths import below


class MadeImage(NamedTuple):
    """An image that is done: its bytes, and the upright size of its content in pixels."""

    output: str
    settings_id: str
    size: int
    content_width: int
    content_height: int


class Waiting(NamedTuple):
    """Images of a pair that wait, and the sum of their contents' own pixels."""

    pair: str
    group: Group
    content_pixels: int


class LedgerSizes:
    """Queries of one connection to a ledger."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def some_made(self, limit: int) -> list[MadeImage]:
        """Return some images that are done, of those whose content was read."""
        rows = self._connection.execute(
            f"SELECT j.folder, j.name, settings_id, j.size, {_WIDTH}, {_HEIGHT} "
            f"FROM main.jobs AS j {_files_of('j')} "
            f"WHERE state = 'done' AND j.size IS NOT NULL AND {_WIDTH} > 0 LIMIT ?",
            (limit,),
        )
        return [MadeImage(below(folder, name), *rest) for folder, name, *rest in rows.fetchall()]

    def waiting(self) -> list[Waiting]:
        """Return what waits, by pair and shape; takes seconds for a million."""
        rows = self._connection.execute(
            f"SELECT pair, settings_id, w.width, w.height, count(*), total({_WIDTH} * {_HEIGHT}) "
            f"FROM temp.waiting AS w {_files_of('w')} GROUP BY pair, settings_id, w.width, w.height"
        )
        return [
            Waiting(pair, Group(*group), round(pixels)) for pair, *group, pixels in rows.fetchall()
        ]


def _files_of(jobs: str) -> str:
    """Join a job's content as it was read by this connection, else by an earlier run."""
    folder = f"rtrim(rtrim({jobs}.content, replace({jobs}.content, '/', '')), '/')"
    name = f"replace({jobs}.content, rtrim({jobs}.content, replace({jobs}.content, '/', '')), '')"
    return " ".join(
        f"LEFT JOIN {table} AS {short} ON {short}.folder = {folder} AND {short}.name = {name}"
        for table, short in (("temp.read_files", "now"), ("main.files", "earlier"))
    )


_WIDTH, _HEIGHT = (f"coalesce(now.{edge}, earlier.{edge})" for edge in ("width", "height"))
