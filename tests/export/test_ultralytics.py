"""ultralytics trains on what is exported: an epoch of a tiny network, without weights.

It runs where ultralytics is installed; docs/export.md says how it was tried.
"""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.drawn import BOXES, HEIGHT, WIDTH, Drawn
from support.runs import PATIENCE_S, Small, command, run_process, small_project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ultralytics") is None, reason="needs ultralytics"),
]

# What ultralytics itself says that it trained and judged on, by its own loaders.
TRAIN = """
import json, sys
from ultralytics import YOLO

model, data, folder = sys.argv[1:]
seen = {}

def note(trainer):
    loaders = {"train": trainer.train_loader, "val": trainer.test_loader}
    for split, loader in loaders.items():
        dataset = loader.dataset
        labels = getattr(dataset, "labels", None)
        seen[split] = (
            {each["im_file"]: [int(c) for (c,) in each["cls"].tolist()] for each in labels}
            if labels is not None
            else {sample[0]: sample[1] for sample in dataset.samples}
        )

made = YOLO(model)
made.add_callback("on_train_end", note)
made.train(
    data=data, epochs=1, imgsz=64, batch=4, workers=0, device="cpu", plots=False, amp=False,
    project=folder, name="run", cache=False,
)
print("SEEN " + json.dumps({"names": list(made.names.values()), "seen": seen}))
"""


def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, data: Path) -> Any:
    """Train one epoch; return the classes, and of each split the images with their labels."""
    folder = tmp_path / "ultralytics"
    folder.mkdir()
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(folder / "config"))
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    monkeypatch.setenv("MPLCONFIGDIR", str(folder / "config"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(folder)
    ended = run_process(TRAIN, model, str(data), str(folder), timeout_s=2 * PATIENCE_S)
    assert ended.code == 0, ended
    assert (folder / "run/weights/last.pt").is_file()
    (line,) = [line for line in ended.out.splitlines() if line.startswith("SEEN ")]
    return json.loads(line.removeprefix("SEEN "))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """Photographs with boxes and their stylised versions, in two classes and two splits."""
    project = Drawn(tmp_path_factory.mktemp("drawn"), ())
    for split, count in (("train", 3), ("val", 1)):
        for label in ("cats", "dogs"):
            for number in range(count):
                project.photo(f"{split}/{label}/{number}.png", 1 + 5 * (number == 2))
    project.write_yolo()
    project.put("labels/classes.txt", "".join(f"{name}\n" for name in BOXES))
    project.put("labels/val/dogs/0.txt", "")
    small = project.small
    small.pair |= {"split": "folders", "originals": "copy"}
    small.style("t.png", 4)
    ended = small.run()
    assert ended.code == 0, ended
    assert len(small.images()) == 20
    return small


def exported(small: Small, target: Path, task: str) -> Path:
    assert command("export", "yolo", str(small.out), str(target), "--task", task).code == 0
    return target


def check_classes(small: Small, told: Any, folder: Path, split_of: dict[str, str]) -> None:
    """Check which images it had of each split, as which class."""
    rows = small.metadata()
    by_inode = {(small.out / "images" / path).stat().st_ino: path for path in rows}
    assert told["names"] == ["cats", "dogs"]
    for split, images in told["seen"].items():
        paths = {by_inode[Path(path).stat().st_ino]: label for path, label in images.items()}
        assert paths.keys() == {path for path in rows if rows[path]["split"] == split_of[split]}
        for path, label in paths.items():
            assert told["names"][label] == rows[path]["label"]


SPLITS = {"train": "train", "val": "val"}


def test_it_trains_a_classifier(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = exported(small, tmp_path / "yolo", "classify")
    told = trained(tmp_path, monkeypatch, "yolo11n-cls.yaml", target)
    check_classes(small, told, target, SPLITS)


def test_it_trains_a_classifier_on_the_output_as_it_is(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(small.out.rglob("*"))
    told = trained(tmp_path, monkeypatch, "yolo11n-cls.yaml", small.out / "images")
    check_classes(small, told, small.out / "images", SPLITS)
    added = {path.relative_to(small.out).as_posix() for path in set(small.out.rglob("*")) - before}
    assert added <= {"images/train.cache", "images/val.cache"}


def check_boxes(small: Small, told: Any) -> None:
    rows = small.metadata()
    by_inode = {(small.out / "images" / path).stat().st_ino: path for path in rows}
    assert told["names"] == list(BOXES)
    for split, images in told["seen"].items():
        paths = {by_inode[Path(path).stat().st_ino]: labels for path, labels in images.items()}
        assert paths.keys() == {path for path in rows if rows[path]["split"] == split}
        for path, labels in paths.items():
            has_none = rows[path]["content"] == "photos/val/dogs/0.png"
            assert sorted(labels) == ([] if has_none else [0, 1, 2]), path


def test_it_trains_a_detector(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = exported(small, tmp_path / "yolo", "detect")
    told = trained(tmp_path, monkeypatch, "yolo11n.yaml", target / "data.yaml")
    check_boxes(small, told)


def test_it_trains_a_detector_on_the_output_as_it_is(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small.root / "labels/data.yaml").write_text(yaml.safe_dump({"names": list(BOXES)}))
    assert small.run().code == 0
    told = trained(tmp_path, monkeypatch, "yolo11n.yaml", small.out / "data.yaml")
    check_boxes(small, told)


def test_without_splits_it_makes_its_own_beside_the_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = small_project(tmp_path)
    for number in range(4):
        small.photo(f"cats/{number}.png", number, WIDTH, HEIGHT)
        small.photo(f"dogs/{number}.png", 10 + number, WIDTH, HEIGHT)
    assert small.run().code == 0
    told = trained(tmp_path, monkeypatch, "yolo11n-cls.yaml", small.out / "images")
    assert told["names"] == ["cats", "dogs"]
    there = {path for split in told["seen"].values() for path in split}
    assert len(there) == len(small.images())
    assert all("/images_split/" in path for path in there)
    # What docs/export.md warns of: versions of one photograph are on both sides.
    sides = [
        {Path(path).name.partition("-")[0] for path in told["seen"][split]} for split in SPLITS
    ]
    assert sides[0] & sides[1]
