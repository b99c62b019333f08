"""Safetensors files that vouch for what they hold."""

from collections.abc import Mapping
from hashlib import blake2b

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from stylebatch.library.cached import DIGEST
from stylebatch.library.digests import in_order, read_header
from stylebatch.system.files import DIGEST_BYTES

# The name of a text in a file's metadata.
TEXT = "told"
# What reading bytes raises that are no such file.
_UNREADABLE = (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError)


class UnvouchedError(ValueError):
    """Bytes that are no file of tensors, or not what their digest says.

    Attributes:
        is_older: sound tensors, but without a digest.
    """

    def __init__(self, found: str, *, is_older: bool = False) -> None:
        super().__init__(found)
        self.is_older = is_older


def encode_tensors(
    tensors: Mapping[str, Tensor], text: str = "", *, metadata: Mapping[str, str] | None = None
) -> bytes:
    """Return a file of tensors on the CPU and a text, with a digest of both.

    Args:
        metadata: what else the file is to tell; no digest vouches for it.
    """
    told = {TEXT: text} if text else {}
    told |= {DIGEST: _digest(tensors, text), **(metadata or {})}
    return in_order(save(dict(tensors), told))


def decode_tensors(data: bytes) -> tuple[dict[str, Tensor], str]:
    """Return what `encode_tensors` was given.

    Raises:
        UnvouchedError: other bytes than it gave.
    """
    try:
        tensors, metadata = load(data), read_header(data)[0].get("__metadata__", {})
        told, text = metadata.get(DIGEST), metadata.get(TEXT, "")
        found = _digest(tensors, text)
    except _UNREADABLE as error:
        raise UnvouchedError("damaged") from error
    if told is None:
        raise UnvouchedError("without a digest", is_older=True)
    if told != found:
        raise UnvouchedError("damaged")
    return tensors, text


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """Return a digest of tensors with their names, kinds and shapes, and of a text."""
    state = blake2b(digest_size=DIGEST_BYTES)
    for name, tensor in sorted(tensors.items()):
        state.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:".encode())
        state.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    state.update(text.encode())
    return state.hexdigest()
