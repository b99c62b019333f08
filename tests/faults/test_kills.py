"""Workers and runs that are killed at any moment, again and again."""

import contextlib
import os
import random
import signal
import time
from pathlib import Path

import pytest
from support.faults import COUNTS, IS_LONG, KILLS, MANY, MakeTrial, Running, Trial
from support.runs import contents, needs_proc, wait_until

# Of the kills that are asked for; the rest is of whole runs.
WORKER_KILLS = KILLS * 3 // 4 if IS_LONG else 3
PARENT_KILLS = KILLS - WORKER_KILLS if IS_LONG else 1
KILLS_PER_RUN = 20

pytestmark = [pytest.mark.slow, needs_proc, pytest.mark.timeout(3600)]


def _wait_for_a_moment(draw: random.Random, trial: Trial, run: Running, most_s: float) -> None:
    """Wait for any moment, or for one at which files are being written."""
    if draw.random() < 0.5:
        _wait(run, draw.uniform(0, most_s))
        return
    before = _num_files(trial)
    until = time.monotonic() + 3 * most_s
    while _num_files(trial) == before and time.monotonic() < until and not run.is_over:
        time.sleep(0.002)
    _wait(run, draw.uniform(0, 0.05))


def _wait(run: Running, seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not run.is_over:
        time.sleep(0.01)


def _num_files(trial: Trial) -> int:
    folders = (".stylebatch/tmp", "images")
    return sum(len(files) for name in folders for _, _, files in os.walk(trial.small.out / name))


def test_workers_killed_at_random(make_trial: MakeTrial, draw: random.Random) -> None:
    left = WORKER_KILLS
    while left:
        trial = make_trial(MANY)
        left -= _kill_workers(trial, draw, min(left, KILLS_PER_RUN))
        trial.check(trial.runs[-1].end())


def _kill_workers(trial: Trial, draw: random.Random, most: int) -> int:
    """Kill workers of one run; return how many were killed before it was done."""
    run, killed = trial.start(), 0
    while killed < most:
        _wait_for_a_moment(draw, trial, run, 3)
        if run.is_over:
            break
        if workers := run.workers():
            run.kill(draw.choice(workers))
            killed += 1
    COUNTS["workers killed at random"] += killed
    return killed


def test_runs_killed_at_random(make_trial: MakeTrial, draw: random.Random) -> None:
    """The next run starts at once: workers of the last one may still be ending."""
    left, trial = PARENT_KILLS, make_trial(MANY)
    while left:
        run = trial.start()
        _wait_for_a_moment(draw, trial, run, 6)
        if not run.is_over:
            what = _kill_run(draw, run)
        # It may have ended by itself just before.
        if (ended := run.end()).code == 0:
            trial.check(ended)
            trial.start_over()
            continue
        assert ended.code == -9
        COUNTS[what] += 1
        left -= 1
    trial.finish()


@pytest.mark.long
def test_shards_killed_at_random(make_trial: MakeTrial, draw: random.Random) -> None:
    """Both work on one output at once; the one that is killed starts again beside the other."""
    trial = make_trial(MANY)
    shards = {name: trial.start("--shard", name) for name in ("0/2", "1/2")}
    for _ in range(KILLS // 30):
        name = draw.choice(sorted(shards))
        _wait_for_a_moment(draw, trial, shards[name], 6)
        if not shards[name].is_over:
            shards[name].kill()
        # It may have ended by itself just before.
        code = shards[name].end().code
        assert code in (0, -9)
        COUNTS["shards killed at random"] += code == -9
        shards[name] = trial.start("--shard", name)
    for run in shards.values():
        assert run.end().code == 0
    trial.finish()


def _kill_run(draw: random.Random, run: Running) -> str:
    """Kill the run's own process, now and then its workers with it: as a power cut does."""
    if draw.random() < 0.2:
        for pid in run.members():
            run.kill(pid)
        return "runs killed with their workers"
    run.kill()
    return "runs killed at random"


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


def _identities(folder: Path) -> dict[str, tuple[int, int, int]]:
    stats = {path: (folder / path).stat() for path in contents(folder)}
    return {path: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.mark.long
def test_workers_of_a_killed_run_end_and_commit_nothing_more(
    trial: Trial, running: Running
) -> None:
    running.kill()
    running.end()
    wait_until(lambda: not running.members(), "the workers end by themselves")
    before = _identities(trial.small.out)
    time.sleep(1)
    assert _identities(trial.small.out) == before
    trial.check_nothing_torn()
    trial.finish()


@pytest.mark.long
@pytest.mark.parametrize("wakes_after_s", [0, 2, 5])
def test_a_worker_that_slept_while_its_run_was_killed(
    trial: Trial, running: Running, wakes_after_s: int
) -> None:
    stopped = running.workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    running.kill()
    running.end()
    second = trial.start()
    _wait(second, wakes_after_s)
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):  # it may have died with its parent
            os.kill(pid, signal.SIGCONT)
    trial.check(second.end())


@pytest.mark.long
def test_a_job_that_kills_its_workers_fails_and_all_others_are_done(make_trial: MakeTrial) -> None:
    """One image takes for ever, and its worker is killed whenever it's at that image."""
    trial = make_trial(MANY)
    small = trial.small
    small.photo("slow/slow.png", 7)
    slow = small.pair | {
        "name": "slow",
        "content": "slow",
        "steps": 100_000,
        "styles": ["styles/s.png"],
        "override": small.pair["override"] | {"progress_every": 5},
    }
    (small.root / "photos/slow").rename(small.root / "slow")
    small.document["pairs"].append(slow)
    small.document["run"] |= {"cpu_workers": 1, "max_deaths": 2}
    small.write()
    run = trial.start()
    deaths = 0
    while not run.is_over:
        before = contents(small.out / "progress").keys()
        while not (run.is_over or contents(small.out / "progress").keys() - before):
            time.sleep(0.02)
        for pid in run.workers():
            run.kill(pid)
            deaths += 1
    ended = run.end()
    assert ended.code == 3, ended
    assert deaths == 3  # the first time it was not alone
    (failure,) = [path.read_text() for path in [small.out / "failures.jsonl"]]
    assert "its worker died 2 times while it was alone with this image" in failure
    assert small.images() == trial.expected.images()
    COUNTS["workers killed with one image"] += deaths
