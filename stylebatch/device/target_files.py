"""Style targets in files that vouch for what they hold: a cache, without which all goes on."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stylebatch.device.tensor_files import UnvouchedError, decode_tensors, encode_tensors
from stylebatch.system.files import read_bytes, sweep_unfinished, write_atomic

Statistics = dict[str, Tensor]

# What is being written takes a moment: what is older, nobody will finish.
UNFINISHED_S = 3600.0


class TargetFiles:
    """A folder of them, by key; what is wrong with it is told once each."""

    def __init__(self, folder: Path, tell: Callable[[str], object]) -> None:
        self._folder, self._tell = folder, tell
        self._is_swept, self._is_unwritable = False, False

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.safetensors"

    def read(self, key: str) -> Statistics | None:
        """Return what a file holds; None where there is none that can be trusted.

        One without a digest, as they were before November 2026, counts as none; one that is not
        what its digest says is told of.
        """
        try:
            statistics, _ = decode_tensors(read_bytes(self._path(key)))
        except OSError:
            return None
        except UnvouchedError as error:
            if not error.is_older:
                text = "cached style targets are damaged, and are computed again"
                self._tell(f"{self._path(key)}: {text}")
            return None
        return statistics

    def write(self, key: str, statistics: Statistics) -> None:
        """Keep statistics, if that can be done."""
        try:
            write_atomic(self._path(key), encode_tensors(statistics))
            if not self._is_swept:
                self._is_swept = True
                sweep_unfinished(self._folder, UNFINISHED_S)
        except OSError as error:
            if not self._is_unwritable:
                self._is_unwritable = True
                found = f"style targets can't be cached there ({error.strerror})"
                todo = "each process computes them again; name another folder: run.cache or "
                self._tell(f"{self._folder}: {found}; {todo}$STYLEBATCH_CACHE")
