"""What an evaluation of each recipe costs, beside the first.

    python -m benchmarks.pictures.cost --shared ../shared
    python -m benchmarks.pictures.cost --recipes balanced-2026-11 balanced --sizes 128 256 512

CPU time of losses and gradient of square images, one thread, by turns; as many at once as a run has
on a CPU: 4 of 128 px, 1 of 256 px and up.
"""

import argparse
import statistics
import time

import torch

from benchmarks.setting.inputs import WEIGHTS, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.networks import Network, time_evaluations
from stylebatch.device.cpu_memory import CPU_PIXEL_BUDGET


def main() -> None:
    """Print a line for each size, precision and recipe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--recipes", nargs="+", default=["balanced-2026-11", "balanced"])
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    weights = str(check_shared(options.shared) / WEIGHTS)
    torch.set_num_threads(1)
    print(describe_machine(torch.float32))
    networks = {recipe: Network("vgg19", weights, recipe) for recipe in options.recipes}
    for edge in options.sizes:
        for dtype in (torch.float32, torch.bfloat16):
            batch = max(1, CPU_PIXEL_BUDGET // edge**2)
            seconds = time_evaluations(
                networks, edge, dtype, options.repeats, batch, time.process_time
            )
            first = next(iter(seconds.values()))
            for recipe, values in seconds.items():
                ratios = [own / other for own, other in zip(values, first, strict=True)]
                print(
                    f"{batch} of {edge}x{edge}, {str(dtype).removeprefix('torch.')}, {recipe}: "
                    f"{1000 * statistics.median(values):.0f} ms, {statistics.median(ratios):.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
