"""The digest by which a converted file vouches for its tensors. No torch here."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open

if TYPE_CHECKING:
    import numpy as np

# Its name in a file's metadata.
TENSORS_SHA256 = "tensors_sha256"


def tensors_sha256(tensors: "Iterable[tuple[str, np.ndarray]]") -> str:
    """Return the SHA-256 in hex over float32 tensors, in the order of their names.

    Of each tensor: its name and shape as text (`features.0.weight:64,3,3,3:`), then its numbers,
    little-endian. It does not depend on the order or the metadata of a file.
    """
    state = sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        state.update(f"{name}:{','.join(map(str, tensor.shape))}:".encode())
        state.update(tensor.astype("<f4", copy=False).tobytes())
    return state.hexdigest()


def file_sha256(path: Path) -> str | None:
    """Return the digest of a safetensors file's tensors, None where they are not all float32."""
    with safe_open(path, framework="np") as file:
        names = list(file.keys())
        if any(file.get_slice(name).get_dtype() != "F32" for name in names):
            return None
        return tensors_sha256((name, file.get_tensor(name)) for name in names)
