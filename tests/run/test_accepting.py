"""Thresholds in real runs: rejected, made again, flagged, judged anew; and after a kill."""

import csv
import json
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support import naive, naive_scores
from support.runs import Small, command, lines, run_process, small_project
from torch import float64, tensor
from torch.nn.functional import conv2d

from stylebatch.extractors.weights import find_weights, load_tensors
from stylebatch.output.acceptance import SCORES, tries_of
from stylebatch.pictures.images import Pixels
from stylebatch.pictures.sizes import resize

pytestmark = pytest.mark.slow

# Of one layer on one scale, so that the style distance can be written down.
PLAIN = {"scales": [1], "content_scales": [1], "padding": "zeros", "tv_weight": 0}
STRENGTHS = {"retry_strength": [5, 0.2]}


def project(root: Path) -> Small:
    small = small_project(root)
    small.pair["override"] |= PLAIN
    return small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return project(tmp_path)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A run without thresholds."""
    small = project(tmp_path_factory.mktemp("plain"))
    assert small.run().code == 0
    return small


@pytest.fixture(scope="module")
def middle(plain: Small) -> float:
    """What half of the images has closed, and half has not."""
    return float(median(row["closed"] for row in plain.metadata().values()))


def accept(small: Small, **fields: Any) -> None:
    small.pair["accept"] = fields


def failures(small: Small) -> dict[str, str]:
    path = small.out / "failures.jsonl"
    rows = lines(path) if path.exists() else []
    return {row["file_name"].removeprefix("images/"): row["reason"] for row in rows}


def below(small: Small, bound: float) -> set[str]:
    return {path for path, row in small.metadata().items() if row["closed"] < bound}


# --- scores ----------------------------------------------------------------------------------


def pixels_of(path: Path) -> Pixels:
    return np.array(Image.open(path).convert("RGB"))


def style_distance(image: Pixels, style: Pixels) -> float:
    """Return ‖G - A‖² of conv1_1, for each position, in float64."""
    random = find_weights("vgg19", "random", Path())
    weight, bias = load_tensors(random, ("conv1_1",))["conv1_1"]
    mean, std = (
        tensor(values, dtype=float64).view(3, 1, 1)
        for values in (random.normalisation.mean, random.normalisation.std)
    )
    grams = []
    for pixels in (image, style):
        x = (tensor(pixels / 255).permute(2, 0, 1) - mean) / std
        (maps,) = conv2d(x[None], weight.double(), bias.double(), padding=1)
        grams.append(naive.gram(maps, "n"))
    return float((grams[0] - grams[1]).square().sum())


def test_scores_are_those_of_a_naive_evaluation(plain: Small) -> None:
    rows = plain.metadata()
    assert len(rows) == 4
    for path, row in rows.items():
        made = pixels_of(plain.out / "images" / path)
        content, style = (pixels_of(plain.root / row[key]) for key in ("content", "style"))
        # The smallest of the sizes at which styles are looked at.
        style = resize(style, 64, 64)
        closed = 1 - style_distance(made, style) / style_distance(content, style)
        assert row["closed"] == pytest.approx(closed, abs=0.005)
        assert 0.1 < row["closed"] < 1
        assert row["saturation"] == pytest.approx(naive_scores.saturation(made), abs=1e-4)
        assert row["speckle"] == pytest.approx(naive_scores.speckle(made, content, style), abs=1e-4)
        assert (row["retries"], row["accepted"]) == (0, True)


def test_closed_is_what_the_loss_log_says(plain: Small) -> None:
    for path, row in plain.metadata().items():
        log = (plain.out / "losses" / path).with_suffix(".csv").read_text().splitlines()
        first = next(csv.DictReader(log))
        wanted = 1 - row["losses"]["style"] / float(first["style"])
        assert row["closed"] == pytest.approx(wanted, abs=1e-4)


def test_what_was_closed_from_noise_counts_as_well(small: Small) -> None:
    small.pair["override"] |= {"start": "noise"}
    assert small.run().code == 0
    for row in small.metadata().values():
        assert row["closed"] is not None
        assert row["closed"] < 0.99
        assert row["accepted"] is True
        assert row["ssim"] is not None
    accept(small, closed=[0.99, None])
    small.out = small.root / "second"
    small.document["output"] = "second"
    small.run("--limit", "1")
    assert small.summary()["rejected"] == 1
    assert small.metadata() == {}


def test_a_score_is_of_the_picture_as_its_file_is(small: Small) -> None:
    small.pair["override"] |= {"color": "content", "saturation": 0.0}
    small.photo("cats/a.png", 1, 48, 48)
    assert small.run().code == 0
    told = small.metadata()["cats/a-s.png"]
    made = pixels_of(small.out / "images/cats/a-s.png")
    assert made.shape == (48, 48, 3)
    assert told["saturation"] == pytest.approx(naive_scores.saturation(made), abs=0.02)


# --- thresholds ------------------------------------------------------------------------------


def test_what_is_outside_is_rejected_and_no_failure(
    small: Small, plain: Small, middle: float
) -> None:
    accept(small, closed=[middle, None])
    ended = small.run()
    assert ended.code == 0, ended
    assert ended.err == ""
    assert ended.out.endswith("2 images made in " + ended.out.partition("made in ")[2])
    assert "2 of 4 are there, 2 rejected by `accept`" in ended.out
    rejected = below(plain, middle)
    assert set(small.images()) == set(plain.images()) - rejected
    assert all(plain.images()[path] == data for path, data in small.images().items())
    assert failures(small).keys() == rejected
    for path, reason in failures(small).items():
        (only,) = tries_of(reason)
        assert only.strength == 1.0
        assert only.scores == {name: plain.metadata()[path][name] for name in SCORES}
    summary = small.summary()
    told = {key: summary[key] for key in ("done", "failed", "rejected", "remaining", "exit_code")}
    assert told == {"done": 2, "failed": 0, "rejected": 2, "remaining": 0, "exit_code": 0}
    total = json.loads(command("status", str(small.manifest), "--json").out)["total"]
    assert (total["done"], total["failed"], total["rejected"], total["left"]) == (2, 0, 2, 0)
    assert "2 rejected" in command("status", str(small.manifest)).out
    assert "rejected" in command("plan", str(small.manifest)).out


def test_the_same_again_tries_no_one_again(small: Small, middle: float) -> None:
    accept(small, closed=[middle, None])
    assert small.run().code == 0
    for arguments in ((), ("--retry-failed",)):
        ended = small.run(*arguments)
        assert "nothing to do, 2 of 4 are there, 2 rejected by `accept`" in ended.out
        assert small.summary()["evaluations"] == 0


def test_max_failures_does_not_count_them(small: Small) -> None:
    accept(small, closed=[0.99, None])
    small.document["run"]["max_failures"] = 1
    ended = small.run()
    assert ended.code == 0
    assert "0 of 4 are there, 4 rejected by `accept`" in ended.out
    assert small.summary()["stopped_by"] is None


def test_who_is_not_worth_enough_is_made_again_at_another_strength(
    small: Small, plain: Small, middle: float, tmp_path: Path
) -> None:
    accept(small, closed=[middle, None], otherwise="retry", **STRENGTHS)
    assert small.run().code == 0
    rows, again = small.metadata(), below(plain, middle)
    assert {path for path, row in rows.items() if row["retries"]} == again
    for path in again:
        assert (rows[path]["retries"], rows[path]["strength"]) == (1, 5.0)
        assert rows[path]["closed"] >= middle
    # The pixels, losses and file are those of a job that has this strength.
    other = project(tmp_path / "other")
    other.pair["strength"] = 5
    assert other.run().code == 0
    for path, data in small.images().items():
        assert data == (other if path in again else plain).images()[path]
        log = Path("losses", path).with_suffix(".csv")
        wanted = (other if path in again else plain).out / log
        assert without_seconds(small.out / log) == without_seconds(wanted)


def without_seconds(path: Path) -> list[list[str]]:
    return [row[:-1] for row in csv.reader(path.read_text().splitlines())]


def test_whom_no_strength_helps_is_rejected_with_all_tries(small: Small) -> None:
    accept(small, ssim=[None, -0.9], otherwise="retry", retries=2)
    small.pair["strength"] = [0.5, 2]
    assert small.run().code == 0
    assert not small.images()
    for reason in failures(small).values():
        strengths = [each.strength for each in tries_of(reason)]
        assert len(set(strengths)) == 3
        assert all(0.5 <= strength <= 2 for strength in strengths)
    assert small.summary()["evaluations"] == 4 * 3 * small.pair["steps"]


def test_kept_is_kept_with_a_flag(small: Small, plain: Small, middle: float) -> None:
    accept(small, closed=[middle, None], otherwise="keep")
    assert small.run().code == 0
    assert small.images() == plain.images()
    rows = small.metadata()
    assert {path for path, row in rows.items() if not row["accepted"]} == below(plain, middle)


def test_a_preview_shows_what_would_be_rejected(small: Small) -> None:
    accept(small, closed=[0.99, None])
    ended = small.run("--preview", "4")
    assert ended.code == 0, ended
    assert ended.out.startswith("4 images on one sheet")


def test_the_log_says_who_was_rejected_and_why(small: Small) -> None:
    accept(small, closed=[0.99, None])
    assert small.run("--limit", "1").code == 0
    (line,) = (line for line in small.log().splitlines() if "rejected: " in line)
    assert " INFO " in line
    assert line.endswith("; allowed is closed from 0.99")


# --- other thresholds ------------------------------------------------------------------------


def test_other_thresholds_judge_by_the_scores_and_make_nothing(
    small: Small, plain: Small, middle: float
) -> None:
    assert small.run().code == 0
    before = small.identities()
    accept(small, closed=[middle, None])
    ended = small.run()
    assert "2 no longer accepted, moved to .stylebatch/stale" in ended.out
    assert (small.summary()["evaluations"], small.summary()["taken_out"]) == (0, 2)
    rejected = below(plain, middle)
    assert small.stale() == rejected == failures(small).keys()
    assert small.metadata().keys() == set(plain.images()) - rejected
    # What stays was not touched.
    assert small.identities() == {key: before[key] for key in before if key not in rejected}
    for fields in ({"closed": [middle, None], "otherwise": "keep"}, {}):
        accept(small, **fields)
        if not fields:
            del small.pair["accept"]
        assert small.run().code == 0
        assert small.summary()["evaluations"] == 0
        assert small.images() == plain.images()
        flagged = {path for path, row in small.metadata().items() if not row["accepted"]}
        assert flagged == (rejected if fields else set())
    assert failures(small) == {}


def test_what_stands_is_not_made_again_for_laxer_retries(small: Small, middle: float) -> None:
    accept(small, closed=[middle, None], otherwise="retry", **STRENGTHS)
    assert small.run().code == 0
    before = small.identities()
    for fields in ({"closed": [0, None]}, {"closed": [0, None], "otherwise": "retry", **STRENGTHS}):
        accept(small, **fields)
        assert small.again() == set()
        assert small.identities() == before


def test_who_was_tried_in_vain_is_made_again_for_other_strengths_only(
    small: Small, plain: Small, middle: float
) -> None:
    vain = {"closed": [middle, None], "otherwise": "retry", "retry_strength": 0.5}
    accept(small, **vain, retries=1)
    assert small.run().code == 0
    assert failures(small).keys() == below(plain, middle)
    accept(small, closed=[middle + 0.001, None], otherwise="retry", retry_strength=0.5, retries=1)
    assert small.run().code == 0
    assert small.summary()["evaluations"] == 0, "all that would be tried is known"
    accept(small, closed=[middle, None], otherwise="retry", retry_strength=5, retries=1)
    assert small.run().code == 0
    assert len(small.images()) == 4


def test_an_older_image_stands_where_its_successor_is_rejected(small: Small) -> None:
    assert small.run().code == 0
    before = small.images()
    # One evaluation is that of the photograph: nothing is closed.
    small.pair["steps"] = 1
    accept(small, closed=[0.05, None])
    ended = small.run()
    assert ended.code == 0
    assert small.images() == before
    summary = small.summary()
    assert (summary["rejected"], summary["outdated"], summary["taken_out"]) == (4, 4, 0)
    total = json.loads(command("status", str(small.manifest), "--json").out)["total"]
    assert (total["rejected"], total["outdated"], total["failed"]) == (4, 4, 0)
    assert "nothing to do" in small.run().out
    del small.pair["accept"]
    assert len(small.again()) == 4


def test_one_pair_s_thresholds_leave_the_others_be(small: Small, middle: float) -> None:
    other = dict(small.pair) | {"name": "other", "into": "other"}
    small.document["pairs"].append(other)
    accept(small, closed=[0.99, None])
    assert small.run().code == 0
    assert {path.partition("/")[0] for path in small.images()} == {"other"}
    assert len(small.images()) == 4


def test_a_run_that_is_refused_takes_nothing_out(small: Small, middle: float) -> None:
    assert small.run().code == 0
    before, told = small.images(), small.metadata()
    accept(small, closed=[middle, None], otherwise="retry", **STRENGTHS)
    small.document["run"]["devices"] = ["cuda:77"]
    assert small.run().code == 2
    assert (small.images(), small.metadata(), small.stale()) == (before, told, set())
    del small.document["run"]["devices"]
    (small.root / "map.csv").write_text("content,style\ncats/a.png,nonesuch\n")
    small.pair["assign"] = {"map": "map.csv"}
    assert small.run().code == 2
    assert (small.images(), small.metadata(), small.stale()) == (before, told, set())


def test_what_is_out_of_date_is_not_judged(small: Small) -> None:
    assert small.run().code == 0
    before = small.images()
    small.pair["steps"] = 1
    accept(small, closed=[0.99, None])
    assert small.run().code == 0
    # None has a successor that is accepted.
    assert small.images() == before
    summary = small.summary()
    assert (summary["taken_out"], summary["rejected"], summary["outdated"]) == (0, 4, 4)


@pytest.mark.parametrize("option", [("--limit", "1"), ("--keep-stale",)])
def test_nothing_is_taken_out_where_nothing_is_set_aside(
    option: tuple[str, ...], small: Small, middle: float
) -> None:
    assert small.run().code == 0
    before = small.images()
    accept(small, closed=[middle, None], otherwise="retry", **STRENGTHS)
    assert small.run(*option).code == 0
    assert small.images() == before
    summary = small.summary()
    assert (summary["taken_out"], summary["done_before"], summary["remaining"]) == (0, 4, 0)
    assert small.run().code == 0
    assert small.summary()["taken_out"] == 2


def test_a_plan_foresees_who_is_taken_out(small: Small, middle: float) -> None:
    assert small.run().code == 0
    accept(small, closed=[middle, None])
    before = small.images()
    small.write()
    told = command("plan", str(small.manifest))
    names, values = told.out.replace("to do", "todo").splitlines()[:2]
    row = dict(zip(names.split(), values.split(), strict=False))
    assert [row[key] for key in ("jobs", "done", "rejected", "todo")] == ["4", "2", "2", "0"]
    assert small.images() == before


def test_a_renamed_pair_is_judged_by_its_new_thresholds(
    small: Small, plain: Small, middle: float
) -> None:
    assert small.run().code == 0
    small.pair["name"] = "renamed"
    accept(small, closed=[middle, None])
    assert small.run().code == 0
    rejected = below(plain, middle)
    assert failures(small).keys() == rejected == small.stale()
    small.pair["name"] = "again"
    accept(small, closed=[-9, None])
    assert small.run().code == 0
    assert small.images() == plain.images()
    assert small.summary()["evaluations"] == 0


def test_what_is_put_back_is_judged_again(small: Small, plain: Small, middle: float) -> None:
    assert small.run().code == 0
    accept(small, closed=[middle, None])
    assert small.run().code == 0
    kept = small.images()
    assert command("restore", str(small.manifest)).code == 0
    assert small.images() == plain.images()
    assert small.run().code == 0
    assert small.images() == kept
    assert failures(small).keys() == below(plain, middle)


# --- whoever makes them, and after a kill ------------------------------------------------------


def untimed(small: Small) -> dict[str, dict[str, Any]]:
    rows = small.metadata()
    return {
        path: {key: row[key] for key in row if key not in ("seconds", "device")}
        for path, row in rows.items()
    }


def many(root: Path, middle: float) -> Small:
    small = project(root)
    for number in range(12):
        small.photo(f"cats/{number:02}.png", 100 + number, *((16, 16), (32, 16))[number % 2])
    accept(small, closed=[middle, None], speckle=[None, 1.3], otherwise="retry", retries=2)
    small.pair["strength"] = [0.3, 3]
    return small


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, middle: float) -> Small:
    small = many(tmp_path_factory.mktemp("undisturbed"), middle)
    assert small.run().code == 0
    summary = small.summary()
    assert summary["rejected"] >= 2
    assert summary["done"] >= 8
    assert sum(bool(row["retries"]) for row in small.metadata().values()) >= 2
    return small


@pytest.mark.parametrize("workers", [1, 2])
def test_it_is_the_same_whatever_the_workers(
    workers: int, undisturbed: Small, middle: float, tmp_path: Path
) -> None:
    small = many(tmp_path, middle)
    small.document["run"] |= {"executor": "local", "cpu_workers": workers}
    assert small.run().code == 0
    assert small.images() == undisturbed.images()
    assert untimed(small) == untimed(undisturbed)
    assert failures(small) == failures(undisturbed)


@pytest.mark.parametrize("place", ["optimised@7", "group-renamed@1", "recorded@1"])
def test_a_killed_run_goes_on_to_the_same(
    place: str, undisturbed: Small, middle: float, tmp_path: Path
) -> None:
    small = many(tmp_path, middle)
    killed = crash("run", small, place, tmp_path)
    assert killed != 0
    assert small.run().code == 0
    assert small.images() == undisturbed.images()
    assert untimed(small) == untimed(undisturbed)
    assert failures(small) == failures(undisturbed)


@pytest.mark.parametrize("place", ["stale-noted@1", "stale-moved@1", "stale-forgotten@1"])
def test_judging_anew_goes_on_after_a_kill(
    place: str, small: Small, plain: Small, middle: float, tmp_path: Path
) -> None:
    assert small.run().code == 0
    accept(small, closed=[middle, None])
    assert crash("run", small, place, tmp_path) != 0
    assert small.run().code == 0
    rejected = below(plain, middle)
    assert failures(small).keys() == rejected
    assert small.images() == {
        path: data for path, data in plain.images().items() if path not in rejected
    }
    del small.pair["accept"]
    assert small.run().code == 0
    assert small.images() == plain.images()


def crash(name: str, small: Small, place: str, folder: Path) -> int:
    """Run a command in a process that ends at a crash point; return its exit code."""
    environment = f"{place}:{folder / 'marker'}"
    code = (
        f"import os, sys; os.environ['STYLEBATCH_CRASH_AT'] = {environment!r}; "
        f"sys.argv = ['stylebatch', {name!r}, {str(small.write())!r}]; "
        "from stylebatch.cli import main; main()"
    )
    return run_process(code).code


def test_shards_make_their_parts_by_the_same_thresholds(
    undisturbed: Small, middle: float, tmp_path: Path
) -> None:
    small = many(tmp_path, middle)
    for shard in ("0/2", "1/2"):
        assert small.run("--shard", shard).code == 0
    merged = command("merge", str(small.manifest))
    assert merged.code == 0
    assert f"{undisturbed.summary()['rejected']} rejected" in merged.out
    assert small.images() == undisturbed.images()
    assert untimed(small) == untimed(undisturbed)
    assert failures(small) == failures(undisturbed)
    again = small.run()
    assert "nothing to do" in again.out
