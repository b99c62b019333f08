"""What a run writes about its output: metadata, settings, failures, its card."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any

from stylebatch.ledger import Ledger, copy_together
from stylebatch.output.acceptance import SCORES
from stylebatch.output.json_lines import json_line
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.output.lock import writing_records
from stylebatch.output.publishing import publish
from stylebatch.recipes import Settings
from stylebatch.run.annotations import annotation_failures
from stylebatch.run.card import Card
from stylebatch.run.edited import note_written, set_edited_aside
from stylebatch.run.loader_tables import has_loader_tables, loader_tables
from stylebatch.system import files
from stylebatch.system.crash_points import reached
from stylebatch.system.log import logger

# How often a run writes the records; never more than a share of its time, nor of more images than a
# second or two are enough for: `stylebatch metadata` does that beside it.
REFRESH_S, REFRESH_SHARE, MOST_REFRESHED = 60.0, 0.01, 50_000
# What loaders take for the path of an image inside the tree, wherever a key ends in it.
_PATH_KEY = "file_name"
# Raised where records come out otherwise, so that those of older outputs are written anew.
_FORMAT = 4
# The bytes of the image's own file; null of those that earlier versions have made.
_DIGEST = "digest"
# What a line says of how it went: null of photographs that are carried over.
_FACTS = (
    *("evaluations", "losses", "status", "restored", "retried_with_adam"),
    *SCORES,
    *("retries", "accepted", "seconds", "device", "precision"),
)
# Whose versions `settings.json` tells.
PACKAGES = ("stylebatch", "torch", "torchvision", "pillow", "numpy")


def write_records(
    dataset: Dataset, ledger: Ledger, tell: Callable[[str], object] = logger.warning
) -> bool:
    """Write `metadata.jsonl`, `settings.json`, `failures.jsonl`, card and loaders' tables.

    Only if anything has changed since they were written.

    Args:
        tell: is told of those that somebody has edited meanwhile, and where they are now.

    Returns:
        whether they were written.
    """
    changes = [_FORMAT, ledger.changes]
    is_there = all(map(files.stat_file, (dataset.metadata, dataset.settings, dataset.card)))
    if is_there and has_loader_tables(dataset) and ledger.get("written") == changes:
        publish(dataset, tell)  # where that was not done then
        return False
    with writing_records(dataset):
        _write_all(dataset, ledger, tell)
        ledger.put("written", changes)
    reached("records-noted")
    return True


def write_records_beside(dataset: Dataset) -> int:
    """Write the same from a copy of the ledgers, also while a run, or shards of it, go on.

    Returns:
        how many images `metadata.jsonl` tells of.

    Raises:
        LedgerError: no ledger, or one that a newer stylebatch wrote.
        OutputHeldError: others have been writing records for minutes.
    """
    for is_last in (False, False, True):
        with writing_records(dataset), copy_together(dataset) as ledger:
            try:
                return _write_all(dataset, ledger, logger.warning)
            except FileNotFoundError:
                # A run that began at this moment has swept what it took for a killed one's.
                if is_last:
                    raise
    raise AssertionError


def _write_all(dataset: Dataset, ledger: Ledger, tell_edited: Callable[[str], object]) -> int:
    for text in set_edited_aside(dataset):
        tell_edited(text)
    card = Card(dataset, ledger.splits())
    rows = map(metadata_row, ledger.done())
    with loader_tables(dataset) as tell:
        lines = (json_line(tell(card.tell(row))) for row in rows)
        files.write_lines_atomic(dataset.metadata, lines)
    reached("metadata-written")
    settings = {key: value for key, value in ledger.settings().items() if key in card.settings_ids}
    files.write_json_atomic(dataset.settings, settings)
    reached("settings-written")
    _write_failures(dataset, ledger)
    reached("failures-written")
    card.write(map(metadata_row, ledger.done()), settings)
    note_written(dataset)
    publish(dataset, tell_edited)
    reached("card-written")
    return card.count


class Refresher:
    """Writes the records now and then while a run goes on, as long as that costs next to nothing.

    So training can begin on what is there.
    """

    def __init__(self, dataset: Dataset, ledger: Ledger) -> None:
        """Begin a run; a shard's leaves the records to others."""
        self._dataset, self._ledger = dataset, ledger
        self._is_over = dataset.shard is not None
        self._due_at = time.monotonic() + REFRESH_S

    def refresh(self, num_images: int) -> None:
        """Write the records if it is time.

        Args:
            num_images: that there are about: of very many this takes too long.
        """
        now = time.monotonic()
        if self._is_over or now < self._due_at or num_images > MOST_REFRESHED:
            return
        write_records(self._dataset, self._ledger)
        took_s = time.monotonic() - now
        self._due_at = now + max(REFRESH_S, took_s / REFRESH_SHARE)


def _write_failures(dataset: Dataset, ledger: Ledger) -> None:
    """No failures, no file."""
    rows = (_as_row(failure) for failure in ledger.failures())
    lines = map(json_line, chain(rows, annotation_failures(ledger)))
    first = next(lines, None)
    if first is None:
        files.remove_file(dataset.failures)
    else:
        files.write_lines_atomic(dataset.failures, chain([first], lines))


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return what `settings.json` says of settings: recipe, extractor, precision, versions."""
    versions = {name: _version(name) for name in PACKAGES}
    levels = {} if settings.levels == "auto" else {"levels": settings.levels}
    if settings.carries:
        return {
            "originals": settings.carries,
            "output_size": settings.recipe.model_dump(mode="json")["output_size"],
            "format": settings.file_format.described() if settings.carries == "copy" else None,
            **(levels if settings.carries == "copy" else {}),
            "versions": versions,
        }
    return {
        # Jobs with the same settings may differ in strength: the metadata says each one's.
        "recipe": settings.recipe.model_dump(mode="json", exclude={"strength"}),
        "extractor": _describe_extractor(settings),
        "precision": settings.precision or None,
        "format": settings.file_format.described(),
        **levels,
        "versions": versions,
    }


def _describe_extractor(settings: Settings) -> dict[str, Any] | None:
    if (weights := settings.network) is None:
        return None
    return {
        "arch": weights.arch,
        "weights": weights.source,
        "normalisation": asdict(weights.normalisation),
        "layers_digest": settings.layers_digest,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def metadata_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's line of the metadata from what `Ledger.done` tells of it.

    Raises:
        ValueError: a key that loaders would take for the path of another image.
    """
    row = _as_row(fields)
    facts = {_DIGEST: None} | row.pop("facts", {})
    row |= {key: facts.get(key) for key in _FACTS} | facts if row["kind"] == "original" else facts
    if wrong := [key for key in row if key.endswith(f"_{_PATH_KEY}")]:
        raise ValueError(f"metadata keys that loaders take for paths of images: {wrong}")
    return row


def _as_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(fields)
    return {_PATH_KEY: f"{IMAGES}/{rest.pop('output')}", **rest}
