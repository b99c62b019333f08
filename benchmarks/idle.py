"""How long devices wait for something to do: reading, decoding, committing, messages.

    python benchmarks/idle.py --shared ../shared       # on two cores about four minutes
    python benchmarks/idle.py --quick                  # a smoke test

Whole runs of the local executor on photographs of about 1024 px, output at their own size. A device
is busy while an evaluation of its images runs, or while one is brought into a slot (its own
features, the style's Gram matrices); all the rest of the time from the worker's start to its end
counts as idle, the first photograph's decoding and the last one's commit included. The figures are
`run.json`'s, which every run writes. The rest of a device's time is the same for a short run as for
a long one but for these two ends, so both are given: for the whole run, and per image.
"""

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from machine import add_shared_option, check_shared, describe_machine, describe_repeats
from setting import Clock, make_project

from stylebatch import pipeline
from stylebatch.dataset import Dataset
from stylebatch.device import choose_precision
from stylebatch.feed import StopRequest
from stylebatch.manifest import load_manifest
from stylebatch.pipeline import RunRequest

STYLES = ("hokusai_wave", "van_gogh_la_cafe", "gauguin_tahiti")


@dataclass(frozen=True, slots=True)
class Idle:
    """A run's workers together."""

    images: int
    seconds: float
    idle_s: float

    @property
    def percent(self) -> float:
        """Of the time that they were there."""
        return 100 * self.idle_s / self.seconds


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size-px", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.images, options.size_px, options.steps, options.repeats = 4, [64], 10, 1
    shared = check_shared(options.shared)
    print(describe_machine(choose_precision("auto", "cpu")))
    print(f"{options.images} images, {options.steps} evaluations each\n")
    for size_px in options.size_px:
        for workers in options.workers:
            found = [
                run_once(shared, options.images, size_px, options.steps, workers)
                for _ in range(options.repeats)
            ]
            each = describe_repeats([1000 * one.idle_s / one.images for one in found], 0)
            print(
                f"{size_px:>5} px, {workers} worker{'s' if workers > 1 else ''}: idle "
                f"{describe_repeats([one.percent for one in found], 2)} % of "
                f"{describe_repeats([one.seconds for one in found], 0)} s; {each} ms an image",
                flush=True,
            )


def run_once(shared: Path, images: int, size_px: int, steps: int, workers: int) -> Idle:
    """Make images in a folder of its own and read what the run says of its workers."""
    with tempfile.TemporaryDirectory(prefix="stylebatch-idle-") as folder:
        path = make_project(
            Path(folder),
            shared,
            images,
            styles=STYLES,
            size_px=size_px,
            steps=steps,
            executor="local",
            devices=["cpu"],
            cpu_workers=workers,
        )
        manifest = load_manifest(path)
        pipeline.run(manifest, RunRequest(), Clock(), StopRequest())
        told = json.loads(Dataset(manifest.output).summary.read_bytes())
    there_s = sum(worker["seconds"] for worker in told["workers"])
    busy_s = sum(worker["busy_seconds"] for worker in told["workers"])
    return Idle(told["done"], there_s, there_s - busy_s)


if __name__ == "__main__":
    main()
