"""Columns follow from `records.Job`: no field is lost on its way through plan and ledger."""

from dataclasses import fields
from pathlib import Path

import pytest
from support.projects import Project, project_of_three, waiting

from stylebatch.ledger.columns import DESCRIBED, JOB_COLUMNS, KEPT_COLUMNS
from stylebatch.ledger.database import Database
from stylebatch.plan import Planned
from stylebatch.records import Job

# Of the ledger's own, by table: how it went with a job, and where its image lies.
OWN = {
    "jobs": {"state", "size", "deaths", "reason"},
    "successors": {"state", "deaths", "reason", "run_id"},
    "aside": {"size", "facts", "run_id"},
}


def test_the_columns_are_a_jobs_fields_its_output_in_two() -> None:
    names = [field.name for field in fields(Job)]
    assert ("folder", "name", *names[1:]) == JOB_COLUMNS
    assert set(Planned._fields) - {"name"} < set(names)
    assert set(DESCRIBED) < set(names)


@pytest.mark.parametrize("table", OWN)
def test_a_ledgers_own_tables_have_what_is_kept_of_a_job(tmp_path: Path, table: str) -> None:
    database = Database.open(tmp_path / "ledger.sqlite")
    found = {row[1] for row in database.connection.execute(f"PRAGMA main.table_info({table})")}
    database.close()
    assert found == {*KEPT_COLUMNS, *OWN[table]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of_three(tmp_path)


def test_a_job_comes_out_of_the_plan_with_every_field_and_type(project: Project) -> None:
    styles = [project.style("wave", 1), project.style("sky", 2)]
    settings = project.settings(start="noise")
    pair = project.pair(styles, strength=(0.5, 2.0), settings=settings)
    jobs = project.jobs(pair)
    assert len(jobs) == 6
    for job in jobs.values():
        assert all(type(getattr(job, each.name)) in _plain(each.type) for each in fields(Job))
        assert job.noise_seed is not None
        assert 0.5 <= job.strength <= 2
    assert len({(job.content, job.style) for job in jobs.values()}) == len(jobs)


def _plain(declared: object) -> set[type]:
    """Return the types that a field's annotation allows."""
    return set(getattr(declared, "__args__", (declared,)))


def test_what_was_claimed_is_what_the_ledger_tells(project: Project) -> None:
    pair = project.pair([project.style("wave", 1)])
    with project.ledger() as ledger:
        jobs = waiting(project.plan(ledger, pair))
        ledger.claim(jobs)
        project.finish(ledger, jobs)
        told = {row["output"]: row for row in ledger.done()}
    for job in jobs:
        row = told[job.output]
        for name in ("pair", "label", "content", "content_digest", "style", "variant", "strength"):
            assert row[name] == getattr(job, name), name
        assert (row["seed"], row["settings_id"]) == (job.noise_seed, job.settings_id)
