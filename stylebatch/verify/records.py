"""The records held against the ledger: metadata, settings, failures, loaders' tables."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any

from stylebatch.ledger import Ledger
from stylebatch.output.by_names import table_folder
from stylebatch.output.json_lines import json_line, parse_mapping
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.output.metadata_lines import MetadataLines
from stylebatch.output.publishing import unpublished
from stylebatch.run import metadata_row
from stylebatch.system import files
from stylebatch.system.words import counted
from stylebatch.verify.differences import Difference, Found, Tell

_BLOCK = 1000
# Whose files are known at a time.
_FOLDERS = 4


def look_at_records(dataset: Dataset, ledger: Ledger, found: Found, tell: Tell) -> None:
    """Note how the records of an output, written last by a run, differ from a ledger."""
    tops: Counter[str] = Counter()
    settings_ids: set[str] = set()
    with MetadataLines(dataset.metadata) as lines:
        for number, row in enumerate(map(metadata_row, ledger.done()), 1):
            tops[_table_of(row)] += 1
            settings_ids.add(row["settings_id"])
            if trouble := _trouble_in_line(lines, row):
                path = f"{dataset.metadata.name}: {row['file_name']}"
                found.differences.append(Difference("records", path, trouble))
            if not number % _BLOCK:
                tell("looking at records", number, found.images)
        found.differences += _others(dataset, ledger, lines)
    found.differences += _in_settings(dataset, settings_ids)
    found.differences += _in_failures(dataset, ledger)
    found.differences += _in_tables(dataset, tops)
    found.differences += (Difference("records", *told) for told in unpublished(dataset))


def _table_of(row: dict[str, Any]) -> str:
    folder = row["file_name"].removeprefix(f"{IMAGES}/").rpartition("/")[0]
    return table_folder(folder, row["split"])


def _trouble_in_line(lines: MetadataLines, row: dict[str, Any]) -> str:
    text = lines.text_of(row["file_name"].removeprefix(f"{IMAGES}/"))
    if not text:
        return "no line tells of it"
    expected = json_line(row)
    if text.rstrip(b"\n") == expected.encode():
        return ""
    told, wanted = parse_mapping(text), json.loads(expected)
    missing = object()
    keys = [key for key in (wanted | told) if told.get(key, missing) != wanted.get(key, missing)]
    return f"told otherwise than in the ledger: {', '.join(keys)}" if keys else ""


def _others(dataset: Dataset, ledger: Ledger, lines: MetadataLines) -> Iterator[Difference]:
    """Tell of lines that no image belongs to."""
    name, outputs = dataset.metadata.name, lines.outputs()
    while block := list(islice(outputs, _BLOCK)):
        standing = ledger.known_images(block)
        for output in block:
            if output not in standing:
                path = f"{name}: {IMAGES}/{output}"
                yield Difference("records", path, "a line tells of it, the ledger does not")
    if lines.num_others:
        yield Difference("records", name, f"{counted(lines.num_others, 'line')} of no image")
    if lines.num_again:
        yield Difference(
            "records", name, f"more than one line of {counted(lines.num_again, 'image')}"
        )


def _in_settings(dataset: Dataset, used: Iterable[str]) -> Iterator[Difference]:
    name = dataset.settings.name
    told = _json_of(dataset.settings.read_bytes() if dataset.settings.is_file() else b"")
    if told is None:
        yield Difference("records", name, "is not there, or no JSON")
        return
    for key in sorted(set(used) - told.keys()):
        yield Difference("records", name, f"has no entry {key}, which images name")


def _json_of(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _in_failures(dataset: Dataset, ledger: Ledger) -> Iterator[Difference]:
    name = dataset.failures.name
    told: Counter[str] = Counter()
    if dataset.failures.is_file():
        with dataset.failures.open("rb") as file:
            rows = map(parse_mapping, file)
            told.update(str(row.get("file_name")) for row in rows if "annotation" not in row)
    failed = Counter(f"{IMAGES}/{row['output']}" for row in ledger.failures())
    for path in sorted((failed - told).keys()):
        yield Difference("records", f"{name}: {path}", "no line tells that it failed")
    for path in sorted((told - failed).keys()):
        yield Difference("records", f"{name}: {path}", "a line tells that it failed, it has not")


def _in_tables(dataset: Dataset, tops: Counter[str]) -> Iterator[Difference]:
    """Hold the tables inside `images/` against how many images belong to each.

    One that somebody else wrote has no list of ours.
    """
    try:
        listed = _json_of(files.read_bytes(dataset.tables)) or {}
    except FileNotFoundError:
        listed = {"folders": list(tops)}
    for top in listed.get("folders", ()):
        path = dataset.loader_table(top)
        where = path.relative_to(dataset.root).as_posix()
        if not path.is_file():
            if tops[top]:
                yield Difference("records", where, "is not there")
            continue
        below, names = dataset.images / top, 0
        there = lru_cache(_FOLDERS)(dataset.tree.sizes)
        with path.open("rb") as file:
            for line in file:
                names += 1
                told = str(parse_mapping(line).get("file_name"))
                if (below / told).name not in there((below / told).parent):
                    yield Difference("records", where, f"tells of {told}, which is not there")
        if names != tops[top]:
            yield Difference(
                "records", where, f"has {counted(names, 'line')} for {counted(tops[top], 'image')}"
            )
