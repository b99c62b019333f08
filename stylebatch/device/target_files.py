"""Style targets in files that vouch for what they hold: a cache, without which all goes on."""

import json
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylebatch.library.cached import DIGEST, Of, note_use, read_of
from stylebatch.library.digests import digest_arrays, in_order
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
            data = read_bytes(self._path(key))
        except OSError:
            return None
        try:
            statistics, told = load(data), _metadata(data).get(DIGEST)
        except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError):
            statistics, told = {}, ""
        if told is None:
            return None
        if told != _digest(statistics):
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
        data = in_order(save(statistics, {DIGEST: _digest(statistics), **of.metadata()}))
        write_atomic(self._path(key), data)
        if not self._is_swept:
            self._is_swept = True
            sweep_unfinished(self._folder, UNFINISHED_S)


def _metadata(data: bytes) -> dict[str, str]:
    """Return a safetensors file's metadata; its header's length stands before it."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return found


def _digest(statistics: Statistics) -> str:
    return digest_arrays({name: tensor.numpy() for name, tensor in statistics.items()})
