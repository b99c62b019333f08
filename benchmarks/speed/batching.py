"""Images per minute of a mixed queue: continuous batching, fixed batches, one image at a time.

    python -m benchmarks.speed.batching --shared ../shared      # on two cores about five minutes
    python -m benchmarks.speed.batching --quick                 # a smoke test
    python -m benchmarks.speed.batching --images 96 --size-px 256 --repeats 5

Continuous: a slot is refilled as soon as its image is finished. The last rows are the same by more
processes, which share the cores; the others have one process with all of them.

Photographs of several shapes, each with one of three styles, stop where the recipe's tolerance says
so. Every way is a whole run of the local executor with real worker processes, timed from the first
worker's start to the last image; the ways take turns. Their images must be the same, byte by byte.

Between two fixed batches lies what a worker otherwise does meanwhile: it commits the last image of
one and decodes the first of the next, a tenth of a second.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from PIL import Image

from benchmarks.setting.inputs import MIXED_STYLES, add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.projects import RunClock, make_project
from benchmarks.setting.timing import describe_repeats
from stylebatch.device.choice import choose_precision
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.recipes import recipe_fields
from stylebatch.records import Group, num_slots
from stylebatch.run import RunRequest, Scheduler, StopRequest, pipeline, worker_specs
from stylebatch.system.cores import usable_cores
from stylebatch.system.files import digest_file
from stylebatch.worker.spec import WorkerSpec


class FixedBatches(Scheduler):
    """Hands a worker as many jobs of one shape as it has slots, and no more until all are done."""

    def _room(self, worker: Any, group: Group, num_taken: int) -> int:
        if worker.in_flight or num_taken:
            return 0
        return num_slots(group.width, group.height, worker.pixel_budget)


@dataclass(frozen=True, slots=True)
class Way:
    """How a queue is worked on.

    Attributes:
        pixel_budget: pixels optimised at once by each worker; None: as many as it does by itself.
    """

    name: str
    workers: int = 1
    scheduler: type[Scheduler] = Scheduler
    pixel_budget: int | None = None


@dataclass(slots=True)
class Made:
    """What a run has made.

    Attributes:
        digests: of the images, by path.
        shapes: how many images there are of each.
        rows: the images' lines of metadata.
    """

    seconds: float
    digests: dict[str, str]
    shapes: Counter[tuple[int, int]]
    rows: list[dict[str, Any]]

    @property
    def per_minute(self) -> float:
        """Images."""
        return 60 * len(self.digests) / self.seconds


def main() -> None:
    """Run every way by turns and print how they compare."""
    options = parse_options()
    shared = check_shared(options.shared)
    torch.set_num_threads(usable_cores())
    print(describe_machine(choose_precision("auto", "cpu")))
    ways = all_ways(options.workers, options.pixel_budget)
    rates: dict[str, list[float]] = {way.name: [] for way in ways}
    first: Made | None = None
    for _ in range(options.repeats):
        for way in ways:
            made = run_way(shared, way, options)
            if first is None:
                describe_queue(made)
            first = first or made
            check_same(way.name, first, made)
            rates[way.name].append(made.per_minute)
            print(f"  {way.name}: {made.seconds:.1f} s", flush=True)
    report(rates)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    cores = usable_cores()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=100, help="of an image at most")
    tolerance = recipe_fields("balanced")["tolerance"]
    parser.add_argument(
        "--tolerance", type=float, default=tolerance, help="0: no early stops; default: %(default)s"
    )
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument(
        "--workers", type=int, nargs="+", default=[cores], help="processes; default: %(default)s"
    )
    parser.add_argument("--pixel-budget", type=int, help="of a worker, to try fewer or more slots")
    parser.add_argument("--quick", action="store_true", help="8 small images, 20 evaluations")
    options = parser.parse_args()
    if options.quick:
        options.images, options.size_px, options.evaluations, options.repeats = 8, 64, 20, 1
        # Two slots for the commonest shape, or nothing would be refilled; and some stop early.
        options.pixel_budget, options.tolerance = options.pixel_budget or 2 * 64 * 64, 0.4
    return options


def all_ways(workers: list[int], pixel_budget: int | None) -> list[Way]:
    """Return the ways; the first is what the others are compared with."""
    return [
        Way("continuous batching", pixel_budget=pixel_budget),
        Way("fixed batches", scheduler=FixedBatches, pixel_budget=pixel_budget),
        Way("one image at a time", pixel_budget=1),
        *(
            Way(f"continuous, {count} processes", workers=count, pixel_budget=pixel_budget)
            for count in workers
            if count > 1
        ),
    ]


def run_way(shared: Path, way: Way, options: argparse.Namespace) -> Made:
    """Make a queue's images in one way, in a folder of its own that is removed then."""
    with tempfile.TemporaryDirectory(prefix="stylebatch-batching-") as folder:
        path = make_project(
            Path(folder),
            shared,
            options.images,
            styles=MIXED_STYLES,
            size_px=options.size_px,
            steps=options.evaluations,
            # At work size next to nothing is encoded: the overhead benchmark tells what it takes.
            override={"tolerance": options.tolerance, "output_size": "work"},
            executor="local",
            devices=["cpu"],
            cpu_workers=way.workers,
        )
        clock, manifest = RunClock(), load_manifest(path)
        with worked_on(way):
            pipeline.run(manifest, RunRequest(), clock, StopRequest())
        assert clock.joined_s is not None
        return read_made(Dataset(manifest.output), clock.last_done_s - clock.joined_s)


