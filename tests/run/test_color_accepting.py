"""Thresholds of colour transfers: scores where they are asked for, rejects, weaker retries."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.metrics import structural_similarity
from support.runs import Small, color_project, command, lines, picture

from stylebatch.pictures.color_transfer import color_statistics, transfer_colors
from stylebatch.pictures.images import Pixels


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Return four images to make, 32 px, none of whose colours is the styles'."""
    small = color_project(tmp_path)
    for number, path in enumerate(sorted((small.root / "photos").rglob("*.png"))):
        picture(number, 32, 32).save(path)
    return small


def pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def ssim_at(small: Small, row: dict[str, object], strength: float) -> float:
    """Measure scikit-image's SSIM of a transfer and its photograph, in Pillow's luma."""
    photograph = pixels(small.root / str(row["content"]))
    statistics = color_statistics(pixels(small.root / str(row["style"])), "mean_std")
    made = transfer_colors(photograph, [(statistics, 1.0)], "mean_std", strength)
    luma = [np.asarray(Image.fromarray(each).convert("L"), float) for each in (made, photograph)]
    told = {"data_range": 255, "gaussian_weights": True, "sigma": 1.5}
    ssim = structural_similarity(*luma, use_sample_covariance=False, **told)  # type: ignore[no-untyped-call]
    return float(ssim)


def test_scores_stand_where_a_pair_asks_for_them(small: Small) -> None:
    small.run()
    assert {row["ssim"] for row in small.metadata().values()} == {None}
    small.pair["accept"] = {"ssim": [-1, None], "otherwise": "keep"}
    small.pair["strength"] = 0.9
    small.run()
    for row in small.metadata().values():
        assert row["ssim"] == pytest.approx(ssim_at(small, row, 0.9), abs=0.02)
        assert row["closed"] is None
        assert row["accepted"] is True
        assert (row["saturation"] > 0, row["speckle"] > 0, row["retries"]) == (True, True, 0)


def test_one_outside_is_rejected_or_made_again_weaker(small: Small) -> None:
    small.run()
    rows = small.metadata().values()
    known = {str(row["file_name"]): ssim_at(small, row, 1.0) for row in rows}
    least = sorted(known.values())[2] - 1e-3  # between the second and the third
    small.pair["accept"] = {"ssim": [round(least, 4), None]}
    shutil.rmtree(small.out)
    small.run()
    kept = {name for name, ssim in known.items() if ssim > least}
    assert {row["file_name"] for row in small.metadata().values()} == kept
    reasons = [row["reason"] for row in lines(small.out / "failures.jsonl")]
    assert len(reasons) == 4 - len(kept)
    assert all(reason.startswith("rejected: at strength 1 ") for reason in reasons)
    small.pair["accept"] |= {"otherwise": "retry", "retry_strength": [0.9, 0.01]}
    small.run()
    rows = small.metadata().values()
    assert len(rows) == 4
    again = [row for row in rows if row["retries"]]
    assert {row["file_name"] for row in again} == known.keys() - kept
    for row in again:
        assert row["ssim"] >= least
        assert row["strength"] == pytest.approx((0.9, 0.01)[int(row["retries"]) - 1])


def test_a_finished_set_without_scores_is_made_again_once_a_pair_asks(small: Small) -> None:
    small.run()
    known = {path: ssim_at(small, row, 1.0) for path, row in small.metadata().items()}
    unscored = small.images()
    least = sorted(known.values())[2] - 1e-3
    small.pair["accept"] = {"ssim": [round(least, 4), None]}
    small.run()
    assert small.summary()["taken_out"] == 4
    kept = {path for path, ssim in known.items() if ssim > least}
    assert small.images() == {path: unscored[path] for path in kept}
    assert all(row["ssim"] >= least for row in small.metadata().values())
    assert "nothing to do" in small.run().out
    # What lies aside without scores does not come back as if it were judged.
    gone = min(kept)
    (small.out / "images" / gone).unlink()
    small.run()
    assert small.metadata()[gone]["ssim"] is not None
    small.pair["accept"] |= {"otherwise": "keep"}
    small.run()
    rows = small.metadata()
    assert {path for path, row in rows.items() if row["accepted"]} == kept
    assert len(rows) == 4


def test_too_small_for_a_score_is_made_once(small: Small) -> None:
    for number, path in enumerate(sorted((small.root / "photos").rglob("*.png"))):
        picture(number, 8, 8).save(path)
    small.run()
    small.pair["accept"] = {"ssim": [0.5, None]}
    small.run()
    assert small.summary()["taken_out"] == 4
    assert {row["ssim"] for row in small.metadata().values()} == {None}
    assert "nothing to do" in small.run().out


def test_a_judge_measures_what_was_recorded(small: Small) -> None:
    small.pair["accept"] = {"ssim": [-1, None], "otherwise": "keep"}
    small.run()
    ended = command("judge", str(small.out))
    assert ended.code == 0, ended.err
    with (small.out / "scores.csv").open(newline="") as file:
        told = {row["file_name"]: row for row in csv.DictReader(file)}
    for row in small.metadata().values():
        for score in ("closed", "ssim", "saturation", "speckle"):
            recorded = "" if row[score] is None else str(row[score])
            assert told[row["file_name"]][score] == recorded, "the very file, in 8 bits"


def judged(small: Small) -> dict[str, float]:
    """Return the structure that a judge finds in each file."""
    ended = command("judge", str(small.out))
    assert ended.code == 0, ended.err
    with (small.out / "scores.csv").open(newline="") as file:
        return {row["file_name"]: float(row["ssim"]) for row in csv.DictReader(file)}


def test_a_judge_measures_a_file_of_another_size_at_the_photographs(small: Small) -> None:
    small.run()
    before = judged(small)
    name = min(before)
    with Image.open(small.out / name) as image:
        smaller = image.resize((2, 2))
    smaller.save(small.out / name)
    after = judged(small)
    assert after[name] < before[name] - 0.01, "what was made small has lost its details"
    assert after | {name: 0} == before | {name: 0}


@pytest.mark.parametrize(
    ("accept", "message"),
    [
        (
            {"closed": [0.5, None]},
            "accept.closed: is of recipes with a network; allowed are ssim, saturation, speckle",
        ),
        (
            {"ssim": [0.5, None], "otherwise": "retry", "retry_strength": 2},
            "accept.retry_strength: would make images again at strength 4; allowed is up to 1",
        ),
    ],
)
def test_what_a_colour_transfer_knows_nothing_of_is_refused(
    small: Small, accept: dict[str, object], message: str
) -> None:
    small.pair["accept"] = accept
    small.write()
    ended = command("plan", str(small.root / "pipeline.yaml"))
    assert ended.code == 2
    assert message in " ".join(ended.err.split())
