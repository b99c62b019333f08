"""Projects that violence is done to, and what has to hold after the run that follows.

`STYLEBATCH_FAULTS=N` asks for the long form with N random kills; without it a sample is run.
`STYLEBATCH_FAULT_SEED` chooses what is drawn; it is printed at the end.
"""

import contextlib
import csv
import io
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from support.runs import (
    COMMAND,
    PATIENCE_S,
    Ended,
    Small,
    contents,
    copy_tree,
    lines,
    small_project,
    wait_until,
)

KILLS = int(os.environ.get("STYLEBATCH_FAULTS") or 0)
IS_LONG = KILLS > 0
SEED = int(os.environ.get("STYLEBATCH_FAULT_SEED") or 0)
# What was done to runs; `conftest.py` prints it.
COUNTS: Counter[str] = Counter()

WALL_CLOCK = ("seconds", "device")


class Kind(NamedTuple):
    """How much a project has to do.

    Attributes:
        photos: each with two styles.
        is_broken: one photograph more, which can't be decoded.
        has_large: one more, whose images are the largest files of all.
        size_px: of the images.
    """

    photos: int
    steps: int
    is_broken: bool = False
    has_large: bool = False
    size_px: int = 16


FEW = Kind(6, 3)
MANY = Kind(28, 25)
OTHERWISE = MANY._replace(steps=20)
BROKEN = Kind(6, 3, is_broken=True)
LARGE = Kind(6, 3, has_large=True)
LONG = Kind(6, 300, size_px=64)

_finished: dict[Kind, Small] = {}


def undisturbed(kind: Kind, new_folder: Callable[[str], Path]) -> Small:
    """Return a finished project of a kind: run once, in this process, by one worker."""
    if kind not in _finished:
        small = _project(new_folder("undisturbed"), kind)
        ended = small.run("--executor", "inline")
        assert ended.code == (3 if kind.is_broken else 0), ended
        _finished[kind] = small
    return _finished[kind]


