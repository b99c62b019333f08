"""Write the tables of docs/troubleshooting.md from what the code raises.

    python docs/make_troubleshooting.py            # writes them
    python docs/make_troubleshooting.py --check    # exit code 1 where they are not up to date

What a message fills in is an ellipsis here. What is written by hand stands around the tables.
"""

import argparse
import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = Path(__file__).with_name("troubleshooting.md")
PACKAGE = Path(__file__).parents[1] / "stylebatch"
TABLES = re.compile(r"(<!-- messages -->\n).*?(<!-- end -->)", re.DOTALL)
BASE, FILLED = "UserError", "…"
# What names no problem of its own: it holds others.
NO_KINDS = {BASE, "Problems"}


class Kind(NamedTuple):
    """A class of errors: what its docstring says, and its exit code."""

    name: str
    told: str
    exit_code: int


class Message(NamedTuple):
    """What is raised in one place, with an ellipsis for what is filled in."""

    kind: str
    found: str
    allowed: str
    todo: str


def main() -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description="Tables of docs/troubleshooting.md from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_checking = parser.parse_args().check
    before = PAGE.read_text(encoding="utf-8")
    tables = "\n\n".join(_tables())
    after = TABLES.sub(lambda found: f"{found[1]}\n{tables}\n\n{found[2]}", before)
    if after == before:
        return
    if is_checking:
        sys.exit(f"{PAGE.name} is not up to date: run `python docs/make_troubleshooting.py`")
    PAGE.write_text(after, encoding="utf-8")


def _tables() -> Iterator[str]:
    kinds = find_kinds()
    messages = sorted(find_messages(kinds))
    for name, kind in sorted(kinds.items(), key=lambda item: item[1].told):
        rows = list(dict.fromkeys(message for message in messages if message.kind == name))
        if not rows:
            continue
        yield f"### {kind.told}\n\nExit code {kind.exit_code}.\n\n{_table(rows)}"


def _table(rows: list[Message]) -> str:
    lines = ["| it says | allowed is | what to do |", "|---|---|---|"]
    cells = ((row.found, row.allowed, row.todo) for row in rows)
    lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in cells]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _trees() -> Iterator[ast.Module]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def find_kinds() -> dict[str, Kind]:
    """Return the errors that a user can mend, by the name of their class."""
    classes = [
        node for tree in _trees() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    ]
    known = {BASE: 2}
    while more := [each for each in classes if each.name not in known and _base(each) in known]:
        for each in more:
            known[each.name] = _exit_code(each, known[_base(each)])
    return {
        each.name: Kind(each.name, _sentence(each), known[each.name])
        for each in classes
        if each.name in known and each.name not in NO_KINDS
    }


def _base(node: ast.ClassDef) -> str:
    names = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return names[0] if names else ""


def _exit_code(node: ast.ClassDef, otherwise: int) -> int:
    for each in node.body:
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "exit_code":
            return int(ast.literal_eval(each.value))
    return otherwise


def _sentence(node: ast.ClassDef) -> str:
    return (ast.get_docstring(node) or node.name).splitlines()[0].rstrip(".")


def find_messages(kinds: dict[str, Kind]) -> Iterator[Message]:
    """Yield what is raised anywhere, but for what only passes another's words on."""
    for tree in _trees():
        constants = _assigned(tree.body)
        functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)]
        for function in functions:
            for call in _calls(function, kinds):
                values = [constants, _assigned(ast.walk(function), before=call.lineno)]
                if message := _message(call, values):
                    yield message


def _calls(function: ast.FunctionDef, kinds: dict[str, Kind]) -> Iterator[ast.Call]:
    inner = {
        each
        for nested in ast.walk(function)
        if isinstance(nested, ast.FunctionDef) and nested is not function
        for each in ast.walk(nested)
    }
    for node in ast.walk(function):
        if node in inner or not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        if node.func.id in kinds and len(node.args) > 1:
            yield node


def _assigned(nodes: object, before: int = sys.maxsize) -> dict[str, ast.expr]:
    found: dict[str, ast.expr] = {}
    lines: dict[str, int] = {}
    for node in nodes:  # type: ignore[attr-defined]
        if not isinstance(node, ast.Assign) or node.lineno >= before:
            continue
        targets, values = node.targets[0], node.value
        pairs = [(targets, values)]
        if isinstance(targets, ast.Tuple) and isinstance(values, ast.Tuple):
            pairs = list(zip(targets.elts, values.elts, strict=True))
        for target, value in pairs:
            if isinstance(target, ast.Name) and node.lineno >= lines.get(target.id, 0):
                found[target.id], lines[target.id] = value, node.lineno
    return found


def _message(call: ast.Call, values: list[dict[str, ast.expr]]) -> Message | None:
    named = {each.arg: each.value for each in call.keywords}
    parts = [*call.args[1:4]]
    for key in ("found", "allowed", "todo")[len(parts) :]:
        parts.append(named.get(key, ast.Constant("")))
    found, allowed, todo = (_text(part, values) for part in parts)
    if not found.strip(f"{FILLED} ():,;"):
        return None
    assert isinstance(call.func, ast.Name)
    return Message(call.func.id, found, allowed.strip(), todo.strip())


def _text(node: ast.expr, values: list[dict[str, ast.expr]], depth: int = 0) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(_text(part, values, depth) for part in parts)
        case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper():
            return _named(name, values, depth)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, values, depth) + _text(right, values, depth)
        case ast.IfExp(body=body, orelse=other):
            either = (_text(body, values, depth), _text(other, values, depth))
            return " / ".join(each for each in either if each)
        case ast.Name(id=name):
            return _named(name, values, depth)
    return FILLED


def _named(name: str, values: list[dict[str, ast.expr]], depth: int) -> str:
    found = next((each[name] for each in reversed(values) if name in each), None)
    return FILLED if found is None or depth > 4 else _text(found, values, depth + 1)


if __name__ == "__main__":
    main()
