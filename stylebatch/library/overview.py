"""What the library and the cache hold, style by style."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from stylebatch.library.cached import Cached, list_cached, read_thumbnail
from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import PREFIX, Library, first_of
from stylebatch.library.style_file import StyleFile
from stylebatch.system.words import counted

_SHORT = 8


@dataclass(frozen=True, slots=True)
class Entry:
    """One style: a file of the library, or what the cache has of one style image.

    Attributes:
        kind: library | cached.
        name: of what was cached before November 2026 "", and all of that is one entry.
        digest: of the style image's file.
        requests: what its targets were asked for.
        size: in bytes.
        used_s: when it was used last, by the day.
        file: of the library.
        cached: of the cache.
        problem: what is wrong with a file of the library; then nothing else is known of it.
    """

    kind: Literal["library", "cached"]
    name: str
    digest: str
    requests: list[dict[str, Any]]
    size: int
    used_s: float
    file: StyleFile | None = None
    cached: list[Cached] = field(default_factory=list)
    problem: str = ""

    @property
    def reference(self) -> str:
        """What tells it from the others: `library:NAME`, or the beginning of its digest."""
        return f"{PREFIX}{self.name}" if self.kind == "library" else self.digest[:_SHORT]

    @property
    def sizes_px(self) -> list[int]:
        """The sizes that there are targets of."""
        return sorted({int(request["size_px"]) for request in self.requests})

    def thumbnail(self, cache: Path) -> bytes | None:
        """Return it in small, a PNG, if that can be had."""
        if self.file is None:
            return read_thumbnail(cache, self.digest) if self.digest else None
        try:
            return self.file.thumbnail()
        except LibraryError:
            return None


def list_entries(cache: Path) -> list[Entry]:
    """Return the styles of the library by name, then those of the cache.

    Raises:
        LibraryError: a library that can't be read.
    """
    return [*_of_library(Library(cache)), *_of_cache(list_cached(cache))]


def _of_library(library: Library) -> Iterator[Entry]:
    for name in library.names():
        try:
            found = library.place(name).stat()
        except OSError:
            continue  # it has been removed meanwhile
        size, used_s = found.st_size, found.st_mtime
        try:
            file = library.open(PREFIX + name)
        except LibraryError as error:
            problem = error.found.removeprefix(f"{library.place(name)} ")
            yield Entry("library", name, "", [], size, used_s, problem=problem)
            continue
        told = file.told
        requests = [target.request for target in told.targets.values()]
        yield Entry("library", name, told.digest, requests, size, used_s, file)


def _of_cache(files: Iterable[Cached]) -> Iterator[Entry]:
    by_digest: dict[str, list[Cached]] = {}
    for each in files:
        by_digest.setdefault(each.of.digest, []).append(each)
    named = ((cached[-1].of.name, digest, cached) for digest, cached in by_digest.items())
    for name, digest, cached in sorted(named, key=lambda one: (not one[0], one[0], one[1])):
        requests = [each.of.request for each in cached if each.of.request]
        size = sum(each.size for each in cached)
        used_s = max(each.used_s for each in cached)
        yield Entry("cached", name, digest, requests, size, used_s, cached=cached)


def find_entry(entries: Iterable[Entry], name: str) -> Entry:
    """Return the one that a name, `library:NAME` or the beginning of a digest means.

    Raises:
        LibraryError: none does, or several do.
    """
    known = list(entries)
    found = [each for each in known if name in (each.reference, each.name) and each.reference]
    if not found and len(name) >= _SHORT // 2:
        found = [each for each in known if each.digest.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        told = ", ".join(each.reference for each in found)
        says = f"{counted(len(found), 'style')} of this name"
        raise LibraryError(name, says, f"they are {told}", "name one of these")
    names = sorted({each.name for each in known if each.name})
    near = get_close_matches(name.removeprefix(PREFIX), names, n=1)
    todo = f"did you mean '{near[0]}'?" if near else "see `stylebatch styles list`"
    there = f"there are {first_of(names)}" if names else "there is none"
    raise LibraryError(name, "no such style in the library or the cache", there, todo)
