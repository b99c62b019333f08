"""What is wrong with annotations, and what becomes of them: told, never passed over."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from stylebatch.annotations.geometry import GeometryError

# What is counted of each kind; `results`: images that have theirs.
COUNTS = ("results", "without", "objects", "clipped", "dropped", "malformed")


class Problem(NamedTuple):
    """Something that is wrong in a file.

    Attributes:
        line: in the file, from 1; None: it is about all of it.
    """

    line: int | None
    reason: str


class MalformedError(Exception):
    """A file of annotations that can't be used at all."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.problem = Problem(line, reason)


@dataclass(slots=True)
class Converted:
    """A file of annotations as it is to stand beside a result.

    Attributes:
        data: its bytes; what is malformed is left out.
        counts: of `objects`, those `clipped` at the edges, those `dropped` as they are outside.
    """

    data: bytes = b""
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


def converted(convert: Callable[[], Converted]) -> Converted:
    """Convert a file; one that can't be used at all is a problem of its own."""
    try:
        return convert()
    except MalformedError as error:
        return Converted(problems=[error.problem])
    except GeometryError as error:
        return Converted(problems=[Problem(None, str(error))])


def decode_text(data: bytes) -> str:
    """Return a file's text, a byte order mark left out.

    Raises:
        MalformedError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedError("is not UTF-8", line) from None
