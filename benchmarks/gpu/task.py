"""What a part of the session is given."""

import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.bench import QUICK, Bench, Timing
from benchmarks.gpu.notes import Notes

# A GPU's steps take a hundredth of a second: several at a time, a few times.
TIMING = Timing(steps=5, repeats=5, warm_up=3)
# What writing down the last of it takes.
END_S = 2.0


@dataclass(frozen=True, slots=True)
class Task:
    """What a part works with.

    Attributes:
        is_small: sizes and counts that a CPU does in seconds; its figures mean nothing.
        until_s: on the monotonic clock.
    """

    device: str
    shared: Path | None
    folder: Path
    is_small: bool
    until_s: float
    notes: Notes

    @property
    def is_cuda(self) -> bool:
        """Whether it is about a GPU."""
        return self.device.startswith("cuda")

    @property
    def left_s(self) -> float:
        """Seconds until it is ended from outside, less what writing down takes."""
        return self.until_s - time.monotonic() - END_S

    def bench(self) -> Bench:
        """Open the device."""
        return Bench(self.device, self.shared, self.folder, QUICK if self.is_small else TIMING)
