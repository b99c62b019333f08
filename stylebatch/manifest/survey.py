"""What folders hold that a first manifest is drafted for: photographs, classes, splits, styles."""

import shlex
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from stylebatch.errors import UserError
from stylebatch.manifest.selection import TRAIN, find_layout
from stylebatch.output.layout import Dataset
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import IMAGE_SUFFIXES, upright_size
from stylebatch.system import files, listing
from stylebatch.system.words import counted

STYLE_NAMES = frozenset(
    {"style", "styles", "painting", "paintings", "art", "arts", "artwork", "artworks", "textures"}
)
# Neither photographs nor styles, although there may be images in them.
PASSED_OVER = frozenset({"mask", "masks", "node_modules", "site-packages", "venv", "__pycache__"})
# Of a class of folders deeper down, or of more folders than that, the user says which.
DEEPEST, MOST_FOLDERS = 3, 5000
# What is taken without anybody having named it.
DEEPEST_UNASKED, MOST_UNASKED = 2, 20_000
# So many photographs are looked into.
MOST_SIZES = 60
_SUFFIXES = ", ".join(sorted(IMAGE_SUFFIXES))
_EXAMPLE = "name them: stylebatch init CONTENT STYLES; or try `stylebatch demo demo`"


class SurveyError(UserError):
    """Folders for which no manifest can be drafted."""


@dataclass(frozen=True, slots=True)
class Photographs:
    """A folder of photographs.

    Attributes:
        folder: as it was given, or found.
        train: what is stylised: the folder's split to train on, or the folder itself.
        count: photographs in `train`.
        classes: photographs of each first folder below `train`, the largest first.
        others: photographs of the other folders beside `train`; {} where there are no splits.
        sizes: upright (width, height) in pixels of some of them.
        examples: paths of these, in their order.
        num_unreadable: of those that were looked into.
    """

    folder: Path
    train: Path
    count: int
    classes: dict[str, int]
    others: dict[str, int]
    sizes: list[tuple[int, int]]
    examples: list[Path]
    num_unreadable: int

    @property
    def split(self) -> str | None:
        """The folder's split to train on, None where it has no splits."""
        return None if self.train == self.folder else self.train.name

    @property
    def median_size(self) -> tuple[int, int] | None:
        """Median width and height of the photographs that were looked into, in pixels."""
        if not self.sizes:
            return None
        width, height = (statistics.median_low(edges) for edges in zip(*self.sizes, strict=True))
        return width, height

    @property
    def longest_edges(self) -> list[int]:
        """Longest edges of the photographs that were looked into, in pixels."""
        return [max(size) for size in self.sizes]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Folders that look like what a manifest needs, the ones with most images first."""

    contents: list[Path]
    styles: list[Path]


def find_candidates(root: Path) -> Candidates:
    """Look below a folder for photographs, and for styles by the names that folders of them have.

    Folders of photographs are those with images in them, or in folders of theirs (classes), or with
    a split to train on; the topmost of each branch. Outputs of stylebatch are passed over.
    """
    contents: list[Path] = []
    styles: list[Path] = []
    left = [(folder, 1) for folder in _folders(root)]
    for number, (folder, depth) in enumerate(left):
        if number >= MOST_FOLDERS:
            break
        if _is_style(folder):
            styles.append(folder)
        elif _is_content(folder):
            contents.append(folder)
        elif depth < DEEPEST:
            left += [(inner, depth + 1) for inner in _folders(folder)]
    return Candidates(_largest_first(contents), _largest_first(styles))


def survey_photographs(folder: Path) -> Photographs:
    """Count a folder's photographs by class and split, and look into some of them.

    Raises:
        SurveyError: no folder, one that can't be read, or one without an image.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is no folder that exists"
        raise SurveyError(str(folder), found, "allowed is a folder of photographs", _EXAMPLE)
    try:
        train, others = _splits(folder)
        classes, examples = _count(train)
        counts = {name: count_images(folder / name) for name in others}
    except OSError as error:
        todo = "mount it, or let yourself read it"
        raise SurveyError(str(folder), f"can't be read ({error})", "", todo) from error
    total = sum(classes.values())
    if not total:
        found = f"holds no image ({_SUFFIXES})"
        raise SurveyError(str(train), found, "allowed is a folder of photographs", _EXAMPLE)
    read = [(path, size) for path in examples if (size := _size_of(path))]
    classes.pop("", None)
    by_size = sorted(classes.items(), key=lambda item: (-item[1], item[0]))
    return Photographs(
        folder=folder,
        train=train,
        count=total,
        classes=dict(by_size),
        others={name: count for name, count in counts.items() if count},
        sizes=[size for _, size in read],
        examples=[path for path, _ in read],
        num_unreadable=len(examples) - len(read),
    )


def survey_styles(entries: Sequence[Path]) -> dict[Path, int]:
    """Count the images of each entry of `styles:`, a file or a folder.

    Raises:
        SurveyError: one that is neither, or a folder without an image.
    """
    counts = {}
    allowed = f"allowed are images ({_SUFFIXES}) and folders of them"
    for entry in entries:
        if entry.is_file():
            counts[entry] = int(entry.suffix.lower() in IMAGE_SUFFIXES)
        elif entry.is_dir():
            counts[entry] = count_images(entry)
        else:
            raise SurveyError(str(entry), "is no file or folder that exists", allowed, _EXAMPLE)
        if not counts[entry]:
            raise SurveyError(str(entry), "holds no image", allowed, "name others")
    return counts


