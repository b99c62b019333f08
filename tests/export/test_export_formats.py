"""Every format, by the libraries that read it, and without them by tarfile, json and Pillow."""

import io
import itertools
import json
import shutil
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from support.documents import table
from support.runs import Small, command, small_project
from torchvision.datasets import ImageFolder

pytestmark = pytest.mark.slow

SPLITS, CLASSES = ("train", "val"), ["n01.cats", "n02.dogs"]
NUM_IMAGES = 34


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """An output with splits, dots, umlauts, two formats, originals, names that meet as keys."""
    small = small_project(tmp_path_factory.mktemp("formats"))
    for path in ("cats/a.png", "dogs/b.png"):
        (small.root / "photos" / path).unlink()
    for split in SPLITS:
        for label in CLASSES:
            small.photo(f"{split}/{label}/größe.png", 1)
            small.photo(f"{split}/{label}/sub/x_y.png", 2, 24, 16)
    small.photo("train/n01.cats/sub_x/y.png", 3)
    small.photo("train/n01.cats/sub_x_y.png", 4)
    small.pair |= {"split": "folders", "stylise": list(SPLITS), "originals": "copy"}
    small.document["pairs"].append(
        small.pair | {"name": "more", "into": "more", "styles": ["styles/s.png"]}
        | {"format": "jpeg", "originals": "none", "stylise": ["val"]}
    )  # fmt: skip
    ended = small.run()
    assert ended.code == 0, ended
    assert len(small.images()) == NUM_IMAGES
    return small


def exported(small: Small, name: str, *arguments: str, code: int = 0) -> Path:
    """Export in this process; return where."""
    target = small.root / f"export-{'-'.join((name, *arguments)).replace('/', '_')}"
    ended = command("export", name, str(small.out), str(target), *arguments)
    assert ended.code == code, ended
    return target


def members(path: Path) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(path) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            yield member, file.read()


def samples(target: Path) -> dict[str, dict[str, bytes]]:
    """Return the samples of all shards by key; members of one stand side by side."""
    found: dict[str, dict[str, bytes]] = {}
    for path in sorted(target.glob("*.tar")):
        last = ""
        for member, data in members(path):
            key, _, suffix = member.name.partition(".")
            assert key == last or key not in found
            found.setdefault(key, {})[suffix] = data
            last = key
    return found


