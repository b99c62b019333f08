"""`restore` and `clean`: what was set aside, put back or gone for good, and the run after that."""

import json
import os
import re
import shutil
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.runs import Small, command, contents, copy_tree, end, start

from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.system.crash_points import ENVIRONMENT_VARIABLE

pytestmark = pytest.mark.slow

A = {"cats/a-s.png", "cats/a-t.png"}


@pytest.fixture
def small(finished: Small, tmp_path: Path) -> Small:
    """A project whose four images are made."""
    copy_tree(finished.root, tmp_path / "project")
    return Small(tmp_path / "project")


def restore(small: Small, *arguments: str) -> str:
    ended = command("restore", str(small.out), *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.removeprefix(f"{small.out / 'images'}: ").rstrip("\n")


def clean(small: Small, *arguments: str) -> str:
    ended = command("clean", str(small.out), *arguments)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.removeprefix(f"{small.out / '.stylebatch/stale'}: ").rstrip("\n")


def told(small: Small) -> dict[str, object]:
    """Return what the metadata tells, but for the time of writing it."""
    assert small.metadata().keys() == small.images().keys()
    return dict(small.metadata())


def remove_cat(small: Small) -> None:
    (small.root / "photos/cats/a.png").rename(small.root / "a.png")
    (small.root / "photos/cats").rmdir()
    assert small.again() == set()
    assert small.stale() == A


# restore


def test_what_has_no_place_any_more_is_put_back_with_all_that_belongs_to_it(
    small: Small, finished: Small
) -> None:
    remove_cat(small)
    before = contents(small.out)
    assert restore(small, "--dry-run") == "2 images would be put back"
    assert contents(small.out) == before
    assert restore(small) == "2 images put back"
    assert small.images() == finished.images()
    assert contents(small.out / "losses") == contents(finished.out / "losses")
    assert told(small) == told(finished)
    assert small.stale() == set()
    assert contents(small.out / ".stylebatch/tmp") == {}
    assert restore(small) == "0 images put back"


def test_a_manifest_that_wants_none_of_it_sets_it_aside_again(small: Small) -> None:
    remove_cat(small)
    restore(small)
    found = json.loads(command("status", str(small.out), "--json").out)["pairs"]["all"]
    assert found == {"planned": 2, "done": 2, "failed": 0, "rejected": 0, "left": 0, "outdated": 2}
    assert small.again() == set()
    assert small.summary()["set_aside"] == 2
    assert small.stale() == A


def test_a_manifest_that_wants_it_finds_it_done(small: Small) -> None:
    remove_cat(small)
    restore(small)
    (small.root / "photos/cats").mkdir()
    (small.root / "a.png").rename(small.root / "photos/cats/a.png")
    assert small.again() == set()
    assert small.summary()["done_before"] == 4
    found = json.loads(command("status", str(small.out), "--json").out)["pairs"]["all"]
    assert (found["done"], found["outdated"]) == (4, 0)


def test_images_that_stand_stay_unless_they_are_to_be_replaced(
    small: Small, finished: Small
) -> None:
    small.pair["steps"] = 2
    small.again()
    new = small.images()
    assert restore(small) == "0 images put back (4 left where images stand)"
    assert small.images() == new
    line = "4 images put back (4 in place of others, set aside in turn)"
    assert restore(small, "--replace") == line
    assert small.images() == finished.images()
    assert told(small) == told(finished)
    (run,) = (small.out / ".stylebatch/stale").glob("*/images")
    assert contents(run) == new
    # Again is the other way round; and so is a run, which has not changed its mind.
    restore(small, "--replace")
    assert small.images() == new
    restore(small, "--replace")
    small.again()
    assert (small.summary()["taken_back"], small.summary()["evaluations"]) == (4, 0)
    assert small.images() == new


def test_of_several_versions_the_last_is_put_back(small: Small) -> None:
    versions = []
    for number in (3, 4):
        versions.append(small.images())
        small.photo("cats/a.png", number)
        small.again()
    versions.append(small.images())
    small.remove_photo("cats/a.png")
    small.again()
    assert len(list((small.out / ".stylebatch/stale").glob("*/images/cats/a-s.png"))) == 3
    for version in (versions[2], versions[1]):
        restore(small)
        assert small.images() == version
        for path in A:
            (small.out / "images" / path).unlink()
    restore(small)
    assert small.images() == versions[0]


def test_a_file_that_stylebatch_did_not_make_stays(small: Small) -> None:
    remove_cat(small)
    mine = small.out / "images/cats/a-s.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    expected = "1 image put back (1 left where images stand)"
    assert restore(small, "--replace") == expected
    assert mine.read_bytes() == b"mine"
    assert small.stale() == {"cats/a-s.png"}


def test_what_an_earlier_version_set_aside_is_left(small: Small) -> None:
    kept = small.out / ".stylebatch/stale/20200101T000000.000000-1/images/cats/old.png"
    kept.parent.mkdir(parents=True)
    shutil.copy(small.out / "images/cats/a-s.png", kept)
    assert restore(small) == "0 images put back"
    assert kept.exists()


def test_what_shards_have_set_aside_is_put_back(small: Small, finished: Small) -> None:
    small.pair["steps"] = 2
    for index in range(2):
        small.run("--shard", f"{index}/2")
    assert restore(small, "--replace", "--dry-run").startswith("4 images would be put back")
    assert restore(small, "--replace").startswith("4 images put back")
    assert small.images() == finished.images()
    assert told(small) == told(finished)
    assert not list((small.out / ".stylebatch/shards").iterdir())


# clean


def test_what_is_removed_is_counted_and_gone(small: Small) -> None:
    small.pair["steps"] = 2
    small.again()
    standing = contents(small.out / "images")
    lying = contents(small.out / ".stylebatch/stale")
    size = sum(map(len, lying.values()))
    assert len(lying) == 8  # with a loss log each
    expected = f"8 files, {size / 1024:.3g} KiB"
    assert clean(small, "--all", "--dry-run") == f"{expected}, would be removed"
    assert contents(small.out / ".stylebatch/stale") == lying
    assert clean(small, "--all") == f"{expected}, removed"
    assert list((small.out / ".stylebatch/stale").iterdir()) == []
    assert contents(small.out / "images") == standing
    assert clean(small, "--all") == "0 files, 0 bytes, removed"
    assert clean(small) == "nothing lies there"
    assert restore(small) == "0 images put back"
    assert small.again() == set()
    small.pair["steps"] = 3
    small.again()
    assert (small.summary()["done"], small.summary()["taken_back"]) == (4, 0)


@pytest.mark.parametrize("shard", [(), ("--shard", "0/1")], ids=["whole", "shard"])
def test_what_a_killed_run_left_there_is_put_back_first(
    small: Small, finished: Small, tmp_path: Path, shard: tuple[str, ...]
) -> None:
    small.pair["steps"] = 2
    os.environ[ENVIRONMENT_VARIABLE] = f"events-taken:{tmp_path / 'marker'}"
    try:
        process = start("run", str(small.write()), *shard)
    finally:
        del os.environ[ENVIRONMENT_VARIABLE]
    assert end(process).code == -signal.SIGKILL
    assert small.images() != finished.images()
    assert clean(small, "--all") == "0 files, 0 bytes, removed"
    assert small.images() == finished.images()
    assert command("merge", str(small.out)).code == 0
    assert told(small) == told(finished)


@pytest.mark.parametrize("options", [(), ("--dry-run",)])
def test_without_a_word_of_how_much_it_lists_and_removes_nothing(
    small: Small, options: tuple[str, ...]
) -> None:
    small.pair["steps"] = 2
    small.again()
    begun = datetime.now(UTC) - timedelta(days=40)
    old = small.out / f".stylebatch/stale/{begun:%Y%m%dT%H%M%S.%f}-7/images/x.png"
    old.parent.mkdir(parents=True)
    old.write_bytes(bytes(2048))
    before = contents(small.out)
    ended = command("clean", str(small.out), *options)
    assert (ended.code, ended.err, contents(small.out)) == (0, "", before)
    header, first, second, last = ended.out.splitlines()
    assert re.split("  +", header) == ["set aside by the run", "files", "size", "age"]
    assert first.split() == [old.parents[1].name, "1", "2", "KiB", "40", "d"]
    assert second.split()[:2] == [small.summary()["run_id"], "8"]
    assert "9 files, " in last
    assert last.endswith(
        "nothing is removed: add --older-than 30d, or --all, to remove it for good"
    )
    both = command("clean", str(small.out), "--all", "--older-than", "30d")
    assert (both.code, contents(small.out)) == (2, before)


def test_what_is_younger_stays(small: Small) -> None:
    small.pair["steps"] = 2
    small.again()
    stale = small.out / ".stylebatch/stale"
    for days in (13, 15, 40):
        begun = datetime.now(UTC) - timedelta(days=days)
        kept = stale / f"{begun:%Y%m%dT%H%M%S.%f}-7" / "images/x.png"
        kept.parent.mkdir(parents=True)
        kept.write_bytes(bytes(days))
    other = stale / "by hand"
    (other / "images").mkdir(parents=True)
    os.utime(other, (time.time() - 3 * 86400,) * 2)
    assert clean(small, "--older-than", "30d") == "1 file, 40 bytes, removed"
    assert clean(small, "--older-than", "2w") == "1 file, 15 bytes, removed"
    assert other.exists()
    assert clean(small, "--older-than", "36h") == "1 file, 13 bytes, removed"
    assert not other.exists()
    assert clean(small, "--older-than", "30m") == "0 files, 0 bytes, removed"
    small.pair["steps"] = 3
    small.again()
    assert small.summary()["taken_back"] == 4


# Both


@pytest.mark.parametrize("asked", [["restore"], ["clean", "--all"]], ids=lambda asked: asked[0])
def test_while_a_run_goes_on_nothing_is_touched(small: Small, asked: list[str]) -> None:
    remove_cat(small)
    before = contents(small.out / "images") | contents(small.out / ".stylebatch/stale")
    with OutputLock(Dataset(small.out), "run"):
        ended = command(*asked, str(small.manifest))
        assert (ended.code, ended.out) == (10, "")
        assert command(*asked, str(small.manifest), "--dry-run").code == 0
    assert contents(small.out / "images") | contents(small.out / ".stylebatch/stale") == before


@pytest.mark.parametrize("name", ["restore", "clean"])
def test_an_output_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    ended = command(name, str(tmp_path))
    assert ended.code == 2
    assert "no run has written there yet" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_duration_is_refused(small: Small) -> None:
    ended = command("clean", str(small.out), "--older-than", "30")
    assert ended.code == 2
    assert "'30' is no duration such as 8h, 90m, 1h30m, 30d" in re.sub(r"[│\s]+", " ", ended.err)
