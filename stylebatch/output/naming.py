"""Names of outputs: safe parts, joined, told apart where they would collide."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

MAX_PART_BYTES = 80
SUFFIX = ".png"

# Dots split names in WebDataset; the others are illegal or awkward in some file system or shell.
_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f./\\:*?"<>|\u2028\u2029\ud800-\udfff]')
# Most parts: safe as they are. Told at once, as there may be a million of them.
_PLAIN = re.compile(rf"[0-9A-Za-z_](?:[0-9A-Za-z_ -]{{0,{MAX_PART_BYTES - 2}}}[0-9A-Za-z_-])?")
# How many hex digits tell names apart: none, the usual 8, and more for the day that these collide.
_HASH_DIGITS = (0, 8, 16, 32)


class NameParts(NamedTuple):
    """What an output's name is made of.

    Attributes:
        stem, style: safe parts, see `safe_part`.
        variant: from 1; the first is not named, so that asking for more variants renames none.
        content, key: paths, of which a hash is taken where names collide.
        suffix: what follows the style, "" if nothing: the point of a sweep.
    """

    stem: str
    style: str
    variant: int
    content: str
    key: str
    suffix: str = ""


def safe_part(text: str) -> str:
    """Return a name's part without dots and unsafe characters: NFC, 1 to 80 bytes of UTF-8."""
    if _PLAIN.fullmatch(text):
        return text
    part = text if text.isascii() else unicodedata.normalize("NFC", text)
    part = _UNSAFE.sub("_", part).strip()
    if len(part) > MAX_PART_BYTES // 4:
        part = part.encode()[:MAX_PART_BYTES].decode(errors="ignore").rstrip()
    if part.startswith("-"):
        part = "_" + part[1:]
    return part or "_"


def folded(name: str) -> str:
    """Return what names are compared by: file systems that ignore case take these for one."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name.casefold())


def unique_names(
    parts: Iterable[NameParts], *, hash_all: bool = False, suffix: str = SUFFIX
) -> list[str]:
    """Join the names of one folder; wherever some collide, each of them gets a hash.

    The order of `parts` decides nothing but the order of what is returned.

    Args:
        parts: iterated more than once where names collide.
        hash_all: every name gets its hash: the folder's own name collides with another's.
        suffix: of the files' format.
    """
    names = [_join(part, _HASH_DIGITS[hash_all]) for part in parts]
    for digits in _HASH_DIGITS[1 + hash_all :]:
        # By their hashes, which are small: two names of one hash are told apart below.
        if len({hash(folded(name)) for name in names}) == len(names):
            break
        keys = [folded(name) for name in names]
        shared = {key for key, count in Counter(keys).items() if count > 1}
        names = [
            _join(part, digits) if key in shared else name
            for part, key, name in zip(parts, keys, names, strict=True)
        ]
    return [name + suffix for name in names]


def names_of_originals(
    paths: Sequence[str], taken: Iterable[str], suffixes: Sequence[str], *, hash_all: bool = False
) -> list[str]:
    """Name the photographs of one folder beside what is made of them, which has its names already.

    Where stems collide, with each other or with a name that is taken, each of these photographs
    gets a hash of its path: what is made keeps its name, whether photographs are there or not.

    Args:
        paths: of the content.
        taken: names of the folder's other files; stems are compared, whatever the suffix.
        suffixes: of each one's file.
    """
    others = {folded(name.rpartition(".")[0]) for name in taken}
    stems = [safe_part(path.rpartition("/")[2].rpartition(".")[0]) for path in paths]
    names = [_with_hash(*pair, _HASH_DIGITS[hash_all]) for pair in zip(stems, paths, strict=True)]
    for digits in _HASH_DIGITS[1 + hash_all :]:
        keys = [folded(name) for name in names]
        counts = Counter(keys)
        if len(counts) == len(keys) and others.isdisjoint(counts):
            break
        names = [
            _with_hash(stem, path, digits) if counts[key] > 1 or key in others else name
            for stem, path, key, name in zip(stems, paths, keys, names, strict=True)
        ]
    return [name + suffix for name, suffix in zip(names, suffixes, strict=True)]


def _with_hash(stem: str, path: str, digits: int) -> str:
    if not digits:
        return stem
    return f"{stem}-{blake2b(path.encode(), digest_size=16).hexdigest()[:digits]}"


def _join(part: NameParts, digits: int) -> str:
    name = f"{part.stem}-{part.style}"
    if part.suffix:
        name += f"-{part.suffix}"
    if part.variant > 1:
        name += f"-v{part.variant}"
    if digits:
        source = f"{part.content}\0{part.key}\0{part.variant}"
        name += f"-{blake2b(source.encode(), digest_size=16).hexdigest()[:digits]}"
    return name
