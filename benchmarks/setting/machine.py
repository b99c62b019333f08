"""The line that says where a benchmark ran."""

import os
import platform
from datetime import date
from pathlib import Path

import torch


def describe_machine(precision: torch.dtype) -> str:
    """Return one line: date, CPU model, cores, torch's threads and version, precision."""
    parts = [
        date.today().isoformat(),
        cpu_model(),
        f"{os.cpu_count()} cores",
        f"{torch.get_num_threads()} threads",
        f"torch {torch.__version__}",
        str(precision).removeprefix("torch."),
    ]
    return ", ".join(parts)


def cpu_model() -> str:
    """Return the processor's name; a hypervisor may hide it, so with family and model number."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    name = facts.get("model name", platform.machine())
    return f"{name} (family {facts.get('cpu family')}, model {facts.get('model')})"


def describe_device(device: torch.device) -> str:
    """Return the GPU's name and memory, and the versions of CUDA and cuDNN."""
    if device.type != "cuda":
        return "no GPU"
    facts = torch.cuda.get_device_properties(device)
    memory = f"{facts.total_memory / 2**30:.0f} GiB"
    return f"{facts.name} ({memory}), CUDA {torch.version.cuda}, cuDNN {cudnn_version()}"


def cudnn_version() -> str:
    """Return cuDNN's version as torch has it."""
    return str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
