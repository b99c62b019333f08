"""Memory of an evaluation: bytes per pixel of the image, at its peak and held for the gradient.

    python -m benchmarks.speed.memory --shared ../shared

Each line is a fresh process: the growth of its resident set over one evaluation of `balanced`
(losses and gradient of one square image), and the feature maps that autograd keeps meanwhile.
"""

import argparse
import json
import subprocess
import sys

import torch

from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.memory import peak_bytes, resident_bytes
from benchmarks.setting.networks import Network, make_evaluation
from stylebatch.device.choice import PRECISIONS


def main() -> None:
    """Print a line for each extractor, precision and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        arch, weights, precision, edge = options.one
        print(json.dumps(measure(Network(arch, weights), PRECISIONS[precision], int(edge))))
        return
    weights = {"vgg19": str(check_shared(options.shared) / WEIGHTS), "slim": "shipped"}
    print(describe_machine(torch.float32))
    for arch, path in weights.items():
        for precision in PRECISIONS:
            for edge in options.sizes:
                command = [sys.executable, "-m", "benchmarks.speed.memory", "--one"]
                command += [arch, path, precision, str(edge)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                peak, held = json.loads(done.stdout)
                print(
                    f"{arch:<6} {precision:<9} {edge:>5} px: {peak:>6.0f} bytes per pixel at the "
                    f"peak, {held:>5.0f} held for the gradient",
                    flush=True,
                )


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
