"""`status --watch` beside a run: what it shows, when it ends, and that the run does not notice."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.runs import (
    Small,
    command,
    contents,
    copy_tree,
    end,
    needs_proc,
    small_project,
    start,
    wait_until,
)
from support.terminal import on_a_terminal, screen

from stylebatch.cli.watch import Rate
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock

pytestmark = pytest.mark.slow

NUM_IMAGES = 64
WATCH = ("status", "--watch", "--every", "0.1")


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A project whose run has made half of its images."""
    small = small_project(tmp_path_factory.mktemp("half"))
    for number in range(NUM_IMAGES // 2 - 2):
        small.photo(f"cats/{number:02}.png", 100 + number)
    small.pair["steps"] = 60
    assert small.run("--limit", str(NUM_IMAGES // 2)).code == 0
    return small


@pytest.fixture
def small(half: Small, tmp_path: Path) -> Small:
    copy_tree(half.root, tmp_path / "project")
    small = Small(tmp_path / "project")
    small.pair["steps"] = 60
    small.write()
    return small


@pytest.fixture
def held(small: Small) -> Iterator[Dataset]:
    """The output as a run of this process holds it."""
    dataset = Dataset(small.out)
    with OutputLock(dataset, "20260101T000000-1"):
        yield dataset


def watching(small: Small, *arguments: str) -> "subprocess.Popen[str]":
    return start(*WATCH, str(small.out), *arguments)


def read_json(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@needs_proc
def test_a_watched_run_is_followed_to_its_end_and_does_not_notice(
    small: Small, half: Small
) -> None:
    run = start("run", str(small.manifest))
    holder = small.out / ".stylebatch/holder.json"
    wait_until(lambda: holder.exists() or run.poll() is not None, "the run holds the output")
    told = end(watching(small))
    ended = end(run)
    assert ended.code == 0, ended
    assert (told.code, told.err) == (0, "")
    blocks = told.out.split("\n\n")
    assert len(blocks) > 2
    assert f"a run is going on: process {run.pid} on" in blocks[0]
    done = [int(n) for n in re.findall(rf"^all +{NUM_IMAGES} +(\d+)", told.out, re.MULTILINE)]
    assert done == sorted(done)
    assert NUM_IMAGES // 2 <= done[0] < done[-1] == NUM_IMAGES
    assert re.match(r"[\d: -]+  no run is going on\n", blocks[-2] if not blocks[-1] else blocks[-1])
    assert len(small.images()) == NUM_IMAGES
    assert {path: small.images()[path] for path in half.images()} == half.images()


def test_ctrl_c_ends_it_and_nothing_is_written(small: Small, held: Dataset) -> None:
    before = contents(small.out)
    process = watching(small)
    assert process.stdout is not None
    assert "no more finished yet" in process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    ended = end(process)
    assert (ended.code, ended.err) == (0, "")
    assert contents(small.out) == before


def test_where_no_run_is_going_on_it_says_so_and_ends(small: Small) -> None:
    ended = command("status", str(small.out), "--watch")
    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.rstrip().splitlines()
    assert first.endswith("  no run is going on")
    assert rest == command("status", str(small.out)).out.splitlines()


def test_it_ends_when_the_run_has_ended(small: Small) -> None:
    with OutputLock(Dataset(small.out), "20260101T000000-1"):
        process = watching(small, "--json")
        first, second = read_json(process), read_json(process)
        assert first == second
        assert first["running"]["pid"] == os.getpid()
    ended = end(process)
    assert ended.code == 0
    assert json.loads(ended.out.splitlines()[-1])["running"] is None


def test_a_locked_ledger_is_waited_for(small: Small, held: Dataset) -> None:
    process = watching(small, "--json")
    assert read_json(process)["pairs"]["all"]["done"] == NUM_IMAGES // 2
    # As the run's own writer takes it, which finds no reader in its way for long.
    with sqlite3.connect(held.ledger, isolation_level=None, timeout=30) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        connection.execute("UPDATE jobs SET state = 'failed', reason = 'x' WHERE state = 'done'")
        time.sleep(1)
        connection.execute("COMMIT")
    connection.close()
    wait_until(lambda: read_json(process)["pairs"]["all"]["failed"] == NUM_IMAGES // 2, "the rest")
    os.kill(process.pid, signal.SIGINT)
    assert end(process).code == 0


def test_a_ledger_that_can_not_be_read_is_tried_again(small: Small, held: Dataset) -> None:
    process = watching(small)
    shown = process.stdout
    assert shown is not None
    shown.readline()
    whole = held.ledger.read_bytes()
    held.ledger.write_bytes(b"no database" * 1000)
    wait_until(lambda: "can't be read just now" in shown.readline(), "it says so")
    held.ledger.write_bytes(whole)
    wait_until(lambda: "no more finished yet" in shown.readline(), "it goes on")
    os.kill(process.pid, signal.SIGINT)
    assert end(process).code == 0


def test_on_a_terminal_each_look_takes_the_place_of_the_last(small: Small, held: Dataset) -> None:
    def end_run(written: str) -> None:
        if written.count("no more finished yet") > 2:
            held.holder.unlink(missing_ok=True)

    code, written = on_a_terminal(*WATCH, str(small.out), columns=200, on_written=end_run)
    assert code == 0
    first, *rest = screen(written)
    assert first.endswith("  no run is going on")
    assert [line.split() for line in rest] == [
        [str(small.out)],
        ["pair", "jobs", "done", "failed", "to", "do"],
        f"all {NUM_IMAGES} {NUM_IMAGES // 2} 0 {NUM_IMAGES // 2}".split(),
        f"{NUM_IMAGES // 2} of {NUM_IMAGES} images are done, {NUM_IMAGES // 2} to make".split(),
    ]


def found(done: int, failed: int) -> dict[str, Any]:
    left = 500 - done - failed
    total = {"planned": 500, "done": done, "failed": failed, "rejected": 0, "left": left}
    return {"running": None, "shards": {"0/2": {"pid": 1}, "1/2": None}, "total": total}


def test_the_rate_counts_from_the_look_before_the_first_image() -> None:
    rate = Rate()
    for now_s in (1000.0, 1010.0, 5000.0):  # it plans, say
        assert rate.tell(found(100, 0), now_s) == "no more finished yet"
    assert Rate().tell(found(0, 0)) == "nothing finished yet"
    # 30 images in 40 s: 45 a minute.
    assert rate.tell(found(125, 5), 5040.0).endswith(": 30 images, 45 images/min")
    assert rate.tell(found(129, 1), 7400.0).endswith(": 30 images, 0.8 images/min")
    ended = found(129, 1) | {"shards": {"0/2": None}}
    assert rate.tell(ended, 7500.0) == "no run is going on"
