"""Style targets in files that vouch for what they hold: a cache, without which all goes on."""

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stylebatch.device.tensor_files import UnvouchedError, decode_tensors, encode_tensors
from stylebatch.library.cached import Of, note_use, read_of
from stylebatch.system.files import UNFINISHED_S, read_bytes, sweep_unfinished, write_atomic

Statistics = dict[str, Tensor]


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
        note_use(self._path(key))
        return statistics

    def is_untold(self, key: str) -> bool:
        """Whether there is a file that does not tell what it is of, as before November 2026."""
        return self._path(key).exists() and not read_of(self._path(key)).digest

    def write(self, key: str, statistics: Statistics, of: Of) -> None:
        """Keep statistics, with what they are of, if that can be done; else all goes on."""
        try:
            self.keep(key, statistics, of)
        except OSError as error:
            if not self._is_unwritable:
                self._is_unwritable = True
                found = f"style targets can't be cached there ({error.strerror})"
                todo = "each process computes them again; name another folder: run.cache or "
                self._tell(f"{self._folder}: {found}; {todo}$STYLEBATCH_CACHE")

    def keep(self, key: str, statistics: Statistics, of: Of) -> None:
        """Keep statistics, with what they are of.

        Raises:
            OSError: that can't be done.
        """
        write_atomic(self._path(key), encode_tensors(statistics, metadata=of.metadata()))
        if not self._is_swept:
            self._is_swept = True
            sweep_unfinished(self._folder, UNFINISHED_S)
