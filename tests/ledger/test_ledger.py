import shutil
import signal
import sqlite3
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.jobs import UNSCORED
from support.projects import OUTPUT, Project, waiting

from stylebatch.errors import RunError
from stylebatch.ledger import Ledger, LedgerError
from stylebatch.ledger.database import Database
from stylebatch.ledger.schema import MIGRATIONS
from stylebatch.manifest import Pair
from stylebatch.plan import KnownFile, PlanError
from stylebatch.records import JobDone, JobFailed
from stylebatch.system.files import write_synced


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four photographs of two shapes."""
    project = Project(tmp_path / "here")
    for number, path in enumerate(["a.png", "b.png", "cats/c.png", "cats/d.png"]):
        project.photo(path, number, width=48 if number % 2 else 96)
    return project


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


def states(project: Project, pair: Pair, **options: Any) -> tuple[int, int, int]:
    """How many jobs a plan finds done, failed and pending."""
    with project.ledger(read_only=True) as ledger:
        counts = project.plan(ledger, pair, **options).counts[pair.name]
    assert counts.total == counts.done + counts.failed + counts.pending
    return counts.done, counts.failed, counts.pending


def known(ledger: Ledger, folder: str) -> dict[str, KnownFile]:
    return ledger.known_files(folder, "", "~")


def contents(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


# Opening


def test_a_ledger_opens_again_with_what_was_written(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.put("key", {"a": [1, 2.5]})
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.get("key") == {"a": [1, 2.5]}
        assert ledger.get("other") is None


def test_the_journal_is_rolled_back_not_written_ahead(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite"):
        connection = sqlite3.connect(tmp_path / "ledger.sqlite")
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] in ("delete", "truncate")
        connection.close()
    assert not list(tmp_path.glob("*-wal"))


@pytest.mark.parametrize("read_only", [False, True])
def test_a_newer_ledger_is_refused_and_left_as_it_is(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    Database.open(path, migrations=[*MIGRATIONS, "CREATE TABLE more (x)"]).close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="a newer stylebatch wrote") as caught:
        Ledger.open(path, read_only=read_only)
    assert caught.value.exit_code == 2
    assert path.read_bytes() == before


def test_an_older_ledger_is_brought_up_to_date_and_keeps_what_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.put("key", 1)
    newer = [*MIGRATIONS, "ALTER TABLE files ADD COLUMN more INTEGER"]
    before = path.read_bytes()
    for read_only in (True, False):
        database = Database.open(path, read_only=read_only, migrations=newer)
        database.connection.execute("SELECT more FROM files")
        assert Ledger(database).get("key") == 1
        database.close()
        assert (path.read_bytes() == before) == read_only


def test_a_ledger_from_before_masks_keeps_its_jobs_as_they_are(
    project: Project, pair: Pair
) -> None:
    path = project.dataset.ledger
    names = "pair, settings_id, label, content, content_digest, style, style_digest"
    jobs = project.jobs(pair)
    old = Database.open(path, migrations=MIGRATIONS[:1])
    for job in jobs.values():
        write_synced(project.dataset.image_path(job.output), OUTPUT)
        folder, _, name = job.output.rpartition("/")
        told = (job.pair, job.settings_id, job.label, job.content, job.content_digest, job.style)
        old.connection.execute(
            f"INSERT INTO jobs (folder, name, fingerprint, state, size, deaths, {names}, variant, "
            "strength) VALUES (?, ?, ?, 'done', ?, 0, ?, ?, ?, ?, ?, ?, 'digest', 1, 1.0)",
            (folder, name, job.fingerprint, len(OUTPUT), *told),
        )
    old.close()
    for _ in range(2):  # read from a copy, then brought up to date
        assert states(project, pair) == (8, 0, 0)
        with project.ledger() as ledger:
            rows = {row["output"]: row for row in ledger.done()}
        assert set(rows) == set(jobs)
        assert not any("mask" in row or "mask_digest" in row for row in rows.values())
    assert project.run(pair) == (set(), set())


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"these are not the rows that you are looking for" * 99)
    with pytest.raises(LedgerError, match="not a database"):
        Ledger.open(path, read_only=read_only)
    assert path.read_bytes().startswith(b"these")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_something_else_is_refused(tmp_path: Path, read_only: bool) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE jobs (x)")
    connection.close()
    with pytest.raises(LedgerError, match="no ledger of stylebatch"):
        Ledger.open(path, read_only=read_only)


def test_reading_only_writes_nothing_into_the_output(project: Project, pair: Pair) -> None:
    assert states(project, pair) == (0, 0, 8)
    assert not project.dataset.root.exists()
    project.run(pair)
    project.photo("new.png", 7)
    before = contents(project.dataset.root)
    assert states(project, pair) == (8, 0, 2)
    assert contents(project.dataset.root) == before


KILLED = """
import os, signal, sys
from pathlib import Path
from stylebatch.ledger.database import Database
database = Database.open(Path(sys.argv[1]))
# A cache of ten pages spills, so that the file itself is half written.
database.connection.execute("PRAGMA cache_size = 10")
with database.transaction():
    database.connection.execute("DELETE FROM meta")
    rows = (("f", str(i), 1, 1, "d" * 32, 1, 1) for i in range(20000))
    insert = "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, 1, 1, '')"
    database.connection.executemany(insert, rows)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_writer_killed_in_mid_transaction_leaves_what_was_before(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.put("key", 1)
    size = path.stat().st_size
    died = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert path.stat().st_size > size
    half_written = contents(tmp_path)
    with Ledger.open(path, read_only=True) as ledger:
        assert (ledger.get("key"), known(ledger, "f")) == (1, {})
    assert contents(tmp_path) == half_written
    with Ledger.open(path) as ledger:
        assert (ledger.get("key"), known(ledger, "f")) == (1, {})


def test_a_ledger_that_cannot_be_written_is_a_failure_of_the_run(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger._database.connection.execute("PRAGMA max_page_count = 10")
        with pytest.raises(RunError, match="full"):
            ledger.put("key", "x" * 1_000_000)
        ledger.put("key", "small")
        assert ledger.get("key") == "small"


# Inputs


def test_inputs_are_remembered_by_folder(tmp_path: Path) -> None:
    one, other = KnownFile(1, 2, "a", 3, 4), KnownFile(5, 6, "b", 7, 8)
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.remember_files("photos", {"x.png": one})
        ledger.remember_files("photos/cats", {"x.png": other})
        assert known(ledger, "photos") == {"x.png": one}
        ledger.remember_files("photos", {"x.png": other})
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert known(ledger, "photos") == known(ledger, "photos/cats") == {"x.png": other}


def test_inputs_read_before_an_error_are_still_remembered(project: Project, pair: Pair) -> None:
    with pytest.raises(PlanError), project.ledger() as ledger:
        project.plan(ledger, pair, replace(pair, name="other"))
    with project.ledger(read_only=True) as ledger:
        assert set(known(ledger, "photos/cats")) == {"c.png", "d.png"}


# What a plan finds


def test_done_means_the_fingerprint_and_the_file_of_the_recorded_size(
    project: Project, pair: Pair
) -> None:
    project.run(pair)
    assert states(project, pair) == (8, 0, 0)
    project.dataset.image_path("a-wave.png").unlink()
    write_synced(project.dataset.image_path("cats/c-sky.png"), OUTPUT[:-1])
    assert states(project, pair) == (6, 0, 2)
    assert states(project, pair, redo=True) == (0, 0, 8)


def test_what_was_claimed_but_not_recorded_is_run_again(project: Project, pair: Pair) -> None:
    with project.ledger() as ledger:
        jobs = waiting(project.plan(ledger, pair))
        ledger.claim(jobs[:3])
        ledger.record([JobDone(0, jobs[0].output, jobs[0].fingerprint, len(OUTPUT))])
        for job in jobs[:2]:
            write_synced(project.dataset.image_path(job.output), OUTPUT)
    assert states(project, pair) == (1, 0, 7)
    assert len(project.run(pair)[0]) == 7


def test_what_failed_stays_failed_until_asked_for_or_changed(project: Project, pair: Pair) -> None:
    with project.ledger() as ledger:
        jobs = waiting(project.plan(ledger, pair))
        ledger.claim(jobs)
        ledger.record([JobFailed(0, job.output, job.fingerprint, "diverged") for job in jobs])
        assert [row["reason"] for row in ledger.failures()] == ["diverged"] * 8
        assert ledger.counts() == {"all": {"failed": 8}}
    assert states(project, pair) == (0, 8, 0)
    assert states(project, pair, retry_failed=True) == (0, 0, 8)
    project.photo("a.png", 99)
    assert states(project, pair) == (0, 6, 2)


def test_a_file_that_stylebatch_did_not_make_stops_the_plan(project: Project, pair: Pair) -> None:
    foreign = project.dataset.image_path("cats/c-wave.png")
    write_synced(foreign, b"somebody's own")
    with pytest.raises(PlanError, match=r"c-wave\.png: exists, but stylebatch did not make it"):
        project.run(pair)
    assert foreign.read_bytes() == b"somebody's own"
    assert states(project, pair, redo=True) == (0, 0, 8)


def test_other_files_among_the_images_are_left_alone(project: Project, pair: Pair) -> None:
    foreign = project.dataset.image_path("cats/mine.png")
    write_synced(foreign, b"somebody's own")
    project.run(pair)
    project.run(replace(pair, into="else"))
    assert foreign.read_bytes() == b"somebody's own"


def test_a_moved_output_is_still_done(project: Project, pair: Pair, tmp_path: Path) -> None:
    project.run(pair)
    shutil.move(project.root, tmp_path / "there")
    moved = Project(tmp_path / "there")
    assert states(moved, pair) == (8, 0, 0)
    assert moved.run(pair) == (set(), set())


def test_stale_are_outputs_out_of_the_plan_for_this_manifests_pairs(
    project: Project, pair: Pair
) -> None:
    other = replace(pair, name="other", into="other")
    project.run(pair, other)
    changed = replace(pair, styles=pair.styles[:1])
    project.photo("a.png", 99)
    with project.ledger() as ledger:
        planned = project.plan(ledger, changed)
        assert planned.find_stale().stale == 4
        (outputs,) = planned.stale()
        assert planned.counts["all"].outdated == 1
        assert [job.output for job in waiting(planned) if job.is_replacement] == ["a-wave.png"]
        assert ledger.counts()["all"] == {"done": 3, "outdated": 5}
        assert ledger.counts()["other"] == {"done": 8}
    assert sorted(outputs) == ["a-sky.png", "b-sky.png", "cats/c-sky.png", "cats/d-sky.png"]


def test_jobs_are_grouped_by_shape_and_taken_on_from_where_one_was(
    project: Project, pair: Pair
) -> None:
    with project.ledger(read_only=True) as ledger:
        planned = project.plan(ledger, pair)
        groups = planned.groups()
        assert sorted((g.width, g.height, g.num_jobs) for g in groups) == [(64, 32, 4), (96, 32, 4)]
        for group in groups:
            jobs = planned.take(group, 10)
            assert len({job.output for job in jobs}) == 4
            assert planned.take(group, 10, 2) == jobs[2:]
            assert planned.take(group, 1, 2) == jobs[2:3]
            assert planned.take(group, 10, 4) == []


def test_a_preview_is_spread_over_styles_and_shapes(project: Project, pair: Pair) -> None:
    with project.ledger(read_only=True) as ledger:
        jobs = project.plan(ledger, pair, redo=True).spread(4)
    assert len({(job.style, job.width) for job in jobs}) == 4


# Claims, deaths, records


def test_deaths_are_counted_across_runs_until_done_failed_or_changed(
    project: Project, pair: Pair
) -> None:
    def claim_first() -> str:
        with project.ledger() as ledger:
            job = waiting(project.plan(ledger, pair, retry_failed=True))[0]
            ledger.claim([job])
            return job.output

    output = claim_first()
    with project.ledger() as ledger:
        assert ledger.add_death(output) == 1
    claim_first()
    with project.ledger() as ledger:
        assert ledger.add_death(output) == 2
        ledger.record([JobFailed(0, output, project.jobs(pair)[output].fingerprint, "died")])
    claim_first()
    with project.ledger() as ledger:
        assert ledger.add_death(output) == 1


def test_the_digest_of_the_bytes_that_were_decoded_replaces_the_planned_one(
    project: Project, pair: Pair
) -> None:
    with project.ledger() as ledger:
        (job, *_) = waiting(project.plan(ledger, pair))
        ledger.claim([job])
        facts = {"content_digest": "decoded", "evaluations": 5}
        ledger.record([JobDone(0, job.output, job.fingerprint, 1, facts)])
        (row,) = ledger.done()
    assert row["content_digest"] == "decoded"
    assert row["facts"] == {"evaluations": 5, **UNSCORED}
    assert row["strength"] == 1.0


def test_forgotten_outputs_are_foreign(project: Project, pair: Pair) -> None:
    project.run(pair)
    with project.ledger() as ledger:
        ledger.forget(["a-wave.png"])
    with pytest.raises(PlanError, match="did not make it"):
        states(project, pair)


def test_changes_count_what_the_metadata_would_tell(project: Project, pair: Pair) -> None:
    project.run(pair)
    with project.ledger() as ledger:
        before = ledger.changes
        project.plan(ledger, pair)
        ledger.put("key", 1)
        assert ledger.changes == before
        project.plan(ledger, replace(pair, name="renamed"))
        assert ledger.changes == before + 1


def test_a_status_can_be_read_while_a_run_writes(project: Project, pair: Pair) -> None:
    project.run(pair)
    with project.ledger() as writer, writer._database.transaction():
        writer.put("key", 1)
        with project.ledger(read_only=True) as reader:
            assert reader.counts() == {"all": {"done": 8}}
            assert reader.get("plan") == {"all": 8}


def test_planning_to_read_does_not_keep_a_writer_waiting(project: Project, pair: Pair) -> None:
    project.run(pair)
    with project.ledger(read_only=True) as reader, project.ledger() as writer:
        planned = project.plan(reader, replace(pair, strength=(2.0, 2.0)))
        planned.find_stale()
        writer._database.connection.execute("PRAGMA busy_timeout = 0")
        writer.put("key", 1)
        assert len(waiting(planned)) == 8


def test_settings_are_kept_by_id(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.remember_settings({"b": {"recipe": "x"}, "a": {"recipe": "y"}})
        ledger.remember_settings({"b": {"recipe": "z"}})
        assert ledger.settings() == {"a": {"recipe": "y"}, "b": {"recipe": "z"}}


def test_a_ledger_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        Ledger.open(tmp_path / "file" / "ledger.sqlite")
