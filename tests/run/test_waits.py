"""The parent waits for nothing without a limit: each wait of its own is made to wait, for real."""

import ctypes
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import pytest
from support.pools import Work, has, held, lasting, poll_until
from support.runs import Small, children_of, end, needs_proc, small_project, start, wait_until

from stylebatch.records import JobDone, JobsDropped, Style, StyleImage, WorkerJoined, WorkerLost
from stylebatch.run.executors import local
from stylebatch.run.executors.local import LocalExecutor

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("on_one_core"),
    # What hangs is ended by the time limit; each takes seconds.
    pytest.mark.timeout(180),
]

# More than a pipe, or a pair of sockets, holds.
MANY_STYLES = {
    f"styles/{number:05}.png": Style(
        f"styles/{number:05}.png",
        f"{number:05}",
        (StyleImage(f"styles/{number:05}.png", 1.0, "0" * 32),),
        "0" * 32,
    )
    for number in range(10_000)
}
# <sys/ptrace.h>
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    with held(small_project(tmp_path)) as work:
        yield work


@pytest.fixture
def pool(work: Work) -> Iterator[LocalExecutor]:
    """One worker, whose specification is larger than any pipe holds."""
    styles = {**work.spec.styles, **MANY_STYLES}
    executor = LocalExecutor([replace(work.spec, styles=styles)])
    yield executor
    executor.stop(at_once=True)
    assert active_children() == []


def worker_of_mine() -> int:
    (pid,) = set(children_of(os.getpid())) - set(lasting())
    return pid


