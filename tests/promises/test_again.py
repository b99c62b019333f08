"""Again is safe: the same command does nothing, and a change redoes exactly what it affects."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.runs import (
    Small,
    command,
    contents,
    copy_tree,
    lines,
    run_process,
    small_project,
    touch,
)
from torch import Tensor
from torchvision.datasets import ImageFolder

from stylebatch.device.choice import choose_precision

pytestmark = pytest.mark.slow

ALL = {"cats/a-s.png", "cats/a-t.png", "dogs/b-s.png", "dogs/b-t.png"}

PROBE = """
import sys
sys.argv = ["stylebatch", "run", sys.argv[1]]
from stylebatch.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = small_project(tmp_path_factory.mktemp("finished"))
    assert small.again() == ALL
    return small


@pytest.fixture
def small(finished: Small, tmp_path: Path) -> Small:
    """A project whose four images are made."""
    copy_tree(finished.root, tmp_path / "project")
    return Small(tmp_path / "project")


def test_the_same_command_again_does_nothing_and_imports_no_torch(small: Small) -> None:
    before = {path: path.stat().st_mtime_ns for path in small.out.rglob("*.png")}
    metadata = (small.out / "metadata.jsonl").stat()
    ended = run_process(PROBE, str(small.manifest))
    assert (ended.code, ended.err) == (0, "False\n")
    assert ended.out == f"{small.out / 'images'}: nothing to do, 4 of 4 are there\n"
    assert {path: path.stat().st_mtime_ns for path in small.out.rglob("*.png")} == before
    assert (small.out / "metadata.jsonl").stat() == metadata
    assert small.summary()["done"] == 0


def _recipe(small: Small) -> None:
    small.pair["override"]["style_weight"] = 20


def _strength(small: Small) -> None:
    small.pair["strength"] = 2


def _size(small: Small) -> None:
    small.pair["size_px"] = 32


def _steps(small: Small) -> None:
    small.pair["steps"] = 2


def _precision(small: Small) -> None:
    small.document["run"]["precision"] = "bfloat16"


def _style_bytes(small: Small) -> None:
    small.style("s.png", 13)


def _content_bytes(small: Small) -> None:
    small.photo("cats/a.png", 3)


def _added_content(small: Small) -> None:
    small.photo("dogs/c.png", 4)


def _added_style(small: Small) -> None:
    small.style("u.png", 13)


def _renamed_style(small: Small) -> None:
    (small.root / "styles/s.png").rename(small.root / "styles/r.png")


def _renamed_pair(small: Small) -> None:
    small.pair["name"] = "other"


def _touched_inputs(small: Small) -> None:
    for path in (*small.root.glob("photos/*/*"), *small.root.glob("styles/*")):
        touch(path)


def _rewritten_inputs(small: Small) -> None:
    for path in (*small.root.glob("photos/*/*"), *small.root.glob("styles/*")):
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)


def _seed(small: Small) -> None:
    small.document["seed"] = 1


def _where_it_runs(small: Small) -> None:
    run = {"devices": ["cpu"], "cpu_workers": 2, "deadline": "8h", "max_deaths": 5}
    small.document["run"] |= run | {"cache": "elsewhere"}


def _deleted_output(small: Small) -> None:
    (small.out / "images/cats/a-s.png").unlink()


def _truncated_output(small: Small) -> None:
    path = small.out / "images/dogs/b-t.png"
    path.write_bytes(path.read_bytes()[:-1])


def _other_file_beside(small: Small) -> None:
    (small.root / "photos/cats/notes.txt").write_text("no image")


