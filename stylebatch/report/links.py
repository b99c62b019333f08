"""Where the page finds photographs and styles: by paths from its folder, to be moved with it."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, quote_from_bytes

from stylebatch.report.records import Row
from stylebatch.report.thumbnails import find_file


def base_of(inputs: Path, report: Path) -> str:
    """Return the link from the report's folder to the folder that inputs are told from."""
    told = os.path.relpath(os.path.abspath(inputs), os.path.abspath(report))
    return f"{quote(told)}/"


def links_of(inputs: Path, images: Sequence[Row], report: Path) -> dict[str, str]:
    """Return links of inputs whose names are no text but bytes: the page can't write them."""
    found = {}
    for key in ("content", "style"):
        for told in {row[key] for row in images if "\\x" in (row.get(key) or "")}:
            path = find_file(inputs, told)
            relative = os.path.relpath(os.path.abspath(path), os.path.abspath(report))
            found[told] = quote_from_bytes(os.fsencode(relative))
    return found
