"""What a run writes about its output, as readers of JSON have it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.jobs import UNSCORED
from support.projects import Project, project_of_three, waiting

from stylebatch.manifest import Pair
from stylebatch.output.layout import Dataset
from stylebatch.records import JobFailed
from stylebatch.run.metadata import metadata_row, write_records
from stylebatch.run.session import RunSummary, write_summary


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of_three(tmp_path)


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_metadata_has_a_line_for_each_image(project: Project, pair: Pair) -> None:
    project.run(pair)
    rows = lines(project.dataset.metadata)
    assert [row["file_name"] for row in rows] == [
        "images/a-sky.png",
        "images/a-wave.png",
        "images/cats/b-sky.png",
        "images/cats/b-wave.png",
        "images/dogs/c-sky.png",
        "images/dogs/c-wave.png",
    ]
    row = rows[3]
    assert row.pop("content_digest") != row.pop("style_digest")
    assert re.fullmatch(r"[0-9a-f]{32}", str(row.pop("fingerprint")))
    assert row == {
        "file_name": "images/cats/b-wave.png",
        "pair": "all",
        "label": "cats",
        "split": None,
        "kind": "stylised",
        "content": "photos/cats/b.png",
        "style": "styles/wave.png",
        "variant": 1,
        "strength": 1.0,
        "seed": None,
        "settings_id": "settings",
        "digest": None,
        "evaluations": 3,
        "status": "converged",
        **UNSCORED,
    }


def test_the_metadata_is_written_only_when_something_changed(project: Project, pair: Pair) -> None:
    project.run(pair)
    before = project.dataset.metadata.stat()
    project.run(pair)
    assert project.dataset.metadata.stat().st_ino == before.st_ino
    project.run(replace(pair, name="other"))
    assert {row["pair"] for row in lines(project.dataset.metadata)} == {"other"}


def test_metadata_that_is_gone_is_written_again(project: Project, pair: Pair) -> None:
    project.run(pair)
    before = project.dataset.metadata.read_bytes()
    project.dataset.metadata.unlink()
    project.run(pair)
    assert project.dataset.metadata.read_bytes() == before


def test_a_key_that_loaders_take_for_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="mask_file_name"):
        metadata_row({"output": "a.png", "kind": "stylised", "facts": {"mask_file_name": "x"}})


def test_settings_are_written_once_each_and_only_those_in_use(project: Project, pair: Pair) -> None:
    with project.ledger() as ledger:
        ledger.remember_settings({"settings": {"steps": 3}, "unused": {"steps": 4}})
    project.run(pair)
    assert json.loads(project.dataset.settings.read_bytes()) == {"settings": {"steps": 3}}


def test_failures_have_a_file_as_long_as_there_are_any(project: Project, pair: Pair) -> None:
    with project.ledger() as ledger:
        job = waiting(project.plan(ledger, pair))[0]
        ledger.claim([job])
        ledger.record([JobFailed(0, job.output, job.fingerprint, "broken")])
        write_records(project.dataset, ledger)
        (row,) = lines(project.dataset.failures)
        assert (row["file_name"], row["reason"]) == (f"images/{job.output}", "broken")
        project.finish(ledger, waiting(project.plan(ledger, pair, retry_failed=True)))
        ledger.claim([job])
        project.finish(ledger, [job])
        write_records(project.dataset, ledger)
    assert not project.dataset.failures.exists()


def test_the_summary_can_be_read_again(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "out")
    dataset.make_folders()
    write_summary(dataset, RunSummary("run", "é.yaml", "now", done=3))
    written = json.loads(dataset.summary.read_bytes())
    assert (written["run_id"], written["manifest"], written["done"]) == ("run", "é.yaml", 3)
