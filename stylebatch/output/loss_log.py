"""One CSV per image: the losses of every point that was evaluated."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from stylebatch.output.tree import Tree

COLUMNS = ("evaluation", "level", "total", "content", "style", "tv", "accepted", "seconds")


class LossRow(Protocol):
    """One evaluation of one image, as `transfer` reports it."""

    @property
    def evaluation(self) -> int:
        """1, 2, …"""

    @property
    def level(self) -> int:
        """Pyramid level, 0 the coarsest."""

    @property
    def total(self) -> float:
        """Loss of the point evaluated, weights applied; so are the next three."""

    @property
    def content(self) -> float: ...

    @property
    def style(self) -> float: ...

    @property
    def tv(self) -> float: ...

    @property
    def accepted(self) -> bool:
        """Whether the optimiser went on from this point."""

    @property
    def seconds(self) -> float:
        """Since the image was admitted."""


def encode_log(rows: Iterable[LossRow]) -> bytes:
    """Encode rows as CSV with a header; nine digits, which give a float32 back exactly."""
    lines = [",".join(COLUMNS)]
    lines += [
        f"{row.evaluation},{row.level},{row.total:.9g},{row.content:.9g},{row.style:.9g},"
        f"{row.tv:.9g},{int(row.accepted)},{row.seconds:.3f}"
        for row in rows
    ]
    return ("\n".join(lines) + "\n").encode("ascii")


def is_log(tree: Tree, path: Path) -> bool:
    """Whether there is a file that begins as a loss log does."""
    header = f"{','.join(COLUMNS)}\n".encode("ascii")
    try:
        return tree.read_start(path, len(header)) == header
    except OSError:
        return False
