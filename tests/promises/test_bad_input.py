"""Bad input: through the command line, exit code 2 with a message that says what to do, or 3."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from support.runs import COMMAND, Small, command, contents, lines, small_project

from stylebatch.extractors.weights import NAMED_WEIGHTS
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock, check_owner, withdraw
from stylebatch.output.shard import Shard


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Small:
    monkeypatch.chdir(tmp_path)
    return small_project(tmp_path)


def refused(small: Small, *parts: str, arguments: tuple[str, ...] = ()) -> str:
    """Run what can't be run: exit code 2, a message of these parts, and nothing made."""
    inputs = contents(small.root)
    ended = command("run", "pipeline.yaml", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    position = 0
    for part in parts:
        found = ended.err.find(part, position)
        assert found >= 0, f"{part!r} is not (there) in {ended.err}"
        position = found + len(part)
    made = {path: data for path, data in contents(small.root).items() if path not in inputs}
    # What was refused with the output in hand is told there too.
    if told := made.pop("out/run.json", None):
        assert (json.loads(told)["exit_code"], json.loads(told)["done"]) == (2, 0)
    assert not [path for path in made if not path.startswith("out/.stylebatch/")]
    return ended.err


def refused_document(small: Small, *parts: str) -> None:
    """Refuse a manifest as such: not even the output folder is made."""
    small.write()
    error = refused(small, *parts)
    assert all(line.startswith("stylebatch: pipeline.yaml") for line in error.splitlines())
    assert not small.out.exists()


def test_a_missing_manifest(small: Small) -> None:
    small.manifest.unlink()
    error = refused(small, "pipeline.yaml", "no such file")
    assert not small.out.exists()
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("pairs: [", ("pipeline.yaml:",)),
        ("- version: 1\n", ("pipeline.yaml", "list")),
        ("just words\n", ("pipeline.yaml:1: ", "just words", "mapping")),
        ("", ("pipeline.yaml", "empty")),
        ("pairs: 3\nversion: 1\noutput: out\n", ("pipeline.yaml:1: pairs: ", "3", "list")),
        ("\x00\x01binary", ("pipeline.yaml",)),
    ],
    ids=["not_yaml", "a_list", "words", "nothing", "another_shape", "binary"],
)
def test_a_file_that_is_no_manifest(small: Small, text: str, parts: tuple[str, ...]) -> None:
    small.manifest.write_text(text)
    refused(small, *parts)
    assert not small.out.exists()


def test_an_unknown_key_is_told_with_the_nearest_known_one(small: Small) -> None:
    small.pair["stregth"] = 2
    refused_document(small, "pipeline.yaml:", "pairs[0]", "stregth", "strength")


def test_an_unknown_field_of_a_recipe_is_told_with_the_nearest_known_one(small: Small) -> None:
    small.pair["override"]["style_wieght"] = 2
    refused_document(small, "pipeline.yaml:", "pairs[0].override", "style_wieght", "style_weight")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"size_px": "large"}, "pairs[0].size_px"),
        ({"steps": "ten"}, "pairs[0].steps"),
        ({"steps": True}, "pairs[0].steps"),
        ({"styles": 3}, "pairs[0].styles"),
        ({"content": ["photos"]}, "pairs[0].content"),
        ({"steps": -1}, "pairs[0].steps"),
        ({"steps": 10**9}, "pairs[0].steps"),
        ({"size_px": 0}, "pairs[0].size_px"),
        ({"size_px": 10**6}, "pairs[0].size_px"),
        ({"strength": -1}, "pairs[0].strength"),
        ({"strength": float("nan")}, "pairs[0].strength"),
        ({"strength": [2, 1]}, "pairs[0].strength"),
        ({"assign": {"sample": 0}}, "pairs[0].assign"),
        ({"assign": {"sample": 3}}, "pairs[0].assign"),
        ({"recipe": "nonesuch"}, "pairs[0].recipe"),
        ({"into": "../outside"}, "pairs[0].into"),
        ({"name": "a/b"}, "pairs[0].name"),
    ],
    ids=str,
)
def test_a_value_that_is_not_allowed(small: Small, fields: dict[str, Any], where: str) -> None:
    small.pair.update(fields)
    refused_document(small, "pipeline.yaml:", f": {where}")


