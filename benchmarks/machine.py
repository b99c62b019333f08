"""What the benchmarks share: the folder of photographs, and the line that says where they ran."""

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch

WEIGHTS = "weights/vgg19_conv3_4.safetensors"
PHOTOGRAPHS = "images/photos"
STYLES = "images/styles"


def add_shared_option(parser: argparse.ArgumentParser) -> None:
    """Add `--shared`: where the photographs, the styles and the weights are."""
    default = os.environ.get("STYLEBATCH_SHARED", "../shared")
    parser.add_argument("--shared", type=Path, default=Path(default), help="default: %(default)s")


def check_shared(shared: Path) -> Path:
    """Return the folder's full path; leave with a message where something is missing."""
    shared = shared.resolve()
    for part in (WEIGHTS, PHOTOGRAPHS, STYLES):
        if not (shared / part).exists():
            sys.exit(
                f"{shared / part}: not there; this benchmark needs a folder with {WEIGHTS}, "
                f"{PHOTOGRAPHS}/CLASS/*.jpg and {STYLES}/*.jpg: name it with --shared DIR or "
                "$STYLEBATCH_SHARED"
            )
    return shared


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


def describe_repeats(values: Sequence[float], digits: int = 2) -> str:
    """Return a median with its range: `1.23 (1.20–1.31)`."""
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
