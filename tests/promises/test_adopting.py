"""Outputs whose ledger is lost, damaged or behind: nothing that is proven is made again."""

import json
import shutil
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest
from support.runs import (
    Small,
    color_project,
    command,
    contents,
    end,
    lines,
    picture,
    small_project,
    start,
    wait_until,
)
from support.watchers import Quiet

from stylebatch.ledger import AdoptedImage, Ledger
from stylebatch.manifest import load_manifest
from stylebatch.run import RunRequest, StopRequest, run

ALL = {"cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png"}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = color_project(tmp_path)
    small.pair["originals"] = "copy"
    assert len(small.again()) == 6
    return small


def ledger(small: Small) -> Path:
    return small.out / ".stylebatch/ledger.sqlite"


def adopt(small: Small) -> str:
    ended = command("adopt", str(small.out))
    assert ended.code == 0, ended
    return ended.out


def test_the_metadata_have_each_files_digest(small: Small) -> None:
    for row in lines(small.out / "metadata.jsonl"):
        data = (small.out / row["file_name"]).read_bytes()
        assert row["digest"] == blake2b(data, digest_size=16).hexdigest()


def test_an_output_that_was_copied_without_its_state_goes_on(small: Small) -> None:
    shutil.rmtree(small.out / ".stylebatch")
    before, told = small.identities(), small.metadata()
    planned = command("plan", str(small.write()))
    assert "nothing to do" in planned.out
    assert not (small.out / ".stylebatch").exists()
    ended = small.run()
    assert ended.code == 0
    assert "6 images known again by metadata.jsonl" in ended.out
    assert small.identities() == before
    assert small.metadata() == told
    assert small.summary()["adopted"] == 6
    # A change afterwards affects what it would have.
    small.photo("cats/a.png", 77)
    assert small.again() == {"cats/a-s.png", "cats/a-t.png", "cats/a.png"}


def test_what_was_changed_since_is_not_taken_for_ours(small: Small) -> None:
    shutil.rmtree(small.out / ".stylebatch")
    retouched = small.out / "images/cats/a-s.png"
    retouched.write_bytes(b"retouched")
    ended = small.run()
    assert ended.code == 2
    assert "stylebatch did not make it" in ended.err
    assert "stylebatch adopt" in ended.err
    assert retouched.read_bytes() == b"retouched"
    # Told to, it is known as ours, and lies aside when it is made again.
    assert "5 images adopted, 1 to be made again" in adopt(small)
    assert small.again() == {"cats/a-s.png"}
    assert small.stale() == {"cats/a-s.png"}
    (kept,) = (small.out / ".stylebatch/stale").glob("*/images/cats/a-s.png")
    assert kept.read_bytes() == b"retouched"


def test_files_of_somebody_else_stay_unknown(small: Small) -> None:
    shutil.rmtree(small.out / ".stylebatch")
    (small.out / "images/cats/own.png").write_bytes(b"mine")
    assert "6 images adopted, 1 file left that no run is known to have made" in adopt(small)
    assert (small.out / "images/cats/own.png").read_bytes() == b"mine"


def _garbage(path: Path) -> None:
    path.write_bytes(b"no database at all " * 1000)


def _zeroed_pages(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 * 2 :] = bytes(len(data) - 4096 * 2)
    path.write_bytes(data)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 4096 * 3 + 100])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_garbage, _zeroed_pages, _cut], ids=lambda f: f.__name__)
def test_a_damaged_ledger_names_its_remedy_and_has_it(small: Small, damage: object) -> None:
    assert callable(damage)
    before, told = small.identities(), small.metadata()
    damage(ledger(small))
    for name in ("run", "plan", "status"):
        ended = command(name, str(small.write()))
        assert ended.code in (2, 5), ended
        assert "stylebatch adopt" in ended.err
        assert "Traceback" not in ended.err
    damaged = ledger(small).read_bytes()
    assert "6 images adopted" in adopt(small)
    assert (small.out / ".stylebatch/ledger.sqlite.damaged-1").read_bytes() == damaged
    assert small.again() == set()
    assert small.identities() == before
    assert small.metadata() == told


def test_an_empty_ledger_is_filled_by_a_run(small: Small) -> None:
    before = small.identities()
    _empty(ledger(small))
    assert small.again() == set()
    assert small.identities() == before


def test_a_ledger_that_was_rolled_back_is_brought_up(small: Small) -> None:
    old = ledger(small).read_bytes()
    small.photo("dogs/c.png", 50)
    assert len(small.again()) == 3
    before = small.identities()
    ledger(small).write_bytes(old)
    assert small.run().code == 2, "its files are in the way"
    assert "3 images adopted, 6 known already" in adopt(small)
    assert small.again() == set()
    assert small.identities() == before


