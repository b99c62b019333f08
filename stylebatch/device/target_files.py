"""Style targets in files that vouch for what they hold: a cache, without which all goes on."""

import json
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylebatch.system.files import DIGEST_BYTES, read_bytes, sweep_unfinished, write_atomic

Statistics = dict[str, Tensor]

# The name of the digest in a file's metadata.
DIGEST = "blake2b"
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
        return statistics

    def write(self, key: str, statistics: Statistics) -> None:
        """Keep statistics, if that can be done."""
        data = save(statistics, {DIGEST: _digest(statistics)})
        try:
            write_atomic(self._path(key), data)
            if not self._is_swept:
                self._is_swept = True
                sweep_unfinished(self._folder, UNFINISHED_S)
        except OSError as error:
            if not self._is_unwritable:
                self._is_unwritable = True
                found = f"style targets can't be cached there ({error.strerror})"
                todo = "each process computes them again; name another folder: run.cache or "
                self._tell(f"{self._folder}: {found}; {todo}$STYLEBATCH_CACHE")


def _metadata(data: bytes) -> dict[str, str]:
    """Return a safetensors file's metadata; its header's length stands before it."""
    length = int.from_bytes(data[:8], "little")
    found: dict[str, str] = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    return found


def _digest(statistics: Statistics) -> str:
    """Return a digest of tensors with their names, kinds and shapes."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for name, tensor in sorted(statistics.items()):
        state.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        state.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return state.hexdigest()