def test_styles_that_match_nothing(small: Small) -> None:
    small.pair["styles"] = ["styles/*.jpg"]
    refused_document(small, "pipeline.yaml:", ": pairs[0].styles", "styles/*.jpg")


def test_an_empty_content_folder(small: Small) -> None:
    (small.root / "empty").mkdir()
    small.pair["content"] = "empty"
    refused_document(small, "pipeline.yaml:", ": pairs[0].content: ", "empty")


def test_a_content_folder_that_is_not_there(small: Small) -> None:
    small.pair["content"] = "fotos"
    refused_document(small, "pipeline.yaml:", ": pairs[0].content: ", "fotos", "folder of images")


def test_an_output_inside_a_content_folder(small: Small) -> None:
    small.document["output"] = "photos/out"
    refused_document(small, "pipeline.yaml:", ": output: ", "photos")
    assert not (small.root / "photos/out").exists()


def test_all_that_is_wrong_is_told_at_once(small: Small) -> None:
    small.document["output"] = "photos/out"
    small.pair |= {"steps": -1, "styles": ["nowhere"]}
    small.write()
    error = refused(small)
    for where in ("output", "pairs[0].steps", "pairs[0].styles"):
        assert f": {where}" in error
    assert len(error.splitlines()) == 3


def test_two_outputs_with_one_path(small: Small) -> None:
    small.document["pairs"].append(small.pair | {"name": "again"})
    small.write()
    refused(small, "pipeline.yaml:", "pair 'again'", "4 outputs", "'all'", "into:")


def test_a_layer_that_the_weights_do_not_have(small: Small, shared: Path) -> None:
    weights = shared / "weights/vgg19_conv3_4.safetensors"
    small.document["extractor"] = {"weights": str(weights)}
    small.pair["recipe"] = "deep"
    small.pair["override"] = {}
    refused_document(small, "pipeline.yaml:", "conv5_1", "conv3_4")


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.bin", "none.safetensors"])
def test_a_weights_file_that_is_none(small: Small, name: str) -> None:
    (small.root / "weights.safetensors").write_bytes(b"no weights")
    (small.root / "weights.bin").write_bytes(b"no weights")
    small.document["extractor"] = {"weights": name}
    refused_document(small, "pipeline.yaml:", ": extractor.weights", name)


def test_a_pickled_weights_file_that_is_none(small: Small) -> None:
    (small.root / "weights.pth").write_bytes(b"no weights")
    small.document["extractor"] = {"weights": "weights.pth", "normalisation": "imagenet"}
    small.write()
    refused(small, "weights.pth", "no weights file that can be read safely")


