"""A shard: one of N parts of a plan, by a hash of each output's path."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, order=True, slots=True)
class Shard:
    """Part `index` (from 0) of `count`.

    Which part an output belongs to depends on its path alone: more images move none.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read I/N.

        Raises:
            ValueError: no shard: says what is allowed.
        """
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        shard = cls(*map(int, match.groups())) if match else None
        if shard is None or shard.index >= shard.count:
            raise ValueError(
                f"'{text}' is no shard; allowed is I/N with 0 ≤ I < N: of four machines the first "
                "takes 0/4, the last 3/4"
            )
        return shard

    @classmethod
    def from_name(cls, name: str) -> "Shard | None":
        """Return the shard that `name` stands for, None where there is none."""
        try:
            shard = cls.parse(name.replace("-of-", "/"))
        except ValueError:
            return None
        return shard if shard.name == name else None

    @property
    def name(self) -> str:
        """What stands in paths: I-of-N."""
        return f"{self.index}-of-{self.count}"

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, output: str) -> bool:
        """Whether an output (POSIX path below `images/`) is of this part."""
        digest = blake2b(output.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % self.count == self.index

    def find_others(self, folder: str, names: Iterable[str]) -> frozenset[str]:
        """Return the names of a folder's outputs that are of other parts."""
        prefix = f"{folder}/" if folder else ""
        return frozenset(name for name in names if not self.holds(prefix + name))

    def is_sibling(self, other: "Shard") -> bool:
        """Whether another part of the same whole: the two share no output."""
        return self.count == other.count and self.index != other.index
