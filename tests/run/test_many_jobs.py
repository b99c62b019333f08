"""Ten thousand small jobs: descriptors and memory stay flat, and nothing is left at any end."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from support.runs import (
    COMMAND,
    PATIENCE_S,
    Small,
    children_of,
    color_project,
    needs_proc,
    picture,
    wait_until,
)

pytestmark = [pytest.mark.slow, needs_proc]

PHOTOS, STYLES = 100, 100
# What an allocator and SQLite's caches may still grow by once both are warm.
SLACK_MIB = 24


class Reading(NamedTuple):
    """What a run's processes hold: open descriptors, MiB of memory, threads."""

    descriptors: int
    memory_mib: float
    threads: int


def read(pids: list[int]) -> Reading:
    descriptors, kib, threads = 0, 0, 0
    for pid in pids:
        descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
        kib += int(fields["VmRSS"].split()[0])
        threads += int(fields["Threads"])
    return Reading(descriptors, kib / 1024, threads)


def made(small: Small) -> int:
    return sum(1 for _ in small.out.glob("images/*/*.png"))


@pytest.fixture
def many(tmp_path: Path) -> Small:
    """Return a project of ten thousand colour transfers of 16 px."""
    small = color_project(tmp_path)
    for path in (*small.root.glob("photos/*/*"), *small.root.glob("styles/*")):
        path.unlink()
    for number in range(PHOTOS):
        small.photo(f"{'cats' if number % 2 else 'dogs'}/{number}.png", number)
    first = picture(0)
    for number in range(STYLES):
        first.putpixel((0, 0), (number, 0, 0))
        first.save(small.root / f"styles/{number}.png")
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    return small


@contextlib.contextmanager
def running(small: Small) -> Iterator["subprocess.Popen[str]"]:
    """Start a run whose temporary files have a folder of their own."""
    folder = small.root / "temporary"
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [*COMMAND, "run", str(small.write()), "--quiet"],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def check_nothing_left(small: Small, workers: list[int], shared: set[str]) -> None:
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "workers end")
    assert not [*(small.root / "temporary").iterdir()]
    assert {path.name for path in Path("/dev/shm").glob("*stylebatch*")} == shared


def test_descriptors_and_memory_are_flat_over_ten_thousand_jobs(many: Small) -> None:
    readings: list[tuple[int, Reading]] = []
    shared = {path.name for path in Path("/dev/shm").glob("*stylebatch*")}
    workers: set[int] = set()
    with running(many) as process:
        while process.poll() is None:
            with contextlib.suppress(OSError, KeyError, subprocess.TimeoutExpired):
                children = children_of(process.pid)
                workers.update(children)
                if children and (count := made(many)) > 500:
                    readings.append((count, read([process.pid, *children])))
                process.wait(timeout=0.1)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "", "")
    assert many.summary()["done"] == PHOTOS * STYLES
    early = [each for count, each in readings if count < 3000]
    late = [each for count, each in readings if count > 7000]
    assert early
    assert late
    for name, slack in (("descriptors", 3), ("threads", 1), ("memory_mib", SLACK_MIB)):
        before, after = (max(getattr(each, name) for each in some) for some in (early, late))
        assert after <= before + slack, (name, before, after)
    check_nothing_left(many, sorted(workers), shared)
    assert not [*(many.out / ".stylebatch/tmp").iterdir()]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nothing_is_left_however_a_run_ends(many: Small, how: signal.Signals) -> None:
    shared = {path.name for path in Path("/dev/shm").glob("*stylebatch*")}
    with running(many) as process:
        wait_until(lambda: made(many) > 200 or process.poll() is not None, "some are made")
        workers = children_of(process.pid)
        process.send_signal(how)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == (-how if how is signal.SIGKILL else 4)
    assert workers
    check_nothing_left(many, workers, shared)
    if how is not signal.SIGKILL:
        assert not [*(many.out / ".stylebatch/tmp").iterdir()]
