"""The share of a run's time that is not optimisation: decode, resize, encode, commit, ledger.

    python -m benchmarks.speed.overhead --shared ../shared
    python -m benchmarks.speed.overhead --quick              # a smoke test

Runs of 24 photographs (about 1024×683 px, JPEG) at 128 px and 50 evaluations, through
`stylebatch.run.run`, beside the bare engine on the same images in the same batches; all take turns.
The engine and whatever surrounds it are timed by wrapping functions from here.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.setting.inputs import add_shared_option, check_shared
from benchmarks.setting.machine import describe_machine
from benchmarks.setting.projects import RunClock, make_project
from benchmarks.setting.timing import describe_repeats
from stylebatch.device import content as contents
from stylebatch.device import planned_file
from stylebatch.device.choice import choose_precision
from stylebatch.device.cpu_memory import CPU_PIXEL_BUDGET
from stylebatch.device.device import Device
from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.pictures.images import decode
from stylebatch.pictures.sizes import resize
from stylebatch.records import num_slots
from stylebatch.run import RunRequest, StopRequest, make_plan, pipeline
from stylebatch.system import inputs
from stylebatch.system.cores import usable_cores
from stylebatch.system.files import default_cache_folder
from stylebatch.transfer.engine import Engine
from stylebatch.worker import commit, placing

# What is wrapped: label → (owner, name). A label's calls are never within another's.
OPTIMISATION: dict[str, list[tuple[Any, str]]] = {
    "Engine.step": [(Engine, "step")],
    "content targets": [(Engine, "admit")],
    "extractor's weights": [(Device, "engine")],
    "style targets": [(Device, "problem")],
}
AROUND: dict[str, list[tuple[Any, str]]] = {
    "plan (list, stat, hash)": [(pipeline, "make_plan")],
    "read and hash content": [(inputs, "read"), (planned_file, "digest_bytes")],
    "decode": [(contents, "decode")],
    "resize": [(contents, "fit_pixels"), (commit, "finish")],
    "encode PNG": [(commit, "encode_png")],
    "loss log": [(commit, "encode_log")],
    "write and fsync files": [(placing, "write_synced")],
    "rename, fsync folders": [(placing, "rename"), (placing, "sync_folder")],
    "ledger": [(Ledger, "claim"), (Ledger, "record"), (Ledger, "remember_settings")],
    "metadata, run.json": [(pipeline, "write_records"), (pipeline, "write_summary")],
}


@dataclass(slots=True)
class Spent:
    """Seconds spent under one label: on the main thread, where the device waits, and beside it."""

    calls: int = 0
    main_s: float = 0.0
    beside_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(slots=True)
class Measured:
    """One run.

    Attributes:
        seconds: wall time from the manifest to the end, without the start of worker processes.
        cpu_s: of this process in all its threads, torch's included.
        start_s: from the end of planning until the worker was there.
    """

    seconds: float = 0.0
    cpu_s: float = 0.0
    start_s: float = 0.0
    spent: dict[str, Spent] = field(default_factory=lambda: defaultdict(Spent))

    @property
    def optimisation_s(self) -> float:
        """Seconds of the main thread that were optimisation."""
        return sum(self.spent[label].main_s for label in OPTIMISATION)

    @property
    def around_cpu_s(self) -> float:
        """CPU seconds of what surrounds the optimisation, on all threads."""
        return sum(self.spent[label].cpu_s for label in AROUND)


def main() -> None:
    """Print what surrounds the optimisation, and its share."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--size-px", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    if options.quick:
        options.images, options.evaluations, options.repeats = 4, 3, 1
    torch.set_num_threads(usable_cores())
    print(describe_machine(choose_precision("auto", "cpu")))
    print(f"{options.images} photographs, {options.size_px} px, {options.evaluations} evaluations")
    print(f"not counted below: start of Python and import of torch {time_imports():.1f} s")
    report(measure(shared, options))


def time_imports() -> float:
    """Return seconds that a process takes to import the worker."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import stylebatch.worker.worker"], check=True)
    return time.perf_counter() - start


def measure(shared: Path, options: argparse.Namespace) -> dict[str, list[Measured]]:
    """Run every variant by turns."""
    variants: dict[str, Callable[[Path], Measured]] = {
        "bare engine": run_bare,
        "inline, output_size: content": run_pipeline,
        "inline, output_size: work": run_pipeline,
        "local, output_size: content": run_pipeline,
        "local, output_size: work": run_pipeline,
    }
    found: dict[str, list[Measured]] = defaultdict(list)
    for _ in range(options.repeats):
        for name, variant in variants.items():
            with tempfile.TemporaryDirectory(prefix="stylebatch-overhead-") as folder:
                path = make_project(
                    Path(folder),
                    shared,
                    options.images,
                    size_px=options.size_px,
                    steps=options.evaluations,
                    override={"output_size": "work" if "work" in name else "content"},
                    executor="local" if "local" in name else "inline",
                    cpu_workers=1,
                )
                found[name].append(variant(path))
                print(f"  {name}: {found[name][-1].seconds:.1f} s", flush=True)
    return found


def run_pipeline(path: Path) -> Measured:
    """Run a manifest; with `local` the worker's own seconds are out of sight."""
    clock, found = RunClock(), Measured()
    with wrapped(found):
        pipeline.run(load_manifest(path), RunRequest(), clock, StopRequest())
    assert clock.joined_s is not None
    found.start_s = clock.joined_s - clock.planned_s
    found.seconds -= found.start_s
    return found


