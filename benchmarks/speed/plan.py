"""Planning, claims and status at three sizes, and photo-sized files.

    python -m benchmarks.speed.plan       # 10,000, 100,000, 1,000,000 jobs; 10 GB, 20 minutes
    python -m benchmarks.speed.plan --jobs 10000 --photos 0
    python -m benchmarks.speed.plan --pair "split: {shares: {a: 0.8, b: 0.2}}, stylise: [a, b]"

Each figure is of a process of its own, through the functions that `stylebatch plan` and `run` call;
`status` is the whole command. CPU seconds are user and system time: other work on the machine
changes them less. MB is the peak of memory.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

from benchmarks.speed.plan_inputs import make_photos, make_small
from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import GPU_BUDGET, Event, Job, JobDone, JobFailed, WorkerJoined
from stylebatch.run import Loop, Scheduler, StopRequest, Tally, make_plan
from stylebatch.run.metadata import write_records

NUM_WORKERS = 2
OUTPUT_BYTES = b"stands for an image"
ROW = "{:<38}{:>9}{:>9}{:>9}{:>9}{:>12}{:>12}"

Figures = dict[str, float]


def main() -> None:
    """Print a table of seconds, memory and what was read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--per-folder", type=int, default=1_000)
    parser.add_argument("--photos", type=int, default=5_000, help="photo-sized files, 0: none")
    parser.add_argument("--pair", default="", help="more keys of the small files' pair, in YAML")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options.root)))
        return
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(ROW.format("", "seconds", "CPU s", "MB", "µs a job", "pending", "files read"))
    for num_jobs in options.jobs:
        with tempfile.TemporaryDirectory(prefix="stylebatch-plan-") as folder:
            report_small(Path(folder), num_jobs, options.per_folder, options.pair)
    if options.photos:
        with tempfile.TemporaryDirectory(prefix="stylebatch-plan-") as folder:
            report_photos(Path(folder), options.photos)


def report_small(root: Path, num_jobs: int, per_folder: int, keys: str) -> None:
    """Print the rows of so many small files."""
    make_small(root, num_jobs, per_folder, keys)
    print(f"{num_jobs:,} small files, {per_folder:,} a folder")
    report("planned for the first time", "plan", root, num_jobs)
    report("again, nothing done", "plan", root, num_jobs)
    report("all claimed and completed", "make", root, num_jobs)
    report("metadata written", "records", root, num_jobs)
    report("again, everything done", "plan", root, num_jobs)
    report("a dry run of the same", "dry", root, num_jobs)
    report("status", "status", root, num_jobs)
    run_step("fail", root)
    report("status, a tenth has failed", "status", root, num_jobs)


def report_photos(root: Path, num_files: int) -> None:
    """Print the rows of so many files that are as large as photographs."""
    make_photos(root, num_files)
    print(f"{num_files:,} photo-sized files")
    report("planned for the first time", "plan", root, num_files)
    report("again, nothing done", "plan", root, num_files)


def processor() -> str:
    """Return the processor's name as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def report(title: str, step: str, root: Path, num_jobs: int) -> None:
    """Run a step and print its row of the table."""
    row = run_step(step, root)
    print(
        ROW.format(
            f"  {title}",
            f"{row['seconds']:.1f}",
            f"{row['cpu_seconds']:.1f}",
            f"{row['memory_mb']:.0f}",
            f"{row['seconds'] / num_jobs * 1e6:.1f}",
            f"{row.get('pending', 0):,}",
            f"{row.get('files', 0):,}",
        ),
        flush=True,
    )


def run_step(step: str, root: Path) -> Figures:
    """Run a step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.plan", "--step", step, "--root", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: Figures = json.loads(done.stdout)
    return row


def plan(root: Path, *, read_only: bool = False) -> Figures:
    """Plan as a run does: also look for what is stale and bring the records up to date."""
    clock = Clock()
    dataset = Dataset(root / "out")
    with Ledger.open(dataset.ledger, read_only=read_only) as ledger:
        planned, summary, _ = make_plan(load_manifest(root / "pipeline.yaml"), ledger)
        planned.find_stale()
        num_groups = len(planned.groups())
        if not read_only:
            write_records(dataset, ledger)
        pending = sum(counts.pending for counts in planned.counts.values())
    return clock.read() | {"pending": pending, "groups": num_groups, "files": summary.read.files}


