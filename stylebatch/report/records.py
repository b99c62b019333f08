"""What an output tells of itself: its records, read as other programs read them."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from stylebatch.ledger import read_standing
from stylebatch.output.activity import read_activity
from stylebatch.output.json_lines import read_mapping
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.system import files
from stylebatch.system.object_stores import is_remote

# More images than that are no gallery any more: a sample by a hash of their names is shown.
MOST_IMAGES = 200_000

_NOT_SHOWN = frozenset(
    {
        *("content_digest", "style_digest", "mask", "mask_digest", "fingerprint", "digest"),
        *("seed", "precision", "restored", "retried_with_adam", "levels"),
    }
)

Row = dict[str, Any]


@dataclass(slots=True)
class Records:
    """What is known of an output at one moment.

    Attributes:
        made_at: when it was read, in seconds since 1970.
        num_images: lines of the metadata; `images` are those that are shown.
        images: lines of the metadata.
        failures: lines of the failures that are about images.
        annotation_failures: those that are about annotations.
        settings: by their id.
        runs: what `run.json` says, of the output and of each part that is not merged.
        pairs: of each pair how many images are planned, done, failed, rejected and left.
        activities: what each run that goes on is doing, by its part ("" for the whole).
    """

    made_at: float
    num_images: int = 0
    images: list[Row] = field(default_factory=list)
    failures: list[Row] = field(default_factory=list)
    annotation_failures: list[Row] = field(default_factory=list)
    settings: dict[str, Row] = field(default_factory=dict)
    runs: list[Row] = field(default_factory=list)
    pairs: dict[str, dict[str, int]] = field(default_factory=dict)
    activities: dict[str, Row] = field(default_factory=dict)

    @property
    def is_running(self) -> bool:
        """Whether a run, or a part of one, goes on."""
        return bool(self.activities)


def read_records(dataset: Dataset) -> Records:
    """Read all that an output tells of itself; what is not there is empty."""
    records = Records(time.time())
    _read_ledgers(dataset, records)
    records.num_images = _count_lines(dataset.metadata)
    share = MOST_IMAGES / max(records.num_images, MOST_IMAGES)
    for row in _lines(dataset.metadata):
        if share == 1 or crc32(row["file_name"].encode()) < share * 2**32:
            records.images.append(_slim(row))
    for row in _lines(dataset.failures):
        (records.annotation_failures if "annotation" in row else records.failures).append(row)
    records.settings = read_mapping(dataset.settings)
    summaries = [read_mapping(each.summary) for each in (dataset.whole, *dataset.shards())]
    records.runs = [each for each in summaries if each]
    return records


def _read_ledgers(dataset: Dataset, records: Records) -> None:
    if files.stat_file(dataset.ledger) is None and not dataset.shards():
        return  # only the images and their records were copied: they tell enough
    standing = read_standing(dataset)
    shards = {str(each.shard): each for each in dataset.shards()}
    holders = {"": standing.running, **standing.shards}
    for part, holder in holders.items():
        if holder:
            records.activities[part] = read_activity(shards.get(part, dataset)) or {}
    for pair in dict.fromkeys([*standing.planned, *sorted(standing.counts)]):
        states = standing.counts.get(pair, {})
        counts = {state: states.get(state, 0) for state in ("done", "failed", "rejected")}
        ended = sum(counts.values())
        planned = standing.planned.get(pair, ended)
        counts |= {"planned": planned, "left": max(0, planned - ended)}
        records.pairs[pair] = counts | {"outdated": states.get("outdated", 0)}


def manifest_folder(dataset: Dataset, records: Records) -> Path:
    """Return the folder from which contents and styles are told.

    Where the manifest of the last run is not there any more, the folder that the output is in.
    """
    for run in records.runs:
        told = run.get("manifest_path")
        if told and Path(told).parent.is_dir():
            return Path(told).parent
    return dataset.root.absolute().parent


def name_of(row: Mapping[str, Any]) -> str:
    """Return an image's path below `images/`."""
    name: str = row["file_name"]
    return name.removeprefix(f"{IMAGES}/")


def _slim(row: Row) -> Row:
    """Return a line of the metadata without what no page shows; texts that recur stand once.

    Digests of what is in a store stay: they tell whether it has changed without asking there.
    """
    stored = {f"{key}_digest" for key in ("content", "style") if is_remote(row.get(key) or "")}
    return {
        key: sys.intern(value) if isinstance(value, str) else value
        for key, value in row.items()
        if key not in _NOT_SHOWN or key in stored
    }


def _count_lines(path: Path) -> int:
    with suppress(FileNotFoundError), path.open("rb") as file:
        return sum(1 for _ in file)
    return 0


def _lines(path: Path) -> Iterator[Row]:
    """Yield the rows of a file that has one a line; a line that is none is passed over."""
    with suppress(FileNotFoundError), path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            with suppress(ValueError):
                row = json.loads(line)
                if isinstance(row, dict) and ("file_name" in row or "annotation" in row):
                    yield row