def summary(target: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((target / "export.json").read_bytes())
    return told


# WebDataset


def test_shards_hold_the_output_byte_for_byte(small: Small) -> None:
    target = exported(small, "webdataset", "--shard-size", "5")
    classes = (target / "classes.txt").read_text().splitlines()
    assert classes == CLASSES
    images, rows = small.images(), small.metadata()
    found = samples(target)
    seen = set()
    for sample in found.values():
        row = json.loads(sample["json"])
        name = row["file_name"].removeprefix("images/")
        seen.add(name)
        assert sample[name.rpartition(".")[2]] == images[name]
        assert classes[int(sample["cls"])] == row["label"] == rows[name]["label"]
        assert {key: row[key] for key in rows[name]} == rows[name]
        assert all(row[key] is None for key in row.keys() - rows[name].keys())
    assert seen == images.keys()
    assert len(found) == NUM_IMAGES


def test_keys_are_plain_and_headers_say_nothing_of_when_and_who(small: Small) -> None:
    target = exported(small, "webdataset")
    names = [member.name for path in target.glob("*.tar") for member, _ in members(path)]
    assert all(name.isascii() and len(name) < 100 and name.count(".") == 1 for name in names)
    keys = {name.partition(".")[0].lower() for name in names}
    assert len(keys) == NUM_IMAGES
    for path in target.glob("*.tar"):
        for member, _ in members(path):
            told = (member.mtime, member.uid, member.gid, member.uname, member.gname)
            assert told == (0, 0, 0, "", "")


def test_shards_are_of_their_splits_and_no_larger_than_asked(small: Small) -> None:
    target = exported(small, "webdataset", "--shard-size", "5")
    rows = small.metadata().values()
    for split, count in Counter(row["split"] for row in rows).items():
        paths = sorted(target.glob(f"{split}-*.tar"))
        assert [path.name for path in paths] == [
            f"{split}-{number:06d}.tar" for number in range(-(-count // 5))
        ]
        for path in paths:
            told = [json.loads(d) for m, d in members(path) if m.name.endswith(".json")]
            assert {row["split"] for row in told} == {split}
            assert len(told) <= 5
    size = exported(small, "webdataset", "--shard-size", "3kB")
    for path in size.glob("*.tar"):
        of_images = [m.size for m, _ in members(path) if m.name.endswith((".png", ".jpg"))]
        assert sum(of_images) <= 3000 or len(of_images) == 1


def test_the_seed_decides_the_order_and_the_same_again_gives_the_same_bytes(small: Small) -> None:
    first, other = (exported(small, "webdataset", "--seed", seed) for seed in "01")
    order = [list(samples(target)) for target in (first, other)]
    assert sorted(order[0]) == sorted(order[1])
    assert order[0] != order[1]
    again = small.root / "again"
    assert command("export", "webdataset", str(small.out), str(again)).code == 0
    tars = {path.name: path.read_bytes() for path in first.glob("*.tar")}
    assert tars == {path.name: path.read_bytes() for path in again.glob("*.tar")}


def test_an_order_mixes_classes(small: Small) -> None:
    target = exported(small, "webdataset")
    for path in target.glob("*.tar"):
        labels = [data for member, data in members(path) if member.name.endswith(".cls")]
        assert sum(a != b for a, b in itertools.pairwise(labels)) > 2


@pytest.mark.filterwarnings("ignore")
def test_webdataset_reads_them(small: Small) -> None:
    wds = pytest.importorskip("webdataset")
    target = exported(small, "webdataset", "--shard-size", "5")
    shards = sorted(map(str, target.glob("*.tar")))
    loaded = wds.WebDataset(shards, shardshuffle=False).decode("pil")
    rows, count = small.metadata(), 0
    for image, label, row in loaded.to_tuple("png;jpg", "cls", "json"):
        count += 1
        assert CLASSES[label] == rows[row["file_name"].removeprefix("images/")]["label"]
        with Image.open(small.out / row["file_name"]) as opened:
            assert image.tobytes() == opened.convert("RGB").tobytes()
    assert count == NUM_IMAGES


# Parquet


def test_parquet_has_every_key_of_the_metadata_with_its_type(small: Small) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    target = exported(small, "parquet", "--shard-size", "5")
    told = {key.strip("` ") for row in table("docs/output.md", "| key |") for key in
            row[0].split(",")}  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    for path in sorted((target / "data").glob("*.parquet")):
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
        assert set(schema.names) == told | {"image"}
        assert pyarrow.null() not in schema.types
        for row in file.read().to_pylist():
            found[row["file_name"].removeprefix("images/")] = row
    images, rows = small.images(), small.metadata()
    assert found.keys() == images.keys()
    for name, row in found.items():
        assert row.pop("image") == {"bytes": images[name], "path": f"images/{name}"}
        assert CLASSES[row.pop("label")] == rows[name]["label"]
        assert {key: row[key] for key in rows[name] if key != "label"} == {
            key: value for key, value in rows[name].items() if key != "label"
        }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["folder", "files"])
def test_hugging_face_has_images_classes_and_splits(small: Small, tmp_path: Path, way: str) -> None:
    datasets = pytest.importorskip("datasets")
    target = exported(small, "parquet", "--shard-size", "5")
    cache = {"cache_dir": str(tmp_path)}
    if way == "folder":
        loaded = datasets.load_dataset(str(target), **cache)
    else:
        files = {split: str(target / f"data/{split}-*.parquet") for split in SPLITS}
        loaded = datasets.load_dataset("parquet", data_files=files, **cache)
    rows = small.metadata()
    assert {split: len(part) for split, part in loaded.items()} == Counter(
        row["split"] for row in rows.values()
    )
    for split, part in loaded.items():
        features = part.features
        assert isinstance(features["image"], datasets.Image)
        assert features["label"] == datasets.ClassLabel(names=CLASSES)
        assert features["variant"] == datasets.Value("int32")
        assert features["mask"] == datasets.Value("string")
        for row in part:
            known = rows[row["file_name"].removeprefix("images/")]
            assert (CLASSES[row["label"]], split) == (known["label"], known["split"])
            assert row["losses"] == known["losses"] or known["losses"] is None
            with Image.open(small.out / row["file_name"]) as opened:
                assert row["image"].tobytes() == opened.tobytes()


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_tables_are_read_by_others_too(small: Small, library: str) -> None:
    reader = pytest.importorskip(library)
    target = exported(small, "parquet")
    frames = [reader.read_parquet(path) for path in sorted((target / "data").glob("*.parquet"))]
    assert sum(len(frame) for frame in frames) == NUM_IMAGES
    for frame in frames:
        for cell in frame["image"]:
            Image.open(io.BytesIO(cell["bytes"])).verify()


# YOLO


def test_classes_are_folders_of_each_split_and_files_are_hard_links(small: Small) -> None:
    target = exported(small, "yolo")
    rows = small.metadata()
    left = {(small.out / "images" / name).stat().st_ino: row for name, row in rows.items()}
    for split in SPLITS:
        loaded = ImageFolder(str(target / split))
        assert loaded.classes == CLASSES
        for path, label in loaded.samples:
            assert Path(path).relative_to(target / split).parts[0] == CLASSES[label]
            row = left.pop(Path(path).stat().st_ino)
            assert (row["split"], row["label"]) == (split, CLASSES[label])
    assert left == {}
    assert summary(target)["linked"] == NUM_IMAGES
    assert (target / "train/n01.cats/größe-s.png").exists()


@pytest.fixture
def labelled(small: Small, tmp_path: Path) -> Small:
    """A copy of the output with labels, as annotations of the photographs put them there."""
    copy = small_project(tmp_path)
    copy.document, copy.pair = small.document, small.pair
    shutil.copytree(small.out, copy.out)
    for number, name in enumerate(copy.metadata()):
        if number % 4:
            path = copy.out / "labels" / f"{name.rpartition('.')[0]}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{number % 2} 0.5 0.5 0.{number + 10} 0.5\n")
    return copy


def test_labels_stand_where_ultralytics_looks_for_them(labelled: Small) -> None:
    told = {"path": "/old", "train": "old", "names": {0: "ear", 1: "tail"}, "kpt_shape": [2, 3]}
    (labelled.out / "data.yaml").write_text(yaml.safe_dump(told))
    target = exported(labelled, "yolo")
    data = yaml.safe_load((target / "data.yaml").read_text())
    names = {"names": told["names"], "kpt_shape": [2, 3]}
    assert data == {"train": "images/train", "val": "images/val", **names}
    by_inode = {
        (labelled.out / "images" / name).stat().st_ino: name for name in labelled.metadata()
    }
    found, num_labels = set(), 0
    for split in SPLITS:
        for path in filter(Path.is_file, (target / data[split]).rglob("*")):
            name = by_inode[path.stat().st_ino]
            assert labelled.metadata()[name]["split"] == split
            found.add(name)
            # How ultralytics' `img2label_paths` does it.
            label = Path("/labels/".join(str(path).rsplit("/images/", 1))).with_suffix(".txt")
            wanted = labelled.out / "labels" / f"{name.rpartition('.')[0]}.txt"
            assert label.exists() == wanted.exists()
            if wanted.exists():
                num_labels += 1
                assert label.read_bytes() == wanted.read_bytes()
    assert len(found) == NUM_IMAGES
    assert num_labels == len(list((labelled.out / "labels").rglob("*.txt")))
    assert ImageFolder(str(exported(labelled, "yolo", "--task", "classify") / "val"))


def test_without_val_data_yaml_says_so_and_without_names_it_is_refused(labelled: Small) -> None:
    target = labelled.root / "refused"
    ended = command("export", "yolo", str(labelled.out), str(target))
    assert ended.code == 2
    assert "nothing names the classes of its labels" in ended.err
    assert not target.exists()
    (labelled.out / "labels/classes.txt").write_text("ear\ntail\n")
    target = exported(labelled, "yolo", "--split", "train")
    text = (target / "data.yaml").read_text()
    assert text.startswith("# There is no val")
    assert yaml.safe_load(text) == {
        "train": "images/train", "val": "images/train", "names": ["ear", "tail"]
    }  # fmt: skip


# COCO


def test_coco_tells_classes_and_sizes(small: Small) -> None:
    target = exported(small, "coco")
    rows, images, found = small.metadata(), small.images(), set()
    for split in SPLITS:
        told = json.loads((target / f"annotations/{split}.json").read_bytes())
        names = {each["id"]: each["name"] for each in told["categories"]}
        assert list(names.values()) == CLASSES
        by_id = {each["id"]: each for each in told["images"]}
        assert len(by_id) == len(told["images"]) == len(told["annotations"])
        for each in told["annotations"]:
            image = by_id[each["image_id"]]
            name = image["file_name"]
            assert name not in found
            found.add(name)
            path = target / "images" / name
            assert path.read_bytes() == images[name]
            with Image.open(path) as opened:
                assert opened.size == (image["width"], image["height"])
            assert (rows[name]["split"], rows[name]["label"]) == (split, names[each["category_id"]])
    assert found == images.keys()


@pytest.mark.filterwarnings("ignore")
def test_pycocotools_and_torchvision_read_it(small: Small) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    from torchvision.datasets import CocoDetection

    target = exported(small, "coco")
    for split in SPLITS:
        loaded = coco.COCO(str(target / f"annotations/{split}.json"))
        for row in loaded.loadCats(loaded.getCatIds()):
            ids = loaded.getImgIds(catIds=[row["id"]])
            labels = {small.metadata()[each["file_name"]]["label"] for each in loaded.loadImgs(ids)}
            assert labels == {row["name"]}
        there = CocoDetection(str(target / "images"), str(target / f"annotations/{split}.json"))
        assert all(len(each) == 1 and image.size for image, each in there)


@pytest.mark.filterwarnings("ignore")
def test_annotations_of_the_output_are_kept_for_the_images_that_are_exported(
    labelled: Small,
) -> None:
    names = sorted(labelled.metadata())[2:]
    boxes = [[number, 1, 5, 6] for number in range(len(names))]
    merged = {
        "info": {"year": 2026},
        "licenses": [{"id": 7, "name": "CC0"}],
        "categories": [{"id": 3, "name": "ear"}],
        "images": [
            {"id": 10 + number, "file_name": name, "width": 16, "height": 16, "license": 7}
            for number, name in enumerate(names)
        ],
        "annotations": [
            {"id": number, "image_id": 10 + number, "category_id": 3, "bbox": box, "area": 30}
            for number, box in enumerate(boxes)
        ],
    }
    (labelled.out / "annotations_coco.json").write_text(json.dumps(merged))
    ended = command("export", "coco", str(labelled.out), str(labelled.root / "coco"))
    assert ended.code == 0, ended
    assert "2 images are left out, of which annotations_coco.json does not tell" in ended.err
    found = {}
    for split in SPLITS:
        told = json.loads((labelled.root / f"coco/annotations/{split}.json").read_bytes())
        assert (told["info"], told["licenses"]) == (merged["info"], merged["licenses"])
        assert told["categories"] == merged["categories"]
        by_id = {each["id"]: each for each in told["images"]}
        for each in told["annotations"]:
            image = by_id[each["image_id"]]
            found[image["file_name"]] = each["bbox"]
            assert labelled.metadata()[image["file_name"]]["split"] == split
            assert (labelled.root / "coco/images" / image["file_name"]).exists()
    assert found == dict(zip(names, boxes, strict=True))


# Options


@pytest.mark.parametrize("name", ["webdataset", "parquet", "yolo", "coco"])
def test_splits_and_kinds_are_chosen_and_classes_keep_their_numbers(
    small: Small, name: str
) -> None:
    target = exported(small, name, "--split", "val", "--kind", "original")
    told = summary(target)
    wanted = {
        path: row
        for path, row in small.metadata().items()
        if (row["split"], row["kind"]) == ("val", "original")
    }
    assert (told["images"], told["by_split"]) == (len(wanted), {"val": len(wanted)})
    assert told["by_kind"] == {"original": len(wanted)}
    assert told["classes"] == CLASSES
    ended = command("export", name, str(small.out), str(small.root / "no"), "--split", "dev")
    assert (ended.code, "no image is in 'dev'; there are train, val" in ended.err) == (2, True)
    assert not (small.root / "no").exists()


def test_what_is_no_option_is_refused(small: Small) -> None:
    for arguments, told in (
        (("yolo", "--task", "pose"), "classify, detect"),
        (("coco", "--kind", "photo"), "original, stylised"),
        (("parquet", "--shard-size", "10 apples"), "256MB"),
        (("webdataset", "--shard-size", "0"), "256MB"),
    ):
        ended = command("export", arguments[0], str(small.out), "x", *arguments[1:])
        assert ended.code == 2
        assert told in ended.err
    assert not Path("x").exists()
