"""The output tree: what is made, swept and moved aside there."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from support.projects import OUTPUT, Project, project_of_three

from stylebatch.manifest import Pair
from stylebatch.output.aside import set_aside
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock, check_owner
from stylebatch.system.files import write_synced


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of_three(tmp_path)


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


def tree(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def test_what_is_set_aside_keeps_its_path_and_leaves_no_empty_folder(
    project: Project, pair: Pair
) -> None:
    project.run(pair)
    project.remove_photo("cats/b.png")
    _, moved = project.run(pair)
    assert moved == {"cats/b-wave.png", "cats/b-sky.png"}
    stale = project.dataset.stale_folder(project.run_id)
    assert (stale / "images/cats/b-wave.png").read_bytes() == OUTPUT
    assert (stale / "losses/cats/b-wave.csv").exists()
    for root in (project.dataset.images, project.dataset.losses):
        assert not (root / "cats").exists()
        assert (root / "dogs").exists()


def test_setting_aside_leaves_what_others_put_there(project: Project, pair: Pair) -> None:
    project.run(pair)
    write_synced(project.dataset.images / "cats/mine.png", b"mine")
    project.remove_photo("cats/b.png")
    project.run(pair)
    assert tree(project.dataset.images / "cats") == {"mine.png"}


def test_setting_aside_counts_the_images_that_were_there(project: Project, pair: Pair) -> None:
    project.run(pair)
    project.dataset.image_path("a-wave.png").unlink()
    assert set_aside(project.dataset, ["a-wave.png", "a-sky.png"], "run") == 1
    assert set_aside(project.dataset, ["a-wave.png", "a-sky.png"], "run") == 0
    assert project.dataset.images.exists()


def test_temporaries_of_other_runs_are_swept(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "out")
    dataset.sweep_temporaries("mine")
    for run in ("mine", "killed"):
        write_synced(dataset.temporary_folder(run) / "worker0/1.png.tmp", b"")
    for name in ("metadata.jsonl", "metadata-train.jsonl", "README.md"):
        write_synced(dataset.root / f".{name}.123.tmp", b"half")
    dataset.sweep_temporaries("mine")
    assert {path.name for path in (dataset.state / "tmp").iterdir()} == {"mine"}
    assert not list(dataset.root.glob("*.tmp"))


def test_a_run_whose_output_was_removed_leaves_the_next_one_its_own(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path / "out")
    dataset.make_folders()
    with ExitStack() as next_run:
        with OutputLock(dataset, "first"):
            (tmp_path / "out").rename(tmp_path / "elsewhere")
            dataset.make_folders()
            next_run.enter_context(OutputLock(dataset, "next"))
            with pytest.raises(LostOutputError):
                check_owner(dataset, "first")
        check_owner(dataset, "next")
