"""How many images to optimise together on a CPU.

    python -m benchmarks.speed.throughput --shared ../shared
    python -m benchmarks.speed.throughput --quick            # a smoke test

Milliseconds per evaluation of one image, by batch size; batch sizes take turns. Whole runs, with
slots that are refilled and with several workers, are in `benchmarks.speed.batching`. Freed memory
is kept, as workers do; any `MALLOC_…` of glibc's in the environment switches that off.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.setting.inputs import add_shared_option, check_shared, full_engine, settings_of
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.timing import describe_repeats, time_by_turns
from stylebatch.device.choice import choose_precision
from stylebatch.system.cores import usable_cores
from stylebatch.system.heap import keep_freed_memory
from stylebatch.transfer.engine import Engine

BATCHES = {128: (1, 2, 4, 8, 16), 256: (1, 2, 4), 512: (1,)}
WARM_UP = 2


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=4, help="timed at a time")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of one thread: holds on a busy machine too"
    )
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    if options.quick:
        options.repeats, options.evaluations = 1, 1
    torch.set_num_threads(1 if options.cpu_time else usable_cores())
    keep_freed_memory()
    clock = time.thread_time if options.cpu_time else time.perf_counter
    print(describe_machine(choose_precision("auto", "cpu")))
    print_batches(shared, clock, options.repeats, options.evaluations)


def print_batches(shared: Path, clock: Callable[[], float], repeats: int, evaluations: int) -> None:
    """Print a line a shape and batch size: ms per evaluation of one image."""
    cases = [(edge, size) for edge, sizes in BATCHES.items() for size in sizes]
    settings = settings_of(shared, steps=100_000, tolerance=0.0, levels=1)
    with tempfile.TemporaryDirectory(prefix="stylebatch-throughput-") as cache:
        engines = {
            case: full_engine(settings, shared, Path(cache), *case, WARM_UP) for case in cases
        }
    acts = {case: steps_of(engine, evaluations) for case, engine in engines.items()}
    times = time_by_turns(acts, repeats, clock=clock)
    print(f"\n{'shape':<10}{'images':>7}{'pixels':>9}   ms per evaluation and image")
    for (edge, size), seconds in times.items():
        each_ms = [1000 * one / evaluations / size for one in seconds]
        figure = describe_repeats(each_ms, 1)
        print(f"{f'{edge}x{edge}':<10}{size:>7}{edge * edge * size:>9}   {figure}", flush=True)


def steps_of(engine: Engine, evaluations: int) -> Callable[[], None]:
    """Return a function that steps an engine so many times."""

    def act() -> None:
        for _ in range(evaluations):
            engine.step()

    return act


if __name__ == "__main__":
    main()
