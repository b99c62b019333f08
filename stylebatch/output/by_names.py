"""What `load_dataset("imagefolder", …)` makes of names: images that it takes otherwise, or drops.

It has no option that says which folder is which split. Where a folder's name has a split's word in
it, splits are such folders, and what is in none of them is dropped; else where a file's name has
one, likewise. Of what a split has, it loads the rows of the tables there (`run.loader_tables`),
whatever files are called: so words below a split's own folder do no harm.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from stylebatch.system.words import counted

# What `datasets` calls a split whose folder has such a name.
CALLED = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
# Words are set off by these; case matters.
_WORD = re.compile(rf"(?:^|[-._ 0-9])({'|'.join(CALLED)})(?=[-._ 0-9]|$)")


def table_folder(folder: str, split: str | None) -> str:
    """Return the folder of the table that images of a folder stand in: their split's, or the top.

    Args:
        folder: POSIX path below `images/`, "" for that itself; so is what is returned.
    """
    names = folder.split("/") if folder else []
    return "/".join(names[: names.index(split) + 1]) if split in names else ""


@lru_cache(maxsize=4096)
def _words(folder: str) -> frozenset[str]:
    return frozenset(word for name in folder.split("/") for word in _WORD.findall(name))


def _called(words: Iterable[str]) -> set[str]:
    return {CALLED[word] for word in words}


class _Named:
    """Images with a word in their names: how many, which words, and the first by path."""

    def __init__(self) -> None:
        self.count, self.words, self.example = 0, set[str](), ""

    def note(self, count: int, words: Iterable[str], example: str) -> None:
        self.count += count
        self.words.update(words)
        self.example = min(self.example or example, example)


class ByNames:
    """Is told of all images of an output, some at a time, and says which are in danger."""

    def __init__(self) -> None:
        self._tables: Counter[str] = Counter()  # images of each table's folder
        self._splits: dict[str, set[str]] = {}
        self._folders: dict[str, _Named] = {}  # below tables', by what the words are called
        self._files = _Named()

    def tell(self, folder: str, names: Iterable[str], split: str | None) -> None:
        """Tell of images of one folder (POSIX, below `images/`) that are in one split."""
        top = table_folder(folder, split)
        below = _words(folder[len(top) :].strip("/"))
        count, first = 0, ""
        for name in names:
            count += 1
            first = min(first or name, name)
            if words := _WORD.findall(name):
                self._files.note(1, words, _join(folder, name))
        if not count:
            return
        self._tables[top] += count
        self._splits.setdefault(top, set()).add(split or "")
        for called in _called(below):
            named = self._folders.setdefault(called, _Named())
            of_it = [word for word in below if CALLED[word] == called]
            named.note(count, of_it, _join(folder, first))

    def warnings(self, output: str, images: str) -> Iterator[str]:
        """Say which images it drops, refuses or takes for others', and what to do.

        Args:
            output, images: what to load by the card, and by names.
        """
        todo = f'load_dataset("{output}") has all of them'
        called = {top: _called(_words(top)) for top in self._tables}
        told = set[str]().union(*called.values())
        if named := self._misleading(called, told):
            has = counted(named.count, "image", "has", "have")
            words = " and ".join(f"'{word}'" for word in sorted(named.words))
            yield (
                f"{has} {words} in the names of folders or files (such as {named.example}): "
                f'load_dataset("imagefolder", data_dir="{images}") takes that for a split, drops '
                f"or mixes up images, or fails; {todo}, and so it has with "
                'data_files="**", split="train" beside data_dir'
            )
        elif told and (lost := [top for top in self._tables if not called[top]]):
            are = counted(sum(self._tables[top] for top in lost), "image", "is", "are")
            names = sorted({name for top in lost for name in self._splits[top]} - {""})
            where = f"in {', '.join(names)}" if names else "in no split"
            yield (
                f"{are} {where}, which is not what datasets calls a split, and others are in one: "
                f'load_dataset("imagefolder", data_dir="{images}") drops them; {todo}'
            )

    def _misleading(self, called: dict[str, set[str]], told: set[str]) -> _Named | None:
        """Return the images whose names mislead it, if they do."""
        found = _Named()
        if not told and not self._folders:
            return self._files if self._files.count else None
        for name in self._folders.keys() - told:
            each = self._folders[name]
            found.note(each.count, each.words, each.example)
        for top, names in called.items():
            of_split = _called(_words(top.rpartition("/")[2]))
            if len(names) > 1 or names != of_split:
                found.note(self._tables[top], _words(top), f"{top}/")
        return found if found.count else None


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
