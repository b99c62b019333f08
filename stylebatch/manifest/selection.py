"""Which images of a content folder a pair takes, and how they are split: as it was resolved."""

from dataclasses import dataclass
from typing import Literal

from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system import inputs
from stylebatch.system.globs import glob_regex

TRAIN = frozenset({"train", "training"})
SPLIT_NAMES = TRAIN | {
    *("val", "valid", "validation", "dev"),
    *("test", "testing", "eval", "holdout"),
}


@dataclass(frozen=True, slots=True)
class Split:
    """How a pair's images are split.

    Attributes:
        kind: by nothing, by the folders just below the content, by lists, or by shares.
        names: of the splits; of folders as they are on the disk.
        stylised: those whose images are stylised.
        lists: the text file of each, paths as a pair's `content`.
        shares: of each, positive; they sum to 1.
        is_found: whether nobody asked for it: the content folder's layout says so.
        hint: what its user may not have meant, "" if nothing.
    """

    kind: Literal["none", "folders", "lists", "shares"] = "none"
    names: tuple[str, ...] = ()
    stylised: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    is_found: bool = False
    hint: str = ""

    def folder_split(self, folder: str) -> str | None:
        """Return the split of a folder below the content's; None: in none, or not by folders."""
        if self.kind != "folders":
            return None
        first = folder.partition("/")[0]
        return first if first in self.names else None

    def label_of(self, folder: str) -> str | None:
        """Return the class of a folder below the content's: its first one below the split."""
        if self.kind == "folders":
            folder = folder.partition("/")[2]
        return folder.partition("/")[0] or None

    def takes(self, name: str | None) -> bool:
        """Whether the images of a split are stylised; None: of no split."""
        return self.kind == "none" or name in self.stylised


@dataclass(frozen=True, slots=True)
class Selection:
    """Which images of a content folder a pair takes.

    Attributes:
        include, exclude: globs on the path below the content; without `include` all are in.
        classes: None for all.
        max_images: of each class in each split; None for all.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    classes: tuple[str, ...] | None = None
    max_images: int | None = None

    @property
    def is_all(self) -> bool:
        """Whether no image is left out by its path."""
        return not (self.include or self.exclude) and self.classes is None

    def left_out_by(self, path: str, label: str | None) -> str | None:
        """Return the first key that leaves an image out, None where it is taken."""
        if self.include and not glob_regex(*self.include).fullmatch(path):
            return "include"
        if self.exclude and glob_regex(*self.exclude).fullmatch(path):
            return "exclude"
        return "classes" if self.classes is not None and label not in self.classes else None


NO_SPLIT, EVERYTHING = Split(), Selection()


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders with images just below a content folder: named as splits are, and others."""

    splits: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def trains(self) -> tuple[str, ...]:
        """Those that are named as what is trained on."""
        return tuple(name for name in self.splits if name.casefold() in TRAIN)

    @property
    def is_split(self) -> bool:
        """Whether all of them are splits, and one is there to train on."""
        return bool(self.trains) and not self.others


def find_layout(content: inputs.Place) -> Layout:
    """Look which folders just below a content folder are splits; none where there is no `train`.

    Raises:
        OSError: a folder that can't be read.
    """
    names = sorted(inputs.list_folders(content))
    if not any(name.casefold() in TRAIN for name in names):
        return Layout()
    filled = [name for name in names if _has_images(content / name)]
    splits = tuple(name for name in filled if name.casefold() in SPLIT_NAMES)
    return Layout(splits, tuple(name for name in filled if name not in splits))


def _has_images(folder: inputs.Place) -> bool:
    return next(inputs.walk_files(folder, IMAGE_SUFFIXES), None) is not None
