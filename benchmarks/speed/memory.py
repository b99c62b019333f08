"""Memory of an evaluation: bytes per pixel of the image, at its peak and held for the gradient.

    python -m benchmarks.speed.memory --shared ../shared
    python -m benchmarks.speed.memory --workers          # of all that a worker takes

Each line is a fresh process: the growth of its resident set over one evaluation of `balanced`
(losses and gradient of one square image), and the feature maps that autograd keeps meanwhile.
`--workers`: the largest resident set of a process that stylises, on one thread and keeping freed
memory as workers do, beside what `cpu_workers: auto` reckons with.
"""

import argparse
import json
import subprocess
import sys

import numpy as np
import torch

from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.memory import peak_bytes, resident_bytes
from benchmarks.setting.networks import Network, make_evaluation
from stylebatch import stylize
from stylebatch.device.choice import PRECISIONS
from stylebatch.device.cpu_memory import worker_bytes
from stylebatch.system.heap import keep_freed_memory

# Recipe, architecture, edge and images at once; enough evaluations that L-BFGS keeps all its pairs.
WORKERS = (
    ("augment", "slim", 64, 16),
    ("balanced", "slim", 256, 1),
    ("balanced", "slim", 1024, 1),
    ("balanced", "vgg19", 256, 1),
    ("balanced", "vgg19", 768, 1),
    ("balanced", "vgg19", 1408, 1),
    ("balanced", "slim", 2048, 1),
)
STEPS = 12


def main() -> None:
    """Print a line for each extractor, precision and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--workers", action="store_true")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        recipe, arch, given, edge, images = options.worker
        print(worker_peak(recipe, arch, given, int(edge), int(images)))
        return
    if options.one:
        arch, weights, precision, edge = options.one
        print(json.dumps(measure(Network(arch, weights), PRECISIONS[precision], int(edge))))
        return
    weights = {"vgg19": str(check_shared(options.shared) / WEIGHTS), "slim": "shipped"}
    print(describe_machine(torch.float32))
    if options.workers:
        report_workers(weights)
        return
    for arch, path in weights.items():
        for precision in PRECISIONS:
            for edge in options.sizes:
                peak, held = json.loads(_told("--one", arch, path, precision, edge))
                print(
                    f"{arch:<6} {precision:<9} {edge:>5} px: {peak:>6.0f} bytes per pixel at the "
                    f"peak, {held:>5.0f} held for the gradient",
                    flush=True,
                )


def report_workers(weights: dict[str, str]) -> None:
    """Print what a worker takes at its largest."""
    for recipe, arch, edge, images in WORKERS:
        peak = int(_told("--worker", recipe, arch, weights[arch], edge, images))
        print(
            f"{recipe:<8} on {arch:<5} {edge:>5} px, {images:>2} at once: {peak / 1e9:.2f} GB, "
            f"reckoned with {worker_bytes(edge**2) / 1e9:.2f} GB",
            flush=True,
        )


def worker_peak(recipe: str, arch: str, weights: str, edge: int, images: int) -> int:
    """Return the largest resident set of this process, which stylises noise."""
    keep_freed_memory()
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    *contents, style = draw.integers(0, 256, (images + 1, edge, edge, 3), np.uint8)
    file = None if weights == "shipped" else weights
    stylize(
        contents,
        style,
        recipe,
        size_px=edge,
        steps=STEPS,
        device="cpu",
        arch=arch,
        weights=file,
    )
    return peak_bytes()


def _told(*arguments: object) -> str:
    """Return what this module prints in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.speed.memory", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def measure(network: Network, dtype: torch.dtype, edge: int) -> tuple[float, float]:
    """Return bytes per pixel: growth of the resident set, and what autograd keeps."""
    evaluate = make_evaluation(network, edge, dtype)
    before = resident_bytes()
    evaluate()
    grown = peak_bytes() - before
    kept: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        evaluate()
    return grown / edge**2, sum(kept.values()) / edge**2


if __name__ == "__main__":
    main()
