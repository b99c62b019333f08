"""`annotations:` of a pair: what it resolves to, and what is wrong with it."""

from pathlib import Path

import pytest
from support.manifests import changed, load, messages, write_inputs

from stylebatch.annotations.sources import Annotations

HERE = "    size_px: 128\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_inputs(tmp_path)
    for path in ("labels", "voc", "seg", "out/labels"):
        (tmp_path / path).mkdir(parents=True)
    for path in ("boxes.csv", "a.json"):
        (tmp_path / path).write_text("")


def written(text: str, more: str = "") -> str:
    return changed(HERE, f"{HERE}    annotations: {text}\n{more}")


def test_every_kind_is_taken_and_none_is_none() -> None:
    text = (
        "{yolo: ./labels/, voc: voc, segmentation: seg, coco: a.json, files: [.json], "
        "csv: {file: boxes.csv, image: a, box: [b, c, d, e]}, malformed: warn}"
    )
    (pair,) = load(written(text)).pairs
    assert pair.annotations == Annotations(
        yolo="labels",
        voc="voc",
        segmentation="seg",
        coco="a.json",
        csv="boxes.csv",
        csv_image="a",
        csv_box=("b", "c", "d", "e"),
        files=(".json",),
        malformed="warn",
    )
    assert Annotations.from_json(pair.annotations.to_json()) == pair.annotations
    (pair,) = load(written("{csv: boxes.csv}")).pairs
    assert pair.annotations == Annotations(csv="boxes.csv")
    assert load(changed(HERE, HERE)).pairs[0].annotations is None


def test_fingerprints_are_what_they_were() -> None:
    plain, told = (load(text).pairs[0] for text in (changed(HERE, HERE), written("{voc: voc}")))
    assert plain.settings == told.settings


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("{yolo: gone}", ("'gone' is no folder that exists", "correct the path")),
        ("{yolo: boxes.csv}", ("'boxes.csv' is no folder that exists",)),
        ("{coco: labels}", ("'labels' is no file that exists",)),
        ("{csv: {file: gone.csv}}", ("'gone.csv' is no file that exists",)),
        ("{csv: {image: a}}", ("no 'file'",)),
        ("{malformed: warn}", ("found none; allowed are yolo, voc, segmentation, coco, csv",)),
        ("{}", ("found none",)),
        ("{files: [.png]}", ("'.png' is a suffix of images", "segmentation: FOLDER")),
        ("{files: [json]}", ("found 'json'",)),
        ("{files: [../x.json]}", ("found '../x.json'",)),
        ("{masks: seg}", ("unknown key 'masks'", "segmentation")),
        ("{yolo: out/labels}", ("'out/labels' is inside the output 'out'",)),
        ("{yolo: labels, malformed: drop}", ("allowed is one of fail, warn",)),
    ],
)
def test_what_is_wrong_is_told(text: str, parts: tuple[str, ...]) -> None:
    (message,) = messages(written(text))
    assert message.startswith("pipeline.yaml:13: ")
    for part in parts:
        assert part in message


def test_a_recipe_that_crops_is_refused() -> None:
    crop = "    override: {fit: crop, output_size: work}\n"
    (message,) = messages(written("{yolo: labels}", crop))
    assert "the recipe has fit: crop, which cuts edges off before it optimises" in message
    assert "write `output_size: [W, H]`" in message
    sweep = "    sweep: [{fit: [longest, crop]}]\n    output_size: work\n"
    (message,) = messages(written("{yolo: labels}", sweep))
    assert "fit: crop" in message


def test_masks_beside_the_output_s_own_are_taken_as_before(tmp_path: Path) -> None:
    (tmp_path / "masks/ducks").mkdir(parents=True)
    (tmp_path / "photos/ducks/x.jpg").rename(tmp_path / "masks/ducks/x.jpg")
    (tmp_path / "photos/ducks/x.jpg").write_bytes((tmp_path / "masks/ducks/x.jpg").read_bytes())
    text = changed(HERE, f"{HERE}    masks: masks\n").replace("output: out", "output: .")
    assert load(text).pairs[0].masks == "masks"
