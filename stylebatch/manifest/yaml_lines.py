"""YAML with line numbers: plain data, and the line on which each part of it stands."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stylebatch.errors import UserError

Loc = tuple[str | int, ...]

# Aliases of aliases multiply: nobody writes this many parts by hand.
MAX_PARTS = 200_000
_TEXT = "allowed is text in Unicode"
_TAG = "tag:yaml.org,2002:"
_EXAMPLE = "`stylebatch init CONTENT STYLES` drafts one, `stylebatch demo DIR` writes an example"


class ManifestError(UserError):
    """Something in a manifest that has to be mended before any work can start."""


class _Loader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does: `no` and `8:30` are texts, `010` is ten, `1e-3` a number."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
    "merge": r"<<",
}
_INF_OR_NAN = {".inf": "inf", "+.inf": "inf", "-.inf": "-inf", ".nan": "nan"}
for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(f"^(?:{_pattern})$"), None)


@dataclass(slots=True)
class Document:
    """A YAML file as plain data.

    Attributes:
        name: the file as the user wrote it, for messages.
        data: its top-level mapping.
        lines: for each part, by its keys and indices from the top, the line of its key or item.
        problems: with their lines; the parts are left out, so that the rest can still be checked.
        changed: parts that stand otherwise in the file, with what has changed them, for messages.
    """

    name: str
    data: dict[str, Any] = field(default_factory=dict)
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[tuple[int, ManifestError]] = field(default_factory=list)
    changed: dict[Loc, str] = field(default_factory=dict)

    def line(self, loc: Loc) -> int:
        """Return the line of a part, or of the nearest part around it that is written."""
        while loc and loc not in self.lines:
            loc = loc[:-1]
        return self.lines.get(loc, 1)

    def where(self, loc: Loc) -> str:
        """Return `pipeline.yaml:LINE: pairs[1].styles`, or what has changed that part."""
        for length in range(len(loc), 0, -1):
            if by := self.changed.get(loc[:length]):
                inside = format_loc(loc[length:])
                return f"{by}: {inside}" if inside else by
        place = f"{self.name}:{self.line(loc)}"
        return f"{place}: {format_loc(loc)}" if loc else place


def format_loc(loc: Loc) -> str:
    """Return keys and indices as a path: `pairs[1].styles`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def read_document(path: Path, text: str | None = None) -> Document:
    """Read a YAML file whose top level is a mapping.

    Args:
        text: what is to stand there; None: what stands there.

    Raises:
        ManifestError: no such file, not text, not YAML, or another shape.
    """
    document = Document(str(path))
    root = _compose(_read_text(path) if text is None else text, document.name)
    if not isinstance(root, yaml.MappingNode):
        found = "an empty file" if root is None else _kind(root)
        line = 1 if root is None else root.start_mark.line + 1
        raise ManifestError(
            f"{document.name}:{line}",
            f"found {found}",
            "allowed is a mapping (key: value)",
            _EXAMPLE,
        )
    try:
        document.data = _Builder(document).mapping(root, (), ())
    except RecursionError as error:
        raise _too_much(document.name, "parts nested too deeply") from error
    return document


def read_value(text: str, where: str) -> Any:
    """Read a value as it would be read in a file; nothing is null.

    Args:
        where: what gives it, for messages.

    Raises:
        ManifestError: not YAML, or a part of it that is no plain value.
    """
    document = Document(where)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        found, allowed = f"'{text}' is not YAML", "allowed is a value as in a manifest"
        raise ManifestError(where, found, allowed, "look at brackets, colons and quotes") from error
    value = None if node is None else _Builder(document).value(node, (), ())
    if document.problems:
        raise document.problems[0][1]
    return value


def _read_text(path: Path) -> str:
    allowed = "allowed is a manifest, a YAML file in UTF-8"
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ManifestError(str(path), "no such file", allowed, _EXAMPLE) from error
    except UnicodeDecodeError as error:
        found = f"found bytes that are no UTF-8 text (at byte {error.start})"
        raise ManifestError(str(path), found, allowed, "save it as UTF-8") from error
    except OSError as error:
        found = "found a folder" if path.is_dir() else f"can't be read ({error.strerror})"
        raise ManifestError(str(path), found, allowed, _EXAMPLE) from error


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        if mark and (line := _tab_line(text, mark.line)):
            found, todo = "not YAML: a tab in the indentation", "use spaces, not tabs"
            raise ManifestError(f"{name}:{line}", found, "", todo) from error
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        raise _not_yaml(name, mark.line + 1 if mark else 1, reason) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise _not_yaml(name, line, "a control character") from error
    except RecursionError as error:
        raise _too_much(name, "parts nested too deeply") from error
    return node


