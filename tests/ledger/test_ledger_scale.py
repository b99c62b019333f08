"""What makes a million jobs quick, against what it stands for: counts, names, reasons."""

import random
import sqlite3
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support.projects import OUTPUT, Project

from stylebatch.ledger import read_standing
from stylebatch.ledger.database import Database
from stylebatch.ledger.planned_jobs import PLAN_TABLES
from stylebatch.ledger.planned_names import PlannedNames
from stylebatch.ledger.schema import MIGRATIONS
from stylebatch.manifest import Pair
from stylebatch.records import JobDone, JobFailed

pytestmark = pytest.mark.slow

ADD_JOB = (
    "INSERT OR REPLACE INTO jobs (folder, name, pair, state, fingerprint, deaths, settings_id, "
    "content, content_digest, style, style_digest, variant, strength) "
    "VALUES (?, ?, ?, ?, '', 0, '', '', '', '', '', 1, 1.0)"
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Four photographs."""
    project = Project(tmp_path / "here")
    for number, path in enumerate(["a.png", "b.png", "cats/c.png", "cats/d.png"]):
        project.photo(path, number)
    return project


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(tmp_path / "ledger.sqlite")
    yield database
    database.close()


def counted(path: Path) -> dict[str, dict[str, int]]:
    """Count the jobs one by one."""
    with closing(sqlite3.connect(path)) as connection:
        found = Counter(connection.execute("SELECT pair, state FROM jobs").fetchall())
    pairs = sorted({pair for pair, _ in found})
    return {pair: {s: n for (p, s), n in sorted(found.items()) if p == pair} for pair in pairs}


def test_counts_follow_the_jobs_through_a_run_and_under_another_name(
    project: Project, pair: Pair
) -> None:
    path = project.dataset.ledger
    with project.ledger() as ledger:
        jobs = list(project.jobs(pair).values())
        project.plan(ledger, pair)
        events = [JobDone(0, job.output, job.fingerprint, len(OUTPUT)) for job in jobs]
        failures = [JobFailed(0, job.output, job.fingerprint, "no") for job in jobs]
        steps: list[Callable[[], object]] = [
            lambda: ledger.claim(jobs[:5]),
            lambda: ledger.record([*events[:2], *failures[2:4]]),
            lambda: ledger.claim(jobs[3:]),
            lambda: ledger.record([*events[3:], failures[0]]),
            lambda: ledger.forget([jobs[0].output, jobs[1].output]),
            lambda: project.plan(ledger, replace(pair, name="other")),
        ]
        for step in steps:
            step()
            assert ledger.counts() == counted(path) != {}
        assert set(ledger.counts()) == {"other"}


def test_counts_follow_rows_that_are_replaced_renamed_or_removed(database: Database) -> None:
    draw = random.Random(0)
    for _ in range(400):
        name, pair = f"{draw.randrange(20)}.png", draw.choice("ab")
        row = ("", name, pair, draw.choice(["done", "failed", "pending"]))
        action = draw.choice([ADD_JOB, "DELETE FROM jobs WHERE name = ?", "UPDATE"])
        if action == ADD_JOB:
            database.connection.execute(action, row)
        elif action == "UPDATE":
            update = "UPDATE jobs SET pair = ?, state = ? WHERE name = ?"
            database.connection.execute(update, (*row[2:], name))
        else:
            database.connection.execute(action, (name,))
        kept = database.connection.execute("SELECT pair, state, jobs FROM counts WHERE jobs <> 0")
        found = Counter(database.connection.execute("SELECT pair, state FROM jobs").fetchall())
        assert {(pair, state): count for pair, state, count in kept} == found


def test_a_ledger_from_before_the_counts_is_counted(project: Project) -> None:
    old = Database.open(project.dataset.ledger, migrations=MIGRATIONS[:2])
    rows = [("", f"{n}.png", "ab"[n % 2], "failed" if n % 3 else "done") for n in range(50)]
    old.connection.executemany(ADD_JOB, rows)
    old.close()
    for read_only in (True, False):
        with project.ledger(read_only=read_only) as ledger:
            assert ledger.counts() == counted(project.dataset.ledger)


def test_failures_are_told_by_reason_without_the_contents_own_name(
    project: Project, pair: Pair
) -> None:
    with project.ledger() as ledger:
        project.plan(ledger, pair)
        jobs = sorted(project.jobs(pair).values(), key=lambda job: job.output)
        ledger.claim(jobs)
        reasons = [f"{job.content}: damaged" for job in jobs[:4]]
        # Not its own name, or not in front: stays as it is.
        reasons += [f"x{jobs[4].content}: damaged", f"{jobs[0].content}: damaged", "%", "damaged"]
        failures = zip(jobs, reasons, strict=True)
        ledger.record([JobFailed(0, job.output, "", reason) for job, reason in failures])
        told = [*["damaged"] * 4, reasons[4], reasons[5], "%", "damaged"]
        assert ledger.reasons() == {
            job.output: reason for job, reason in zip(jobs, told, strict=True)
        }
    assert read_standing(project.dataset).failures == {
        "damaged": [job.output for job in (*jobs[:4], jobs[7])],
        reasons[4]: [jobs[4].output],
        reasons[5]: [jobs[5].output],
        "%": [jobs[6].output],
    }


def folded(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def test_collisions_and_what_nobody_planned_are_those_of_a_comparison_one_by_one(
    database: Database,
) -> None:
    draw = random.Random(1)
    folders = ["", "a", "A", "a/b", "\u00e9", "e\u0301", "c"]
    planned: list[tuple[str, str, str]] = []
    database.connection.executescript(PLAN_TABLES)
    names = PlannedNames(database)
    for pair in ("one", "two", "three"):
        for folder in folders:
            stems = draw.sample(["x", "y", "z", "\u00c9", "stra\u00dfe", "w"], 3)
            stems += [stem.upper() for stem in draw.sample(stems, 1) if pair != "one"]
            chosen = list({folded(f"{pair}{folder}{s}"): f"{s}.png" for s in stems}.values())
            for some in (chosen[:2], chosen[2:]):  # in blocks, as they are planned
                names.add(folder, pair, some)
            planned += [(folder, name, pair) for name in chosen]
    expected, first = Counter[tuple[str, str]](), dict[str, str]()
    for folder, name, pair in planned:
        one = first.setdefault(folded(f"{folder}/{name}"), pair)
        if one != pair:
            expected[one, pair] += 1
    found = Counter((each.one, each.other) for each in names.collisions())
    assert found == expected
    assert len(expected) == 3

    rows = [(f, f"{s}.png", p, "done") for f in [*folders, "d"] for s in "xyzw" for p in ["one"]]
    rows += [(f, "v.png", "theirs", "done") for f in folders]
    database.connection.executemany(ADD_JOB, rows)
    taken = {(folder, name) for folder, name, _ in planned}
    others = {row[:2] for row in rows if row[2] == "one"} - taken
    found_others = {other[:3] for other in names.find_others(["one"])}
    assert found_others == {(*at, "done") for at in others}
    assert others
