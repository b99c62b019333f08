"""How long devices wait for something to do, and how honest the time left is after a minute.

    python -m benchmarks.speed.pool --shared ../shared       # on two cores about ten minutes
    python -m benchmarks.speed.pool --quick                  # a smoke test

Whole runs of the local executor on photographs of about 1024 px, output at their own size. A device
is busy while an evaluation of its images runs, or while one is brought into a slot (its own
features, the style's Gram matrices); all the rest of the time from the worker's start to its end
counts as idle, the first photograph's decoding and the last one's commit included. The figures are
`run.json`'s, which every run writes. The two ends weigh less the longer a run is.

The time left is what the live view shows a minute after the first worker was there, without any
figures of earlier runs, beside the time that it then took.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.setting.inputs import MIXED_STYLES, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.projects import RunClock, make_project
from benchmarks.setting.timing import describe_repeats
from stylebatch.device.choice import choose_precision
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.recipes import recipe_fields
from stylebatch.run import RunRequest, StopRequest, Tally, pipeline

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Watched:
    """A run's workers together, and what was said after a minute; None where it took no minute.

    Attributes:
        seconds, idle_s: of all workers.
        off: the time left that was shown then by the one that it took, less one.
    """

    seconds: float
    idle_s: float
    off: float | None

    @property
    def percent(self) -> float:
        """Of the time that they were there."""
        return 100 * self.idle_s / self.seconds


def main() -> None:
    """Print a line for each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--size-px", type=int, nargs="+", default=[128])
    parser.add_argument("--steps", type=int, default=100)
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
            print(f"{size_px:>5} px, {workers} workers: {describe(found)}", flush=True)


def describe(found: list[Watched]) -> str:
    """Return medians and ranges over runs."""
    idle = describe_repeats([one.percent for one in found], 2)
    seconds = describe_repeats([one.seconds for one in found], 0)
    off = [100 * one.off for one in found if one.off is not None]
    said = f"time left after a minute {describe_repeats(off, 0)} % off" if off else "no minute long"
    return f"idle {idle} % of {seconds} s; {said}"


class Minute(RunClock):
    """Notes what a run says a minute after its first worker was there."""

    said_s: float | None = None
    said_at_s = 0.0

    def tick(self, tally: Tally) -> None:
        now = time.perf_counter()
        if self.said_s is None and self.joined_s is not None and now - self.joined_s >= MINUTE_S:
            self.said_s, self.said_at_s = tally.left_s, now

    @property
    def off(self) -> float | None:
        """What was said by what it took, less one."""
        took_s = self.last_done_s - self.said_at_s
        return self.said_s / took_s - 1 if self.said_s and took_s > MINUTE_S / 4 else None


def run_once(shared: Path, images: int, size_px: int, steps: int, workers: int) -> Watched:
    """Make images in a folder of its own and read what the run says of its workers."""
    with tempfile.TemporaryDirectory(prefix="stylebatch-idle-") as folder:
        path = make_project(
            Path(folder),
            shared,
            images,
            styles=MIXED_STYLES,
            size_px=size_px,
            steps=steps,
            # Some stop early, as they do: that makes it hard to say how long it takes.
            override={"tolerance": recipe_fields("balanced")["tolerance"]},
            executor="local",
            devices=["cpu"],
            cpu_workers=workers,
        )
        manifest = load_manifest(path)
        minute = Minute()
        pipeline.run(manifest, RunRequest(), minute, StopRequest())
        told = json.loads(Dataset(manifest.output).summary.read_bytes())
    there_s = sum(worker["seconds"] for worker in told["workers"])
    busy_s = sum(worker["busy_seconds"] for worker in told["workers"])
    return Watched(there_s, there_s - busy_s, minute.off)


if __name__ == "__main__":
    main()