def test_a_newer_ledger_is_not_taken_for_a_damaged_one(small: Small) -> None:
    with closing(sqlite3.connect(ledger(small))) as connection:
        connection.execute("PRAGMA user_version = 1000")
    before = contents(small.out)
    ended = command("adopt", str(small.out))
    assert ended.code == 2
    assert "newer" in ended.err
    assert contents(small.out).keys() == before.keys()


def test_adopting_a_sound_output_changes_nothing(small: Small) -> None:
    before, told = small.identities(), small.metadata()
    assert "0 images adopted, 6 known already" in adopt(small)
    assert (small.identities(), small.metadata()) == (before, told)


def test_a_retouched_result_is_set_aside_when_it_is_made_again(small: Small) -> None:
    path = small.out / "images/cats/a-s.png"
    made = path.read_bytes()
    path.write_bytes(b"retouched by hand")
    ended = small.run()
    assert ended.code == 0
    assert "1 replaced, the old in .stylebatch/stale" in ended.out
    assert path.read_bytes() == made
    (kept,) = (small.out / ".stylebatch/stale").glob("*/images/cats/a-s.png")
    assert kept.read_bytes() == b"retouched by hand"


def test_a_link_in_an_images_place_is_set_aside_as_it_is(small: Small) -> None:
    path = small.out / "images/cats/a-s.png"
    path.unlink()
    path.symlink_to("nowhere")
    assert small.run().code == 0
    assert path.is_file()
    assert not path.is_symlink()
    (kept,) = (small.out / ".stylebatch/stale").glob("*/images/cats/*")
    assert kept.is_symlink()


def test_the_metadata_name_no_file_that_is_not_there(small: Small) -> None:
    for name in ("cats/a-s.png", "dogs/b-t.png"):
        (small.out / "images" / name).unlink()
    ended = small.run("--limit", "1")
    assert ended.code == 0
    named = {row["file_name"] for row in lines(small.out / "metadata.jsonl")}
    assert len(named) == 5
    assert all((small.out / name).exists() for name in named)


def test_two_manifests_with_one_pair_on_one_output_are_refused(small: Small) -> None:
    other = small.root / "other.yaml"
    other.write_bytes(small.write().read_bytes())
    before = small.identities()
    for name in ("run", "plan"):
        ended = command(name, str(other))
        assert ended.code == 2
        assert "pair 'all' of" in ended.err
        assert "pipeline.yaml" in ended.err
    assert small.identities() == before
    # A manifest that was renamed is none besides.
    small.manifest.unlink()
    assert command("run", str(other)).code == 0
    assert small.identities() == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metadata.jsonl", '{"file_name": "cats/a.png", "text": "mine"}\n'),
        ("metadata.jsonl", "no JSON"),
        ("settings.json", '{"theme": "dark"}'),
        ("failures.jsonl", '{"why": "mine"}\n'),
        ("run.json", '["mine"]'),
        ("losses/cats/a-s.csv", "epoch,loss\n"),
    ],
)
def test_files_of_somebody_else_are_not_written_over(tmp_path: Path, name: str, text: str) -> None:
    small = small_project(tmp_path)
    place = small.out / name
    place.parent.mkdir(parents=True)
    place.write_text(text)
    for command_name in ("plan", "run"):
        ended = command(command_name, str(small.write()))
        assert ended.code == 2, ended
        assert str(place) in ended.err
        assert "stylebatch did not make it" in ended.err
    assert place.read_text() == text
    assert not (small.out / "images").exists() or not contents(small.out / "images")


CAPTIONS = '{"file_name": "images/mine.png", "text": "my caption"}\n'


@pytest.mark.parametrize("name", ["run", "adopt"])
def test_somebody_elses_image_folder_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    small = color_project(tmp_path)
    (small.out / "images").mkdir(parents=True)
    picture(3).save(small.out / "images/mine.png")
    (small.out / "metadata.jsonl").write_text(CAPTIONS)
    before = contents(small.out)
    ended = command(name, str(small.write()))
    assert ended.code == 2
    assert "metadata.jsonl" in ended.err
    assert contents(small.out) == before


