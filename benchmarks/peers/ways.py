"""What was measured of a tool on a pair: one line of a file each, as JSON."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Way:
    """One tool's way on one pair, from its first evaluation to its end.

    Attributes:
        tool: a peer; `ours for PEER`, stylebatch on that peer's objective; `balanced`.
        seconds: CPU time at each evaluation that was judged, and at the end.
        losses: of the 8-bit images at these, as the peer itself has them; none of `balanced`.
        style, content: distances of the last image, as `benchmarks.setting.judge` has them.
    """

    tool: str
    size: int
    start: str
    pair: str
    machine: str
    seconds: list[float]
    losses: list[float] = field(default_factory=list)
    style: float = 0.0
    content: float = 0.0

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What it is the way of."""
        return self.tool, self.size, self.start, self.pair

    def seconds_to(self, loss: float) -> float | None:
        """Return when a loss was first reached; None: never."""
        pairs = zip(self.seconds, self.losses, strict=True)
        return next((seconds for seconds, found in pairs if found <= loss), None)


def append_way(path: Path, way: Way) -> None:
    """Add a line to the file."""
    told = asdict(way)
    told["seconds"] = [round(each, 3) for each in way.seconds]
    told["losses"] = [float(f"{each:.6g}") for each in way.losses]
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(told, ensure_ascii=False) + "\n")


def read_ways(path: Path) -> dict[tuple[str, int, str, str], Way]:
    """Return the ways in a file, of each the latest."""
    return {way.key: way for way in _read_all(path)}


def _read_all(path: Path) -> Iterator[Way]:
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            yield Way(**json.loads(line))
