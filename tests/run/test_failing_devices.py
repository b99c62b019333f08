"""Devices that fail and memory that does not suffice: real processes, with the errors of CUDA."""

from pathlib import Path

import pytest
from support.changed import run_changed
from support.runs import Small, small_project

from stylebatch.transfer.engine import Engine

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.document["run"]["cpu_workers"] = 1
    return small


FAILING_DEVICE = """
real = Engine.step
def step(self):
    if once("failed"):
        raise RuntimeError("CUDA error: an illegal memory access was encountered\\nmore")
    return real(self)
Engine.step = step
"""
SCARCE_AND_KILLED = """
from concurrent.futures import wait
from stylebatch.worker.decode_ahead import DecodeAhead
def is_ready(self):
    # The decoder is never late: there is always more than one image to step.
    return bool(wait([self._decoding[self.first.output]]).done)
DecodeAhead.is_ready = is_ready

make, real = Engine.__init__, Engine.step
def init(self, objective, spec, capacity, *size):
    with open(os.environ["MARKERS"] + "/slots", "a") as file:
        file.write(f"{os.getpid()} {capacity}\\\\n")
    make(self, objective, spec, capacity, *size)
def step(self):
    if self.running > 1:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")
    if once("killed"):
        once("first-step")
        return real(self)
    if os.path.exists(os.environ["MARKERS"] + "/first-step") and once("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    return real(self)
Engine.__init__, Engine.step = init, step
"""


def test_a_device_that_fails_costs_its_process_and_no_image(small: Small) -> None:
    ended = run_changed(small, FAILING_DEVICE)
    assert ended.returncode == 0, ended
    assert (len(ended.stdout.splitlines()), ended.stderr) == (1, "")
    log = small.log()
    assert "is lost: its device has failed (CUDA error: an illegal memory access" in log
    assert log.count("worker 0 is there, on cpu") == 2
    assert len(small.images()) == 4
    assert small.summary()["failed"] == 0


ONE_NEVER_STARTS = """
from stylebatch.worker.worker import Worker
opened = Worker.__init__
def init(self, spec):
    if spec.worker == 1:
        with open(os.environ["MARKERS"] + "/starts", "a") as file:
            file.write("start ")
        os.kill(os.getpid(), signal.SIGKILL)
    opened(self, spec)
Worker.__init__ = init

import pathlib, time
real = Engine.step
def step(self):
    # The other one is given up before any image is finished.
    starts = pathlib.Path(os.environ["MARKERS"], "starts")
    while not starts.exists() or len(starts.read_text().split()) < 7:
        time.sleep(0.05)
    return real(self)
Engine.step = step
"""


def test_a_device_that_never_comes_up_does_not_keep_the_others_from_working(small: Small) -> None:
    small.document["run"]["cpu_workers"] = 2
    ended = run_changed(small, ONE_NEVER_STARTS)
    assert ended.returncode == 0, ended
    assert "given up" in small.log()
    assert len((small.root / "markers/starts").read_text().split()) == 7
    assert len(small.images()) == 4


def test_what_the_pool_has_mended_itself_is_no_news_for_a_quiet_run(small: Small) -> None:
    ended = run_changed(small, FAILING_DEVICE, "--quiet")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert "is lost: its device has failed" in small.log()


NOT_YET = ["CUDA error: unknown error", "CUDA error: out of memory", "CUDA driver error: not ready"]
FAILING_AND_NOT_THERE_YET = (
    FAILING_DEVICE
    + f"""
from stylebatch.device.device import Device
opened = Device.__init__
def init(self, *args):
    if os.path.exists(os.environ["MARKERS"] + "/failed"):
        for error in {NOT_YET}:
            if once(error):
                raise RuntimeError(error)
    opened(self, *args)
Device.__init__ = init
"""
)


def test_a_device_that_can_not_be_opened_yet_is_tried_again(small: Small) -> None:
    """It is still being reset, or others have its memory: no error of stylebatch's own."""
    ended = run_changed(small, FAILING_AND_NOT_THERE_YET)
    assert ended.returncode == 0, ended
    for error in NOT_YET:
        assert f"its device can't be opened ({error})" in small.log()
    assert len(small.images()) == 4


def test_slots_that_memory_suffices_for_are_remembered_beyond_a_workers_death(small: Small) -> None:
    ended = run_changed(small, SCARCE_AND_KILLED)
    assert ended.returncode == 0, ended
    assert "killed by SIGKILL" in small.log()
    rows = (small.root / "markers/slots").read_text().split("\n")[:-1]
    by_process: dict[str, list[int]] = {}
    for row in rows:
        pid, capacity = row.split()
        by_process.setdefault(pid, []).append(int(capacity))
    first, second = by_process.values()
    assert (first[0], first[-1]) == (16, 1)
    assert set(second) == {1}
    assert len(small.images()) == 4


def test_in_this_process_a_device_that_fails_ends_the_run_resumably(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(self: Engine) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "step", step)
        ended = small.run()
    assert ended.code == 5
    assert "cpu: its device has failed (CUDA error: unspecified launch failure)" in ended.err
    assert "another process takes over" in ended.err
    assert small.summary()["exit_code"] == 5
    assert small.run().code == 0
