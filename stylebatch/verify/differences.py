"""What can be otherwise than the ledger and the records tell, and what helps."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

_AGAIN = "`--repair` lets the next run make it again"
_RECORDS = "`--repair` writes the records anew"
_AS_IT_IS = "nothing is done to it: put it elsewhere"

# What each kind of difference is, and what to do.
KINDS = {
    "missing": ("an image is not there", _AGAIN),
    "changed": ("an image has other bytes than were written", f"{_AGAIN}, and keeps this aside"),
    "unreadable": ("an image can't be read", f"{_AGAIN}, and keeps this aside"),
    "unrecorded": ("an image that a run did not get to record", "the next run makes it again"),
    "extra": ("an image that no run has made", _AS_IT_IS),
    "loss log": ("a loss log is missing, or does not fit its image", _AGAIN),
    "records": ("records tell otherwise than the ledger", _RECORDS),
    "annotation": ("annotations are missing or changed", "the next run writes what is missing"),
    "split": ("one photograph is on both sides", "remove one of them, or put both into one split"),
}
# Those of an image that the next run can make again.
OF_IMAGES = ("missing", "changed", "unreadable", "loss log")

# Is told what is being looked at, how far that is, and of how many; None where nobody knows.
Tell = Callable[[str, int, int | None], object]


class Difference(NamedTuple):
    """Something that is not as it is told of.

    Attributes:
        kind: a key of `KINDS`.
        path: from the output's folder.
        found: what was found there.
        output: of an image, its path below `images/`; "" of all else.
    """

    kind: str
    path: str
    found: str
    output: str = ""


@dataclass(slots=True)
class Found:
    """What an output was found to be.

    Attributes:
        images: that the ledger has; `num_bytes`: of their files, where they were read.
        loss_logs: that were looked at; so are `annotations`, files of them.
        notes: what was left out, and why.
        to_make: with a repair: how many images the next run makes again.
        has_written: with a repair: whether the records were written anew.
    """

    images: int = 0
    num_bytes: int = 0
    loss_logs: int = 0
    annotations: int = 0
    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    to_make: int = 0
    has_written: bool = False

    def counts(self) -> dict[str, int]:
        """Return how many differences there are of each kind, in the order of `KINDS`."""
        counted = Counter(each.kind for each in self.differences)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    def outputs(self, kinds: Iterable[str]) -> list[str]:
        """Return the images that are concerned by some kinds, sorted."""
        wanted = set(kinds)
        return sorted({each.output for each in self.differences if each.kind in wanted})