@contextmanager
def worked_on(way: Way) -> Iterator[None]:
    """Let runs start workers with a way's pixel budget, and feed them from its scheduler."""

    def specs(*args: Any) -> list[WorkerSpec]:
        return [replace(spec, pixel_budget=way.pixel_budget) for spec in worker_specs(*args)]

    with ExitStack() as stack:
        stack.enter_context(patch.object(pipeline, "worker_specs", specs))
        stack.enter_context(patch.object(pipeline, "Scheduler", way.scheduler))
        yield


def read_made(dataset: Dataset, seconds: float) -> Made:
    """Read what a run has left."""
    paths = sorted(path for path in dataset.images.rglob("*") if path.is_file())
    digests = {str(path.relative_to(dataset.images)): digest_file(path) for path in paths}
    shapes = Counter(Image.open(path).size for path in paths)
    lines = dataset.metadata.read_text(encoding="utf-8").splitlines()
    return Made(seconds, digests, shapes, [json.loads(line) for line in lines])


def check_same(name: str, first: Made, made: Made) -> None:
    """Leave with a message where a way's images are not the first's."""
    paths = first.digests.keys() | made.digests.keys()
    other = sorted(path for path in paths if first.digests.get(path) != made.digests.get(path))
    if other:
        sys.exit(f"{name}: {len(other)} of {len(paths)} images are others: {', '.join(other[:3])}")


def describe_queue(made: Made) -> None:
    """Print what the queue was made of."""
    styles = {row["style"] for row in made.rows}
    evaluations = [row["evaluations"] for row in made.rows]
    told = ", ".join(f"{n} of {w}×{h}" for (w, h), n in made.shapes.most_common())
    print(f"{len(made.rows)} images ({told}), {len(styles)} styles")
    print(f"evaluations of an image: {describe_repeats(evaluations, 0)}")
    print(f"stopped early: {sum(row['status'] == 'converged' for row in made.rows)}\n", flush=True)


def report(rates: dict[str, list[float]]) -> None:
    """Print images per minute, and beside the first way's in the same turn."""
    reference = next(iter(rates.values()))
    print(f"\n{'':<32}{'images per minute':<26}beside the first")
    for name, each in rates.items():
        quotients = [rate / first for rate, first in zip(each, reference, strict=True)]
        print(f"{name:<32}{describe_repeats(each):<26}{describe_repeats(quotients)}")
    medians = {name: statistics.median(each) for name, each in rates.items()}
    print(f"best: {max(medians, key=lambda name: medians[name])}")


if __name__ == "__main__":
    main()
