"""Tables of `assign: {map: …}` and of plans that were written: which image gets which style."""

import csv
import io
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, Protocol

from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest, Pair, base_name
from stylebatch.system import inputs
from stylebatch.system.object_stores import is_remote
from stylebatch.system.words import counted

# The index of a style, and the number of the result with it, from 1.
Version = tuple[int, int]
COLUMNS, MORE_COLUMNS = ("content", "style"), ("variant", "pair")
MAX_VARIANTS = 10_000
MOST_PROBLEMS = 20  # of a table that are told one by one
_EVERY = 0  # a row that names no variant stands for all that the pair has


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


@dataclass
class StyleTable:
    """A table: content path → the versions that it names, with their lines."""

    where: str
    rows: dict[str, dict[Version, int]] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def versions_of(self, path: str, variants: Sequence[int] = (1,)) -> list[Version]:
        """Return the versions of an image, ascending; none where it is not listed.

        Args:
            variants: of a style whose row does not say which.
        """
        row = self.rows.get(path)
        if row is None:
            return []
        self.seen.add(path)
        return sorted(
            version
            for style, variant in row
            for version in product([style], variants if variant == _EVERY else [variant])
        )

    def folders(self, above: str) -> set[str]:
        """Return the names of the folders in a folder that its content lies in."""
        start = f"{above}/" if above else ""
        below = (path[len(start) :] for path in self.rows if path.startswith(start))
        return {path.partition("/")[0] for path in below if "/" in path}

    def unknown(self) -> list[str]:
        """Say which rows name content that no image asked for, as FILE:LINE: PATH.

        Raises:
            TableError: all of them do.
        """
        if self.rows and not self.seen:
            first = next(iter(self.rows))
            found = f"{counted(len(self.rows), 'photograph')} and none is there, such as '{first}'"
            todo = "write paths below the content folder, as in cats/a.jpg"
            raise TableError(self.where, found, "content that is there, and is stylised", todo)
        return self._unseen()

    def _unseen(self) -> list[str]:
        return [
            f"{self.where}:{min(row.values())}: {path}"
            for path, row in self.rows.items()
            if path not in self.seen
        ]

    def check_whole(self) -> None:
        """Refuse rows whose content is not there.

        Raises:
            TableError, Problems: each of them.
        """
        todo = "put it back, or write the plan again"
        missing = (each.rsplit(": ", 1) for each in self._unseen())
        raise_all([TableError(at, f"'{path}' is not there", "", todo) for at, path in missing])


def read_tables(manifest: Manifest) -> dict[str, StyleTable]:
    """Return the tables of the pairs that have one, by the pair's name.

    Raises:
        TableError, Problems: tables that can't be read, and what is wrong in them.
    """
    tables: dict[str, StyleTable] = {}
    problems: list[UserError] = []
    pairs = {base_name(pair.name) for pair in manifest.pairs}
    for pair in manifest.pairs:
        if pair.assign.kind != "map":
            continue
        where = pair.assign.table
        try:
            data = inputs.read(inputs.at(manifest.root, where))
            tables[pair.name] = read_table(
                data, where, pair.styles, root=manifest.root, pair=pair, pairs=pairs
            )
        except OSError as error:
            place = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
            found = f"{where} can't be read ({error.strerror})"
            problems.append(TableError(place, found, "a CSV with the columns content,style"))
        except UserError as problem:
            problems.append(problem)
    # The points of a sweep share their table, and what is wrong with it; all pairs may.
    raise_all(list({str(problem): problem for problem in problems}.values()))
    return tables


def read_table(
    data: bytes,
    where: str,
    styles: Sequence[NamedStyle],
    *,
    root: Path,
    pair: Pair | None = None,
    pairs: Collection[str] = (),
) -> StyleTable:
    """Read a table with the columns content (below the content folder) and style (path or name).

    A column variant names one of a style's results, a column pair the pair that a row is of.

    Args:
        root: the manifest's folder, from which paths of styles start.
        pair: whose rows are read; None: all, and any variant.
        pairs: the names that a row may have.

    Raises:
        TableError, Problems: what is wrong with it, by FILE:LINE; of many rows the first.
    """
    text = _table_text(data, where)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        return _read_rows(reader, where, _StyleNames(styles, root), pair, pairs)
    except csv.Error as error:
        found = f"no CSV ({error})"
        raise TableError(f"{where}:{reader.line_num}", found, "a table") from None


