"""What a part of the session finds out: a line of JSON each, there even if the part is ended."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Notes:
    """Written by a part as it goes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def row(self, table: str, **cells: Any) -> None:
        """Add a row to a table; its columns are the cells' names."""
        self._write("row", table=table, cells=cells)

    def say(self, text: str) -> None:
        """Say something."""
        self._write("said", text=text)

    def leave_out(self, what: str, why: str) -> None:
        """Say what is not measured here."""
        self._write("left out", what=what, why=why)

    def check(self, what: str, is_met: bool, found: str) -> None:
        """Say whether something is as it has to be."""
        self._write("check", what=what, is_met=is_met, found=found)

    def aim(self, what: str, wanted: float, found: float, unit: str) -> None:
        """Say how far a first aim is reached; that it is not is no failure."""
        self._write("aim", what=what, wanted=wanted, found=found, unit=unit)

    def facts(self, **facts: Any) -> None:
        """Say what the machine is."""
        self._write("facts", facts=facts)

    def _write(self, kind: str, **told: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **told}) + "\n")


@dataclass(slots=True)
class Found:
    """What a part has noted down.

    Attributes:
        tables: rows by table, each a mapping of cells.
    """

    tables: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    left_out: list[Mapping[str, Any]] = field(default_factory=list)
    checks: list[Mapping[str, Any]] = field(default_factory=list)
    aims: list[Mapping[str, Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


def read_notes(path: Path) -> Found:
    """Return what is noted down so far; half a line, of a part that was ended, is none."""
    found = Found()
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            continue
        told = json.loads(line)
        kind = told.pop("kind")
        if kind == "row":
            found.tables.setdefault(told["table"], []).append(told["cells"])
        elif kind == "said":
            found.said.append(told["text"])
        elif kind == "facts":
            found.facts |= told["facts"]
        else:
            {"left out": found.left_out, "check": found.checks, "aim": found.aims}[kind].append(
                told
            )
    return found
