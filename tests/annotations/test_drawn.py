"""Boxes drawn into photographs are where the annotations of their results say."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.drawn import Drawn, check_near, read_all, stem
from support.runs import run_process

pytestmark = pytest.mark.slow

ORIENTATIONS = range(1, 9)


@pytest.mark.parametrize("is_stored", [False, True], ids=["upright", "stored"])
@pytest.mark.parametrize(
    ("asked", "off_px"),
    [("content", 0), (32, 1), ([40, 40], 1), ([30, 60], 1), ("work", 1)],
    ids=str,
)
def test_what_was_drawn_is_where_annotations_say(
    asked: Any, off_px: float, is_stored: bool, tmp_path: Path
) -> None:
    # Only the quarter turns change a photograph's size, so that annotations can tell.
    orientations = [1, 5, 6, 7, 8] if is_stored else list(ORIENTATIONS)
    project = Drawn(tmp_path, orientations)
    project.write_all(is_stored)
    project.small.pair["output_size"] = asked
    if asked == "work":
        project.small.pair["size_px"] = 32
    ended = project.small.run()
    assert ended.code == 0, ended
    seen = project.seen()
    assert len(seen) == len(orientations)
    for kind, read in read_all(project).items():
        for path, boxes in seen.items():
            assert boxes, path
            # A pixel of YOLO's six digits and of rounding is none of a photograph that stays.
            off = off_px or 1e-3
            # Pixels of VOC and of masks are whole.
            check_near(read(path), boxes, off + (0.5 if off_px else 0))
            assert kind


def test_masks_keep_values_and_palette(tmp_path: Path) -> None:
    project = Drawn(tmp_path, [1, 6])
    project.write_masks(is_stored=True)
    assert project.small.run().code == 0
    for path in ("cats/o1.png", "cats/o6.png"):
        source = Image.open(tmp_path / "seg" / path)
        made = Image.open(project.out / "masks" / f"{stem(path)}-s.png")
        assert (made.mode, made.getpalette()) == ("P", source.getpalette())
        turned = np.rot90(np.array(source), -1) if "6" in path else np.array(source)
        assert np.array_equal(np.array(made), turned)
    before = (tmp_path / "seg/cats/o1.png").read_bytes()
    assert (project.out / "masks/cats/o1-s.png").read_bytes() == before


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_pycocotools_reads_what_comes_out(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    project = Drawn(tmp_path, [1, 6])
    project.small.style("t.png", 4)
    document = project.write_coco(is_stored=True)
    project.small.pair["output_size"] = [40, 40]
    assert project.small.run().code == 0
    read = coco.COCO(project.out / "annotations_coco.json")
    assert len(read.imgs) == 4
    results = project.results()
    for number, image in read.imgs.items():
        pixels = results[image["file_name"]]
        assert pixels.shape[:2] == (image["height"], image["width"])
        for each in read.loadAnns(read.getAnnIds(imgIds=number)):
            mask = read.annToMask(each)
            x, y, w, h = each["bbox"]
            rows, columns = np.nonzero(mask)
            assert abs(columns.min() - x) <= 1
            assert abs(columns.max() + 1 - x - w) <= 1
            assert abs(rows.min() - y) <= 1
            assert abs(rows.max() + 1 - y - h) <= 1
            assert abs(mask.sum() - each["area"]) <= 2 * (w + h)
    kept = json.loads((project.out / "annotations_coco.json").read_bytes())
    for key in ("info", "licenses", "categories"):
        assert kept[key] == document[key]
    assert {each["note"] for each in kept["annotations"]} <= {"red", "green", "blue"}
    assert len({each["id"] for each in kept["annotations"]}) == len(kept["annotations"])


def test_results_of_an_earlier_recipe_that_cropped_have_theirs_too(tmp_path: Path) -> None:
    project = Drawn(tmp_path, [1])
    project.photo("cats/second.png")
    annotations = project.small.pair.pop("annotations")
    plain = dict(project.small.pair["override"])
    crop = {"fit": "crop", "aspect": [1, 1], "output_size": "work"}
    project.small.pair |= {"size_px": 32, "override": plain | crop}
    assert project.small.run().code == 0
    project.write_all(is_stored=False)
    project.small.pair |= {"annotations": annotations, "size_px": 64, "override": plain}
    ended = project.small.run("--limit", "1")
    assert ended.code == 0, ended
    seen = project.seen()
    assert {each.shape for each in project.results().values()} == {(32, 32, 3), (48, 64, 3)}
    for read in read_all(project).values():
        for path, boxes in seen.items():
            check_near(read(path), boxes, 1.5)


# In a process of its own, as it changes what Pillow opens. Prints, for each image, its boxes.
READ_BY_ULTRALYTICS = """
import json, sys
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset
told = check_det_dataset(sys.argv[1], autodownload=False)
found = {}
for split in ("train", "val"):
    data = YOLODataset(img_path=told[split], data=told, task="detect", imgsz=64, augment=False)
    for each in data.labels:
        names = [told["names"][int(number)] for number in each["cls"].ravel()]
        found[each["im_file"]] = dict(zip(names, each["bboxes"].tolist()))
print(json.dumps(found))
"""


def test_ultralytics_reads_what_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    project = Drawn(tmp_path, ())
    for path in ("train/a.png", "val/b.png"):
        project.photo(path, 6)
    project.write_yolo()
    project.put("data.yaml", "names: [red, green, blue]\n")
    project.small.pair["output_size"] = [40, 40]
    assert project.small.run().code == 0
    ended = run_process(READ_BY_ULTRALYTICS, str(project.out / "data.yaml"))
    assert ended.code == 0, ended
    found = json.loads(ended.out.splitlines()[-1])
    assert len(found) == 2
    seen = project.seen()
    for image, shares in found.items():
        boxes = {
            name: (40 * (x - w / 2), 40 * (y - h / 2), 40 * (x + w / 2), 40 * (y + h / 2))
            for name, (x, y, w, h) in shares.items()
        }
        path = Path(image).relative_to(project.out / "images").as_posix()
        check_near(boxes, seen[path], 1.5)
    # A second run leaves the trainer's own files beside the labels.
    assert project.small.again() == set()
    assert (project.out / "labels/train.cache").exists()
