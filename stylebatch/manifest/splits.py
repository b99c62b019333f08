"""A pair's keys about its images, split and filters, → what they stand for, checked."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from stylebatch.manifest.paths import NAME_RULE, path_problem
from stylebatch.manifest.places import file_problem, todo_for
from stylebatch.manifest.problems import Findings, nearest
from stylebatch.manifest.schema import SplitBy
from stylebatch.manifest.selection import NO_SPLIT, TRAIN, Layout, Selection, Split, find_layout
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system import inputs

SPLIT_KEYS = ("split", "stylise", "include", "exclude", "classes", "max_images")
_MAX_NAMED = 12
# Shares are written by hand: 0.333 three times is no sum of 1, a rounded 1/3 is.
_TOLERANCE = 1e-6


class Written(Protocol):
    """A pair over the defaults."""

    loc: Loc

    def value(self, key: str) -> Any:
        """Return the pair's own, else the default, else None."""

    def place(self, key: str) -> Loc:
        """Return where the value is written, or where it would be."""


class ImagesReader:
    """Reads which images one pair takes. What comes back after a finding is never used."""

    def __init__(
        self, written: Written, root: Path, content: str, findings: Findings, *, is_split: bool
    ) -> None:
        """Prepare to read.

        Args:
            content: from `root`, a folder with images in it.
            is_split: whether `split` and `stylise` are usable, and so what depends on them.
        """
        self.written, self.root, self.content = written, root, content
        self.findings, self.is_split = findings, is_split
        self.folder = inputs.at(root, content)

    def read(self) -> tuple[Split, Selection]:
        """Return how a pair's images are split, and which of them it takes.

        Raises:
            OSError: a folder that can't be read.
        """
        selection = Selection(
            include=tuple(self.written.value("include") or ()),
            exclude=tuple(self.written.value("exclude") or ()),
            classes=self._tuple_or_none("classes"),
            max_images=self.written.value("max_images"),
        )
        if not self.is_split:
            return NO_SPLIT, selection
        before = len(self.findings)
        split = self._split()
        if len(self.findings) == before:
            self._check_classes(split, selection)
        if len(self.findings) == before and not selection.is_all:
            self._check_left(split, selection)
        return split, selection

    def _tuple_or_none(self, key: str) -> tuple[str, ...] | None:
        value = self.written.value(key)
        return None if value is None else tuple(value)

    def _split(self) -> Split:
        choice = self.written.value("split") or "auto"
        if isinstance(choice, SplitBy):
            return self._split_by(choice)
        if choice == "folders":
            names = tuple(sorted(inputs.list_folders(self.folder)))
            if not names:
                found, allowed = f"'{self.content}' has no folders", "allowed is auto or none"
                self._add("split", found, allowed, "correct one of them")
                return NO_SPLIT
            return Split("folders", names, self._stylised(names))
        layout = find_layout(self.folder) if choice == "auto" else Layout()
        if layout.is_split:
            return Split("folders", layout.splits, self._stylised(layout.splits), is_found=True)
        if self.written.value("stylise") is not None:
            allowed = "allowed is it with a split: folders, lists, shares, or train/ in the content"
            self._add("stylise", "nothing splits the pair", allowed, "remove it, or add `split: …`")
        return Split(hint=self._hint(layout))

    def _hint(self, layout: Layout) -> str:
        """Say why a layout that looks like splits is none; of a class `train` nothing is said."""
        if len(layout.splits) < 2:
            return ""
        looks, others = _few(layout.splits), _few(layout.others)
        return (
            f"'{self.content}' is not split, as beside {looks} it has {others}; "
            "write `split: folders`, or `split: none`"
        )

    def _split_by(self, choice: SplitBy) -> Split:
        if (choice.lists is None) == (choice.shares is None):
            found = "found neither lists nor shares" if choice.lists is None else "found both"
            allowed = "allowed is auto, folders, none, {lists: …} or {shares: …}"
            self._add("split", found, allowed, "write one of them")
            return NO_SPLIT
        kind = "shares" if choice.lists is None else "lists"
        given: dict[str, Any] = choice.lists or choice.shares or {}
        self._check_names(given, kind)
        names = tuple(given)
        if choice.lists is not None:
            for name, path in choice.lists.items():
                if problem := file_problem(inputs.at(self.root, path)):
                    found, allowed = f"'{path}' {problem}", "allowed is a text file"
                    self._add("split", found, allowed, todo_for(path), "lists", name)
            return Split("lists", names, self._stylised(names), lists=tuple(choice.lists.values()))
        shares = tuple(given.values())
        if abs((total := sum(shares)) - 1) > _TOLERANCE:
            found, allowed = f"the shares sum to {total:.6g}", "allowed is a sum of 1"
            self._add("split", found, allowed, "change one of them", "shares")
        return Split("shares", names, self._stylised(names), shares=shares)

    def _check_names(self, names: Iterable[str], kind: str) -> None:
        """Splits are folders of the output: names that no file system takes for one another."""
        seen: dict[str, str] = {}
        for name in names:
            if problem := path_problem(name):
                self._add("split", f"'{name}' {problem}", NAME_RULE, "rename it", kind, name)
            other = seen.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if other != name:
                found = f"'{name}' and '{other}' are one folder where case is ignored"
                self._add("split", found, "allowed is one", "rename one of them", kind, name)

    def _stylised(self, names: tuple[str, ...]) -> tuple[str, ...]:
        asked = self.written.value("stylise")
        allowed = f"allowed are {_few(names)}"
        if asked is None:
            found = tuple(name for name in names if name.casefold() in TRAIN)
            if not found:
                text = "no 'stylise', and no split is called train"
                self._add("stylise", text, allowed, "add `stylise: [NAME]`")
            return found
        for number, name in enumerate(asked):
            if name not in names:
                todo = nearest(name, names, "correct it")
                self._add("stylise", f"'{name}' is no split", allowed, todo, number)
        return tuple(asked)

    def _check_classes(self, split: Split, selection: Selection) -> None:
        if selection.classes is None:
            return
        tops = split.names if split.kind == "folders" else ("",)
        known = {name for top in tops for name in inputs.list_folders(self.folder / top)}
        for number, name in enumerate(selection.classes):
            if name not in known:
                found = f"'{name}' is no class of '{self.content}'"
                allowed = f"allowed are {_few(sorted(known)) or 'none: it has no folders'}"
                todo = nearest(name, known, "correct it")
                self._add("classes", found, allowed, todo, number)

    def _check_left(self, split: Split, selection: Selection) -> None:
        """Look whether anything is left to stylise; if not, name the filter that leaves nothing."""
        keys = [key for key in ("include", "exclude", "classes") if self.written.value(key)]
        most = 0
        for folder, found in inputs.walk_files(self.folder, IMAGE_SUFFIXES):
            if split.kind == "folders" and not split.takes(split.folder_split(folder)):
                continue
            label = split.label_of(folder)
            for file in found:
                by = selection.left_out_by(file.path, label)
                if by is None:
                    return
                most = max(most, keys.index(by))
        where = f" in {_few(split.stylised)}" if split.kind == "folders" else ""
        found_text = f"nothing is left to stylise of '{self.content}'{where}"
        allowed, todo = "allowed are classes with images that no other key leaves out", "correct it"
        if keys[most] != "classes":
            allowed = "allowed are globs that leave some image, matched with its path below content"
            todo = "correct it, as in **/*.jpg"
        self._add(keys[most], found_text, allowed, todo)

    def _add(self, key: str, found: str, allowed: str, todo: str, *inner: str | int) -> None:
        self.findings.add((*self.written.place(key), *inner), found, allowed, todo)


def _few(names: Iterable[str]) -> str:
    named = list(names)
    more = len(named) - _MAX_NAMED
    return ", ".join(named[:_MAX_NAMED]) + (f" and {more:,} more" if more > 0 else "")
