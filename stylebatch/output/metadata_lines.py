"""`metadata.jsonl` as it lies there: what it tells of an image, whoever has edited it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stylebatch.output.foreign import is_line_of_ours
from stylebatch.output.json_lines import parse_mapping
from stylebatch.output.layout import IMAGES
from stylebatch.system import files

# Before an image's path in a line.
_ABOVE = f"{IMAGES}/"


class MetadataLines:
    """The lines of `metadata.jsonl` by image; where each begins is kept, not the lines.

    Attributes:
        num_others: lines that tell of no image as stylebatch does.
        num_again: those that tell of one that a line before has told of; the last one counts.
    """

    def __init__(self, path: Path) -> None:
        self.num_others = self.num_again = 0
        self._places: dict[str, int] = {}
        self._file = path.open("rb") if files.stat_file(path) is not None else None
        while self._file is not None and (text := self._file.readline()):
            line = parse_mapping(text)
            name = line.get("file_name")
            if not (is_line_of_ours(line) and isinstance(name, str) and name.startswith(_ABOVE)):
                self.num_others += 1
                continue
            self.num_again += name.removeprefix(_ABOVE) in self._places
            self._places[name.removeprefix(_ABOVE)] = self._file.tell() - len(text)

    def __enter__(self) -> "MetadataLines":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def outputs(self) -> Iterator[str]:
        """Yield the images that are told of, as paths below `images/`."""
        yield from self._places

    def text_of(self, output: str) -> bytes:
        """Return an image's line as it lies there, b"" where there is none."""
        place = self._places.get(output)
        if self._file is None or place is None:
            return b""
        self._file.seek(place)
        return self._file.readline()

    def line_of(self, output: str) -> dict[str, Any]:
        """Return an image's line, {} where there is none."""
        return parse_mapping(self.text_of(output))
