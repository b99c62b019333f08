"""Shards that really run into one output, at once, killed, moved; then merged."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from support.old_ledgers import age
from support.runs import (
    Ended,
    Small,
    command,
    contents,
    copy_tree,
    end,
    lines,
    needs_proc,
    small_project,
    start,
    wait_until,
)

from stylebatch.ledger.schema import MIGRATIONS
from stylebatch.output import lock
from stylebatch.output.errors import LostOutputError, OutputHeldError
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock, check_owner
from stylebatch.output.shard import Shard
from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

pytestmark = pytest.mark.slow

NUM_IMAGES = 18
RECORDS = ("metadata.jsonl", "settings.json", "failures.jsonl", "run.json")


def _project(root: Path) -> Small:
    """Eighteen images to make, and two that fail."""
    small = small_project(root)
    for number in range(7):
        small.photo(f"cats/{number}.png", 100 + number)
    (small.root / "photos/dogs/broken.png").write_bytes(b"no image")
    return small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A project that one run has finished."""
    small = _project(tmp_path_factory.mktemp("undisturbed"))
    assert small.run().code == 3
    return small


@pytest.fixture
def small(undisturbed: Small, tmp_path: Path) -> Small:
    """The same project, not yet begun but for its style targets."""
    small = _project(tmp_path / "project")
    copy_tree(undisturbed.root / "cache", small.root / "cache")
    return small


def merge(small: Small) -> Ended:
    return command("merge", str(small.out))


def status(small: Small) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(command("status", str(small.out), "--json").out)
    return found


def failures(small: Small) -> list[dict[str, Any]]:
    return lines(small.out / "failures.jsonl")


def assert_as_undisturbed(small: Small, undisturbed: Small) -> None:
    """Find all that a run of the whole makes, and nothing that only shards need."""
    assert small.images() == undisturbed.images()
    assert _timeless(small) == _timeless(undisturbed)
    assert failures(small) == failures(undisturbed)
    assert (small.out / "settings.json").read_bytes() == (
        undisturbed.out / "settings.json"
    ).read_bytes()
    assert _losses(small) == _losses(undisturbed)
    state = small.out / ".stylebatch"
    assert contents(state / "tmp") == contents(state / "shards") == {}
    assert not list((state / "shards").iterdir())
    assert not list(small.out.rglob("*.tmp"))


def _timeless(small: Small) -> list[dict[str, Any]]:
    """Return the metadata in its order, but for what differs from run to run."""
    passing = ("seconds", "device")
    rows = lines(small.out / "metadata.jsonl")
    return [{key: value for key, value in row.items() if key not in passing} for row in rows]


def _losses(small: Small) -> dict[str, list[str]]:
    """Return the loss logs without their last column, the seconds."""
    logs = contents(small.out / "losses")
    return {
        path: [line.rpartition(",")[0] for line in data.decode().splitlines()]
        for path, data in logs.items()
    }