def _read_rows(
    reader: Any, where: str, styles: "_StyleNames", pair: Pair | None, pairs: Collection[str]
) -> StyleTable:
    header = [column.strip() for column in next(reader, [])]
    extra = header[len(COLUMNS) :]
    if tuple(header[: len(COLUMNS)]) != COLUMNS or not _are_some(extra, MORE_COLUMNS):
        found = f"the first line is {','.join(header)!r}"
        allowed = f"{','.join(COLUMNS)}, and after these {' or '.join(MORE_COLUMNS)}, or both"
        raise TableError(f"{where}:1", found, allowed, "write this line on top")
    rows = _Rows(StyleTable(where), header, styles, pair, pairs)
    problems = list[UserError]()
    for row in reader:
        if not row:
            continue
        try:
            rows.add(row, f"{where}:{reader.line_num}", reader.line_num)
        except TableError as problem:
            problems.append(problem)
    more = len(problems) - MOST_PROBLEMS
    if more > 0:
        found = f"{counted(more, 'further row')} with something wrong"
        further = TableError(where, found, "", "correct these first")
        problems = [*problems[:MOST_PROBLEMS], further]
    raise_all(problems)
    if not rows.table.rows and "pair" not in header:
        raise TableError(where, "it has no rows", "a row for each image", "add some")
    return rows.table


def _are_some(names: Sequence[str], known: Collection[str]) -> bool:
    return len(set(names)) == len(names) and set(names) <= set(known)


def _table_text(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TableError(where, f"not UTF-8 text ({error.reason})", "a CSV in UTF-8") from None


class _Rows:
    """Puts the rows of a table, as they are written, into it."""

    def __init__(
        self,
        table: StyleTable,
        header: list[str],
        styles: "_StyleNames",
        pair: Pair | None,
        pairs: Collection[str],
    ) -> None:
        self.table, self._header = table, header
        self._pair, self._pairs = pair, pairs
        self._styles = styles

    def add(self, row: list[str], at: str, line: int) -> None:
        if len(row) != len(self._header) or not all(row):
            says = f"{counted(len(row), 'column')}: {','.join(row)!r}"
            raise TableError(at, says, f"a {' and a '.join(self._header)}")
        cells = dict(zip(self._header, row, strict=True))
        if not self._is_of_pair(cells.get("pair"), at):
            return
        content, style = cells["content"], cells["style"]
        version = (self._styles.index_of(style, at), self._variant(cells.get("variant"), at))
        lines = self.table.rows.setdefault(content, {})
        if version in lines:
            again = f"'{content}' with '{style}' again"
            raise TableError(at, again, f"first in line {lines[version]}")
        lines[version] = line

    def _is_of_pair(self, name: str | None, at: str) -> bool:
        if name is None or self._pair is None:
            return True
        if name not in self._pairs:
            near = get_close_matches(name, self._pairs, n=1)
            todo = f"did you mean '{near[0]}'?" if near else ""
            known = ", ".join(sorted(self._pairs))
            raise TableError(at, f"'{name}' is no pair of the manifest", f"one of {known}", todo)
        return name == base_name(self._pair.name)

    def _variant(self, text: str | None, at: str) -> int:
        if text is None:
            return _EVERY
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_VARIANTS))
        if not is_number or not 1 <= int(text) <= MAX_VARIANTS:
            allowed = f"a whole number from 1 to {MAX_VARIANTS}"
            raise TableError(at, f"'{text}' is no variant", allowed)
        if int(text) > 1 and self._pair is not None and not self._pair.is_random:
            found = f"variant {text} would be the same as 1: nothing is drawn at random"
            allowed = "1, unless strength is [LOW, HIGH] or the recipe starts from noise"
            raise TableError(at, found, allowed)
        return int(text)


class _StyleNames:
    """What a table may call styles by: a key, a name, or a path that leads to the same file."""

    def __init__(self, styles: Sequence[NamedStyle], root: Path) -> None:
        self._root = root
        names: dict[str, list[int]] = {}
        for index, style in enumerate(styles):
            for name in {style.key, style.name}:
                names.setdefault(name, []).append(index)
        # A key is exact: a name that another entry has for its key gives way to it.
        self._indices = names | {style.key: [index] for index, style in enumerate(styles)}

    def index_of(self, style: str, at: str) -> int:
        """Return a style's index.

        Raises:
            TableError: no style of the pair is called so, or several are.
        """
        found = self._indices.get(style) or self._indices.get(self._as_key(style), [])
        if len(found) == 1:
            return found[0]
        if found:
            says = f"'{style}' is the name of {len(found)} styles"
            raise TableError(at, says, "", "write its path from the manifest's folder")
        near = get_close_matches(style, self._indices, n=1)
        todo = f"did you mean '{near[0]}'?" if near else "write a path or name from `styles:`"
        raise TableError(at, f"'{style}' is no style of this pair", "", todo)

    def _as_key(self, path: str) -> str:
        """Return a path as styles' keys are written: from the manifest's folder, without dots."""
        if is_remote(path):
            return inputs.normalised(path)
        absolute = os.path.abspath(self._root / path)
        return Path(os.path.relpath(absolute, os.path.abspath(self._root))).as_posix()