def test_a_locked_ledger_is_not_taken_for_a_damaged_one(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stylebatch.ledger.database._BUSY_TIMEOUT_S", 0.2)
    with closing(sqlite3.connect(ledger(small), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        ended = command("adopt", str(small.out))
    assert ended.code != 0
    assert not [*(small.out / ".stylebatch").glob("*damaged*")]
    assert small.again() == set()


@pytest.mark.parametrize("lock", ["EXCLUSIVE", "IMMEDIATE"])
def test_a_ledger_that_stays_locked_is_waited_for_then_told_as_what_it_is(
    small: Small, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr("stylebatch.ledger.database._BUSY_TIMEOUT_S", 0.5)
    small.photo("cats/new.png", 9)
    with closing(sqlite3.connect(ledger(small), isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        began = time.monotonic()
        ended = small.run()
        waited_s = time.monotonic() - began
    assert waited_s >= 0.5
    assert ended.code == 5
    assert "is locked by another process" in ended.err
    assert "end what has it open" in ended.err
    assert "adopt" not in ended.err
    assert small.again() == {"cats/new-s.png", "cats/new-t.png", "cats/new.png"}


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_ledger_from_before_its_images_were_done_is_brought_up(small: Small, state: str) -> None:
    before = small.identities()
    told = small.metadata()
    with closing(sqlite3.connect(ledger(small))) as connection, connection:
        connection.execute("UPDATE jobs SET state = ?, size = NULL WHERE folder = 'cats'", (state,))
    assert "3 images adopted, 3 known already" in adopt(small)
    assert small.metadata() == told
    assert small.again() == set()
    assert small.identities() == before


def test_a_run_that_was_killed_while_it_took_images_in_goes_on(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(small.out / ".stylebatch")
    before = small.identities()
    monkeypatch.setattr("stylebatch.run.adopt._BLOCK", 1)
    real, calls = Ledger.adopt, list[object]()

    def fail_late(self: Ledger, images: Iterable[AdoptedImage]) -> None:
        calls.append(images)
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(self, images)

    monkeypatch.setattr(Ledger, "adopt", fail_late)
    assert small.run().code == 4
    assert small.again() == set()
    assert small.identities() == before


def test_a_loss_log_of_ours_is_in_nobodys_way(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run().code == 0
    shutil.rmtree(small.out / ".stylebatch")
    (small.out / "images/cats/a-s.png").unlink()
    assert small.again() == {"cats/a-s.png"}


def test_a_link_to_nothing_among_the_images_stops_no_adoption(small: Small) -> None:
    shutil.rmtree(small.out / ".stylebatch")
    (small.out / "images/cats/own.png").symlink_to("nowhere")
    assert small.again() == set()
    assert (small.out / "images/cats/own.png").is_symlink()


def test_an_edited_line_costs_itself_alone(small: Small) -> None:
    path = small.out / "metadata.jsonl"
    rows = lines(path)
    rows[0]["label"] = {"mine": 1}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.rmtree(small.out / ".stylebatch")
    before = small.identities()
    assert small.again() == set()
    assert small.identities() == before


def test_manifests_are_told_apart_after_a_merge_as_well(small: Small) -> None:
    small.document["output"] = "shared"
    assert small.run("--shard", "0/1").code == 0
    assert command("merge", str(small.manifest)).code == 0
    other = small.root / "other.yaml"
    other.write_bytes(small.manifest.read_bytes())
    assert command("run", str(other)).code == 2


@pytest.mark.slow
def test_a_ledger_that_is_removed_in_mid_run_ends_the_run(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    assert small.run().code == 0
    small.photo("cats/c.png", 9)
    small.pair["steps"] = 100_000
    process = start("run", str(small.write()))
    activity = small.out / ".stylebatch/activity.json"
    wait_until(lambda: activity.exists() and '"total"' in activity.read_text(), "it is at work")
    ledger(small).unlink()
    ended = end(process)
    assert ended.code == 5, ended
    assert "was removed or replaced while a run goes on" in ended.err
    # What stands is known again by the metadata.
    small.pair["steps"] = 3
    assert small.again() == {"cats/c-s.png", "cats/c-t.png"}


def test_a_signal_while_images_are_taken_in_ends_it_and_the_next_run_goes_on(
    tmp_path: Path,
) -> None:
    small = color_project(tmp_path)
    for number in range(110):
        small.photo(f"cats/{number}.png", number)
    assert len(small.again()) == 224
    shutil.rmtree(small.out / ".stylebatch")
    before = small.identities()

    stop = StopRequest()

    class Asking(Quiet):
        """Asks for it, as a signal does, once a hundred images have been looked at."""

        def doing(self, text: str) -> None:
            if "100 images" in text:
                stop.count = 1

    with pytest.raises(KeyboardInterrupt):
        run(load_manifest(small.write()), RunRequest(), Asking(), stop)
    assert small.summary()["stopped_by"] == "signal"
    assert small.summary()["adopted"] == 0
    assert small.again() == set()
    assert small.summary()["adopted"] > 0
    assert small.identities() == before
