"""Files in a new output that stylebatch would write over, and did not make."""

import json
from collections.abc import Callable
from pathlib import Path

from stylebatch.errors import UserError, raise_all
from stylebatch.output.layout import Dataset


class ForeignFileError(UserError):
    """A file in the place of one of the records."""


def check_records(dataset: Dataset) -> None:
    """Refuse an output in which there are other files under the names of the records.

    The card is not looked at: what of a `README.md` is ours, marks in it say.

    Raises:
        ForeignFileError, Problems: with each of them.
    """
    looks: dict[Path, Callable[[object], bool]] = {
        dataset.metadata: _tells_of_image,
        dataset.failures: _tells_of_image,
        dataset.settings: _are_settings,
        dataset.whole.summary: _is_summary,
    }
    todo = "move it away, or choose another output"
    raise_all(
        [
            ForeignFileError(dataset.tell(path), "exists, but stylebatch did not make it", "", todo)
            for path, is_ours in looks.items()
            if dataset.tree.stands(path) and not is_ours(_first_value(dataset, path))
        ]
    )


def _first_value(dataset: Dataset, path: Path) -> object:
    """Return what a file of JSON, or the first line of one with a value a line, says.

    None of an empty file, "" of what is no JSON.
    """
    try:
        with dataset.tree.open(path) as file:
            first = file.read() if path.suffix == ".json" else file.readline()
        return json.loads(first) if first else None
    except (OSError, ValueError):
        return ""


def is_line_of_ours(value: object) -> bool:
    """Whether a line of `metadata.jsonl` or `failures.jsonl` is one that stylebatch has written.

    A line with a path below `images/` alone is not: so are those of other people's image folders.
    """
    keys = value.keys() if isinstance(value, dict) else set()
    return {"file_name", "pair", "content"} <= keys and bool({"settings_id", "reason"} & keys)


def _tells_of_image(value: object) -> bool:
    # An output without images has a file without lines.
    return value is None or is_line_of_ours(value) or _is_annotation_failure(value)


def _is_annotation_failure(value: object) -> bool:
    return isinstance(value, dict) and {"annotation", "pair", "reason"} <= value.keys()


def _are_settings(value: object) -> bool:
    return isinstance(value, dict) and all(
        isinstance(each, dict) and "versions" in each for each in value.values()
    )


def _is_summary(value: object) -> bool:
    return isinstance(value, dict) and "run_id" in value
