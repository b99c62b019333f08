"""What a run writes about its output: metadata, settings, failures."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from typing import Any

from stylebatch.ledger import Ledger
from stylebatch.output.layout import Dataset
from stylebatch.recipes import Settings
from stylebatch.run.annotations import annotation_failures
from stylebatch.system import files
from stylebatch.system.crash_points import reached

# What loaders take for the path of an image inside the tree, wherever a key ends in it.
_PATH_KEY = "file_name"
# Whose versions `settings.json` tells.
PACKAGES = ("stylebatch", "torch", "torchvision", "pillow", "numpy")


def write_records(dataset: Dataset, ledger: Ledger) -> bool:
    """Write `metadata.jsonl`, `settings.json` and `failures.jsonl` if anything has changed.

    Returns:
        whether they were written.
    """
    changes = ledger.changes
    is_there = files.stat_file(dataset.metadata) and files.stat_file(dataset.settings)
    if is_there and ledger.get("written") == changes:
        return False
    used: set[str] = set()
    files.write_lines_atomic(dataset.metadata, _metadata_lines(ledger, used))
    reached("metadata-written")
    _write_settings(dataset, ledger, used)
    reached("settings-written")
    _write_failures(dataset, ledger)
    reached("failures-written")
    ledger.put("written", changes)
    reached("records-noted")
    return True


def _write_settings(dataset: Dataset, ledger: Ledger, used: set[str]) -> None:
    settings = {key: value for key, value in ledger.settings().items() if key in used}
    files.write_json_atomic(dataset.settings, settings)


def _write_failures(dataset: Dataset, ledger: Ledger) -> None:
    """No failures, no file."""
    rows = (_as_row(failure) for failure in ledger.failures())
    lines = map(_line, chain(rows, annotation_failures(ledger)))
    first = next(lines, None)
    if first is None:
        files.remove_file(dataset.failures)
    else:
        files.write_lines_atomic(dataset.failures, chain([first], lines))


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Return what `settings.json` says of settings: recipe, extractor, precision, versions."""
    return {
        # Jobs with the same settings may differ in strength: the metadata says each one's.
        "recipe": settings.recipe.model_dump(mode="json", exclude={"strength"}),
        "extractor": {
            "arch": settings.weights.arch,
            "weights": settings.weights.source,
            "normalisation": asdict(settings.weights.normalisation),
            "layers_digest": settings.layers_digest,
        },
        "precision": settings.precision,
        "versions": {name: _version(name) for name in PACKAGES},
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
    row |= row.pop("facts", {})
    if wrong := [key for key in row if key.endswith(f"_{_PATH_KEY}")]:
        raise ValueError(f"metadata keys that loaders take for paths of images: {wrong}")
    return row


def _as_row(fields: Mapping[str, Any]) -> dict[str, Any]:
    rest = dict(fields)
    return {_PATH_KEY: rest.pop("output"), **rest}


def _metadata_lines(ledger: Ledger, used: set[str]) -> Iterator[str]:
    for fields in ledger.done():
        used.add(fields["settings_id"])
        yield _line(metadata_row(fields))


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False)
