"""Tables and lines that are never cut: a terminal may wrap them, a pipe has them whole."""

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

NUMBERS = {"photographs", "images", "styles", "jobs", "done", "failed", "to do", "to take back"}
NUMBERS |= {"evaluations", "files", "rejected"}
GAP = "  "


def say(console: Console, text: str | Text, style: str = "") -> None:
    """Print a line as it is: no mark-up, no emoji, no line breaks of ours."""
    # Of a text of its own: a string would have `:cat:` in a file's name replaced.
    console.print(Text(text, style) if isinstance(text, str) else text, soft_wrap=True)


def print_table(console: Console, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below a header; what may be long (a path, a sentence) belongs in the last column.

    Columns with the names of `NUMBERS` stand to the right.
    """
    lines = [header, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        cells = [
            _padded(cell, width, to_the_right=name in NUMBERS)
            for cell, width, name in zip(line, widths, header, strict=True)
        ]
        say(console, GAP.join(cells).rstrip(), "" if number else "bold")


def _padded(cell: str, width: int, *, to_the_right: bool) -> str:
    room = " " * (width - cell_len(cell))
    return room + cell if to_the_right else cell + room


def first_few(names: Sequence[str], most: int = 3) -> str:
    """Name the first ones, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
