"""Loss logs as a reader of CSV has them: the numbers of each evaluation."""

import csv
import io

from stylebatch.transfer.problem import Row

HEADER = ["evaluation", "level", "total", "content", "style", "tv", "accepted", "seconds"]


def read_log(data: bytes) -> list[Row]:
    """Read a loss log by Python's csv module; its header has to be the published one."""
    header, *rows = csv.reader(io.StringIO(data.decode("ascii")))
    assert header == HEADER
    return [_row(*cells) for cells in rows]


def _row(evaluation: str, level: str, *rest: str) -> Row:
    total, content, style, tv, accepted, seconds = rest
    assert accepted in ("0", "1")
    losses = (float(total), float(content), float(style), float(tv))
    return Row(int(evaluation), int(level), *losses, accepted == "1", float(seconds))
