"""Which devices a machine has, and the precision and policy that they compute with."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import torch

from stylebatch.errors import UserError

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class DeviceError(UserError):
    """A device that this machine does not have, or a precision that none has."""


def available_devices() -> list[str]:
    """Return this machine's devices, the fastest kind first; `cpu` is always there."""
    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("mps")
    return [*found, "cpu"]


def choose_devices(asked: str | Iterable[str]) -> list[str]:
    """Return the devices to use: for `auto` every GPU, without one the CPU.

    Raises:
        DeviceError: a named device that is not there.
    """
    available = available_devices()
    if asked == "auto":
        gpus = [name for name in available if name.startswith("cuda")]
        return gpus or available[:1]
    names = [asked] if isinstance(asked, str) else list(asked)
    names = ["cuda:0" if name == "cuda" else name for name in names]
    for name in names:
        if name not in available:
            allowed = f"this machine has {', '.join(available)}"
            raise DeviceError("devices", f"no device '{name}'", allowed, "or write auto")
        if names.count(name) > 1:
            raise DeviceError("devices", f"'{name}' twice", "each device once", "remove the repeat")
    return names


def choose_precision(asked: str, device: str) -> torch.dtype:
    """Return the dtype of the convolutions; `auto` is bfloat16 where the hardware multiplies it.

    Raises:
        DeviceError: no such precision.
    """
    if asked == "auto":
        return torch.bfloat16 if _multiplies_bfloat16(device) else torch.float32
    if asked not in PRECISIONS:
        allowed = f"one of auto, {', '.join(PRECISIONS)}"
        raise DeviceError("precision", f"no precision '{asked}'", allowed)
    return PRECISIONS[asked]


@cache  # asked for every image that is made
def precision_name(asked: str, device: str) -> str:
    """Return the name of what `choose_precision` chooses: float32 | bfloat16."""
    return str(choose_precision(asked, device)).removeprefix("torch.")


def _multiplies_bfloat16(device: str) -> bool:
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device != "cpu":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def set_cuda_policy() -> None:
    """Set, for this process, what torch leaves open on CUDA.

    - No TF32: float32 is float32. Style targets, dot products of the optimiser and a run with
      `precision: float32` are exact; who wants tensor cores has bfloat16, which `auto` chooses and
      which is faster still. Gram matrices of bfloat16 maps lose nothing: their products are exact
      in the float32 that they are summed in.
    - cuDNN chooses its algorithms by its own rules. Trying them out costs each convolution some
      milliseconds for every new shape and number of images; a bucket of shapes with 100 images is
      done in a few seconds.
    """
    # Not by `fp32_precision`: with that, torch (2.15) raises where anybody asks for `allow_tf32`.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
