"""Inputs: content and style files by digest and size, reading only those that changed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest, StyleSource
from stylebatch.pictures import images
from stylebatch.pictures.errors import ImageError
from stylebatch.records import Style, StyleImage
from stylebatch.system import files, listing
from stylebatch.system.paths import below
from stylebatch.system.read_ahead import read_each


class PlanError(UserError):
    """A plan that can't be made, or that would harm what is there."""


class InputError(UserError):
    """A style image that can't be read."""


class KnownFile(NamedTuple):
    """An input as it was when last read; 0×0 px: not an image that can be read."""

    size: int
    mtime_ns: int
    digest: str
    width: int
    height: int


class KnownFiles(Protocol):
    """What remembers inputs by folder (from the manifest's), so that only changed ones are read."""

    def known_files(self, folder: str, first: str, last: str) -> dict[str, KnownFile]:
        """Return what is known of a folder's files from one name to another, by name."""

    def remember_files(self, folder: str, known: Mapping[str, KnownFile]) -> None:
        """Keep what was read of a folder's files."""


@dataclass
class ReadCount:
    """Files that had to be read, and their bytes."""

    files: int = 0
    bytes: int = 0


class Mask(NamedTuple):
    """A content image's mask; without a digest: what there is in its place, or should be."""

    path: str
    digest: str


UNREADABLE = KnownFile(0, 0, "", 0, 0)
NO_MASK = Mask("", "")


class InputReader:
    """Reads inputs, each changed one once: the same bytes give digest and size."""

    def __init__(self, root: Path, known: KnownFiles, count: ReadCount) -> None:
        self.root, self.known, self.count = root, known, count

    def files_of(self, folder: str, stats: Sequence[listing.FileStat]) -> list[KnownFile | None]:
        """Return what is known of a folder's files, in their order; None: can't even be opened."""
        names = [stat.path.rpartition("/")[2] for stat in stats]
        if not names:
            return []
        known = self.known.known_files(folder, min(names), max(names))
        where = self.root / folder
        found: list[KnownFile | None] = []
        changed: list[int] = []
        for stat, name in zip(stats, names, strict=True):
            file = known.get(name)
            if file is None or file.mtime_ns != stat.mtime_ns or file.size != stat.size:
                changed.append(len(found))
            found.append(file)
        if changed:
            data = read_each(f"{where}/{names[index]}" for index in changed)
            for index, each in zip(changed, data, strict=True):
                found[index] = self._examine(each, stats[index])
            read = {names[index]: file for index in changed if (file := found[index])}
            self.known.remember_files(folder, read)
        return found

    def masks_of(self, folder: str, contents: Iterable[str]) -> list[Mask]:
        """Return the masks of a folder's content images: in `folder`, by the same stem."""
        stems = [_stem(content) for content in contents]
        wanted: dict[str, list[listing.FileStat]] = {stem: [] for stem in stems}
        for stat in listing.list_files(self.root / folder, images.IMAGE_SUFFIXES):
            if (stem := _stem(stat.path)) in wanted:
                wanted[stem].append(stat)
        alone = [found[0] for found in wanted.values() if len(found) == 1]
        read = zip(alone, self.files_of(folder, alone), strict=True)
        digests = {stat.path: file.digest for stat, file in read if file is not None}
        masks = {}
        for stem, found in wanted.items():
            names = [stat.path for stat in found] or [f"{stem}.png"]
            path = " and ".join(below(folder, name) for name in names)
            masks[stem] = Mask(path, digests.get(names[0], ""))
        return [masks[stem] for stem in stems]

    def style_digest(self, path: str) -> str:
        """Return the digest of a style image.

        Raises:
            InputError: it is not there, or not an image that can be read.
        """
        folder, _, name = path.rpartition("/")
        try:
            stat = files.stat_file(self.root / path)
            if stat is None:
                todo = "correct the path under `styles:`"
                raise InputError(path, "no such style image", "", todo)
            (file,) = self.files_of(folder, [listing.FileStat(name, *stat)])
            if file is not None and file.width:
                return file.digest
            images.upright_size(files.read_bytes(self.root / path), path)
        except OSError as error:
            raise InputError(path, f"can't be read ({error.strerror})") from error
        except ImageError as error:
            raise InputError(path, error.found, error.allowed, error.todo) from error
        raise InputError(path, "has changed just now", "", "run again")

    def _examine(self, data: bytes | None, stat: listing.FileStat) -> KnownFile | None:
        if data is None:
            return None
        self.count.files += 1
        self.count.bytes += len(data)
        try:
            width, height = images.upright_size(data, stat.path)
        except ImageError:
            width, height = 0, 0
        return KnownFile(stat.size, stat.mtime_ns, files.digest_bytes(data), width, height)


def resolve_styles(manifest: Manifest, known: KnownFiles) -> dict[str, Style]:
    """Return all styles by key, with digests; only files that changed are read.

    Raises:
        InputError, Problems: style images that can't be read.
    """
    reader = InputReader(manifest.root, known, ReadCount())
    styles: dict[str, Style] = {}
    problems: list[UserError] = []
    for source in (source for pair in manifest.pairs for source in pair.styles):
        try:
            if source.key not in styles:
                styles[source.key] = _resolve_style(source, reader)
        except InputError as problem:
            problems.append(problem)
    raise_all(problems)
    return styles


def _resolve_style(source: StyleSource, reader: InputReader) -> Style:
    resolved = tuple(
        StyleImage(path, weight, reader.style_digest(path)) for path, weight in source.images
    )
    if len(resolved) == 1:
        return Style(source.key, source.name, resolved, resolved[0].digest)
    text = "\n".join(f"{image.digest} {image.weight!r}" for image in resolved)
    return Style(source.key, source.name, resolved, files.digest_bytes(text.encode()))


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]
