"""Inputs: content and style files by digest and size, reading only those that changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from stylebatch.errors import UserError
from stylebatch.library.shelf import Library, is_of_library
from stylebatch.manifest import Manifest, StyleSource
from stylebatch.pictures import images
from stylebatch.pictures.errors import ImageError
from stylebatch.records import Style, StyleImage
from stylebatch.system import files, inputs, listing
from stylebatch.system.object_stores import is_remote
from stylebatch.system.paths import below


class PlanError(UserError):
    """A plan that can't be made, or that would harm what is there."""


class KnownFile(NamedTuple):
    """An input as it was when last read; 0×0 px: not an image that can be read.

    Attributes:
        ctime_ns, inode: 0 where an earlier version read it, which did not note them, and of an
            object of a store, which has none.
        etag: of such an object, "" of a file.
    """

    size: int
    mtime_ns: int
    digest: str
    width: int
    height: int
    ctime_ns: int = 0
    inode: int = 0
    etag: str = ""

    def is_as(self, stat: listing.FileStat) -> bool:
        """Whether a file is still that which was read, by all that the system says of it.

        A file that was replaced may have its predecessor's size and time of change: copies keep
        times, and archives give whole folders one. Its own inode and time it can't keep.
        """
        if stat.etag or self.etag:
            return (self.size, self.etag) == (stat.size, stat.etag)
        if (self.size, self.mtime_ns) != (stat.size, stat.mtime_ns):
            return False
        return not self.inode or (self.ctime_ns, self.inode) == (stat.ctime_ns, stat.inode)


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

    def __init__(
        self,
        root: Path,
        known: KnownFiles,
        count: ReadCount,
        library: Library | None = None,
        tick: Callable[[], object] = lambda: None,
    ) -> None:
        """Read below a folder; `tick` is called while a store is waited for, and may raise."""
        self.root, self.known, self.count = root, known, count
        self.library = library or Library(root)
        self.unreadable: list[str] = []
        self.tick = tick
        self._stored: dict[str, KnownFile | None] = {}

    def files_of(self, folder: str, stats: Sequence[listing.FileStat]) -> list[KnownFile | None]:
        """Return what is known of a folder's files, in their order; None: can't even be opened."""
        names = [stat.path.rpartition("/")[2] for stat in stats]
        if not names:
            return []
        known = self.known.known_files(folder, min(names), max(names))
        where = inputs.at(self.root, folder)
        found: list[KnownFile | None] = []
        changed: list[int] = []
        # Of files that an earlier version has read.
        learnt: dict[str, KnownFile] = {}
        for stat, name in zip(stats, names, strict=True):
            file = known.get(name)
            if file is None or not file.is_as(stat):
                changed.append(len(found))
            elif not (file.inode or file.etag):
                file = file._replace(ctime_ns=stat.ctime_ns, inode=stat.inode)
                learnt[name] = file
            found.append(file)
        if changed:
            data = inputs.read_each(where, (names[index] for index in changed), self.tick)
            for index, each in zip(changed, data, strict=True):
                found[index] = self._examine(each, stats[index])
            read = {names[index]: file for index in changed if (file := found[index])}
            learnt |= read
        if learnt:
            self.known.remember_files(folder, learnt)
        return found

    def masks_of(self, folder: str, contents: Iterable[str]) -> list[Mask]:
        """Return the masks of a folder's content images: in `folder`, by the same stem."""
        stems = [_stem(content) for content in contents]
        wanted: dict[str, list[listing.FileStat]] = {stem: [] for stem in stems}
        try:
            listed = inputs.list_files(inputs.at(self.root, folder), images.IMAGE_SUFFIXES)
        except OSError:
            listed = []  # the jobs fail for want of their masks, and no others
        for stat in listed:
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
        """Return the digest of a style image, "" if it can't be opened.

        Its jobs fail where it is no image, or can't be opened: `unreadable` names those.

        Raises:
            LibraryError: one of the library that was there when the manifest was read.
        """
        if is_of_library(path):
            return self.library.open(path).told.digest
        if is_remote(path):
            file = self._stored.get(path)
        else:
            folder, _, name = path.rpartition("/")
            (file,) = self.files_of(folder, [listing.stat_file(self.root / path, name)])
        if file is None or not file.width:
            self.unreadable.append(path)
        return file.digest if file else ""

    def read_stored(self, paths: Iterable[str]) -> None:
        """Look up style images that are in stores, a folder at a time, for `style_digest`.

        One after another each would be waited for.
        """
        folders: dict[str, set[str]] = {}
        for path in filter(is_remote, paths):
            folder, _, name = path.rpartition("/")
            folders.setdefault(folder, set()).add(name)
        for folder, names in folders.items():
            try:
                listed = inputs.list_files(inputs.at(self.root, folder), images.IMAGE_SUFFIXES)
            except OSError:
                continue  # the jobs of these styles fail, and no others
            stats = [stat for stat in listed if stat.path in names]
            for stat, file in zip(stats, self.files_of(folder, stats), strict=True):
                self._stored[below(folder, stat.path)] = file

    def _examine(self, data: bytes | None, stat: listing.FileStat) -> KnownFile | None:
        if data is None:
            return None
        self.count.files += 1
        self.count.bytes += len(data)
        try:
            width, height = images.upright_size(data, stat.path)
        except ImageError:
            width, height = 0, 0
        digest = files.digest_bytes(data)
        by_time = (stat.ctime_ns, stat.inode, stat.etag)
        return KnownFile(stat.size, stat.mtime_ns, digest, width, height, *by_time)


def resolve_styles(
    manifest: Manifest, known: KnownFiles, unreadable: list[str] | None = None
) -> dict[str, Style]:
    """Return all styles by key, with digests; only files that changed are read.

    Args:
        unreadable: takes the paths of style images that can't be read: their jobs will fail.
    """
    reader = InputReader(manifest.root, known, ReadCount(), Library(manifest.cache, manifest.root))
    styles: dict[str, Style] = {}
    sources = [source for pair in manifest.pairs for source in pair.styles]
    reader.read_stored(path for source in sources for path, _ in source.images)
    for source in sources:
        if source.key not in styles:
            styles[source.key] = _resolve_style(source, reader)
    if unreadable is not None:
        unreadable += dict.fromkeys(reader.unreadable)
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
