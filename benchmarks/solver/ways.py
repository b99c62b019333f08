"""What was measured of solvers: one way a line of a file, as JSON."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Way:
    """One method on one pair: see `methods.Watch`; `seconds` are empty where it was not timed."""

    size: int
    start: str
    pair: str
    method: str
    machine: str
    judged: list[tuple[int, float]]
    seconds: list[float]

    @property
    def key(self) -> tuple[int, str, str, str]:
        """What it is the way of."""
        return self.size, self.start, self.pair, self.method


def append_way(path: Path, way: Way) -> None:
    """Add a line to the file."""
    with path.open("a", encoding="utf-8") as file:
        fields = asdict(way)
        fields["judged"] = [(at, round(loss, 6)) for at, loss in way.judged]
        fields["seconds"] = [round(second, 3) for second in way.seconds]
        file.write(json.dumps(fields, ensure_ascii=False) + os.linesep)


def read_ways(path: Path) -> list[Way]:
    """Return the ways in a file, of each the latest."""
    return list({way.key: way for way in _read_all(path)}.values())


def _read_all(path: Path) -> Iterator[Way]:
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    for line in lines:
        yield Way(**json.loads(line))
