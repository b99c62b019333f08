"""Planning: many small files for the first time and again, and photo-sized files.

    python benchmarks/plan.py                    # 100,000 jobs in 1,000 folders, 5,000 photographs
    python benchmarks/plan.py --jobs 1000000 --photos 0

Each figure is of a process of its own, through the functions that `stylebatch plan` and `run` call.
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
import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import pack

from stylebatch.dataset import Dataset
from stylebatch.ledger import Ledger
from stylebatch.ledger_plan import PlannedJobs
from stylebatch.manifest import load_manifest
from stylebatch.pipeline import make_plan
from stylebatch.records import Job, JobDone

MANIFEST = """\
version: 1
output: out
extractor: {arch: vgg19, weights: random}
pairs:
  - {name: all, content: photos, styles: [styles], assign: {sample: 1}}
"""
NUM_STYLES = 20
OUTPUT_BYTES = b"stands for an image"
ROW = "{:<34}{:>10}{:>10}{:>10}{:>12}{:>12}"


def main() -> None:
    """Print a table of seconds, memory and what was read."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--folders", type=int, default=1_000)
    parser.add_argument("--photos", type=int, default=5_000, help="photo-sized files, 0: none")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options.root)))
        return
    print(f"{processor()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(ROW.format("", "seconds", "MB", "pending", "files read", "MB read"))
    with tempfile.TemporaryDirectory(prefix="stylebatch-plan-") as folder:
        small, photos = Path(folder, "small"), Path(folder, "photos")
        make_small(small, options.jobs, options.folders)
        title = f"{options.jobs:,} small files in {options.folders:,} folders"
        print(title)
        report("  planned for the first time", "plan", small)
        report("  again, nothing done", "plan", small)
        run_step("finish", small)
        report("  again, everything done", "plan", small)
        report("  a dry run of the same", "dry", small)
        report("  status", "status", small)
        if options.photos:
            make_photos(photos, options.photos)
            print(f"{options.photos:,} photo-sized files")
            report("  planned for the first time", "plan", photos)
            report("  again, nothing done", "plan", photos)


def processor() -> str:
    """Return the processor's name as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def report(title: str, step: str, root: Path) -> None:
    """Run a step and print its row of the table."""
    row = run_step(step, root)
    print(
        ROW.format(
            title,
            f"{row['seconds']:.1f}",
            f"{row['memory_mb']:.0f}",
            f"{row.get('pending', 0):,}",
            f"{row.get('files', 0):,}",
            f"{row.get('bytes', 0) / 1e6:,.0f}",
        ),
        flush=True,
    )


def run_step(step: str, root: Path) -> dict[str, float]:
    """Run a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--root", str(root)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, float] = json.loads(done.stdout)
    return row


def plan(root: Path, *, read_only: bool = False) -> dict[str, float]:
    """Plan as a run does: also look for what is stale and bring the records up to date."""
    start = time.perf_counter()
    dataset = Dataset(root / "out")
    with Ledger.open(dataset.ledger, read_only=read_only) as ledger:
        planned, summary, _ = make_plan(load_manifest(root / "pipeline.yaml"), ledger)
        planned.find_stale()
        num_groups = len(planned.groups())
        if not read_only:
            dataset.write_records(ledger)
        pending = sum(counts.pending for counts in planned.counts.values())
    return measured(start) | {
        "pending": pending,
        "groups": num_groups,
        "files": summary.read.files,
        "bytes": summary.read.bytes,
    }


def dry(root: Path) -> dict[str, float]:
    """Plan without writing anything."""
    return plan(root, read_only=True)


def finish(root: Path) -> dict[str, float]:
    """Write an output for every job and record it as done."""
    start = time.perf_counter()
    dataset = Dataset(root / "out")
    with Ledger.open(dataset.ledger) as ledger:
        planned, _, _ = make_plan(load_manifest(root / "pipeline.yaml"), ledger)
        for jobs in blocks(planned):
            ledger.claim(jobs)
            for job in jobs:
                path = dataset.image_path(job.output)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(OUTPUT_BYTES)
            ledger.record([done(job) for job in jobs])
        dataset.write_records(ledger)
    return measured(start)


def blocks(planned: PlannedJobs) -> Iterator[list[Job]]:
    """Yield all jobs of a plan, some thousand at a time."""
    for group in planned.groups():
        last = None
        while jobs := planned.take(group, 5_000, last):
            yield jobs
            last = jobs[-1]


def done(job: Job) -> JobDone:
    """Return an event such as a worker's."""
    facts = {"evaluations": 50, "losses": {"total": 0.5, "content": 0.1, "style": 0.4, "tv": 0.0}}
    facts |= {"status": "converged", "seconds": 2.5, "device": "cpu"}
    return JobDone(0, job.output, job.fingerprint, len(OUTPUT_BYTES), facts)


def status(root: Path) -> dict[str, float]:
    """Count as `stylebatch status` does."""
    start = time.perf_counter()
    with Ledger.open(Dataset(root / "out").ledger, read_only=True) as ledger:
        ledger.counts()
        next(ledger.failures(), None)
    return measured(start)


def measured(start: float) -> dict[str, float]:
    """Return seconds since, and this process's peak memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    in_bytes = peak if sys.platform == "darwin" else peak * 1024
    return {"seconds": time.perf_counter() - start, "memory_mb": in_bytes / 1e6}


STEPS = {"plan": plan, "dry": dry, "finish": finish, "status": status}


def make_small(root: Path, num_files: int, num_folders: int) -> None:
    """Make PNG files of 24×16 px and more, each with other bytes."""
    make_project(root)
    for number in range(num_files):
        folder = root / "photos" / f"class{number % num_folders:04d}"
        if number < num_folders:
            folder.mkdir(parents=True)
        width = 24 + 8 * (number // num_folders % 10)
        (folder / f"photo{number:07d}.png").write_bytes(tiny_png(width, 16, number))


def make_photos(root: Path, num_files: int) -> None:
    """Make JPEG files of about 300 kB: one photograph's worth of noise, told apart by a comment."""
    import io

    import numpy as np
    from PIL import Image

    make_project(root)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "JPEG", quality=85)
    data = buffer.getvalue()
    for number in range(num_files):
        folder = root / "photos" / f"class{number % 100:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        comment = b"\xff\xfe" + pack(">H", 10) + pack(">Q", number)
        (folder / f"photo{number:05d}.jpg").write_bytes(data[:2] + comment + data[2:])


def make_project(root: Path) -> None:
    """Make a manifest and its styles."""
    (root / "styles").mkdir(parents=True)
    (root / "photos").mkdir()
    (root / "pipeline.yaml").write_text(MANIFEST)
    for number in range(NUM_STYLES):
        (root / "styles" / f"style{number:02d}.png").write_bytes(tiny_png(64, 64, number))


def tiny_png(width: int, height: int, number: int) -> bytes:
    """Encode a plain picture, faster than Pillow does; its first pixels tell `number`."""
    rows = bytearray(b"\0" + b"\x80\x90\xa0" * width) * height
    rows[1:10] = number.to_bytes(9, "big")
    header = pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(rows), 1)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


if __name__ == "__main__":
    main()
