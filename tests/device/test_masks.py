"""Masks in the plan, the ledger and the metadata: found by stem, and part of what decides."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support.projects import Project, png

from stylebatch.manifest import Pair
from stylebatch.plan import PlanSummary
from stylebatch.records import Job
from stylebatch.system.files import write_synced


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two classes and a photograph outside of them, with a mask for each of the three."""
    project = Project(tmp_path)
    for number, path in enumerate(["a.jpg", "cats/b.png", "dogs/c.jpeg"]):
        project.photo(path, number)
        mask(project, path.rpartition(".")[0] + ".png", 10 + number)
    return project


def mask(project: Project, path: str, number: int) -> None:
    write_synced(project.root / "masks" / path, png(number))


def pair_of(project: Project, **fields: Any) -> Pair:
    return project.pair([project.style("wave.png", 1)], **{"masks": "masks"} | fields)


def masks(jobs: dict[str, Job]) -> dict[str, str]:
    return {output: job.mask for output, job in jobs.items()}


def metadata(project: Project) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, project.dataset.metadata.read_text().splitlines())
    return {row["file_name"].removeprefix("images/"): row for row in rows}


def test_a_mask_is_found_by_folder_and_stem_whatever_its_suffix(project: Project) -> None:
    mask(project, "cats/c.png", 5)
    (project.root / "masks/dogs/c.png").rename(project.root / "masks/dogs/c.webp")
    jobs = project.jobs(pair_of(project))
    assert masks(jobs) == {
        "a-wave.png": "masks/a.png",
        "cats/b-wave.png": "masks/cats/b.png",
        "dogs/c-wave.png": "masks/dogs/c.webp",
    }
    assert all(len(job.mask_digest) == 32 for job in jobs.values())
    assert len({job.mask_digest for job in jobs.values()}) == 3


def test_without_masks_jobs_have_none(project: Project) -> None:
    jobs = project.jobs(pair_of(project, masks=""))
    assert {(job.mask, job.mask_digest) for job in jobs.values()} == {("", "")}


def test_an_image_without_a_mask_is_a_job_that_says_what_it_lacks(project: Project) -> None:
    (project.root / "masks/cats/b.png").unlink()
    mask(project, "a.webp", 3)
    summary = PlanSummary()
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, pair_of(project), summary=summary)
    jobs = project.jobs(pair_of(project))
    found = {output: (job.mask, job.mask_digest) for output, job in jobs.items()}
    assert found["cats/b-wave.png"] == ("masks/cats/b.png", "")
    assert found["a-wave.png"] == ("masks/a.png and masks/a.webp", "")
    assert found["dogs/c-wave.png"][1]
    assert summary.warnings() == ["all: 2 photographs have no mask (such as a.jpg): they fail"]


def test_a_folder_without_any_masks_is_one_of_images_without_masks(project: Project) -> None:
    (project.root / "masks/cats/b.png").unlink()
    (project.root / "masks/cats").rmdir()
    job = project.jobs(pair_of(project))["cats/b-wave.png"]
    assert (job.mask, job.mask_digest) == ("masks/cats/b.png", "")


def test_two_images_of_one_stem_share_their_mask(project: Project) -> None:
    project.photo("cats/b.jpg", 7)
    jobs = project.jobs(pair_of(project))
    assert [job.mask for job in jobs.values()].count("masks/cats/b.png") == 2


def test_masks_are_read_once_and_again_only_if_they_changed(project: Project) -> None:
    project.run(pair_of(project))
    mask(project, "cats/b.png", 99)
    os.utime(project.root / "masks/a.png", ns=(1, 1))
    mask(project, "of-nothing.png", 4)
    summary = PlanSummary()
    with project.ledger() as ledger:
        project.plan(ledger, pair_of(project), summary=summary)
    assert summary.read.files == 2


# What is made again


def test_a_changed_mask_redoes_its_own_image(project: Project) -> None:
    project.run(pair_of(project))
    assert project.run(pair_of(project)) == (set(), set())
    mask(project, "cats/b.png", 99)
    assert project.run(pair_of(project)) == ({"cats/b-wave.png"}, {"cats/b-wave.png"})


def test_masks_that_are_added_or_taken_away_redo_every_image(project: Project) -> None:
    everything = {"a-wave.png", "cats/b-wave.png", "dogs/c-wave.png"}
    project.run(pair_of(project, masks=""))
    assert project.run(pair_of(project)) == (everything, everything)
    assert project.run(pair_of(project, masks="")) == (everything, everything)


def test_a_mask_that_is_added_later_redoes_its_own_image(project: Project) -> None:
    (project.root / "masks/cats/b.png").unlink()
    project.run(pair_of(project))
    mask(project, "cats/b.png", 11)
    assert project.run(pair_of(project))[0] == {"cats/b-wave.png"}


def test_a_missing_mask_is_not_the_same_as_a_pair_without_masks(project: Project) -> None:
    project.run(pair_of(project, masks=""))
    (project.root / "masks/cats/b.png").unlink()
    assert "cats/b-wave.png" in project.run(pair_of(project))[0]


def test_a_mask_that_moves_redoes_nothing_but_the_metadata(project: Project) -> None:
    project.run(pair_of(project))
    (project.root / "masks").rename(project.root / "others")
    assert project.run(pair_of(project, masks="others")) == (set(), set())
    assert metadata(project)["cats/b-wave.png"]["mask"] == "others/cats/b.png"


# Metadata


def test_the_metadata_names_a_mask_where_there_is_one(project: Project) -> None:
    project.run(
        pair_of(project, name="masked", into="masked"), pair_of(project, name="plain", masks="")
    )
    rows = metadata(project)
    masked, plain = rows["masked/cats/b-wave.png"], rows["cats/b-wave.png"]
    assert masked["mask"] == "masks/cats/b.png"
    assert len(masked["mask_digest"]) == 32
    assert set(masked) - set(plain) == {"mask", "mask_digest"}
