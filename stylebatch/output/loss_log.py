"""One CSV per image: the losses of every point that was evaluated."""

import csv
import io
from collections.abc import Iterable
from typing import NamedTuple


class LossRow(NamedTuple):
    """One evaluation of one image.

    Attributes:
        evaluation: 1, 2, …
        level: pyramid level, 0 the coarsest.
        total, content, style, tv: losses of the point evaluated, weights applied.
        accepted: whether the optimiser went on from this point.
        seconds: since the image was admitted.
    """

    evaluation: int
    level: int
    total: float
    content: float
    style: float
    tv: float
    accepted: bool
    seconds: float


def encode_log(rows: Iterable[LossRow]) -> bytes:
    """Encode rows as CSV with a header; nine digits, which give a float32 back exactly."""
    lines = [",".join(LossRow._fields)]
    lines += [
        f"{row.evaluation},{row.level},{row.total:.9g},{row.content:.9g},{row.style:.9g},"
        f"{row.tv:.9g},{int(row.accepted)},{row.seconds:.3f}"
        for row in rows
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def decode_log(data: bytes) -> list[LossRow]:
    """Decode what `encode_log` wrote.

    Raises:
        ValueError: another header, or cells that are no numbers.
    """
    header, *rows = csv.reader(io.StringIO(data.decode("ascii")))
    if tuple(header) != LossRow._fields:
        raise ValueError(f"not a loss log: its columns are {', '.join(header)}")
    return [_decode_row(row) for row in rows]


def _decode_row(cells: list[str]) -> LossRow:
    evaluation, level, total, content, style, tv, accepted, seconds = cells
    losses = (float(total), float(content), float(style), float(tv))
    return LossRow(int(evaluation), int(level), *losses, accepted == "1", float(seconds))
