"""The shape of a manifest: keys, types and bounds, with pydantic's errors put in place."""

import json
from typing import Any

from pydantic import ValidationError

from stylebatch.manifest.problems import Findings, nearest
from stylebatch.manifest.schema import LEFT_OUT, ManifestFields
from stylebatch.manifest.schema_text import describe_place, known_keys, known_words
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.recipes import describe_value


def check_shape(findings: Findings) -> ManifestFields:
    """Validate a document, note what is wrong, and return what is left without it."""
    data = findings.document.data
    try:
        return _validate(data)
    except ValidationError as error:
        located = _located(error, data)
        for loc, kind in located:
            _describe_error(findings, loc, kind)
        for loc, _ in located:
            _leave_out(findings, loc)
    try:
        return _validate(data)
    except ValidationError:  # what is left can't be put together: no more can be checked
        findings.raise_if_any()
        raise


def _validate(data: dict[str, Any]) -> ManifestFields:
    # As JSON, because strict Python input takes no list for a tuple.
    return ManifestFields.model_validate_json(json.dumps(data), strict=True)


def _located(error: ValidationError, data: Any) -> list[tuple[Loc, str]]:
    """Return each error's place in the document and its kind.

    For a union pydantic reports every member, with the member's name within the place. Here that
    is one error, at the deepest place that a member reached.
    """
    found: dict[Loc, str] = {}
    for item in error.errors(include_url=False, include_context=False):
        loc, kind = _cut(item["loc"], data), item["type"]
        # Of a list that is too short, pydantic names the first index that isn't there.
        if kind == "missing" and isinstance(item["loc"][-1], int):
            kind = "too_short"
        if kind == "missing":
            loc = (*loc, item["loc"][-1])
        # So pydantic marks a key of a mapping whose keys are of a type, not fields.
        found.setdefault(loc, "extra_forbidden" if item["loc"][-1:] == ("[key]",) else kind)
    return [
        (loc, kind)
        for loc, kind in found.items()
        if not any(other[: len(loc)] == loc and other != loc for other in found)
    ]


def _cut(loc: Loc, data: Any) -> Loc:
    kept: list[str | int] = []
    for part in loc:
        is_there = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if is_there:
            kept.append(part)
            data = data[part]
    return tuple(kept)


def _describe_error(findings: Findings, loc: Loc, kind: str) -> None:
    if kind == "extra_forbidden":
        known = sorted(known_keys(loc[:-1]))
        # Without the list, which of a recipe's fields is sixty names.
        near = nearest(str(loc[-1]), known, "", most=3)
        found = f"unknown key '{loc[-1]}'" + (f" ({near})" if near else "")
        todo = "correct it" if near else "remove it"
        findings.add(loc, found, "" if near else f"known are {', '.join(known)}", todo)
        return
    allowed = f"allowed is {describe_place(loc)}"
    if kind == "missing":
        findings.add(loc, f"no '{loc[-1]}'", allowed, "add it")
        return
    value = _value(findings.document.data, loc)
    todo = nearest(value, known_words(loc), "change it") if isinstance(value, str) else "change it"
    findings.add(loc, f"found {describe_value(value)}", allowed, todo)


def _leave_out(findings: Findings, loc: Loc) -> None:
    """Take an unknown key, or what a problem is in, out of the data: the rest is still checked."""
    part = _smallest_part(loc)
    holder: Any = _value(findings.document.data, part[:-1])
    findings.mark_broken(part)
    if isinstance(holder, dict):
        holder.pop(part[-1], None)
    elif isinstance(holder, list) and isinstance(part[-1], int):
        # An index names a line and must not shift; of these, all but styles have an empty form.
        holder[part[-1]] = LEFT_OUT if part[-2] == "styles" else {}


def _smallest_part(loc: Loc) -> Loc:
    """Return a field, or for a pair's styles, override and sweep an entry of it."""
    section = 2 if loc[0] == "pairs" else int(loc[0] in ("extractor", "defaults", "run"))
    field = loc[section : section + 1]
    has_entries = field in (("styles",), ("override",), ("sweep",))
    return loc[: section + 2] if has_entries else loc[: section + 1]


def _value(data: Any, loc: Loc) -> Any:
    for part in loc:
        data = data[part]
    return data
