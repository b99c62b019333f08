"""A weights file → its tensors by name, none of them read or kept before it is asked for."""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import is_zipfile

from safetensors import safe_open

from stylebatch.extractors.weights.weight_set import PICKLED, WeightsError
from stylebatch.system.files import read_start

if TYPE_CHECKING:
    from torch import Tensor

# Where training scripts put the state dict in a checkpoint, and what DataParallel adds to names.
WRAPPERS = ("state_dict", "model")
PREFIX = "module."
ZIP_MAGIC, PICKLE_MAGIC = b"PK\x03\x04", b"\x80"
# So the unpickler says that it has met a byte which means nothing to it.
_OF_NO_USE = re.compile(r"[0-9]+$|Unsupported operand|pop from|Invalid magic number")


def read_tensors(path: Path, source: str) -> "Mapping[str, Tensor]":
    """Open a weights file's tensors; copy what you need and drop the rest, which may be mapped.

    Args:
        source: what to call the file in errors.

    Raises:
        WeightsError: a pickle that can't be read without running it, is cut, or no state dict.
    """
    return _unpickled(path, source) if path.suffix in PICKLED else _SafeTensors(path)


class _SafeTensors(Mapping[str, "Tensor"]):
    """Reads a tensor when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with safe_open(path, framework="pt") as file:
            self._names = frozenset(file.keys())

    def __getitem__(self, name: str) -> "Tensor":
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="pt") as file:
            tensor: Tensor = file.get_tensor(name)
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _unpickled(path: Path, source: str) -> "dict[str, Tensor]":
    import torch

    try:
        # Files from before torch 1.6, torchvision's VGG-19 among them, are no zip: they can't be
        # mapped, and are in memory as a whole until what is needed has been copied.
        is_zip = read_start(path, len(ZIP_MAGIC)) == ZIP_MAGIC
        if is_zip and not is_zipfile(path):
            raise EOFError  # torch would only say: invalid argument
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what it would warn of is refused all the same
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # torch raises half a dozen kinds for a file that is none
        found = f"is no weights file that can be read safely ({_reason(error, path)})"
        allowed = "a whole file of tensors, with no code in it"
        raise WeightsError(source, found, allowed, "copy or download it again") from error
    tensors = _unwrapped(loaded)
    if not tensors or not all(torch.is_tensor(value) for value in tensors.values()):
        allowed = f"a dict of names and tensors, at the top or under {' or '.join(WRAPPERS)}"
        raise WeightsError(source, "holds no state dict", allowed)
    return {str(name).removeprefix(PREFIX): tensor for name, tensor in tensors.items()}


def _reason(error: Exception, path: Path) -> str:
    """Return what torch found, without its advice to read the file unsafely."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    text = text or ("it is cut" if isinstance(error, EOFError) else type(error).__name__)
    if _OF_NO_USE.match(text):
        start = read_start(path, 12)
        if start.startswith(PICKLE_MAGIC):
            return "it is a pickle that PyTorch did not write"
        return f"it begins with {str(start)[1:]}, as no such file does"
    return text.splitlines()[0].partition(". ")[0].rstrip(".")[:200]


def _unwrapped(loaded: Any) -> dict[Any, Any]:
    if not isinstance(loaded, dict):
        return {}
    inner = (loaded[key] for key in WRAPPERS if isinstance(loaded.get(key), dict))
    found: dict[Any, Any] = next(inner, loaded)
    return found
