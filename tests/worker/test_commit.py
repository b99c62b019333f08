"""Finished images into place: files first, the folder synced, then the event; nothing half."""

import os
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.loss_logs import read_log
from support.runs import picture, wait_until

from stylebatch.device.canvas import make_canvas
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.recipes import Recipe, recipe_fields, recipe_on
from stylebatch.records import Job, JobDone
from stylebatch.transfer.problem import Row
from stylebatch.worker.commit import GROUP_IMAGES, Committer, Finished, Progressed

ROWS = [Row(1, 0, 3.0, 1.0, 2.0, 0.0, True, 0.5), Row(2, 0, 2.0, 1.0, 1.0, 0.0, True, 0.75)]


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    found = Dataset(tmp_path / "out")
    found.make_folders()
    return found


@pytest.fixture
def committer(dataset: Dataset) -> Iterator[Committer]:
    with OutputLock(dataset, "run"):
        made = Committer(dataset, "run", 0)
        yield made
        made.close()


def recipe(**fields: Any) -> Recipe:
    return recipe_on("vgg19", {**recipe_fields("balanced"), **fields})


def finished(output: str, number: int = 1, **fields: Any) -> Finished:
    """An image of 20 × 12 px whose file has 40 × 24."""
    job = Job(output, f"print {output}", "p", "s", "c", "d", None, "t", 1, 20, 12, 1.0, None)
    settings = recipe(**fields)
    content = np.asarray(picture(number + 50, 40, 24))
    canvas = make_canvas(settings, content, None, None, 20, 12)
    pixels = np.asarray(picture(number, 20, 12))
    beside = np.asarray(picture(99, 10, 24)) if settings.side_by_side else None
    return Finished(job, settings, pixels, canvas, beside, ROWS, {"evaluations": 2})


def all_done(committer: Committer, count: int) -> list[JobDone]:
    """Flush, and wait for as many events."""
    found: list[JobDone] = []
    committer.flush()

    def are_there() -> bool:
        found.extend(event for event in committer.done(0.05) if isinstance(event, JobDone))
        return len(found) >= count

    wait_until(are_there, f"{count} images in place")
    return found


def test_an_image_and_its_log_are_in_place_before_the_event(
    dataset: Dataset, committer: Committer
) -> None:
    committer.put(finished("cats/a-s.png"))
    assert committer.pending == 1
    (event,) = all_done(committer, 1)
    assert committer.pending == 0
    path = dataset.image_path("cats/a-s.png")
    assert (event.output, event.fingerprint, event.size) == (
        "cats/a-s.png", "print cats/a-s.png", path.stat().st_size,
    )  # fmt: skip
    digest = blake2b(path.read_bytes(), digest_size=16).hexdigest()
    assert event.facts == {"evaluations": 2, "digest": digest}
    wanted = picture(1, 20, 12).resize((40, 24), Image.Resampling.LANCZOS)
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), np.asarray(wanted))
    assert read_log(dataset.log_path("cats/a-s.png").read_bytes()) == ROWS


def test_more_than_a_group_come_out_each_once_and_nothing_is_left_behind(
    dataset: Dataset, committer: Committer
) -> None:
    names = [f"c{number % 3}/{number:03}.png" for number in range(GROUP_IMAGES + 9)]
    for number, name in enumerate(names):
        committer.put(finished(name, number))
    events = all_done(committer, len(names))
    assert sorted(event.output for event in events) == sorted(names)
    there = {path.relative_to(dataset.images).as_posix() for path in dataset.images.rglob("*.png")}
    assert there == set(names)
    left = [name for _, _, found in os.walk(dataset.state / "tmp") for name in found]
    assert left == []


def test_closing_commits_what_was_handed_over(dataset: Dataset) -> None:
    with OutputLock(dataset, "run"):
        committer = Committer(dataset, "run", 0)
        committer.put(finished("a.png"))
        committer.close()
        assert [event.output for event in committer.done()] == ["a.png"]
    assert dataset.image_path("a.png").exists()


def test_pictures_beside_and_on_the_way_stand_where_they_belong(
    dataset: Dataset, committer: Committer
) -> None:
    one = finished("cats/a.png", side_by_side=True)
    committer.put_progress(Progressed(one.job, one.recipe, one.pixels, one.canvas, 7))
    committer.put(one)
    all_done(committer, 1)
    with Image.open(dataset.side_by_side_path("cats/a.png")) as row:
        assert row.size == (40 + 40 + 10, 24)
    with Image.open(dataset.progress_path("cats/a.png", 7)) as image:
        assert image.size == (40, 24)


def test_nothing_is_renamed_into_an_output_that_another_run_holds(
    dataset: Dataset, committer: Committer
) -> None:
    dataset.holder.write_text(dataset.holder.read_text().replace('"run"', '"next"'))
    committer.put(finished("a.png"))
    committer.flush()
    with pytest.raises(LostOutputError, match="no longer holds the output; run again"):
        wait_until(lambda: committer.done(0.05), "an error")
    assert list(dataset.images.iterdir()) == []


def test_an_output_that_vanishes_is_told_and_not_made_again(
    dataset: Dataset, committer: Committer
) -> None:
    dataset.root.rename(dataset.root.with_name("moved"))
    committer.put(finished("a.png"))
    committer.flush()
    with pytest.raises(LostOutputError, match="the output can't be written"):
        wait_until(lambda: committer.done(0.05), "an error")
    assert not dataset.root.exists()


def test_a_committer_without_a_place_to_write_says_so_at_once(dataset: Dataset) -> None:
    dataset.root.rename(dataset.root.with_name("moved"))
    with pytest.raises(LostOutputError, match=r"No such file.*mend it and run again"):
        Committer(dataset, "run", 0)
