"""Which styles an image is made in: all of them, a sample, or those that a table names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from hashlib import blake2b
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest
from stylebatch.system import files
from stylebatch.system.words import counted

_MAX_SCORES = 1 << 18
_COLUMNS = ["content", "style"]


class TableError(UserError):
    """A table of `assign: {map: …}` that cannot be read as one."""


class NamedStyle(Protocol):
    """What a table may call a style by."""

    @property
    def key(self) -> str:
        """Its path from the manifest's folder, or `blend:NAME`."""

    @property
    def name(self) -> str:
        """What stands in file names."""


def sample_styles(
    seed: int, paths: Sequence[str], styles: Sequence[str], count: int
) -> list[list[int]]:
    """Give each image `count` distinct styles, as indices into `styles`, ascending.

    Each image ranks all styles by a hash of the pair and takes the first ones. So what an image
    draws depends on no other image, and a style more or less changes only who draws it.

    Args:
        paths: of the content, POSIX, below the content folder.
        styles: keys of the style entries.

    Source: Thaler & Ravishankar 1998, "Using name-based mappings to increase hit rates"
    (rendezvous hashing); the mixing function is SplitMix64's (Steele, Lea & Flood 2014).
    """
    if count >= len(styles):
        return [list(range(len(styles)))] * len(paths)
    if count <= 0:
        return [[]] * len(paths)
    style_hashes = _hashes("", styles)
    rows = max(1, _MAX_SCORES // len(styles))
    drawn: list[list[int]] = []
    for start in range(0, len(paths), rows):
        content_hashes = _hashes(f"{seed}\0", paths[start : start + rows])
        scores = _mix(content_hashes[:, None] ^ style_hashes[None, :])
        chosen = np.argpartition(scores, -count, axis=1)[:, -count:]
        drawn.extend(np.sort(chosen, axis=1).tolist())
    return drawn


def _hashes(prefix: str, texts: Sequence[str]) -> NDArray[np.uint64]:
    state = blake2b(prefix.encode(), digest_size=8)
    digests = []
    for text in texts:
        one = state.copy()
        one.update(text.encode())
        digests.append(one.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser, in place: each bit of what comes in moves half of what goes out."""
    values += np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(30)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


@dataclass
class StyleTable:
    """A table of `assign: {map: …}`: content path → indices of its styles and their lines."""

    where: str
    rows: dict[str, dict[int, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def styles_of(self, path: str) -> list[int]:
        """Return the indices of an image's styles, ascending; none where it is not listed."""
        row = self.rows.get(path)
        if row is None:
            return []
        self.seen.add(path)
        return sorted(row)

    def unknown(self) -> list[str]:
        """Say which rows name content that no image asked for, as FILE:LINE: PATH."""
        return [
            f"{self.where}:{min(row.values())}: {path}"
            for path, row in self.rows.items()
            if path not in self.seen
        ]


def read_tables(manifest: Manifest) -> dict[str, StyleTable]:
    """Return the tables of the pairs that have one, by the pair's name.

    Raises:
        TableError, Problems: tables that can't be read, and what is wrong in them.
    """
    tables: dict[str, StyleTable] = {}
    problems: list[UserError] = []
    for pair in manifest.pairs:
        if pair.assign.kind != "map":
            continue
        where = pair.assign.table
        try:
            data = files.read_bytes(manifest.root / where)
            tables[pair.name] = read_table(data, where, pair.styles)
        except OSError as error:
            place = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
            found = f"{where} can't be read ({error.strerror})"
            problems.append(TableError(place, found, "a CSV with the columns content,style"))
        except UserError as problem:
            problems.append(problem)
    # The points of a sweep share their table, and what is wrong with it.
    raise_all(list({str(problem): problem for problem in problems}.values()))
    return tables


def read_table(data: bytes, where: str, styles: Sequence[NamedStyle]) -> StyleTable:
    """Read a table with the columns content (below the content folder) and style (path or name).

    Raises:
        TableError, Problems: what is wrong with it, by FILE:LINE.
    """
    text = _table_text(data, where)
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    if [column.strip() for column in header] != _COLUMNS:
        found = f"the first line is {','.join(header)!r}"
        raise TableError(f"{where}:1", found, "content,style", "write this line on top")
    names = _style_names(styles)
    table, problems = StyleTable(where), list[UserError]()
    for row in reader:
        at = f"{where}:{reader.line_num}"
        if not row:
            continue
        try:
            _add_row(table, row, at, reader.line_num, names)
        except TableError as problem:
            problems.append(problem)
    raise_all(problems)
    return table


def _table_text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(where, f"not UTF-8 text ({error.reason})", "a CSV in UTF-8") from None


def _style_names(styles: Sequence[NamedStyle]) -> dict[str, list[int]]:
    """Map what a table may call a style by, its key or its name, to its index or indices."""
    names: dict[str, list[int]] = {}
    for index, style in enumerate(styles):
        for name in {style.key, style.name}:
            names.setdefault(name, []).append(index)
    # A key is exact: a name that another entry has for its key gives way to it.
    return names | {style.key: [index] for index, style in enumerate(styles)}


def _add_row(
    table: StyleTable, row: list[str], at: str, line: int, names: dict[str, list[int]]
) -> None:
    if len(row) != 2 or not row[0] or not row[1]:
        raise TableError(
            at, f"{counted(len(row), 'column')}: {','.join(row)!r}", "a content and a style"
        )
    content, style = row
    found = names.get(style, [])
    if len(found) != 1:
        raise _style_error(at, style, found, list(names))
    lines = table.rows.setdefault(content, {})
    if found[0] in lines:
        raise TableError(
            at, f"'{content}' with '{style}' again", f"first in line {lines[found[0]]}"
        )
    lines[found[0]] = line


def _style_error(at: str, style: str, found: list[int], known: list[str]) -> TableError:
    if found:
        says = f"'{style}' is the name of {len(found)} styles"
        return TableError(at, says, "", "write its path from the manifest's folder")
    near = get_close_matches(style, known, n=1)
    todo = f"did you mean '{near[0]}'?" if near else "write a path or name from `styles:`"
    return TableError(at, f"'{style}' is no style of this pair", "", todo)