def choose_content(candidates: Candidates, root: Path) -> Path:
    """Return the folder with most photographs.

    Raises:
        SurveyError: there is none; one that is far below, or has so many that somebody has to name
            it who means it.
    """
    if candidates.contents:
        return _unasked(candidates.contents[0], root)
    allowed = "looked for is a folder of images, or of class folders with images"
    raise SurveyError(str(root), "no folder of photographs was found below it", allowed, _EXAMPLE)


def _unasked(folder: Path, root: Path) -> Path:
    allowed = f"nobody has named it: at most {MOST_UNASKED:,} photographs, {DEEPEST_UNASKED} deep"
    todo = f"name it if you mean it: stylebatch init {shlex.quote(str(folder))} STYLES"
    if len(folder.relative_to(root).parts) > DEEPEST_UNASKED:
        found = "has most photographs, and is far below"
        raise SurveyError(str(folder), found, allowed, todo)
    if count_images(folder, MOST_UNASKED + 1) > MOST_UNASKED:
        found = f"has more than {MOST_UNASKED:,} photographs"
        raise SurveyError(str(folder), found, allowed, todo)
    return folder


def choose_styles(candidates: Candidates, root: Path, content: Path) -> list[Path]:
    """Return the folder with most styles, outside of the photographs.

    Raises:
        SurveyError: there is none.
    """
    inside = content.resolve()
    for folder in candidates.styles:
        if not folder.resolve().is_relative_to(inside):
            return [folder]
    names = ", ".join(sorted(STYLE_NAMES))
    allowed = f"looked for is one with images and a name of {names}"
    raise SurveyError(str(root), "no folder of styles was found below it", allowed, _EXAMPLE)


def unreadable_styles(entries: Iterable[Path]) -> list[Path]:
    """Return the style images that are none, of the first `MOST_SIZES`."""
    paths: list[Path] = []
    for entry in entries:
        if entry.is_file():
            paths.append(entry)
            continue
        for _, found in listing.walk_files(entry, IMAGE_SUFFIXES):
            paths += [entry / file.path for file in found]
            if len(paths) >= MOST_SIZES:
                break
    return [path for path in paths[:MOST_SIZES] if _size_of(path) is None]


def count_images(folder: Path, most: int | None = None) -> int:
    """Count the images below a folder; where `most` are found, no further."""
    count = 0
    for _, found in listing.walk_files(folder, IMAGE_SUFFIXES):
        count += len(found)
        if most is not None and count >= most:
            break
    return count


def describe_classes(photographs: Photographs, most: int = 3) -> str:
    """Name the largest classes with their photographs: `3 classes: a 20, b 10, c 2`."""
    classes = photographs.classes
    if not classes:
        return "no classes"
    first = [f"{name} {count:,}" for name, count in list(classes.items())[:most]]
    more = len(classes) - len(first)
    rest = f" and {more:,} more" if more else ""
    number = f"{len(classes):,} class{'' if len(classes) == 1 else 'es'}"
    loose = photographs.count - sum(classes.values())
    outside = f"; {counted(loose, 'photograph')} in none" if loose else ""
    return f"{number}: {', '.join(first)}{rest}{outside}"


def _folders(folder: Path) -> Iterator[Path]:
    with suppress(OSError):
        for name in sorted(listing.list_folders(folder)):
            inner = folder / name
            if name.casefold() not in PASSED_OVER and not Dataset(inner).state.exists():
                yield inner


def _is_style(folder: Path) -> bool:
    if folder.name.casefold() not in STYLE_NAMES:
        return False
    with suppress(OSError):
        return next(listing.walk_files(folder, IMAGE_SUFFIXES), None) is not None
    return False


def _is_content(folder: Path) -> bool:
    inner = list(_folders(folder))
    has_train = any(each.name.casefold() in TRAIN for each in inner)
    classes = [each for each in inner if not _is_style(each)]
    return has_train or any(map(_has_images, [folder, *classes]))


def _has_images(folder: Path) -> bool:
    with suppress(OSError):
        return bool(listing.list_files(folder, IMAGE_SUFFIXES))
    return False


def _largest_first(folders: Iterable[Path]) -> list[Path]:
    counted_folders = []
    for folder in folders:
        with suppress(OSError):
            # Far more than are taken unasked: which has most of these does not matter.
            counted_folders.append((-count_images(folder, 5 * MOST_UNASKED), folder))
    return [folder for count, folder in sorted(counted_folders) if count]


def _splits(folder: Path) -> tuple[Path, list[str]]:
    """Return what to train on, and the folders beside it: splits, and what lies among them."""
    layout = find_layout(folder)
    # One folder called `train` among others is a class.
    if not (layout.is_split or (layout.trains and len(layout.splits) > 1)):
        return folder, []
    train = layout.trains[0]
    return folder / train, [name for name in layout.splits + layout.others if name != train]


def _count(folder: Path) -> tuple[dict[str, int], list[Path]]:
    """Count images by first folder ("" for none), and take some, evenly spread."""
    classes: dict[str, int] = {}
    taken: list[str] = []
    number, stride = 0, 1
    for below, found in listing.walk_files(folder, IMAGE_SUFFIXES):
        label = below.partition("/")[0]
        classes[label] = classes.get(label, 0) + len(found)
        for file in found:
            if number % stride == 0:
                taken.append(file.path)
            number += 1
            # There may be a million: so the list never grows beyond twice what is wanted.
            if len(taken) > 2 * MOST_SIZES:
                taken, stride = taken[::2], 2 * stride
    step = -(-len(taken) // MOST_SIZES) or 1
    return classes, [folder / path for path in taken[::step]]


def _size_of(path: Path) -> tuple[int, int] | None:
    with suppress(OSError, ImageError):
        return upright_size(files.read_bytes(path), str(path))
    return None
