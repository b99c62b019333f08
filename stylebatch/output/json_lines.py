"""A line of the files that have a JSON object a line."""

import json
from collections.abc import Mapping
from typing import Any


def json_line(row: Mapping[str, Any]) -> str:
    """Return a row as a line of a file, without its end."""
    return json.dumps(row, ensure_ascii=False, allow_nan=False)
