"""`assign`, `copies` and the styles' weights → which styles each image gets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stylebatch.manifest.model import Assign, StyleSource
from stylebatch.manifest.places import file_problem, todo_for
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import Choice, StyleFields
from stylebatch.manifest.written import Written
from stylebatch.system import inputs

_BESIDE_COPIES = ("assign", "variants")


def is_by_copies(written: Written) -> bool:
    """Whether `copies` says what an image gets: it is written nearer than what it stands for."""
    return written.level("copies") > max(map(written.level, _BESIDE_COPIES))


def read_assign(
    root: Path, written: Written, styles: Sequence[StyleSource] | None, findings: Findings
) -> Assign:
    """Return which styles each image of a pair gets.

    Args:
        styles: of the pair; None where they could not all be found.
    """
    _check_copies(written, findings)
    if is_by_copies(written):
        # Where the styles aren't known nothing of it is used.
        rounds, count = divmod(written.value("copies"), len(styles or ()) or 1)
        assign = Assign("sample", count=count, rounds=rounds)
    else:
        assign = _read_choice(root, written, styles, findings)
    if styles is not None:
        _check_weights(written, styles, assign, findings)
    return assign


def _check_copies(written: Written, findings: Findings) -> None:
    for key in _BESIDE_COPIES:
        if written.level("copies") and written.level(key) == written.level("copies"):
            findings.add(
                written.place("copies"),
                f"found 'copies' and '{key}', which both say how many results an image has",
                "allowed is copies, or assign with variants",
                "remove one of them",
            )


def _read_choice(
    root: Path, written: Written, styles: Sequence[StyleSource] | None, findings: Findings
) -> Assign:
    choice: Literal["all"] | Choice | None = written.value("assign")
    if not isinstance(choice, Choice):
        return Assign()
    place = written.place("assign")
    if (choice.sample is None) == (choice.map is None):
        found = "found neither sample nor map" if choice.map is None else "found both"
        allowed = "allowed is all, {sample: K} or {map: FILE.csv}"
        findings.add(place, found, allowed, "write one of them")
    if choice.sample is not None and styles is not None and choice.sample > len(styles):
        found = f"found {choice.sample}, but the pair has {len(styles)} different styles"
        allowed, todo = f"allowed is 1 to {len(styles)}", "lower it, or add styles"
        findings.add((*place, "sample"), found, allowed, todo)
    if choice.map is not None and (problem := file_problem(inputs.at(root, choice.map))):
        found, todo = f"'{choice.map}' {problem}", todo_for(choice.map)
        findings.add((*place, "map"), found, "allowed is a CSV file", todo)
    if choice.map is None:
        return Assign("sample", count=choice.sample or 1, draw=choice.draw or "even")
    if choice.draw is not None:
        found, allowed = "found it with map, where nothing is drawn", "allowed is with sample"
        findings.add((*place, "draw"), found, allowed, "remove it")
    return Assign("map", table=inputs.normalised(choice.map))


def _check_weights(
    written: Written, styles: Sequence[StyleSource], assign: Assign, findings: Findings
) -> None:
    """Refuse weights where they would decide nothing."""
    if assign.kind == "sample" and assign.draw == "even" and 0 < assign.count < len(styles):
        return
    why = {"all": "every image gets every style", "map": "the table says which style"}
    found = why.get(assign.kind, why["all"])
    if assign.draw == "hash":
        found = "`draw: hash` takes none"
    allowed = "allowed is where styles are drawn: assign: {sample: K} or copies: N, not of all"
    entries: list[str | StyleFields] = written.value("styles") or []
    for index, entry in enumerate(entries):
        if isinstance(entry, StyleFields) and entry.weight is not None:
            loc = (*written.place("styles"), index, "weight")
            findings.add(loc, f"found a weight, but {found}", allowed, "remove it, or draw")