def lost_of(pool: LocalExecutor) -> WorkerLost:
    (lost,) = [
        event for event in poll_until(pool, has(WorkerLost)) if isinstance(event, WorkerLost)
    ]
    return lost


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def stop_for_good(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", "it is stopped")


@needs_proc
def test_a_worker_killed_while_it_starts_is_told_of_however_much_it_had_to_be_told(
    pool: LocalExecutor,
) -> None:
    for _ in range(3):
        (number,) = pool.start()
        os.kill(worker_of_mine(), signal.SIGKILL)
        lost = lost_of(pool)
        assert lost.reason == "its process has ended (killed by SIGKILL)"
    pool.replace(number)
    assert isinstance(poll_until(pool, has(WorkerJoined))[0], WorkerJoined)


@needs_proc
def test_a_worker_that_stops_before_it_listens_keeps_nobody_waiting(pool: LocalExecutor) -> None:
    pool.start()
    stop_for_good(worker_of_mine())
    assert pool.poll(0.2) == []
    pool.kill(0, "no answer")
    lost = lost_of(pool)
    assert lost.reason == "no answer"


@needs_proc
def test_a_worker_that_stops_takes_any_number_of_jobs_and_does_them_later(
    pool: LocalExecutor, work: Work
) -> None:
    pool.start()
    poll_until(pool, has(WorkerJoined))
    pid = worker_of_mine()
    stop_for_good(pid)
    for _ in range(200):
        pool.submit(0, [replace(job, content="x" * 1000) for job in work.jobs])
        pool.drain(0)
    assert pool.poll(0.0) == []
    os.kill(pid, signal.SIGCONT)
    pool.submit(0, work.jobs)
    done: set[str] = set()
    while done < {job.output for job in work.jobs}:
        done |= {event.output for event in pool.poll(0.1) if isinstance(event, JobDone)}


@needs_proc
def test_a_worker_that_stops_in_the_middle_of_what_it_says_keeps_nobody_waiting(
    pool: LocalExecutor, work: Work
) -> None:
    """It says more than its pipe holds: half of it is there, and the rest does not come."""
    pool.start()
    poll_until(pool, has(WorkerJoined))
    pid = worker_of_mine()
    jobs = [replace(work.jobs[0], output=f"{'x' * 200}{number}.png") for number in range(20_000)]
    for delay_s in (0.0, 0.01, 0.02, 0.05, 0.1):
        pool.submit(0, jobs)
        pool.drain(0)  # what is dropped is said in one message
        pool.poll(delay_s)
        stop_for_good(pid)
        began = time.monotonic()
        events = pool.poll(0.1)
        assert time.monotonic() - began < 30
        os.kill(pid, signal.SIGCONT)
        while not has(JobsDropped)(events):
            events += pool.poll(0.1)
    stop_for_good(pid)
    pool.kill(0, "no answer")
    assert poll_until(pool, has(WorkerLost))[-1] == WorkerLost(0, "no answer", pid)


@needs_proc
def test_a_worker_that_does_not_stop_when_told_is_killed(
    pool: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "STOP_TIMEOUT_S", 1.0)
    pool.start()
    poll_until(pool, has(WorkerJoined))
    stop_for_good(worker_of_mine())
    pool.stop(at_once=False)
    assert children_of(os.getpid()) == lasting()


class Tracer:
    """A process that traces another, which so does not end for its parent though it is killed."""

    def __init__(self, pid: int) -> None:
        ready, told = os.pipe()
        self._over, over = os.pipe(), os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            libc = ctypes.CDLL(None)
            os.write(told, bytes([libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0]))
            os.read(self._over[0], 1)
            os._exit(0)
        select.select([ready], [], [], 30)
        self.is_tracing = os.read(ready, 1) == b"\x01"
        for each in (ready, told, *over):
            os.close(each)

    def end(self) -> None:
        os.write(self._over[1], b"x")
        os.waitpid(self.pid, 0)
        for each in self._over:
            os.close(each)


@needs_proc
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's ptrace")
@pytest.mark.parametrize("how", ["lost", "stopped"])
def test_a_worker_that_does_not_end_though_it_is_killed_is_left_to_the_system(
    pool: LocalExecutor, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(local, "KILL_TIMEOUT_S", 1.0)
    pool.start()
    poll_until(pool, has(WorkerJoined))
    pid = worker_of_mine()
    tracer = Tracer(pid)
    try:
        if not tracer.is_tracing:
            pytest.skip("nobody may trace here")
        if how == "stopped":
            pool.stop(at_once=True)
        else:
            os.kill(pid, signal.SIGKILL)
            lost = lost_of(pool)
            assert lost.reason == "its process has ended (killed, and still there)"
            pool.replace(0)
            poll_until(pool, has(WorkerJoined))
        # Nor does this process wait for it at its own end.
        assert all(each.pid != pid for each in active_children())
    finally:
        tracer.end()
        os.waitpid(pid, 0)


@needs_proc
def test_a_run_whose_worker_is_killed_while_it_starts_goes_on_with_seven_hundred_styles(
    small: Small,
) -> None:
    for number in range(700):
        small.style(f"more/{number:03}.png", 1000 + number)
    small.pair["recipe"] = "color-transfer"
    del small.pair["steps"], small.pair["override"], small.pair["size_px"]
    small.pair["assign"] = {"sample": 2}
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    run = start("run", str(small.write()))
    killed = set[int]()

    def kill_one() -> bool:
        for pid in children_of(run.pid):
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return bool(killed)

    wait_until(kill_one, "a worker starts")
    ended = end(run, 150)
    assert ended.code == 0, ended
    assert len(small.images()) == 4
    assert len(killed) == 1


@pytest.mark.parametrize("seconds", ["4s", "5s", "6s"])
def test_an_inline_run_ends_after_its_deadline(small: Small, seconds: str) -> None:
    for number in range(40):
        small.photo(f"cats/{number:02}.png", 50 + number)
    small.pair["steps"] = 150
    small.write()
    assert small.run("--limit", "2").code == 0, "how long an image takes is known"
    ended = end(start("run", str(small.manifest), "--deadline", seconds), 120)
    assert ended.code in (0, 4), ended
    assert small.summary()["exit_code"] == ended.code