@pytest.mark.slow
def test_weights_that_have_to_be_downloaded_and_can_not_be(small: Small, tmp_path: Path) -> None:
    small.document["extractor"] = {"weights": "imagenet"}
    small.write()
    # A proxy that nobody listens at: no name is looked up, nothing leaves this machine.
    proxy = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **proxy, "TORCH_HOME": str(tmp_path / "torch"), "no_proxy": ""}
    done = subprocess.run(
        [*COMMAND, "run", "pipeline.yaml"], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    named = NAMED_WEIGHTS["vgg19", "imagenet"]
    folder = tmp_path / "torch/hub/checkpoints"
    for part in (named.identifier, named.url, named.file_name, str(folder), "weights: PATH"):
        assert part in done.stderr
    assert "--weights" not in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(small.out / "images") == {}


@pytest.mark.parametrize("command", ["stylize", "recipes"])
def test_a_command_without_a_manifest_tells_of_a_download_and_of_its_own_options(
    small: Small, tmp_path: Path, command: str
) -> None:
    proxy = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **proxy, "TORCH_HOME": str(tmp_path / "torch"), "no_proxy": ""}
    images = [str(small.root / "photos/cats/a.png"), str(small.root / "styles/one.png")]
    how = ["recipes", "balanced", "gatys", "--compare"] if command == "recipes" else ["stylize"]
    done = subprocess.run(
        [*COMMAND, *how, *images, "-o", str(tmp_path / "x.png")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    first, *errors = done.stderr.splitlines()
    assert first.startswith("downloads first: https://download.pytorch.org/models/vgg19-")
    assert "(548 MiB) to " in first
    assert len(errors) == 1
    assert "or take `--arch slim`, which comes with stylebatch, or `--weights PATH`" in errors[0]
    assert "extractor" not in errors[0]


def test_a_map_that_can_not_be_read(small: Small) -> None:
    (small.root / "map.csv").write_text("content,style\ncats/a.png,nonesuch\n")
    small.pair["assign"] = {"map": "map.csv"}
    small.write()
    refused(small, "map.csv", "nonesuch")


def test_a_device_that_is_not_there_stops_before_anything_moves(small: Small) -> None:
    assert command("run", "pipeline.yaml").code == 0
    before = contents(small.out / "images")
    small.photo("cats/a.png", 9)
    refused(small, "no device 'cuda:63'", "cpu", arguments=("--devices", "cuda:63"))
    assert contents(small.out / "images") == before


def _assign_by_map(small: Small, style: str) -> None:
    """Assign both styles by a table, the second under this name."""
    photos = ("cats/a.png", "dogs/b.png")
    rows = [f"{photo},{name}" for photo in photos for name in ("s", style)]
    (small.root / "map.csv").write_text("\n".join(["content,style", *rows]) + "\n")
    small.pair["assign"] = {"map": "map.csv"}
    small.write()


def test_what_is_refused_leaves_nothing_behind(small: Small) -> None:
    small.document["output"] = "new/sets/out"
    _assign_by_map(small, "nonesuch")
    refused(small, "nonesuch")
    assert not (small.root / "new").exists()
    _assign_by_map(small, "t")
    refused(small, "no device 'cuda:63'", arguments=("--devices", "cuda:63"))
    assert not (small.root / "new").exists()
    assert command("run", "pipeline.yaml").code == 0
    assert len([*(small.root / "new/sets/out/images").rglob("*.png")]) == 4


@pytest.mark.parametrize("shards", [["0/2"], ["0/2", "1/2"], ["1/2", "0/3", "0/2"]], ids=" ".join)
def test_a_shard_that_is_refused_leaves_nothing_behind(small: Small, shards: list[str]) -> None:
    small.document["output"] = "new/sets/out"
    _assign_by_map(small, "nonesuch")
    for shard in shards:
        refused(small, "nonesuch", arguments=("--shard", shard))
        assert not (small.root / "new").exists()
    _assign_by_map(small, "t")
    assert command("run", "pipeline.yaml", "--shard", "0/2").code == 0
    _assign_by_map(small, "nonesuch")
    before = contents(small.root)
    refused(small, "nonesuch", arguments=("--shard", "1/2"))
    assert contents(small.root).keys() == before.keys(), "its sibling's part stays, and no more"
    _assign_by_map(small, "t")
    assert command("run", "pipeline.yaml", "--shard", "1/2").code == 0
    assert command("merge", "pipeline.yaml").code == 0
    assert len([*(small.root / "new/sets/out/images").rglob("*.png")]) == 4


def test_the_last_of_shards_that_are_refused_at_once_takes_all_away(small: Small) -> None:
    one, other = Dataset(small.out, Shard(0, 2)), Dataset(small.out, Shard(1, 2))
    made = one.make_folders()
    with OutputLock(one, "one"), OutputLock(other, "other"):
        withdraw(one, made)
        assert not one.home.exists()
        check_owner(other, "other")
        withdraw(other, [])
    assert list(small.out.iterdir()) == [], "of the folder itself nobody knows any more whose it is"
    with OutputLock(other, "other"):
        check_owner(other, "other")


def test_a_run_that_waits_while_another_takes_its_output_back_gets_one_of_its_own(
    small: Small,
) -> None:
    dataset = Dataset(small.out, Shard(0, 2))
    dataset.make_folders()

    def hold() -> bool:
        with OutputLock(dataset, "run"):
            check_owner(dataset, "run")
            return dataset.gate.exists()

    with ThreadPoolExecutor() as pool:
        with FileLock(dataset.gate):
            waiting = pool.submit(hold)
            dataset.unmake_folders(dataset.own_folders)
        assert waiting.result()


def test_what_is_refused_leaves_what_was_there(small: Small) -> None:
    mine = small.out / "images/notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    refused(small, "no device 'cuda:63'", arguments=("--devices", "cuda:63"))
    assert contents(small.out).keys() == {"images/notes.txt", "run.json"}
    assert sorted(path.name for path in small.out.iterdir()) == ["images", "run.json"]
    assert mine.read_text() == "mine"
    assert command("run", "pipeline.yaml").code == 0
    before = contents(small.out)
    small.photo("cats/a.png", 9)
    refused(small, "no device 'cuda:63'", arguments=("--devices", "cuda:63"))
    after = contents(small.out)
    assert before.keys() <= after.keys()
    assert small.summary()["exit_code"] == 2, "there it is told"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--executor", "cloud"),
        ("--deadline", "soon"),
        ("--limit", "0"),
        ("--preview", "0"),
        ("--nonesuch",),
        ("one.yaml", "two.yaml"),
    ],
    ids=" ".join,
)
def test_a_command_line_that_means_nothing(small: Small, arguments: tuple[str, ...]) -> None:
    ended = command("run", "pipeline.yaml", *arguments)
    assert ended.code == 2
    assert ended.err
    assert not small.out.exists()