def _project(root: Path, kind: Kind) -> Small:
    small = small_project(root)
    for number in range(kind.photos - 2):
        small.photo(f"cats/{number:02}.png", 100 + number, kind.size_px, kind.size_px)
    if kind.is_broken:
        photo = small.photo("dogs/broken.png", 99)
        data = bytearray(photo.read_bytes())
        data[len(data) // 2] ^= 0xFF
        photo.write_bytes(data)
    if kind.has_large:
        small.photo("dogs/large.png", 98, 640, 640)
    describe(small, kind)
    return small


def describe(small: Small, kind: Kind) -> None:
    """Write the manifest of a kind: two workers that share two cores."""
    small.pair |= {"steps": kind.steps, "size_px": kind.size_px}
    small.pair["override"] |= {"content_layers": {"conv1_1": 1}}
    small.document["run"] |= {"executor": "local", "cpu_workers": 2, "max_deaths": 100}
    small.write()


class Process(NamedTuple):
    """A process as /proc has it."""

    pid: int
    parent: int
    session: int


def processes() -> Iterator[Process]:
    """Yield all processes that are alive."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            pid = int(folder.name)
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if fields[0] not in "ZX":
                yield Process(pid, int(fields[1]), int(fields[3]))


class Running:
    """A run in a process, and a session, of its own: its workers are found whoever their parent."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self._process, self._log = process, log
        self.pid = process.pid

    @property
    def is_over(self) -> bool:
        """Whether the run's own process has ended."""
        return self._process.poll() is not None

    def members(self) -> list[int]:
        """Return all processes of the session that are alive."""
        return [each.pid for each in processes() if each.session == self.pid]

    def is_empty(self) -> bool:
        """Whether nothing of the session is alive."""
        return not self.members()

    def workers(self) -> list[int]:
        """Return the workers that are alive, whether they are of any use yet or not."""
        return [pid for pid in self.members() if _is_worker(pid)]

    def kill(self, pid: int | None = None) -> None:
        """Kill the run's own process, or another; one that has just ended is no error."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid or self.pid, signal.SIGKILL)

    def end(self, timeout_s: float = PATIENCE_S) -> Ended:
        """Wait for the run's own process."""
        code = self._process.wait(timeout_s)
        out, err = (self._log.with_suffix(suffix).read_text() for suffix in (".out", ".err"))
        return Ended(code, out, err)

    def clean_up(self) -> None:
        """Leave nothing running, whatever happened."""
        for pid in self.members():
            self.kill(pid)
        self._process.wait()


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@dataclass
class Trial:
    """A project that has not been begun, and the same one undisturbed.

    Attributes:
        within: a command that runs commands elsewhere: in a namespace.
    """

    small: Small
    kind: Kind
    expected: Small
    within: tuple[str, ...] = ()
    runs: list[Running] = field(default_factory=list)

    @classmethod
    def make(cls, root: Path, kind: Kind, new_folder: Callable[[str], Path]) -> "Trial":
        """Copy an undisturbed project without its output."""
        expected = undisturbed(kind, new_folder)
        for name in ("photos", "styles", "cache"):
            copy_tree(expected.root / name, root / name)
        small = Small(root)
        describe(small, kind)
        return cls(small, kind, expected)

    @property
    def output(self) -> Path:
        """Where the output is as a run of it sees it; `small.out` is where it's seen from here."""
        folder: str = self.small.document["output"]
        return self.small.root / folder

    def start(
        self,
        *arguments: str,
        environment: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> Running:
        """Start `stylebatch run` as a user does, on a core for each worker.

        Args:
            before: is called in the new process.
        """
        log = self.small.root / f"run{len(self.runs)}"
        asked = [*self.within, *COMMAND, "run", str(self.small.manifest), *arguments]
        with (
            log.with_suffix(".out").open("wb") as out,
            log.with_suffix(".err").open("wb") as err,
            _cores(self.small.document["run"]["cpu_workers"]),
        ):
            process = subprocess.Popen(
                asked,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | (environment or {}),
                start_new_session=True,
                preexec_fn=before,
            )
        self.runs.append(Running(process, log))
        COUNTS["runs"] += 1
        return self.runs[-1]

    def run(self, *arguments: str, **options: Any) -> Ended:
        """Start a run and wait for it."""
        return self.start(*arguments, **options).end()

    def start_over(self) -> None:
        """Let the project be one that has not been begun."""
        self.small.out.rename(self.small.root / f"before-{time.monotonic_ns()}")

    def finish(self) -> None:
        """Run what is left, nothing in its way, and find what an undisturbed run makes."""
        COUNTS["runs"] += 1
        # In this process where that is possible: a second instead of five.
        ended = self.run() if self.within else self.small.run("--executor", "inline")
        self.check(ended)

    def check(self, ended: Ended) -> None:
        """Check all that has to hold after a run that nothing disturbed to its end."""
        COUNTS["final runs checked"] += 1
        assert ended.code == (3 if self.kind.is_broken else 0), ended
        assert "Traceback" not in ended.err, ended
        out, expected = self.small.out, self.expected.out
        assert self.small.images() == self.expected.images()
        assert timeless_logs(out) == timeless_logs(expected)
        assert timeless_metadata(out) == timeless_metadata(expected)
        for name in ("settings.json", "failures.jsonl", "README.md"):
            assert _bytes(out / name) == _bytes(expected / name), name
        assert temporaries(out) == []
        self._check_ledger()
        summary = self.small.summary()
        total = summary["planned"]
        assert summary["done_before"] + summary["done"] == total - self.kind.is_broken * 2
        assert (summary["remaining"], summary["exit_code"]) == (0, ended.code)
        self.check_nothing_runs()

    def check_nothing_runs(self) -> None:
        """Check that every process that was started ends, in moments or by itself."""
        for run in self.runs:
            wait_until(run.is_empty, f"session {run.pid} is empty")

    def _check_ledger(self) -> None:
        """Every image is there once, as what it is: asked without any code of stylebatch."""
        # A copy: SQLite doesn't follow the way into another process's namespace.
        copy = self.small.root / "ledger.sqlite"
        shutil.copyfile(self.small.out / ".stylebatch/ledger.sqlite", copy)
        with contextlib.closing(sqlite3.connect(copy)) as database:
            jobs = database.execute(
                "SELECT state, folder || '/' || name, size FROM jobs"
            ).fetchall()
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        sizes = {path: len(data) for path, data in self.small.images().items()}
        done = [(path, size) for state, path, size in jobs if state == "done"]
        assert sorted(done) == sorted(sizes.items())
        assert len(jobs) - len(done) == self.kind.is_broken * 2

    def check_nothing_torn(self) -> None:
        """Check that what is there is whole: after a run that could not go on."""
        expected = self.expected.images()
        for path, data in self.small.images().items():
            assert data == expected[path], path
        logs = timeless_logs(self.expected.out)
        for path, rows in timeless_logs(self.small.out).items():
            assert rows == logs[path], path
        for row in self.small.out.glob("*.jsonl"):
            lines(row)
        for document in self.small.out.glob("*.json"):
            json.loads(document.read_bytes())

    def clean_up(self) -> None:
        """Leave nothing running, whatever happened."""
        for run in self.runs:
            run.clean_up()


MakeTrial = Callable[[Kind], Trial]


def timeless_logs(out: Path) -> dict[str, list[tuple[str, ...]]]:
    """Return the loss logs without the column of seconds."""
    return {path: _timeless_rows(data) for path, data in contents(out / "losses").items()}


def _timeless_rows(data: bytes) -> list[tuple[str, ...]]:
    rows = list(csv.reader(io.StringIO(data.decode())))
    column = rows[0].index("seconds")
    return [tuple(row[:column] + row[column + 1 :]) for row in rows]


def timeless_metadata(out: Path) -> list[dict[str, Any]]:
    """Return the lines of the metadata, in their order, without times and devices."""
    rows = lines(out / "metadata.jsonl")
    return [{key: row[key] for key in row if key not in WALL_CLOCK} for row in rows]


def temporaries(out: Path) -> list[Path]:
    """Return what should not be left when nothing runs."""
    found = [path for path in (out / ".stylebatch/tmp").rglob("*") if path.is_file()]
    found += out.rglob("*.tmp")
    found += [path for path in out.rglob("*-journal") if path.stat().st_size]
    found += out.rglob("holder.json")
    return found


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


@contextlib.contextmanager
def _cores(count: int) -> Iterator[None]:
    """Let what is started within it use so many cores: more threads only wait for each other."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, random.sample(sorted(before), min(count, len(before))))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
