"""Keys of a manifest as a command line changes them: `pairs.0.steps=50`, before it is checked."""

from collections.abc import Sequence
from typing import Any

from stylebatch.manifest.yaml_lines import Document, Loc, ManifestError, format_loc, read_value


def apply_changes(document: Document, changes: Sequence[str]) -> None:
    """Put each value in its place, as if it were written there; later ones win.

    Args:
        changes: KEY=VALUE. A key is a path with dots; of a list its index, or a pair's name. A
            value is YAML.

    Raises:
        ManifestError: no KEY=VALUE, no YAML, or a place that there isn't.
    """
    for change in changes:
        key, separator, text = change.partition("=")
        where = f"--set {key}"
        if not separator or not key.strip():
            todo = "as in --set pairs.0.steps=50"
            raise ManifestError(f"--set {change}", "no KEY=VALUE", "allowed is KEY=VALUE", todo)
        loc = _place(document, key.strip(), where)
        value = read_value(text, where)
        holder: Any = document.data
        for part in loc[:-1]:
            holder = holder[part]
        holder[loc[-1]] = value
        document.changed[loc] = where


def _place(document: Document, key: str, where: str) -> Loc:
    """Find a place, and make the mappings on the way that are missing."""
    here: Any = document.data
    loc: Loc = ()
    left = key
    while left:
        part, left = _next_part(left, here, loc, where)
        loc = (*loc, part)
        if not left:
            break
        if isinstance(here, dict) and here.get(part) is None:
            here[part] = {}
        here = here[part]
    return loc


def _next_part(left: str, here: Any, loc: Loc, where: str) -> tuple[str | int, str]:
    """Return the next key or index, and what is left of the path."""
    name, _, rest = left.partition(".")
    if isinstance(here, dict):
        return name, rest
    place = format_loc(loc)
    if not isinstance(here, list):
        found = f"'{place}' is no mapping, and has no '{name}'"
        raise ManifestError(where, found, "", f"set {place} as a whole")
    if name.isdecimal() and int(name) < len(here):
        return int(name), rest
    names = _names(here)
    # A pair's name may have dots in it: the longest that fits.
    for known in sorted(names, key=len, reverse=True):
        if left == known or left.startswith(f"{known}."):
            return names[known], left[len(known) + 1 :]
    indices = f"0 to {len(here) - 1}" if here else "none: it is empty"
    allowed = f"allowed is {indices}" + (f", or {', '.join(names)}" if names else "")
    raise ManifestError(where, f"'{place}' has no '{name}'", allowed, "correct it")


def _names(items: list[Any]) -> dict[str, int]:
    """Return the indices of a list's mappings by their names, as of pairs."""
    found: dict[str, int] = {}
    for index, item in enumerate(items):
        if isinstance(item, dict) and isinstance(item.get("name"), str):
            found.setdefault(item["name"], index)
    return found
