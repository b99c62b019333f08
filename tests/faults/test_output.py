"""Outputs that can't be written: exit code 5 at once, nothing torn, and the next run goes on."""

import re
import resource
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from support.faults import COUNTS, FEW, IS_LONG, LARGE, MANY, MakeTrial, Running, Trial
from support.places import Disk, frozen
from support.runs import Ended, needs_proc, wait_until

pytestmark = [pytest.mark.slow, needs_proc, pytest.mark.timeout(900)]

SIZE_KIB = 4096


@pytest.fixture
def disks() -> Iterator[list[Disk]]:
    disks: list[Disk] = []
    yield disks
    for disk in disks:
        disk.close()


@pytest.fixture
def on_disk(
    make_trial: MakeTrial, disks: list[Disk], request: pytest.FixtureRequest
) -> tuple[Trial, Disk]:
    """A project whose output is on a small disk of its own."""
    trial: Trial = make_trial(getattr(request, "param", FEW))
    disks.append(Disk(trial.small.root / "disk", SIZE_KIB))
    trial.within = disks[0].within
    trial.small.document["output"] = "disk/out"
    trial.small.out = disks[0].seen / "out"
    trial.small.write()
    return trial, disks[0]


def assert_lost(trial: Trial, ended: Ended) -> str:
    """Check what a run says that can't write its output; return the path that it names."""
    assert ended.code == 5, ended
    first, *rest = ended.err.splitlines()
    found = re.match(rf"stylebatch: ({re.escape(str(trial.output))}[^:]*): (.+)", first)
    assert found, ended
    assert "run again" in found[2], ended
    assert rest == []
    trial.check_nothing_runs()
    trial.check_nothing_torn()
    COUNTS["runs with an output that can't be written"] += 1
    return found[1]


def _kind_of(path: str) -> str:
    if "/.stylebatch/tmp/" in path:
        return "temporary"
    return Path(path).name.removeprefix(".").split(".")[0]


@pytest.mark.parametrize("on_disk", [LARGE], indirect=True)
def test_a_disk_that_fills_up(on_disk: tuple[Trial, Disk]) -> None:
    """From full to enough: every run has a few blocks more and goes on."""
    trial, disk = on_disk
    named, blocks = set(), 0
    steps = [*range(8), *range(8, 300, 8)] if IS_LONG else [48]
    for blocks in steps:
        disk.leave_free(blocks)
        ended = trial.run()
        if ended.code == 0:
            break
        named.add(_kind_of(assert_lost(trial, ended)))
    (disk.seen / "ballast").unlink()
    trial.finish()
    if IS_LONG:
        assert blocks < steps[-1]
        assert named == {"holder", "ledger", "temporary"}, named


@pytest.mark.long
@pytest.mark.parametrize("on_disk", [MANY], indirect=True)
def test_a_disk_too_small_is_made_larger(on_disk: tuple[Trial, Disk]) -> None:
    trial, disk = on_disk
    disk.remount("size=400k")
    assert_lost(trial, trial.run())
    assert len(trial.small.images()) < len(trial.expected.images())
    disk.remount("size=4m")
    trial.finish()


@pytest.mark.long
@pytest.mark.parametrize("on_disk", [MANY], indirect=True)
def test_a_disk_that_is_full_while_metadata_is_written(on_disk: tuple[Trial, Disk]) -> None:
    """All images are there: nothing but the records is to be written."""
    trial, disk = on_disk
    trial.finish()
    named = []
    for blocks in range(16):
        (trial.small.out / "metadata.jsonl").unlink(missing_ok=True)
        disk.leave_free(blocks)
        ended = trial.run()
        if ended.code == 0:
            break
        named.append(_kind_of(assert_lost(trial, ended)))
    assert "metadata" in named
    (disk.seen / "ballast").unlink()
    trial.finish()


@pytest.mark.long
def test_a_disk_that_nobody_may_write_to(on_disk: tuple[Trial, Disk]) -> None:
    trial, disk = on_disk
    run = trial.start()
    wait_until(lambda: trial.small.images() or run.is_over, "images")
    run.kill()
    run.end()
    trial.check_nothing_runs()
    disk.remount("ro")
    assert_lost(trial, trial.run())
    disk.remount("rw")
    trial.finish()


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("kib", [1, 8, 20] if IS_LONG else [20])
def test_no_file_may_be_so_large(make_trial: MakeTrial, kib: int) -> None:
    trial = make_trial(FEW)
    assert_lost(trial, trial.run(before=partial(_limit_files, kib * 1024)))
    trial.finish()


@pytest.mark.long
def test_an_image_may_not_be_as_large_as_it_is(make_trial: MakeTrial) -> None:
    trial = make_trial(LARGE)
    largest = max(len(data) for data in trial.expected.images().values())
    ended = trial.run(before=partial(_limit_files, largest - 1))
    assert _kind_of(assert_lost(trial, ended)) == "temporary"
    trial.finish()


@pytest.fixture
def trial(make_trial: MakeTrial) -> Trial:
    return make_trial(MANY)


@pytest.fixture
def running(trial: Trial) -> Running:
    """A run that has put some images in place, and not all."""
    run = trial.start()
    wait_until(lambda: trial.small.images() or run.is_over, "images")
    assert not run.is_over
    return run


@pytest.mark.long
@pytest.mark.parametrize("part", ["", "images", "losses", ".stylebatch", ".stylebatch/tmp"])
def test_an_output_that_becomes_read_only(trial: Trial, running: Running, part: str) -> None:
    with frozen(trial.small.out / part):
        ended = running.end()
        assert_lost(trial, ended)
    trial.finish()


@pytest.mark.parametrize("is_moved", [True, False] if IS_LONG else [True])
def test_an_output_that_vanishes(trial: Trial, running: Running, is_moved: bool) -> None:
    """Moved it's gone at once; removed, folder by folder, while workers write into it."""
    gone = trial.small.root / "gone"
    if is_moved:
        trial.small.out.rename(gone)
    else:
        while trial.small.out.exists() and not running.is_over:
            shutil.rmtree(trial.small.out, ignore_errors=True)
    assert_lost(trial, running.end())
    assert not trial.small.images()
    assert not (trial.small.out / ".stylebatch/ledger.sqlite").exists()
    trial.finish()


@pytest.mark.long
def test_an_output_that_vanishes_before_a_worker_is_there(trial: Trial) -> None:
    run = trial.start()
    wait_until(lambda: run.workers() or run.is_over, "a worker is started")
    trial.small.out.rename(trial.small.root / "gone")
    assert_lost(trial, run.end())
    assert not trial.small.images()
    trial.finish()
