"""JSON objects: a line of the files that have one a line, and what such files say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stylebatch.system.files import read_bytes


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row as a line of a file, without its end."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False)


def parse_mapping(text: bytes) -> dict[str, Any]:
    """Return the mapping that a text of JSON holds, {} where it holds none."""
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def read_mapping(path: Path) -> dict[str, Any]:
    """Return what `parse_mapping` does of a file, {} where it can't be read."""
    try:
        return parse_mapping(read_bytes(path))
    except OSError:
        return {}