@pytest.mark.parametrize(
    ("change", "redone"),
    [
        (_recipe, ALL),
        (_strength, ALL),
        (_size, ALL),
        (_steps, ALL),
        (_precision, ALL),
        (_style_bytes, {"cats/a-s.png", "dogs/b-s.png"}),
        (_content_bytes, {"cats/a-s.png", "cats/a-t.png"}),
        (_added_content, {"dogs/c-s.png", "dogs/c-t.png"}),
        (_added_style, {"cats/a-u.png", "dogs/b-u.png"}),
        (_renamed_style, {"cats/a-r.png", "dogs/b-r.png"}),
        (_renamed_pair, set()),
        (_touched_inputs, set()),
        (_rewritten_inputs, set()),
        (_seed, set()),
        (_where_it_runs, set()),
        (_other_file_beside, set()),
        (_deleted_output, {"cats/a-s.png"}),
        (_truncated_output, {"dogs/b-t.png"}),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_change_redoes_exactly_what_it_affects(
    small: Small, change: Callable[[Small], None], redone: set[str]
) -> None:
    before = small.images()
    change(small)
    assert small.again() == redone
    assert {path: data for path, data in small.images().items() if path not in redone} == {
        path: data for path, data in before.items() if path not in redone and path in small.images()
    }
    assert set(small.metadata()) == set(small.images())
    assert small.again() == set()


def test_what_an_undone_change_redoes_is_as_it_was(small: Small) -> None:
    before = small.images()
    small.pair["steps"] = 2
    assert small.again() == ALL
    assert small.images() != before
    assert command("clean", "--all", str(small.out)).code == 0
    small.pair["steps"] = 3
    assert small.again() == ALL
    assert small.summary()["done"] == len(ALL)
    assert small.images() == before


def test_a_deleted_output_comes_back_with_the_same_bytes(small: Small) -> None:
    before = small.images()
    (small.out / "images/cats/a-s.png").unlink()
    small.again()
    assert small.images() == before


def test_a_renamed_pair_is_renamed_in_the_metadata(small: Small) -> None:
    small.pair["name"] = "other"
    small.again()
    assert {row["pair"] for row in small.metadata().values()} == {"other"}
    assert small.stale() == set()


def test_a_renamed_content_folder_redoes_nothing(small: Small) -> None:
    (small.root / "photos").rename(small.root / "pictures")
    small.pair["content"] = "pictures"
    assert small.again() == set()
    assert small.metadata()["cats/a-s.png"]["content"] == "pictures/cats/a.png"


@pytest.mark.parametrize(
    "fields",
    [{"strength": [0.5, 2.0]}, {"override": {"start": "noise"}}],
    ids=["drawn_strength", "noise_start"],
)
def test_a_new_seed_redoes_what_is_drawn(tmp_path: Path, fields: dict[str, Any]) -> None:
    small = small_project(tmp_path)
    small.pair["override"].update(fields.pop("override", {}))
    small.pair.update(fields)
    assert small.again() == ALL
    assert small.again() == set()
    small.document["seed"] = 1
    assert small.again() == ALL


def test_a_new_seed_redoes_only_the_images_that_draw_another_style(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    for number in range(4):
        small.photo(f"cats/{number}.png", 20 + number)
    small.pair["assign"] = {"sample": 1}
    small.again()
    before = set(small.images())
    assert len(before) == 6
    small.document["seed"] = 3
    redone = small.again()
    after = set(small.images())
    assert redone == after - before != set()
    assert before & after
    assert small.stale() == before - after


def test_with_sampling_by_hash_an_added_image_changes_no_other(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.pair["assign"] = {"sample": 1, "draw": "hash"}
    small.again()
    before = set(small.images())
    small.photo("cats/added.png", 30)
    redone = small.again()
    assert {path.partition("-")[0] for path in redone} == {"cats/added"}
    assert set(small.images()) == before | redone


def test_with_sampling_by_hash_an_added_style_redoes_only_the_images_that_draw_it(
    tmp_path: Path,
) -> None:
    small = small_project(tmp_path)
    for number in range(6):
        small.photo(f"cats/{number}.png", 20 + number)
    small.pair["assign"] = {"sample": 1, "draw": "hash"}
    small.again()
    before = set(small.images())
    small.style("u.png", 13)
    redone = small.again()
    assert redone
    assert all(path.endswith("-u.png") for path in redone)
    assert before - set(small.images()) == small.stale()
    assert len(small.stale()) == len(redone)


def test_two_identical_photographs_are_two_jobs(small: Small) -> None:
    (small.root / "photos/dogs/a.png").write_bytes((small.root / "photos/cats/a.png").read_bytes())
    assert small.again() == {"dogs/a-s.png", "dogs/a-t.png"}
    images = small.images()
    assert images["cats/a-s.png"] == images["dogs/a-s.png"]
    small.photo("dogs/a.png", 5)
    assert small.again() == {"dogs/a-s.png", "dogs/a-t.png"}
    assert small.images()["cats/a-s.png"] == images["cats/a-s.png"]


def _write_weights(path: Path, *, of_depth: int) -> None:
    """Write random filters of conv1_1 to conv2_2, the last ones by a seed of their own."""
    drawn = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128)}
    tensors: dict[str, Tensor] = {}
    for index, (outputs, inputs) in shapes.items():
        if index == 7:
            drawn = torch.Generator().manual_seed(of_depth)
        weight = torch.randn(outputs, inputs, 3, 3, generator=drawn) / (3 * inputs**0.5)
        tensors |= {f"features.{index}.weight": weight}
        tensors |= {f"features.{index}.bias": torch.zeros(outputs)}
    save_file(tensors, path, {"mean": "0.5", "std": "0.25", "channels": "rgb"})


def test_an_edited_weights_file_matters_only_down_to_the_layers_used(tmp_path: Path) -> None:
    small = small_project(tmp_path)
    small.document["extractor"] = {"weights": "filters.safetensors"}
    _write_weights(tmp_path / "filters.safetensors", of_depth=1)
    assert small.again() == ALL
    before = small.images()
    _write_weights(tmp_path / "filters.safetensors", of_depth=2)
    assert small.again() == set()
    (tmp_path / "filters.safetensors").rename(tmp_path / "renamed.safetensors")
    small.document["extractor"]["weights"] = "renamed.safetensors"
    assert small.again() == set()
    small.pair["override"]["content_layers"] = {"conv2_2": 1}
    assert small.again() == ALL
    assert small.images() != before
    _write_weights(tmp_path / "renamed.safetensors", of_depth=1)
    assert small.again() == ALL


def test_what_the_plan_no_longer_has_moves_aside_with_its_empty_class(small: Small) -> None:
    before = small.images()
    small.remove_photo("cats/a.png")
    assert small.again() == set()
    assert small.summary()["set_aside"] == 2
    assert set(small.images()) == {"dogs/b-s.png", "dogs/b-t.png"}
    assert small.stale() == {"cats/a-s.png", "cats/a-t.png"}
    (run,) = (small.out / ".stylebatch/stale").iterdir()
    assert (run / "images/cats/a-s.png").read_bytes() == before["cats/a-s.png"]
    assert (run / "losses/cats/a-s.csv").exists()
    assert ImageFolder(str(small.out / "images")).classes == ["dogs"]
    assert set(small.metadata()) == set(small.images())


def test_a_new_folder_for_a_pair_moves_what_was_in_the_old_one_aside(small: Small) -> None:
    small.pair["into"] = "train"
    assert small.again() == {f"train/{path}" for path in ALL}
    assert small.stale() == ALL
    assert set(small.images()) == {f"train/{path}" for path in ALL}


def test_what_is_out_of_date_is_kept_aside_until_somebody_removes_it(small: Small) -> None:
    before = small.images()["cats/a-s.png"]
    small.photo("cats/a.png", 3)
    small.again()
    assert small.stale() == {"cats/a-s.png", "cats/a-t.png"}
    (run,) = (small.out / ".stylebatch/stale").iterdir()
    assert (run / "images/cats/a-s.png").read_bytes() == before
    small.photo("cats/a.png", 4)
    small.again()
    assert len(list((small.out / ".stylebatch/stale").iterdir())) == 2


def test_stale_images_stay_when_asked_for(small: Small) -> None:
    small.remove_photo("cats/a.png")
    assert small.again("--keep-stale") == set()
    assert set(small.images()) == ALL
    assert small.again() == set()
    assert set(small.images()) == {"dogs/b-s.png", "dogs/b-t.png"}


def test_a_run_with_a_limit_touches_nothing_that_is_stale(small: Small) -> None:
    small.remove_photo("cats/a.png")
    small.photo("dogs/c.png", 4)
    assert len(small.again("--limit", "1")) == 1
    assert set(small.images()) > ALL
    assert small.summary()["remaining"] == 1
    assert small.stale() == set()


def test_another_pair_that_is_no_longer_in_the_manifest_keeps_its_images(small: Small) -> None:
    other = small.pair | {"name": "other", "into": "other"}
    small.document["pairs"].append(other)
    small.again()
    small.document["pairs"].pop()
    assert small.again() == set()
    assert set(small.images()) == ALL | {f"other/{path}" for path in ALL}
    assert set(small.metadata()) == set(small.images())


@pytest.mark.parametrize("is_new", [True, False], ids=["before_any_run", "later"])
def test_a_file_that_stylebatch_did_not_make_is_refused_and_left(
    tmp_path: Path, is_new: bool
) -> None:
    small = small_project(tmp_path)
    if not is_new:
        small.again()
        small.photo("cats/c.png", 3)
    mine = small.out / "images/cats" / ("a-s.png" if is_new else "c-s.png")
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_bytes(b"mine")
    before = contents(small.out / "images")
    ended = small.run()
    assert ended.code == 2
    assert f"{mine}: exists, but stylebatch did not make it" in ended.err
    assert contents(small.out / "images") == before


def test_without_its_ledger_an_output_is_not_written_over(small: Small) -> None:
    before = small.images()
    for path in (small.out / ".stylebatch").glob("ledger*"):
        path.unlink()
    # By which it would be known again.
    (small.out / "metadata.jsonl").unlink()
    assert small.run().code == 2
    assert small.images() == before


def test_an_output_can_be_moved(small: Small) -> None:
    small.out.rename(small.root / "elsewhere")
    small.document["output"] = "elsewhere"
    small.out = small.root / "elsewhere"
    assert small.again() == set()
    assert small.summary()["done_before"] == 4


def test_a_whole_project_can_be_moved(
    small: Small, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("another") / "home"
    small.root.rename(home)
    moved = Small(home)
    assert moved.again() == set()


def test_a_failure_keeps_its_reason_and_waits_to_be_asked_for(small: Small) -> None:
    broken = small.root / "photos/cats/broken.png"
    broken.write_bytes(b"no image")
    ended = small.run()
    assert ended.code == 3
    assert "failed: cats/broken-s.png: photos/cats/broken.png" in ended.err
    assert (small.summary()["done"], small.summary()["failed"]) == (0, 2)
    rows = lines(small.out / "failures.jsonl")
    assert [row["file_name"] for row in rows] == [
        f"images/cats/broken-{style}.png" for style in "st"
    ]
    assert all("photos/cats/broken.png" in row["reason"] for row in rows)

    again = small.run()
    assert (again.code, again.out) == (3, "")
    assert "failed: cats/broken-s.png" not in again.err
    assert "2 failed" in again.err
    assert lines(small.out / "failures.jsonl") == rows

    retried = small.run("--retry-failed")
    assert retried.code == 3
    assert "failed: cats/broken-s.png" in retried.err

    small.photo("cats/broken.png", 6)
    assert small.again() == {"cats/broken-s.png", "cats/broken-t.png"}
    assert not (small.out / "failures.jsonl").exists()


def test_a_failure_whose_photograph_is_gone_is_forgotten(small: Small) -> None:
    broken = small.root / "photos/cats/broken.png"
    broken.write_bytes(b"no image")
    small.again(code=3)
    broken.unlink()
    assert small.again() == set()
    assert not (small.out / "failures.jsonl").exists()


def test_the_metadata_says_of_each_image_what_made_it(small: Small) -> None:
    small.photo("at_the_top.png", 7)
    small.again()
    rows = small.metadata()
    assert set(rows) == set(small.images())
    keys = {
        "file_name", "pair", "label", "split", "kind", "content", "content_digest", "style",
        "style_digest",
        "variant", "strength", "seed", "evaluations", "losses", "status", "restored",
        "retried_with_adam", "closed", "ssim", "saturation", "speckle", "retries", "accepted",
        "seconds", "device", "precision", "settings_id", "fingerprint", "digest",
    }  # fmt: skip
    assert all(set(row) == keys for row in rows.values())
    row = rows["cats/a-s.png"]
    assert (row["label"], row["content"], row["style"]) == (
        "cats",
        "photos/cats/a.png",
        "styles/s.png",
    )
    assert (row["evaluations"], row["status"], row["device"]) == (3, "budget_spent", "cpu")
    assert row["precision"] == "float32"
    assert rows["at_the_top-s.png"]["label"] is None
    assert not [key for key in keys if key.endswith("_file_name")]


def test_the_metadata_says_what_an_automatic_precision_came_to(small: Small) -> None:
    small.document["run"]["precision"] = "auto"
    assert len(small.again()) == 4
    came_to = str(choose_precision("auto", "cpu")).removeprefix("torch.")
    assert {row["precision"] for row in small.metadata().values()} == {came_to}
    settings = json.loads((small.out / "settings.json").read_bytes())
    assert [each["precision"] for each in settings.values()] == ["auto"]


def test_every_image_names_settings_that_can_be_looked_up(small: Small) -> None:
    small.document["pairs"].append(small.pair | {"name": "two", "into": "two", "steps": 2})
    small.again()
    settings = json.loads((small.out / "settings.json").read_bytes())
    used = {row["pair"]: row["settings_id"] for row in small.metadata().values()}
    assert {name: settings[key]["recipe"]["steps"] for name, key in used.items()} == {
        "all": 3,
        "two": 2,
    }
    assert settings[used["all"]]["extractor"]["weights"] == "random"
    assert settings[used["all"]]["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_the_last_evaluation_of_a_loss_log_is_no_worse_than_the_first(small: Small) -> None:
    logs = contents(small.out / "losses")
    assert set(logs) == {path.replace(".png", ".csv") for path in ALL}
    header, first, *_, last = logs["cats/a-s.csv"].decode().splitlines()
    assert header == "evaluation,level,total,content,style,tv,accepted,seconds"
    assert float(last.split(",")[2]) < float(first.split(",")[2])


def test_the_summary_of_a_run_is_in_a_file(small: Small) -> None:
    summary = small.summary()
    assert summary["planned"] == summary["done"] == 4
    assert (summary["failed"], summary["remaining"], summary["exit_code"]) == (0, 0, 0)
    assert summary["evaluations"] == 4 * 3
    assert [worker["device"] for worker in summary["workers"]] == ["cpu"]
    assert summary["stopped_by"] is None
