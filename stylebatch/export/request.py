"""What is asked for, and why it may be refused."""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

from stylebatch.errors import RunError, UserError

Format = Literal["webdataset", "parquet", "yolo", "coco"]
KINDS = ("original", "stylised")
TASKS = ("classify", "detect")
_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SIZE = re.compile(r"(\d+)\s*(?:(images?)?|([kmg]i?)?b)", re.IGNORECASE)


class ExportError(UserError):
    """An export that can't be begun."""


class ExportStoppedError(RunError):
    """An export that could not be finished: mended, the same command goes on."""


class ExportHeldError(UserError):
    """Another export is writing there."""

    exit_code = 10


class ShardSize(NamedTuple):
    """How much one shard holds at most; at least one image is in each."""

    images: int | None = None
    num_bytes: int | None = None

    def __str__(self) -> str:
        return f"{self.num_bytes}B" if self.num_bytes else str(self.images)


DEFAULT_SIZE = ShardSize(num_bytes=256 * 1000**2)


def parse_shard_size(text: str) -> ShardSize:
    """Read how much a shard holds: `1000` images, or `256MB`.

    Raises:
        ValueError: it is neither.
    """
    found = _SIZE.fullmatch(text.strip())
    number = int(found[1]) if found else 0
    if not found or not number:
        raise ValueError(f"'{text}' is no size; allowed are images (1000) or bytes (256MB, 1GiB)")
    if "b" in text.lower():
        return ShardSize(num_bytes=number * _UNITS[(found[3] or "").lower()])
    return ShardSize(images=number)


@dataclass(frozen=True, slots=True)
class Request:
    """What to export.

    Attributes:
        splits: only these, as the metadata names them; () for all.
        kind: only originals, or only stylised images; None for both.
        shard_size: of WebDataset and Parquet.
        seed: decides the order of their images.
        task: whose layout YOLO gets; None: detect where the output has its labels.
    """

    format: Format
    splits: tuple[str, ...] = ()
    kind: str | None = None
    shard_size: ShardSize = DEFAULT_SIZE
    seed: int = 0
    task: str | None = None

    def with_task(self, task: str) -> "Request":
        """Return it with a task that was found."""
        return replace(self, task=task)

    def told(self) -> dict[str, Any]:
        """Return its options as JSON has them: those that its format knows."""
        told = {**asdict(self), "splits": list(self.splits)}
        told["shard_size"] = str(self.shard_size)
        if self.format not in ("webdataset", "parquet"):
            del told["shard_size"], told["seed"]
        if self.format != "yolo":
            del told["task"]
        return told