def _tab_line(text: str, at: int) -> int:
    """Return the line (from 1) of a tab that indents what an error points at; 0 where none does.

    The parser may notice it one line later only.
    """
    lines = text.split("\n")
    for number in (at, at - 1):
        if 0 <= number < len(lines):
            start = lines[number]
            if "\t" in start[: len(start) - len(start.lstrip())]:
                return number + 1
    return 0


def _not_yaml(name: str, line: int, reason: str) -> ManifestError:
    todo = "look at the indentation, colons and quotes here and just above"
    return ManifestError(f"{name}:{line}", f"not YAML: {reason}", "", todo)


def _too_much(name: str, found: str) -> ManifestError:
    allowed = f"allowed are {MAX_PARTS:,} parts, aliases written out, that don't hold themselves"
    return ManifestError(name, f"found {found}", allowed, "write it out more plainly")


def _kind(node: yaml.Node) -> str:
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return "a mapping" if isinstance(node, yaml.MappingNode) else f"'{node.value}'"


class _Builder:
    """Turns nodes into plain data and notes the line of each part."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.num_parts = 0

    def value(self, node: yaml.Node, loc: Loc, above: tuple[yaml.Node, ...]) -> Any:
        self.num_parts += 1
        if self.num_parts > MAX_PARTS or any(node is outer for outer in above):
            raise _too_much(self.document.name, "aliases that multiply or hold themselves")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, loc, (*above, node))
        if isinstance(node, yaml.SequenceNode):
            return self.sequence(node, loc, (*above, node))
        return self.scalar(node, loc)

    def mapping(
        self, node: yaml.MappingNode, loc: Loc, above: tuple[yaml.Node, ...]
    ) -> dict[str, Any]:
        built: dict[str, Any] = {}
        own: dict[str, int] = {}
        for key, value in _merged_first(node):
            line = key.start_mark.line + 1
            if key.tag == f"{_TAG}merge":
                self.merge(built, value, loc, above)
            elif not isinstance(key, yaml.ScalarNode):
                self.add(line, loc, f"found {_kind(key)} as a key", "allowed is text", "")
            elif not _is_text(key.value):
                self.add(line, loc, "found a key with a character that is none", _TEXT, "")
            elif key.value in own:
                found = f"'{key.value}' is written twice, first on line {own[key.value]}"
                self.add(line, (*loc, key.value), found, "allowed is once", "remove one of them")
            else:
                own[key.value] = self.document.lines[(*loc, key.value)] = line
                built[key.value] = self.value(value, (*loc, key.value), above)
        return built

    def merge(
        self, built: dict[str, Any], node: yaml.Node, loc: Loc, above: tuple[yaml.Node, ...]
    ) -> None:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for source in reversed(sources):  # the first of several wins
            if isinstance(source, yaml.MappingNode):
                built.update(self.value(source, loc, above))
            else:
                line = source.start_mark.line + 1
                self.add(line, (*loc, "<<"), f"found {_kind(source)}", "allowed is a mapping", "")

    def sequence(
        self, node: yaml.SequenceNode, loc: Loc, above: tuple[yaml.Node, ...]
    ) -> list[Any]:
        built = []
        for index, item in enumerate(node.value):
            self.document.lines[(*loc, index)] = item.start_mark.line + 1
            built.append(self.value(item, (*loc, index), above))
        return built

    def scalar(self, node: yaml.Node, loc: Loc) -> Any:
        kind, text = node.tag.removeprefix(_TAG), str(node.value)
        try:
            if kind in ("str", "merge"):
                if not _is_text(text):
                    found = "found a character that is none (NUL, or half of a pair)"
                    self.add(node.start_mark.line + 1, loc, found, _TEXT, "remove it")
                    return None
                return text
            if kind == "null":
                return None
            if kind == "bool":
                return {"true": True, "false": False}[text.lower()]
            if kind in ("int", "float"):
                return int(text) if kind == "int" else float(_INF_OR_NAN.get(text) or text)
        except (KeyError, ValueError):
            pass
        line = node.start_mark.line + 1
        self.add(line, loc, f"'{text[:40]}' is no {kind}", "allowed are plain YAML values", "")
        return None

    def add(self, line: int, loc: Loc, found: str, allowed: str, todo: str) -> None:
        place = f"{self.document.name}:{line}"
        where = f"{place}: {format_loc(loc)}" if loc else place
        self.document.problems.append((line, ManifestError(where, found, allowed, todo)))


def _is_text(text: str) -> bool:
    """Whether a text may be a name: escapes can write what no file and no JSON holds."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _merged_first(node: yaml.MappingNode) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Own keys last, as they win over what `<<` brings."""
    yield from (pair for pair in node.value if pair[0].tag == f"{_TAG}merge")
    yield from (pair for pair in node.value if pair[0].tag != f"{_TAG}merge")