def test_an_unreadable_photograph_fails_alone(small: Small) -> None:
    whole = (small.root / "photos/cats/a.png").read_bytes()
    (small.root / "photos/cats/cut.png").write_bytes(whole[: len(whole) // 2])
    (small.root / "photos/cats/none.png").write_bytes(b"no image")
    (small.root / "photos/dogs/empty.jpg").write_bytes(b"")
    ended = command("run", "pipeline.yaml")
    assert (ended.code, ended.out.splitlines()[1:]) == (3, [])
    assert set(small.images()) == {
        f"{stem}-{style}.png" for stem in ("cats/a", "dogs/b") for style in "st"
    }
    failed = {
        row["file_name"].removeprefix("images/"): row["reason"]
        for row in lines(small.out / "failures.jsonl")
    }
    assert len(failed) == 6
    for output, reason in failed.items():
        assert f"failed: {output}: {reason}\n" in ended.err
        assert reason.startswith(f"photos/{output.partition('-')[0]}.")
    assert "6 failed" in ended.err.splitlines()[-1]
    assert small.summary()["exit_code"] == 3


def test_a_style_that_ends_early_fails_its_images_and_no_other(small: Small) -> None:
    path = small.root / "styles/t.png"
    path.write_bytes(path.read_bytes()[:-40])
    ended = command("run", "pipeline.yaml")
    assert ended.code == 3
    assert set(small.images()) == {"cats/a-s.png", "dogs/b-s.png"}
    assert "styles/t.png" in lines(small.out / "failures.jsonl")[0]["reason"]


def test_an_output_that_is_a_file(small: Small) -> None:
    small.out.write_text("a file in the way")
    refused(small, "pipeline.yaml:2: output: ", "is a file")
    assert small.out.read_text() == "a file in the way"


@pytest.mark.parametrize("blocked", ["out/images", "out/losses"])
def test_an_output_that_can_not_be_made(small: Small, blocked: str) -> None:
    path = small.root / blocked
    path.parent.mkdir()
    path.write_text("a file in the way")
    ended = command("run", "pipeline.yaml")
    assert ended.code == 5
    assert f"stylebatch: {blocked}: the output can't be written" in ended.err
    assert path.read_text() == "a file in the way"


def test_a_cache_that_can_not_be_written(small: Small) -> None:
    (small.root / "cache").write_text("a file in the way")
    ended = command("run", "pipeline.yaml")
    assert ended.code == 0, "it only saves time"
    log = small.out / ".stylebatch/run.log"
    assert log.read_text(encoding="utf-8").count("style targets can't be cached there") == 1
    assert len(small.images()) == 4