def crashing(small: Small, where: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command that is killed, as by SIGKILL, where it first comes by a crash point."""
    os.environ[ENVIRONMENT_VARIABLE] = f"{where}:{small.root / f'crashed-{where}'}"
    try:
        return start(*arguments)
    finally:
        del os.environ[ENVIRONMENT_VARIABLE]


def assert_killed(process: "subprocess.Popen[str]") -> None:
    ended = end(process)
    assert ended.code == -signal.SIGKILL, ended


# Several at once


def test_shards_at_once_one_of_them_killed_make_what_one_run_makes(
    small: Small, undisturbed: Small
) -> None:
    small.document["run"] |= {"executor": "local", "cpu_workers": 1}
    manifest = str(small.write())
    killed = crashing(small, "events-taken", "run", manifest, "--shard", "0/3")
    others = [start("run", manifest, "--shard", f"{index}/3") for index in (1, 2)]
    assert_killed(killed)
    codes = [end(process).code for process in others]
    before = status(small)
    assert before["shards"] == {"0/3": None, "1/3": None, "2/3": None}
    assert before["pairs"]["all"]["left"] > 0
    assert not any((small.out / name).exists() for name in RECORDS)
    again = end(start("run", manifest, "--shard", "0/3"))
    assert "shard 0/3: " in again.out + again.err
    # An image that can't be read has two outputs: those who have one of them end with 3.
    broken = [f"dogs/broken-{style}.png" for style in "st"]
    failed = [sum(Shard(index, 3).holds(output) for output in broken) for index in range(3)]
    assert [again.code, *codes] == [3 if count else 0 for count in failed]
    assert status(small)["pairs"]["all"] == {
        "planned": NUM_IMAGES + 2, "done": NUM_IMAGES, "failed": 2, "rejected": 0, "left": 0,
        "outdated": 0,
    }  # fmt: skip
    merged = merge(small)
    assert merged.code == 3, merged
    line = f"{small.out / 'images'}: 3 shards merged, {NUM_IMAGES} images are there, 2 failed; "
    assert merged.out == f"{line}see {small.out / 'failures.jsonl'}\n"
    assert small.summary()["merged"] == ["0/3", "1/3", "2/3"]
    assert_as_undisturbed(small, undisturbed)
    # Now one run has nothing to do.
    assert small.again(code=3) == set()


@pytest.fixture
def endless(small: Small) -> "Iterator[subprocess.Popen[str]]":
    """Shard 0/2 at work, in a process of its own, until the test is over."""
    small.pair["steps"] = 10**5
    slow = small.root / "slow.yaml"
    slow.write_text(yaml.safe_dump(small.document), encoding="utf-8")
    small.pair["steps"] = 3
    process = start("run", str(slow), "--shard", "0/2")
    own = Dataset(small.out, Shard(0, 2))
    try:
        wait_until(lambda: own.ledger.exists() or process.poll() is not None, "it has begun")
        assert process.poll() is None, end(process)
        yield process
    finally:
        process.kill()
        process.communicate()


@needs_proc
def test_while_a_shard_runs_only_its_siblings_may(
    small: Small, endless: "subprocess.Popen[str]"
) -> None:
    manifest = str(small.write())
    who = f"process {endless.pid} on "
    for arguments in (("--shard", "0/2"), ("--shard", "0/3"), ("--shard", "0/1"), ()):
        refused = small.run(*arguments)
        assert (refused.code, refused.out) == (10, ""), (arguments, refused)
        assert who in refused.err
        assert "is writing there, shard 0/2 of it" in refused.err
    refused = merge(small)
    assert refused.code == 10
    assert who in refused.err
    assert "1-of-3" not in os.listdir(small.out / ".stylebatch/shards")
    assert small.run("--shard", "1/2").code in (0, 3)
    assert endless.poll() is None
    told = status(small)
    assert told["shards"]["0/2"]["pid"] == endless.pid
    assert (told["shards"]["1/2"], told["running"]) == (None, None)
    assert f"shard 0/2: process {endless.pid} on " in command("status", manifest).out
    assert command("plan", manifest).code == 0
    endless.kill()
    endless.wait()
    assert status(small)["shards"] == {"0/2": None, "1/2": None}
    assert merge(small).code in (0, 3)
    assert small.run().code == 3
    assert small.run("--shard", "0/3").code in (0, 3)


@needs_proc
def test_while_a_run_of_the_whole_goes_on_no_shard_may(small: Small) -> None:
    small.pair["steps"] = 10**5
    process = start("run", str(small.write()))
    try:
        ledger = Dataset(small.out).ledger
        wait_until(lambda: ledger.exists() or process.poll() is not None, "it has begun")
        refused = small.run("--shard", "1/2")
        assert refused.code == 10
        assert f"process {process.pid} on " in refused.err
        assert not (small.out / ".stylebatch/shards").exists()
    finally:
        process.kill()
        process.communicate()


# Takes locks that exclude each other, until it has had some, and sees whether they do.
CONTENDER = """
import random, sys, time
from pathlib import Path
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputHeldError, OutputLock
from stylebatch.output.shard import Shard

root, seed = Path(sys.argv[1]), sys.argv[2]
choice, taken = random.Random(seed), 0
Dataset(root).make_folders()
print("ready", flush=True)
sys.stdin.readline()
while taken < 10:
    shard = choice.choice([None, Shard(0, 2), Shard(1, 2), Shard(0, 3)])
    try:
        with OutputLock(Dataset(root, shard), f"{seed}-{taken}"):
            taken += 1
            sign = root / f"held.{shard.name if shard else 'whole'}.{seed}"
            sign.touch()
            time.sleep(choice.random() * 0.04)
            held = {path.name.split(".")[1] for path in root.glob("held.*")}
            assert held <= {"0-of-2", "1-of-2"} or len(held) == 1, held
            assert len(list(root.glob(f"held.{sign.name.split('.')[1]}.*"))) == 1
            sign.unlink()
    except OutputHeldError:
        time.sleep(choice.random() * 0.01)
"""


def test_locks_that_exclude_each_other_are_never_held_together(tmp_path: Path) -> None:
    contenders = [
        subprocess.Popen(
            [sys.executable, "-c", CONTENDER, str(tmp_path / "out"), str(seed)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in range(4)
    ]
    for process in contenders:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in contenders:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in contenders:
        end(process)
    assert [process.returncode for process in contenders] == [0] * 4


def test_workers_look_for_their_own_shards_holder(tmp_path: Path) -> None:
    whole = Dataset(tmp_path / "out")
    one, other = Dataset(whole.root, Shard(0, 2)), Dataset(whole.root, Shard(1, 2))
    whole.make_folders()
    with OutputLock(one, "one"), OutputLock(other, "other"):
        check_owner(one, "one")
        check_owner(other, "other")
        for dataset, run_id in ((whole, "one"), (other, "one"), (one, "other")):
            with pytest.raises(LostOutputError):
                check_owner(dataset, run_id)
        killed = one.holder.read_bytes()
    one.holder.write_bytes(killed)
    check_owner(one, "one")  # what a worker finds that outlives its run
    with OutputLock(whole, "whole"), pytest.raises(LostOutputError):
        check_owner(one, "one")


def test_who_waits_too_long_at_the_gate_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = Dataset(tmp_path / "out", Shard(0, 2))
    dataset.make_folders()
    monkeypatch.setattr(lock, "GATE_S", 0.1)
    held = FileLock(dataset.gate)
    with held, pytest.raises(OutputHeldError, match="other runs have been starting there"):
        OutputLock(dataset, "run").__enter__()
    with OutputLock(dataset, "run"):
        assert lock.find_running(dataset)["shard"] == "0/2"


# Killed while ledgers are merged


@pytest.mark.parametrize("where", ["absorbing", "absorbed"])
@pytest.mark.parametrize("again", ["merge", "run", "shard"])
def test_a_merge_that_is_killed_is_done_again(
    small: Small, undisturbed: Small, where: str, again: str
) -> None:
    for index in range(2):
        small.run("--shard", f"{index}/2")
    assert_killed(crashing(small, where, "merge", str(small.out)))
    if again == "run":
        ended = small.run()
    else:
        if again == "shard":  # of another count: it merges what is there first
            assert small.run("--shard", "0/3").code in (0, 3)
            kept = os.listdir(small.out / ".stylebatch/shards")
            assert kept == ["0-of-3"]
        ended = merge(small)
    assert ended.code == 3, ended
    assert_as_undisturbed(small, undisturbed)


def test_a_ledger_that_came_back_after_its_merge_changes_nothing(
    small: Small, undisturbed: Small
) -> None:
    for index in range(2):
        small.run("--shard", f"{index}/2")
    shards = small.out / ".stylebatch/shards"
    copy_tree(shards, small.root / "shards")
    assert merge(small).code == 3
    metadata = (small.out / "metadata.jsonl").read_bytes()
    shards.rmdir()
    copy_tree(small.root / "shards", shards)
    assert merge(small).code == 3
    assert (small.out / "metadata.jsonl").read_bytes() == metadata
    assert_as_undisturbed(small, undisturbed)


# One after the other


def test_shards_of_another_count_go_on_where_the_others_were(
    small: Small, undisturbed: Small
) -> None:
    small.run("--shard", "0/2")
    first = small.identities()
    assert 0 < len(first) < NUM_IMAGES
    for index in range(3):
        small.run("--shard", f"{index}/3")
    kept = small.identities()
    assert {path: kept[path] for path in first} == first
    assert sorted(os.listdir(small.out / ".stylebatch/shards")) == ["0-of-3", "1-of-3", "2-of-3"]
    merge(small)
    assert_as_undisturbed(small, undisturbed)


def test_a_run_of_the_whole_after_shards_merges_them_and_goes_on(
    small: Small, undisturbed: Small
) -> None:
    small.run("--shard", "1/3")
    made = small.images().keys()
    assert small.again(code=3) == undisturbed.images().keys() - made
    assert small.summary()["merged"] == ["1/3"]
    assert_as_undisturbed(small, undisturbed)


def test_an_output_can_be_moved_between_its_shards_runs(
    small: Small, undisturbed: Small, tmp_path: Path
) -> None:
    small.run("--shard", "0/2")
    small.root.rename(tmp_path / "elsewhere")
    moved = Small(tmp_path / "elsewhere")
    first = moved.identities()
    moved.run("--shard", "0/2")
    summary = json.loads(Dataset(moved.out, Shard(0, 2)).summary.read_bytes())
    assert (summary["shard"], summary["done"], summary["done_before"]) == ("0/2", 0, len(first))
    assert moved.identities() == first
    moved.run("--shard", "1/2")
    merge(moved)
    assert_as_undisturbed(moved, undisturbed)


def test_a_shard_leaves_alone_what_is_out_of_date_and_not_its_own(
    small: Small, undisturbed: Small
) -> None:
    small.run()
    small.remove_photo("cats/a.png")
    small.pair["strength"] = 2
    small.run("--shard", "0/2")
    assert small.images().keys() == undisturbed.images().keys()
    made_anew = {
        path
        for path, data in small.images().items()
        if data != undisturbed.images()[path] and Shard(0, 2).holds(path)
    }
    assert small.stale() == made_anew
    assert {path for path, row in small.metadata().items() if row["strength"] == 2} == set()
    merge(small)
    assert {p for p, row in small.metadata().items() if row["strength"] == 2} == made_anew != set()
    small.run()
    assert small.stale() == undisturbed.images().keys()


def test_status_and_plan_add_ledgers_up_to_what_a_merge_makes(small: Small) -> None:
    small.run()
    assert len(failures(small)) == 2
    small.pair["strength"] = 2
    small.photo("dogs/broken.png", 9)
    small.run("--shard", "0/3")
    small.run("--shard", "2/3", "--limit", "1")
    before, plan = status(small), command("plan", str(small.manifest)).out
    assert merge(small).code == 3
    assert len(failures(small)) == 1
    after = status(small)
    assert (before.pop("shards"), after.pop("shards")) == ({"0/3": None, "2/3": None}, {})
    assert before == after
    assert command("plan", str(small.manifest)).out == plan


def test_a_pair_that_is_renamed_is_so_in_the_merged_metadata(small: Small) -> None:
    small.run()
    before = small.identities()
    small.pair["name"] = "renamed"
    for index in range(2):
        small.run("--shard", f"{index}/2")
    merge(small)
    assert small.identities() == before
    assert {row["pair"] for row in small.metadata().values()} == {"renamed"}


def _version(ledger: Path) -> int:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def test_ledgers_of_an_older_version_are_brought_up_to_date(
    small: Small, undisturbed: Small
) -> None:
    small.run("--limit", "5")
    first = small.identities()
    whole, own = Dataset(small.out).ledger, Dataset(small.out, Shard(0, 2)).ledger
    age(whole, 1)
    small.run("--shard", "0/2")
    assert _version(whole) == len(MIGRATIONS)
    age(own, 1)
    small.run("--shard", "1/2")
    merge(small)
    kept = small.identities()
    assert {path: kept[path] for path in first} == first
    assert_as_undisturbed(small, undisturbed)


def test_shards_go_on_where_a_run_of_the_whole_was_killed(small: Small, undisturbed: Small) -> None:
    assert_killed(crashing(small, "recording", "run", str(small.manifest)))
    litter = small.out / ".stylebatch/tmp/20200101T000000-1/worker0/0.png.tmp"
    litter.parent.mkdir(parents=True)
    litter.write_bytes(b"half an image")
    for index in range(2):
        small.run("--shard", f"{index}/2")
        assert not litter.exists()
    merge(small)
    assert_as_undisturbed(small, undisturbed)


# A transaction of another process, killed when half of it is in the file.
HALF_WRITTEN = """
import os, signal, sys
from pathlib import Path
from stylebatch.ledger.database import Database
database = Database.open(Path(sys.argv[1]))
database.connection.execute("PRAGMA cache_size = 10")
with database.transaction():
    database.connection.execute("UPDATE jobs SET state = 'failed', reason = 'never'")
    rows = (("f", str(i), 1, 1, "d" * 32, 1, 1) for i in range(20000))
    insert = "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, 1, 1, '')"
    database.connection.executemany(insert, rows)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _journal_size(ledger: Path) -> int:
    journal = ledger.with_name(ledger.name + "-journal")
    return journal.stat().st_size if journal.exists() else 0


def _half_write(ledger: Path) -> None:
    died = subprocess.run([sys.executable, "-c", HALF_WRITTEN, str(ledger)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert _journal_size(ledger) > 0


def test_half_a_transaction_of_a_killed_process_is_undone_in_either_ledger(
    small: Small, undisturbed: Small
) -> None:
    small.run("--limit", "5")
    first = small.identities()
    whole, own = Dataset(small.out).ledger, Dataset(small.out, Shard(0, 2)).ledger
    _half_write(whole)
    small.run("--shard", "0/2")
    assert _journal_size(whole) == 0
    _half_write(own)
    told = status(small)
    assert told["pairs"]["all"]["done"] == len(small.images()) < NUM_IMAGES
    assert "never" not in told["failures"]
    small.run("--shard", "1/2")
    _half_write(own)
    merge(small)
    kept = small.identities()
    assert {path: kept[path] for path in first} == first
    assert_as_undisturbed(small, undisturbed)


# The commands


def test_the_plan_of_a_shard_is_its_part_and_writes_nothing(small: Small) -> None:
    shown = small.run("--shard", "0/3", "--dry-run")
    assert shown.code == 0
    own = {
        output
        for stem in ("cats/a", "dogs/b", "dogs/broken", *(f"cats/{number}" for number in range(7)))
        for style in "st"
        if Shard(0, 3).holds(output := f"{stem}-{style}.png")
    }
    assert f"{len(own)} images to make" in shown.out
    assert not small.out.exists()


@pytest.mark.parametrize("text", ["3/3", "1", "x/2"])
def test_a_wrong_shard_starts_nothing(small: Small, text: str) -> None:
    ended = small.run("--shard", text)
    assert ended.code == 2
    assert f"'{text}' is no shard" in ended.err
    assert not small.out.exists()


def test_a_preview_has_no_shards(small: Small) -> None:
    ended = small.run("--shard", "0/2", "--preview", "1")
    assert ended.code == 2
    assert "not together with" in ended.err


def test_a_merge_without_shards_writes_the_records(small: Small) -> None:
    small.run()
    (small.out / "metadata.jsonl").rename(small.root / "before")
    ended = merge(small)
    assert ended.code == 3
    assert "0 shards merged, 18 images are there" in ended.out
    assert (small.out / "metadata.jsonl").read_bytes() == (small.root / "before").read_bytes()


def test_a_merge_says_what_is_still_to_be_made_and_where_nothing_is(small: Small) -> None:
    nothing = merge(small)
    assert nothing.code == 2
    small.out.mkdir()
    nothing = merge(small)
    assert (nothing.code, "no run has written there yet" in nothing.err) == (2, True)
    assert not list(small.out.iterdir())
    small.run("--shard", "0/4")
    ended = command("merge", str(small.manifest))
    made = len(small.images())
    left = NUM_IMAGES + 2 - made - len(failures(small) if ended.code else [])
    assert f"1 shard merged, {made} images are there" in ended.out
    assert f"{left} are still to be made" in ended.out
