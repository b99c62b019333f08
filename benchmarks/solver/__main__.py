"""Loss against evaluations and against seconds: textbook loops, SciPy, Adam, ours.

    python -m benchmarks.solver --shared ../shared --size 256 --plots build
    python -m benchmarks.solver --shared ../shared --quick           # a smoke test
    python -m benchmarks.solver --report docs/lab/solver.jsonl       # tables and plots, no runs

One objective (`balanced` on VGG-19 to conv3_3), eight pairs of photograph and style, one image at a
time. Every method's image is judged as it would be saved: 8 bits, in float32. Ways are appended to
`--paths` as they are done, and a way that is there is not run again.

Ours run in a process of their own, which keeps freed memory as workers do; the others in another.
Losses do not depend on what else the machine does, seconds do: with `--threads 1` they are CPU
time, which depends on it little. With `--untimed` only losses are noted; where a method has timed
ways, the median of those gives the others' seconds.
"""

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import torch

from benchmarks.setting.inputs import add_shared_option, check_shared
from benchmarks.setting.pairs import NUM_PAIRS, choose_pairs, pair_name
from benchmarks.solver.methods import METHODS
from benchmarks.solver.processes import Processes, Task
from benchmarks.solver.report import print_report
from benchmarks.solver.ways import append_way, read_ways
from stylebatch.system.cores import usable_cores


def main() -> None:
    """Run what is missing, then print the report."""
    options = parse_options()
    if options.report:
        print_report(read_ways(options.report), options.plots)
        return
    torch.set_num_threads(options.threads or usable_cores())
    shared = check_shared(options.shared)
    if options.paths is None:
        options.paths = Path("build/solver.jsonl")
        if options.quick or options.budget:
            # Ways of another budget are not to be taken for whole ones later.
            options.paths = Path(tempfile.mkdtemp()) / "solver.jsonl"
    if options.quick:
        options.size, options.start, options.pairs, options.budget = [64], ["content"], 1, 12
        options.method = list(METHODS)
    run_missing(shared, options)
    if not options.quiet:
        print_report(read_ways(options.paths), options.plots)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.solver", description=__doc__.splitlines()[0]
    )
    add_shared_option(parser)
    parser.add_argument("--size", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--start", nargs="+", choices=("content", "noise"), default=["content"])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--pairs", type=int, default=NUM_PAIRS, help="how many, from the first")
    parser.add_argument("--budget", type=int, help="evaluations; default: each method's own")
    parser.add_argument("--threads", type=int, help="default: the usable cores")
    parser.add_argument("--untimed", action="store_true", help="the machine has other work")
    parser.add_argument("--again", action="store_true", help="run what is there, too")
    parser.add_argument("--paths", type=Path, help="default: build/solver.jsonl, or a new file")
    parser.add_argument("--report", type=Path, metavar="FILE", help="no runs: report on this file")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write plots into this folder")
    parser.add_argument("--quiet", action="store_true", help="no report")
    parser.add_argument("--quick", action="store_true", help="one pair at 64 px, 12 evaluations")
    return parser.parse_args()


def run_missing(shared: Path, options: argparse.Namespace) -> None:
    """Run every way asked for that the file does not have."""
    options.paths.parent.mkdir(parents=True, exist_ok=True)
    done = {} if options.again else {way.key: way for way in read_ways(options.paths)}
    with Processes(torch.get_num_threads()) as processes:
        for size, start in product(options.size, options.start):
            for chosen, method in product(choose_pairs(shared, options.pairs), options.method):
                known = done.get((size, start, pair_name(*chosen), method))
                if known and (known.seconds or options.untimed):
                    continue
                way = processes.run(Task(shared, *chosen, size, start, method, options.budget))
                append_way(options.paths, replace(way, seconds=[]) if options.untimed else way)


if __name__ == "__main__":
    main()
