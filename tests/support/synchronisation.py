"""What makes the host wait for a GPU: there by torch's word, on the CPU by the operations."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

# On a GPU the sizes of their results, or their results themselves, are known only after a wait.
READS_BACK = {
    "_local_scalar_dense",
    "equal",
    "is_nonzero",
    "masked_select",
    "nonzero",
    "repeat_interleave",
    "unique_consecutive",
    "unique_dim",
    "_unique2",
}

# Each of these sends numbers of the host to the device: indices, or a tensor's own.
SENDS = {"index", "index_put", "index_put_", "_index_put_impl_", "lift_fresh", "lift_fresh_copy"}


@contextmanager
def no_waiting() -> Iterator[None]:
    """Raise where the host waits for a CUDA device."""
    with warnings.catch_warnings():
        # torch says, once, that it does not see every wait.
        warnings.filterwarnings("ignore", "Synchronization debug mode", UserWarning)
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


class NoReadingBack(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises where an operation would make the host wait for a GPU.

    Copies between devices are none here: of these only torch's own sync debug mode tells.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        name = func.overloadpacket.__name__  # type: ignore[attr-defined]
        is_masked = name.startswith("index") and any(map(_is_mask, _flat(args)))
        assert name not in READS_BACK, f"{name} reads a result back"
        assert not is_masked, f"{name} with a mask counts what the mask holds"
        return func(*args, **(kwargs or {}))


class NoWaiting(NoReadingBack):  # type: ignore[no-untyped-call]
    """Raises at every operation that would make the host wait for a CUDA device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        assert name not in SENDS, f"{name} sends numbers of the host"
        return super().__torch_dispatch__(func, types, args, kwargs)


def _flat(args: Iterable[Any]) -> list[Any]:
    found = []
    for each in args:
        found += _flat(each) if isinstance(each, list | tuple) else [each]
    return found


def _is_mask(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in (torch.bool, torch.uint8)
