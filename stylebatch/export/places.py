"""Names in an export: safe for every reader, and each there once."""

import re
from hashlib import blake2b

# Tar readers of other languages know ASCII and 100 characters, the suffix and a hash included.
MAX_CHARS = 60
_UNSAFE = re.compile(r"[^0-9A-Za-z_-]")
# What stands for images without a split: readers look for it first.
NO_SPLIT = "train"
# The names that trainers know, by those that people use.
_KNOWN = {"valid": "val", "validation": "val"}


def plain(text: str) -> str:
    """Return a part of a name in ASCII, without dots and slashes; not begun by `_` or `-`.

    WebDataset takes what begins with `__` for its own.
    """
    return _UNSAFE.sub("_", text)[:MAX_CHARS].lstrip("_-") or "image"


def split_name(split: str | None, *, is_yolo: bool) -> str:
    """Return what an export calls a split: word characters only, as `datasets` needs."""
    name = NO_SPLIT if split is None else plain(split).replace("-", "_")
    return _KNOWN.get(name, name) if is_yolo else name


def stem_of(file_name: str) -> str:
    """Return a path without its file's suffix; names of outputs have one dot."""
    return file_name.rpartition(".")[0]


def key_of(file_name: str) -> str:
    """Return the key of a sample: its path without folders."""
    return plain(stem_of(file_name).replace("/", "_"))


def rest_of(file_name: str, split: str | None, label: str | None) -> str:
    """Return an image's path, without its suffix, from below its split and its class.

    They stand in it, in this order, behind what a pair says with `into`.
    """
    *folders, name = stem_of(file_name).split("/")
    for known in (split, label):
        if known is not None and known in folders:
            folders.remove(known)
    return "/".join((*folders, name))


def with_hash(place: str, file_name: str, digits: int) -> str:
    """Return a name that others have too, told apart by a hash of its image's path."""
    return f"{place}-{blake2b(file_name.encode(), digest_size=digits // 2).hexdigest()}"
