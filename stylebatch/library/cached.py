"""Computed targets in the cache: which there are, what they are of, when they were used last."""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load

from stylebatch.library.digests import digest_arrays, read_header
from stylebatch.library.style_file import SUFFIX
from stylebatch.system import files

FOLDER, THUMBNAILS = "grams", "thumbnails"
# Names of what a file's metadata hold: the digest of its tensors; what they are of, as JSON.
DIGEST, OF = "blake2b", "of"
# A file's time tells when it was used last, no finer than this: not every use writes to the disk.
NOTED_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Of:
    """What cached targets are of, as their file tells.

    Attributes:
        digest: of the style image's file.
        name: as a style is called.
        source: where it was read: a path from the root, or a name of the library.
        request: what they were asked for, as `device.requests` describes it.
        versions: of what made them, by package. Not when: the same targets are the same bytes.
    """

    digest: str = ""
    name: str = ""
    source: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return it as a file's metadata hold it."""
        return {OF: json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)}


@dataclass(frozen=True, slots=True)
class Cached:
    """A file of cached targets; those from before November 2026 don't tell what they are of."""

    path: Path
    size: int
    used_s: float
    of: Of = field(default_factory=Of)

    @property
    def key(self) -> str:
        """Its name, a hash of the style and the request."""
        return self.path.stem


def list_cached(cache: Path) -> Iterator[Cached]:
    """Yield the files of a cache, in the order of their names; none where there is no cache."""
    for path in sorted((cache / FOLDER).glob(f"*{SUFFIX}")):
        if path.name.startswith("."):
            continue
        with suppress(OSError):  # it has been removed meanwhile
            found = path.stat()
            yield Cached(path, found.st_size, found.st_mtime, read_of(path))


def read_of(path: Path) -> Of:
    """Return what a file tells that it is of; of one from before, or a damaged one, nothing."""
    try:
        with safe_open(path, framework="np") as file:
            told = json.loads((file.metadata() or {}).get(OF, "{}"))
        return Of(**told)
    except (OSError, SafetensorError, ValueError, TypeError):
        return Of()


def read_cached(cache: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """Return cached targets, None where there are none that can be trusted."""
    try:
        data = files.read_bytes(cache / FOLDER / f"{key}{SUFFIX}")
        arrays = load(data)
        told = read_header(data)[0]["__metadata__"][DIGEST]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None
    return arrays if told == digest_arrays(arrays) else None


def note_use(path: Path) -> None:
    """Let a file's time tell that it was used, if it is a day old; where it can't, nothing is."""
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > NOTED_S:
            os.utime(path)


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of packages that are installed."""
    found = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def thumbnail_place(cache: Path, digest: str) -> Path:
    """Return where the thumbnail of a style image is, or would be."""
    return cache / THUMBNAILS / f"{digest}.png"


def read_thumbnail(cache: Path, digest: str) -> bytes | None:
    """Return the thumbnail of a style image, a PNG, if there is one."""
    with suppress(OSError):
        return files.read_bytes(thumbnail_place(cache, digest))
    return None


@dataclass(frozen=True, slots=True)
class PruneRule:
    """Which cached files are removed: those that meet all that is asked for.

    Attributes:
        digests: of these style images only, all if None.
        older_than_s: not used for so long.
        needed: keys that are kept, as a manifest needs them; None: nobody was asked.
        max_bytes: then of what is left the longest unused, until it takes no more than this.
    """

    digests: frozenset[str] | None = None
    older_than_s: float = 0.0
    needed: frozenset[str] | None = None
    max_bytes: int | None = None

    def choose(self, cached: Iterable[Cached], now_s: float) -> list[Cached]:
        """Return what is to be removed, longest unused first.

        Where only a size is given, nothing but that decides.
        """
        known = sorted(cached, key=lambda each: (each.used_s, each.key))
        is_by_size = self.max_bytes is not None and not self._chooses
        chosen = [] if is_by_size else [each for each in known if self._meets(each, now_s)]
        if self.max_bytes is not None:
            gone = {each.key for each in chosen}
            left = sum(each.size for each in known if each.key not in gone)
            for each in known:
                if left <= self.max_bytes:
                    break
                if each.key not in gone and not self._is_needed(each):
                    chosen.append(each)
                    left -= each.size
        return chosen

    @property
    def _chooses(self) -> bool:
        asked = (self.digests, self.needed)
        return bool(self.older_than_s) or any(each is not None for each in asked)

    def _is_needed(self, each: Cached) -> bool:
        return self.needed is not None and each.key in self.needed

    def _meets(self, each: Cached, now_s: float) -> bool:
        return (
            (self.digests is None or each.of.digest in self.digests)
            and now_s - each.used_s >= self.older_than_s
            and not self._is_needed(each)
        )


def remove_cached(cache: Path, chosen: Iterable[Cached]) -> None:
    """Remove cached files, and the thumbnails of which no targets are left.

    A run that finds one gone computes it again.
    """
    for each in chosen:
        files.remove_file(each.path)
    files.sweep_unfinished(cache / FOLDER, files.UNFINISHED_S)
    left = {each.of.digest for each in list_cached(cache)}
    for path in (cache / THUMBNAILS).glob("*.png"):
        if path.stem not in left:
            files.remove_file(path)
