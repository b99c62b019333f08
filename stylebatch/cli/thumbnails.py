"""Styles in small beside their lines, as far as the terminal can show pictures."""

import fcntl
import os
import re
import select
import struct
import sys
import termios
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

from rich.cells import cell_len

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import Pixels, decode
from stylebatch.pictures.sizes import resize
from stylebatch.pictures.terminal import half_blocks, kitty, sixel

# A terminal is asked for what it is, and has so long to answer.
ANSWER_S = 0.25
# Of a cell, in pixels, where a terminal does not tell.
_CELL_PX = (8, 16)
_GAP = 2
_KITTY_PROGRAMS = {"ghostty", "wezterm"}
_SIXEL = 4  # in the answer to "what are you?"


class Kind(StrEnum):
    """How thumbnails are shown."""

    AUTO = "auto"
    KITTY = "kitty"
    SIXEL = "sixel"
    BLOCKS = "blocks"
    NONE = "none"


def choose_kind(asked: Kind, environment: Mapping[str, str] | None = None) -> Kind:
    """Return how this terminal shows pictures best; without one, or without colours, none.

    What is asked for is done, whatever the terminal says.
    """
    told = os.environ if environment is None else environment
    if asked is not Kind.AUTO:
        return asked
    name = told.get("TERM", "dumb")
    if not sys.stdout.isatty() or told.get("NO_COLOR") or name in ("dumb", "unknown", "linux"):
        return Kind.NONE
    is_within = bool(told.get("TMUX")) or name.startswith(("screen", "tmux"))
    program = told.get("TERM_PROGRAM", "").lower()
    is_kitty = bool(told.get("KITTY_WINDOW_ID")) or name in ("xterm-kitty", "xterm-ghostty")
    if not is_within and (is_kitty or program in _KITTY_PROGRAMS):
        return Kind.KITTY
    if _has_sixel():
        return Kind.SIXEL
    is_enough = _has_true_color(told) or "256color" in name or "direct" in name
    return Kind.BLOCKS if is_enough else Kind.NONE


def _has_true_color(environment: Mapping[str, str]) -> bool:
    return environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")


def _has_sixel() -> bool:
    """Ask the terminal what it is (DA1); one that does not answer soon has no sixels."""
    if not sys.stdin.isatty():
        return False
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle, termios.TCSANOW)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        answer = _read_answer(handle)
    except OSError:
        return False
    finally:
        termios.tcsetattr(handle, termios.TCSANOW, before)
    found = re.search(r"\x1b\[\?([0-9;]*)c", answer)
    return found is not None and str(_SIXEL) in found[1].split(";")[1:]


def _read_answer(handle: int) -> str:
    until, answer = time.monotonic() + ANSWER_S, ""
    while not answer.endswith("c") and (left := until - time.monotonic()) > 0:
        if not select.select([handle], [], [], left)[0]:
            break
        answer += os.read(handle, 256).decode(errors="replace")
    return answer


def beside(png: bytes | None, lines: Sequence[str], kind: Kind, columns: int, rows: int) -> str:
    """Return a thumbnail with lines of text to its right, ending in a line break.

    Args:
        png: None leaves its place empty.
        columns, rows: of cells, which it takes at most.
    """
    pixels = None
    if png is not None:
        with suppress(ImageError):  # one that is damaged is none
            pixels = decode(png, "thumbnail").rgb
    texts = [*lines, *[""] * (rows - len(lines))]
    if kind is Kind.BLOCKS:
        return _in_text(pixels, texts, columns, rows)
    picture = "" if pixels is None or png is None else _graphics(png, pixels, kind, columns, rows)
    # Room first: at the bottom of a screen it would scroll away from under the picture.
    room = "\n" * len(texts) + f"\x1b[{len(texts)}A"
    moved = "".join(f"\x1b[{columns + _GAP}C{text}\n" for text in texts)
    return f"{room}\x1b7{picture}\x1b8{moved}"


def _in_text(pixels: Pixels | None, texts: Sequence[str], columns: int, rows: int) -> str:
    drawn, width = [], 0
    if pixels is not None:
        # A cell is about twice as high as it is wide.
        width, height = _fitting(pixels, columns, 2 * rows)
        small = resize(pixels, width, height)
        drawn = half_blocks(small, is_true_color=_has_true_color(os.environ))
    filled = [
        (drawn[number] + " " * (columns - width) if number < len(drawn) else " " * columns)
        + " " * _GAP
        + text
        for number, text in enumerate(texts)
    ]
    return "".join(f"{line.rstrip()}\n" for line in filled)


def _graphics(png: bytes, pixels: Pixels, kind: Kind, columns: int, rows: int) -> str:
    cell_width, cell_height = _cell_px()
    # Not to the last pixel: a line more would scroll.
    most = (columns * cell_width, rows * cell_height - 1)
    width, height = _fitting(pixels, *most, enlarge=False)
    if kind is Kind.SIXEL:
        return sixel(resize(pixels, width, height))
    width, height = _fitting(pixels, columns * cell_width, rows * cell_height)
    cells = (max(1, round(width / cell_width)), max(1, round(height / cell_height)))
    return kitty(png, min(columns, cells[0]), min(rows, cells[1]))


def _fitting(
    pixels: Pixels, most_width: int, most_height: int, *, enlarge: bool = True
) -> tuple[int, int]:
    """Return (width, height) in the picture's proportions, as large as a box allows."""
    height, width = pixels.shape[:2]
    share = min(most_width / width, most_height / height)
    share = share if enlarge else min(1.0, share)
    return max(1, int(width * share)), max(1, int(height * share))


def _cell_px() -> tuple[int, int]:
    """Return (width, height) of a cell in pixels, as far as the terminal tells."""
    with suppress(OSError, ValueError):
        told = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8))
        rows, columns, width, height = struct.unpack("HHHH", told)
        if rows and columns and width >= columns and height >= rows:
            return width // columns, height // rows
    return _CELL_PX


def cut(text: str, cells: int) -> str:
    """Cut a line that would be longer than so many cells: a break would run into the picture."""
    while cell_len(text) > cells:
        text = text[:-2] + "…"
    return text
