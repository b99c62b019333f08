"""What torch, CUDA and its libraries say: no memory, or a device that has failed."""

from collections.abc import Callable
from typing import TypeVar

import torch

# What torch's allocator on the CPU, the driver and CUDA's libraries say of it.
OUT_OF_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUDA driver error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # oneDNN's own buffers: that is all it says, and what it was asked for it can do.
    "could not create a primitive",
    "could not execute a primitive",
)
# What CUDA and its libraries say of anything else. The process can't use the device any more.
DEVICE_ERRORS = (
    "CUDA error",
    "CUDA driver error",
    "cuDNN error",
    "CUDNN_STATUS_",
    "CUBLAS_STATUS_",
    "cuBLAS error",
)
T = TypeVar("T")


def within_memory(act: Callable[[], T]) -> T | None:
    """Return what an act returns, None if memory did not suffice.

    By then nothing of what it held is left: the error, whose traceback holds its frames, does not
    leave this function.
    """
    try:
        return act()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return None


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory did not suffice: torch has a class for its own allocator on CUDA only."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        text in str(error) for text in OUT_OF_MEMORY
    )


def is_device_error(error: Exception) -> bool:
    """Whether a device has failed so that only another process can go on with it."""
    if is_out_of_memory(error) or not isinstance(error, RuntimeError):
        return False
    return isinstance(error, torch.AcceleratorError) or any(
        text in str(error) for text in DEVICE_ERRORS
    )
