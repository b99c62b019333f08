"""Arrays in safetensors files, and the digests by which they vouch for what they hold; no torch."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from numpy.typing import NDArray

from stylebatch.system.files import DIGEST_BYTES

Arrays = Mapping[str, NDArray[Any]]


def digest_arrays(arrays: Arrays) -> str:
    """Return a digest of arrays with their names, kinds and shapes."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for name, array in sorted(arrays.items()):
        # As torch writes kinds, which made the first of these digests.
        state.update(f"{name}:torch.{array.dtype}:{tuple(array.shape)}:".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def read_header(data: bytes) -> tuple[dict[str, Any], int]:
    """Return a safetensors file's header, and where its tensors begin.

    Raises:
        ValueError: there is none.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    return json.loads(data[8:end]), end


def in_order(data: bytes) -> bytes:
    """Return a safetensors file's bytes with its metadata sorted: it is written in any order."""
    header, end = read_header(data)
    header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # Tensors begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]