def dry(root: Path) -> Figures:
    """Plan without writing anything."""
    return plan(root, read_only=True)


def make(root: Path) -> Figures:
    """Hand out and complete every job as a run does, but for the images: those are there before."""
    dataset = Dataset(root / "out")
    with Ledger.open(dataset.ledger) as ledger:
        planned, _, _ = make_plan(load_manifest(root / "pipeline.yaml"), ledger)
        for group in planned.groups():
            taken = 0
            while jobs := planned.take(group, 5_000, taken):
                for job in jobs:
                    path = dataset.image_path(job.output)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(OUTPUT_BYTES)
                taken += len(jobs)
        os.sync()
        clock = Clock()
        loop = Loop(AtOnce(), Scheduler(planned), ledger, Silent(), stop=StopRequest())
        tally = loop.run()
    return clock.read() | {"done": tally.done}


class AtOnce:
    """Workers that have done everything as soon as they are asked: the rest of a run is left."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def start(self) -> list[int]:
        self._events += [WorkerJoined(worker, "none", GPU_BUDGET) for worker in range(NUM_WORKERS)]
        return list(range(NUM_WORKERS))

    def submit(self, worker: int, jobs: list[Job]) -> None:
        self._events += [done(worker, job) for job in jobs]

    def poll(self, timeout_s: float) -> list[Event]:
        events, self._events = self._events, []
        return events

    def replace(self, worker: int) -> bool:
        raise AssertionError("no worker dies here")

    def kill(self, worker: int, reason: str) -> None:
        raise AssertionError("no worker is silent here")

    def drain(self, worker: int) -> None:
        pass

    def save(self, worker: int) -> None:
        pass

    def stop(self, at_once: bool) -> None:
        pass


class Silent:
    """Shows nothing."""

    def event(self, event: Event) -> None:
        pass

    def tick(self, tally: Tally) -> None:
        pass


def done(worker: int, job: Job) -> JobDone:
    """Return an event such as a worker's."""
    facts = {"evaluations": 50, "losses": {"total": 0.5, "content": 0.1, "style": 0.4, "tv": 0.0}}
    facts |= {"status": "converged", "seconds": 2.5, "device": "cpu"}
    return JobDone(worker, job.output, job.fingerprint, len(OUTPUT_BYTES), facts)


def records(root: Path) -> Figures:
    """Write the metadata of all images, as every run does that has made any."""
    clock, dataset = Clock(), Dataset(root / "out")
    with Ledger.open(dataset.ledger) as ledger:
        write_records(dataset, ledger)
    return clock.read()


def fail(root: Path) -> Figures:
    """Let every tenth job have failed, for one of two reasons."""
    clock = Clock()
    with Ledger.open(Dataset(root / "out").ledger) as ledger:
        failed = [
            JobFailed(0, row["output"], "", f"{row['content']}: not an image that can be read")
            for row in islice(ledger.done(), 0, None, 10)
        ]
        ledger.record(failed)
    return clock.read()


def status(root: Path) -> Figures:
    """Run `stylebatch status`."""
    clock = Clock(resource.RUSAGE_CHILDREN)
    program = "from stylebatch.cli import main; main()"
    command = [sys.executable, "-c", program, "status", str(root / "out")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return clock.read()


class Clock:
    """Counts seconds of the wall and of the processor, of this process or of its children."""

    def __init__(self, who: int = resource.RUSAGE_SELF) -> None:
        self._who, self._start, self._cpu_start = who, time.perf_counter(), self._cpu(who)

    @staticmethod
    def _cpu(who: int) -> float:
        usage = resource.getrusage(who)
        return usage.ru_utime + usage.ru_stime

    def read(self) -> Figures:
        """Return the seconds since, and the peak of memory."""
        peak = resource.getrusage(self._who).ru_maxrss
        in_bytes = peak if sys.platform == "darwin" else peak * 1024
        return {
            "seconds": time.perf_counter() - self._start,
            "cpu_seconds": self._cpu(self._who) - self._cpu_start,
            "memory_mb": in_bytes / 1e6,
        }


STEPS = {
    "plan": plan,
    "dry": dry,
    "make": make,
    "records": records,
    "fail": fail,
    "status": status,
}


if __name__ == "__main__":
    main()
