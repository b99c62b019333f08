"""Splits by lists: text files with an image a line."""

import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest, Pair, Split
from stylebatch.system import inputs, listing
from stylebatch.system.words import counted

_MAX_TOLD = 20


class ListError(UserError):
    """A list of images that cannot be read, or that contradicts another."""


class _Entry(NamedTuple):
    """A line of a list: the index of its split, and its number from 1."""

    split: int
    line: int


class SplitLists:
    """The lists of a pair's splits: paths below content → splits."""

    def __init__(self, split: Split) -> None:
        self._split = split
        self._entries: dict[str, _Entry] = {}
        self._unseen: dict[str, _Entry] = {}

    def read(self, index: int, data: bytes) -> None:
        """Take the list of a split.

        Raises:
            ListError, Problems: no text, or lines that another list has too.
        """
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            where, found = self._split.lists[index], f"not UTF-8 text ({error.reason})"
            raise ListError(where, found, "a text file in UTF-8", "save it as UTF-8") from None
        problems: list[UserError] = []
        for number, line in enumerate(text.split("\n"), 1):
            written = line.strip()
            if not written or written.startswith("#"):
                continue
            key, entry = _key(written), _Entry(index, number)
            other = self._entries.setdefault(key, entry)
            if other.split != index:
                problems.append(self._contradiction(written, entry, other))
        self._unseen = dict(self._entries)
        more = len(problems) - _MAX_TOLD
        if more > 0:
            rest = f"{counted(more, 'more line')} of other lists"
            problems = [*problems[:_MAX_TOLD], ListError(self._split.lists[index], rest)]
        raise_all(problems)

    def _where(self, entry: _Entry) -> str:
        return f"{self._split.lists[entry.split]}:{entry.line}"

    def _contradiction(self, path: str, entry: _Entry, other: _Entry) -> ListError:
        found = f"'{path}' is in {self._split.names[other.split]} too ({self._where(other)})"
        allowed = "allowed is each image in one list"
        return ListError(self._where(entry), found, allowed, "remove one of the lines")

    def splits_of(self, stats: Sequence[listing.FileStat]) -> list[str | None]:
        """Return the split of each of a folder's images, None where it is in no list.

        A line without a suffix stands for the one image of that name, whatever its suffix.

        Raises:
            ListError: a line that may mean several images, or an image that two lists have.
        """
        keys = [_key(stat.path) for stat in stats]
        there = frozenset(keys)
        stems = [posixpath.splitext(key)[0] for key in keys]
        alike = Counter(stems)
        found: list[str | None] = []
        for key, stem in zip(keys, stems, strict=True):
            exact = self._entries.get(key)
            # Of `a.jpg` and `a.jpg.png`, a line `a.jpg` means the first.
            bare = None if stem in there else self._entries.get(stem)
            if bare and alike[stem] > 1:
                names = [each for each, other in zip(keys, stems, strict=True) if other == stem]
                says = f"'{stem}' may be {' or '.join(names)}"
                raise ListError(self._where(bare), says, "allowed is one image a line", "add .…")
            if exact and bare and exact.split != bare.split:
                later, earlier = sorted((exact, bare), reverse=True)
                raise self._contradiction(key, later, earlier)
            for each in (key, stem) if bare else (key,):
                self._unseen.pop(each, None)
            entry = exact or bare
            found.append(self._split.names[entry.split] if entry else None)
        return found

    def missing(self) -> Iterator[str]:
        """Yield the lines whose image no folder had, as FILE:LINE: PATH."""
        for path, entry in self._unseen.items():
            yield f"{self._where(entry)}: {path}"


def _key(path: str) -> str:
    """Return a path as all spell it: lists come from Windows and from macOS too."""
    if not path.isascii():
        path = unicodedata.normalize("NFC", path)
    return posixpath.normpath(path.replace("\\", "/"))


def read_lists(manifest: Manifest, pair: Pair) -> SplitLists:
    """Read the lists of a pair's splits.

    Raises:
        ListError, Problems: what is wrong with them, by FILE:LINE.
    """
    lists = SplitLists(pair.split)
    for index, path in enumerate(pair.split.lists):
        try:
            data = inputs.read(inputs.at(manifest.root, path))
        except OSError as error:
            place = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
            found = f"{path} can't be read ({error.strerror})"
            raise ListError(place, found, "a text file with a path a line") from None
        lists.read(index, data)
    return lists