def run_bare(path: Path) -> Measured:
    """Optimise a manifest's images with nothing around: decoded before, results dropped."""
    manifest, found = load_manifest(path), Measured()
    device = Device("cpu", manifest.root, (manifest.run.cache or default_cache_folder()))
    with Ledger.open(path.parent / "bare.sqlite") as ledger:
        planned, _, styles = make_plan(manifest, ledger)
        groups = {group: list(planned.take(group, 10**6)) for group in planned.groups()}
    decoded = {
        job.output: resize(
            decode((manifest.root / job.content).read_bytes(), job.content).rgb,
            job.width,
            job.height,
        )
        for jobs in groups.values()
        for job in jobs
    }
    settings = manifest.pairs[0].settings
    with wrapped(found):
        for group, jobs in groups.items():
            slots = num_slots(group.width, group.height, CPU_PIXEL_BUDGET)
            engine = device.engine(settings, slots, group.width, group.height)
            waiting = list(jobs)
            while waiting or engine.running:
                while waiting and engine.running < engine.capacity:
                    job = waiting.pop(0)
                    pixels, style = decoded[job.output], styles[job.style]
                    engine.admit(
                        device.problem(
                            job.output,
                            settings,
                            engine,
                            pixels=pixels,
                            style=style,
                            strength=1.0,
                            noise_seed=None,
                        )
                    )
                engine.step()
    return found


@contextmanager
def wrapped(found: Measured) -> Iterator[None]:
    """Time this, and every function of the two tables while it lasts."""
    with ExitStack() as stack:
        for label, places in (OPTIMISATION | AROUND).items():
            for owner, name in places:
                timed = time_calls(getattr(owner, name), found.spent[label])
                stack.enter_context(patch.object(owner, name, timed))
        start, cpu = time.perf_counter(), time.process_time()
        yield
        found.seconds = time.perf_counter() - start
        found.cpu_s = time.process_time() - cpu


def time_calls(function: Callable[..., Any], spent: Spent) -> Callable[..., Any]:
    """Return a function that also adds up the time of its calls."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start, cpu = time.perf_counter(), time.thread_time()
        try:
            return function(*args, **kwargs)
        finally:
            seconds = time.perf_counter() - start
            spent.calls += 1
            spent.cpu_s += time.thread_time() - cpu
            if threading.current_thread() is threading.main_thread():
                spent.main_s += seconds
            else:
                spent.beside_s += seconds

    return call


def report(found: dict[str, list[Measured]]) -> None:
    """Print the shares, then where the time of the inline runs went."""
    print(
        "\nShare of a run that is not optimisation: of the time, by what the engine's thread did;"
    )
    print("of the CPU time of all threads; of the time, beside the bare engine's.\n")
    print(f"{'':<30}{'run, s':<22}{'of the time':<19}{'of CPU time':<19}{'beside bare'}")
    for name, runs in found.items():
        seconds = describe_repeats([run.seconds for run in runs], 1)
        waited = cpu = beside = ""
        if name.startswith("inline"):
            waited = percent([1 - run.optimisation_s / run.seconds for run in runs])
            cpu = percent([run.around_cpu_s / run.cpu_s for run in runs])
        if name != "bare engine":
            pairs = zip(runs, found["bare engine"], strict=True)
            beside = percent([1 - bare.seconds / run.seconds for run, bare in pairs])
        print(f"{name:<30}{seconds:<22}{waited:<19}{cpu:<19}{beside}".rstrip())
    starts = [run.start_s for name in found if "local" in name for run in found[name]]
    print(f"start of a worker process (not counted): {statistics.median(starts):.1f} s")
    for name in found:
        if name.startswith("inline"):
            report_parts(name, found[name])


def percent(shares: list[float]) -> str:
    """Return shares as a median and range of per cent."""
    return describe_repeats([100 * share for share in shares], 1) + " %"


def report_parts(name: str, runs: list[Measured]) -> None:
    """Print the median seconds of each part of runs; optimisation first."""
    total = statistics.median(run.cpu_s for run in runs)
    print(f"\n{name}: {total:.1f} s of CPU time")
    print(f"  {'':<26}{'calls':>7}{'waited for, s':>15}{'beside, s':>11}{'CPU, s':>9}{'CPU, %':>8}")
    for label in OPTIMISATION | AROUND:
        spent = [run.spent[label] for run in runs]
        main, beside, cpu = (
            statistics.median(getattr(each, part) for each in spent)
            for part in ("main_s", "beside_s", "cpu_s")
        )
        share = f"{100 * cpu / total:.2f}" if label in AROUND else ""
        print(f"  {label:<26}{spent[0].calls:>7}{main:>15.2f}{beside:>11.2f}{cpu:>9.2f}{share:>8}")


if __name__ == "__main__":
    main()
