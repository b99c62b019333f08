"""Annotations in an output: what comes, what stays, what goes, and what is told."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from support.drawn import Drawn, read_csv, read_voc
from support.paths import remove_with_folder
from support.runs import command, contents, lines

pytestmark = pytest.mark.slow

FOLDERS = ("labels", "annotations_voc", "masks", "files")
FILES = ("annotations_coco.json", "annotations.csv", "data.yaml")


def made(project: Drawn) -> dict[str, bytes]:
    """Return all annotations of an output, by path."""
    return {
        path: data
        for path, data in contents(project.out).items()
        if path.partition("/")[0] in FOLDERS or path in FILES
    }


def identities(project: Drawn) -> dict[str, tuple[int, int]]:
    """Return what tells each file from one that is written again."""
    stats = {path: (project.out / path).stat() for path in made(project)}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


@pytest.fixture
def project(tmp_path: Path) -> Drawn:
    project = Drawn(tmp_path)
    project.photo("dogs/b.png")
    project.write_all(is_stored=False)
    return project


def test_each_result_has_its_own_and_the_same_again_writes_nothing(project: Drawn) -> None:
    project.small.style("t.png", 4)
    assert project.small.run().code == 0
    stems = ("cats/o1-s", "cats/o1-t", "dogs/b-s", "dogs/b-t")
    assert made(project).keys() == {
        *(f"labels/{stem}.txt" for stem in stems),
        *(f"annotations_voc/{stem}.xml" for stem in stems),
        *(f"masks/{stem}.png" for stem in stems),
        "annotations_coco.json",
        "annotations.csv",
    }
    assert read_csv(project.out / "annotations.csv").keys() == {f"{stem}.png" for stem in stems}
    before = identities(project)
    assert project.small.again() == set()
    assert identities(project) == before
    assert project.small.summary()["annotations"]["all"]["yolo"]["objects"] == 12


def test_voc_names_the_result_that_it_is_about(project: Drawn) -> None:
    project.small.pair["output_size"] = 32
    assert project.small.run().code == 0
    text = (project.out / "annotations_voc/cats/o1-s.xml").read_text()
    for told in (
        "<folder>images/cats</folder>",
        "<filename>o1-s.png</filename>",
        "<path>images/cats/o1-s.png</path>",
        "<width>32</width>",
        "<height>24</height>",
    ):
        assert told in text


def test_an_annotation_that_changed_is_written_again_and_no_image_made(project: Drawn) -> None:
    assert project.small.run().code == 0
    before = identities(project)
    project.put("labels/cats/o1.txt", "2 0.5 0.5 0.25 0.25\n")
    assert project.small.again() == set()
    after = identities(project)
    assert {path for path in after if after[path] != before[path]} == {"labels/cats/o1-s.txt"}
    assert made(project)["labels/cats/o1-s.txt"] == b"2 0.5 0.5 0.25 0.25\n"


def test_what_somebody_removed_comes_again(project: Drawn) -> None:
    assert project.small.run().code == 0
    before = made(project)
    shutil.rmtree(project.out / "labels/cats")
    (project.out / "annotations.csv").unlink()
    assert project.small.again() == set()
    assert made(project) == before


def test_what_belongs_to_images_that_are_set_aside_goes_and_comes_back(project: Drawn) -> None:
    assert project.small.run().code == 0
    before = made(project)
    photo = project.root / "photos/dogs/b.png"
    data = photo.read_bytes()
    remove_with_folder(photo)
    for path in ("labels/dogs/b.txt", "Annotations/dogs/b.xml", "seg/dogs/b.png"):
        (project.root / path).rename(project.root / path.replace("/", "_"))
    project.annotations["malformed"] = "warn"
    assert project.small.run().code == 0
    after = made(project)
    assert not any("dogs" in path for path in after)
    assert not (project.out / "labels/dogs").exists()
    assert "dogs" not in after["annotations_coco.json"].decode()
    assert read_csv(project.out / "annotations.csv").keys() == {"cats/o1-s.png"}
    photo.parent.mkdir()
    photo.write_bytes(data)
    for path in ("labels/dogs/b.txt", "Annotations/dogs/b.xml", "seg/dogs/b.png"):
        (project.root / path.replace("/", "_")).rename(project.root / path)
    assert project.small.run().code == 0
    assert made(project) == before


def test_a_key_that_is_taken_away_takes_its_files_along(project: Drawn) -> None:
    assert project.small.run().code == 0
    del project.small.pair["annotations"]
    assert project.small.run().code == 0
    assert made(project) == {}
    assert not (project.out / "labels").exists()


def test_files_of_others_are_never_touched(project: Drawn) -> None:
    foreign = project.out / "labels/cats/o1-s.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("mine")
    notes = project.out / "labels/notes.txt"
    notes.write_text("mine too")
    ended = project.small.run()
    assert ended.code == 3
    assert "1 annotation failed" in ended.err
    (failure,) = lines(project.out / "failures.jsonl")
    assert failure["annotation"] == str(foreign)
    assert foreign.read_text() == "mine"
    # One of ours that somebody has changed is theirs.
    edited = project.out / "labels/dogs/b-s.txt"
    edited.write_text("edited by hand")
    project.put("labels/dogs/b.txt", "0 0.5 0.5 0.1 0.1\n")
    assert project.small.run().code == 3
    assert edited.read_text() == "edited by hand"
    del project.small.pair["annotations"]
    project.small.run()
    assert made(project).keys() == {
        "labels/cats/o1-s.txt",
        "labels/notes.txt",
        "labels/dogs/b-s.txt",
    }


def test_files_whose_writing_was_killed_are_known_as_ours(project: Drawn) -> None:
    assert project.small.run().code == 0
    before = made(project)
    # As if the ledger had noted a file, and the kill came before it was in place.
    project.put("labels/cats/o1.txt", "2 0.5 0.5 0.25 0.25\n")
    assert project.small.run().code == 0
    (project.out / "labels/cats/o1-s.txt").write_bytes(before["labels/cats/o1-s.txt"])
    assert project.small.run().code == 0
    assert made(project)["labels/cats/o1-s.txt"] == b"2 0.5 0.5 0.25 0.25\n"


BROKEN: dict[str, tuple[str, dict[int | None, str]]] = {
    "labels/cats/o1.txt": (
        "0 0.5 0.5 0.1 0.1\n1 0.5 1.5 0.1 0.1\nx 0 0 1 1\n0 0.5 0.5 0.1\n",
        {2: "outside", 3: "'x'", 4: "4 values"},
    ),
    "Annotations/cats/o1.xml": (
        "<annotation>\n<size><width>64</width>\n<height>48</height></size>\n<object><name>a</name>"
        "<bndbox><xmin>9</xmin><ymin>9</ymin><xmax>99</xmax><ymax>20</ymax></bndbox></object>\n"
        "<object><name>b</name>\n<bndbox><xmin>a</xmin></bndbox></object></annotation>",
        {4: "64×48", 6: "'a'"},
    ),
    "seg/cats/o1.png": ("no image", {None: "no image"}),
    "instances.json": ('{"images": [],\n "annotations": [}', {2: "no JSON"}),
    "boxes.csv": (
        "filename,width,height,class,xmin,ymin,xmax,ymax\ncats/o1.png,64,48,a,9,9,99,20\n"
        "cats/o1.png,64,48,a,1,1,2,2\ndogs/b.png,64,48,a,x,1,2,2\n",
        {2: "64×48", 4: "four numbers"},
    ),
}


@pytest.mark.parametrize("path", BROKEN)
def test_what_is_malformed_is_told_with_its_line(path: str, project: Drawn) -> None:
    text, told = BROKEN[path]
    project.put(path, text)
    ended = project.small.run()
    assert ended.code == 3
    found = {row["annotation"]: row["reason"] for row in lines(project.out / "failures.jsonl")}
    for line, reason in told.items():
        where = f"{path}:{line}" if line else path
        assert reason in found.pop(where)
    assert not found
    assert project.small.summary()["failed_annotations"] == len(told)
    assert project.small.summary()["exit_code"] == 3
    # The images themselves are there, and are not made again.
    assert len(project.small.images()) == 2
    assert project.small.again(code=3) == set()
    if path == "instances.json":
        assert not (project.out / "annotations_coco.json").exists()
    # Whether nothing has changed or not: it is told each time.
    assert {row["annotation"] for row in lines(project.out / "failures.jsonl")}
    project.annotations["malformed"] = "warn"
    ended = project.small.run()
    assert ended.code == 0, ended
    assert "malformed annotation" in ended.out
    (warning,) = project.small.summary()["warnings"]
    assert path.partition(".")[0] in warning
    assert not (project.out / "failures.jsonl").exists()


def test_what_is_sound_of_a_malformed_file_comes_with_warnings_only(project: Drawn) -> None:
    path = "labels/cats/o1.txt"
    project.put(path, BROKEN[path][0])
    assert project.small.run().code == 3
    assert not (project.out / "labels/cats/o1-s.txt").exists()
    project.annotations["malformed"] = "warn"
    assert project.small.run().code == 0
    assert (project.out / "labels/cats/o1-s.txt").read_text() == "0 0.5 0.5 0.1 0.1\n"
    assert project.small.summary()["annotations"]["all"]["yolo"]["malformed"] == 3


def test_an_image_without_labels_is_background_and_without_others_malformed(
    project: Drawn,
) -> None:
    (project.root / "labels/cats/o1.txt").unlink()
    (project.root / "Annotations/cats/o1.xml").unlink()
    project.put("labels/fish.txt", "0 0.5 0.5 0.1 0.1\n")
    assert project.small.run().code == 3
    rows = lines(project.out / "failures.jsonl")
    found = {(row["kind"], row["annotation"]): row for row in rows}
    assert found.keys() == {("voc", "photos/cats/o1.png"), ("yolo", "labels")}
    assert "labels/fish.txt" in found["yolo", "labels"]["reason"]
    counts = project.small.summary()["annotations"]["all"]
    assert (counts["yolo"]["without"], counts["yolo"]["results"]) == (1, 1)
    plan = command("plan", str(project.small.write()))
    assert "all: yolo: 1 image, 3 objects, 1 without labels (background)" in plan.out
    assert "warning: labels: 1 file of no image in photos (such as labels/fish.txt): fails" in (
        plan.out
    )


def test_an_image_of_another_size_is_told(project: Drawn) -> None:
    text = (project.root / "Annotations/cats/o1.xml").read_text()
    project.put("Annotations/cats/o1.xml", text.replace("<width>64<", "<width>48<"))
    # As if it were turned, which this photograph is not.
    turned = text.replace("<width>64<", "<width>48<").replace("<height>48<", "<height>64<")
    project.put("Annotations/dogs/b.xml", turned)
    assert project.small.run().code == 3
    reasons = [row["reason"] for row in lines(project.out / "failures.jsonl")]
    assert len(reasons) == 2
    assert all("the photograph has 64×48" in reason for reason in reasons)


def test_labels_come_with_their_classes(project: Drawn) -> None:
    project.put("labels/classes.txt", "red\ngreen\nblue\n")
    document = {"path": "/mine", "train": "a", "val": "b", "nc": 3, "names": ["r", "g", "b"]}
    project.put("data.yaml", yaml.safe_dump(document))
    assert project.small.run().code == 0
    assert (project.out / "labels/classes.txt").read_text() == "red\ngreen\nblue\n"
    text = (project.out / "data.yaml").read_text()
    assert "no split" in text
    expected = {"train": "images", "val": "images", "nc": 3, "names": ["r", "g", "b"]}
    assert yaml.safe_load(text) == expected
    # What the labels may hold is what it tells.
    project.put("data.yaml", "names: {0: r, 1: g}\n")
    assert project.small.run().code == 3
    reasons = {row["reason"] for row in lines(project.out / "failures.jsonl")}
    assert reasons == {"the class is 2; data.yaml has 2 class names"}


def test_splits_are_named_in_data_yaml(tmp_path: Path) -> None:
    project = Drawn(tmp_path, ())
    for path in ("train/a.png", "valid/b.png"):
        project.photo(path)
    project.write_yolo()
    project.put("data.yaml", "names: [r, g, b]\n")
    project.small.pair["originals"] = "copy"
    assert project.small.run().code == 0
    told = yaml.safe_load((project.out / "data.yaml").read_text())
    assert (told["train"], told["val"]) == ("images/train", "images/valid")
    # As trainers find labels: the last /images/ of an image's path becomes /labels/.
    for path in project.small.images():
        image = str(project.out / "images" / path)
        labels = "/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt"
        assert Path(labels).is_file()


def test_side_files_are_copied_under_the_result_s_name(tmp_path: Path) -> None:
    project = Drawn(tmp_path)
    project.put("photos/cats/o1.json", '{"a": 1}')
    project.put("photos/cats/o1.png.txt", "a caption")
    project.annotations["files"] = [".json", ".txt"]
    assert project.small.run().code == 0
    assert made(project) == {
        "files/cats/o1-s.json": b'{"a": 1}',
        "files/cats/o1-s.txt": b"a caption",
    }
    (project.root / "photos/cats/o1.png.txt").unlink()
    project.small.pair["output_size"] = 32
    assert project.small.run().code == 3
    (row,) = lines(project.out / "failures.jsonl")
    assert (row["annotation"], row["reason"]) == ("photos/cats/o1.png", "has no .txt file")
    (warning,) = project.small.summary()["warnings"]
    assert "copied as they are" in warning


def test_bare_names_are_found_where_only_one_image_has_them(project: Drawn) -> None:
    document = json.loads((project.root / "instances.json").read_text())
    for image in document["images"]:
        image["file_name"] = f"photos/{image['file_name']}"
    document["images"][0]["file_name"] = "o1.png"
    project.put("instances.json", json.dumps(document))
    assert project.small.run().code == 0
    found = json.loads((project.out / "annotations_coco.json").read_bytes())
    assert [each["file_name"] for each in found["images"]] == ["cats/o1-s.png", "dogs/b-s.png"]
    project.photo("dogs/o1.png")
    project.annotations.clear()
    project.annotations["coco"] = "instances.json"
    assert project.small.run().code == 3
    reasons = [row["reason"] for row in lines(project.out / "failures.jsonl")]
    assert any("'o1.png' may be several images" in reason for reason in reasons)


def test_shards_annotations_come_with_the_merge(project: Drawn) -> None:
    assert project.small.run("--shard", "0/2").code == 0
    assert project.small.run("--shard", "1/2").code == 0
    assert made(project) == {}
    assert command("merge", str(project.out)).code == 0
    merged = made(project)
    shutil.rmtree(project.out)
    assert project.small.run().code == 0
    assert made(project) == merged


def test_sources_that_are_not_there_leave_what_was_written(project: Drawn) -> None:
    assert project.small.run().code == 0
    before = made(project)
    (project.root / "labels").rename(project.root / "elsewhere")
    (project.root / "instances.json").unlink()
    ended = command("merge", str(project.out))
    assert ended.code == 3
    assert "2 annotations failed" in ended.out
    assert made(project) == before


def test_pairs_share_files_and_categories(project: Drawn) -> None:
    other = json.loads((project.root / "instances.json").read_text())
    other["categories"][0]["name"] = "purple"
    project.put("other.json", json.dumps(other))
    second = dict(project.small.pair, name="second", into="more")
    second["annotations"] = {"coco": "other.json", "voc": "Annotations"}
    project.small.document["pairs"].append(second)
    assert project.small.run().code == 0
    found = json.loads((project.out / "annotations_coco.json").read_bytes())
    names = {each["id"]: each["name"] for each in found["categories"]}
    assert names == {10: "red", 20: "green", 30: "blue", 31: "purple"}
    images = {each["id"]: each["file_name"] for each in found["images"]}
    assert len(images) == 4
    for each in found["annotations"]:
        is_second = images[each["image_id"]].startswith("more/")
        name = names[each["category_id"]]
        assert name == ("purple" if is_second and each["note"] == "red" else each["note"])
    assert read_voc(project.out / "annotations_voc/more/dogs/b-s.xml")


def test_sources_that_fail_leave_what_is_there_and_the_records_are_written(
    project: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.small.run().code == 0
    before = made(project)

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error", "labels/cats")

    with monkeypatch.context() as patch:
        patch.setattr("stylebatch.annotations.sources.listing.list_files", fail)
        project.put("labels/dogs/b.txt", "")
        ended = command("merge", str(project.out))
    assert ended.code == 3
    (row,) = lines(project.out / "failures.jsonl")
    assert (row["annotation"], row["reason"]) == (
        "labels/cats",
        "can't be read (Input/output error)",
    )
    assert made(project) == before
    assert project.small.run().code == 0
    assert made(project)["labels/dogs/b-s.txt"] == b""
    assert not (project.out / "failures.jsonl").exists()


@pytest.mark.parametrize("size", ["content", 32, [32, 32]])
def test_photographs_that_are_carried_over_have_theirs(size: object, project: Drawn) -> None:
    project.small.pair |= {"output_size": size, "originals": "copy"}
    assert project.small.run().code == 0
    boxes = read_csv(project.out / "annotations.csv")
    # The same geometry as that of what is made of them, which other tests hold against pixels.
    for stem in ("cats/o1", "dogs/b"):
        assert boxes[f"{stem}.png"] == boxes[f"{stem}-s.png"]
        labels = [(project.out / f"labels/{each}.txt").read_bytes() for each in (stem, f"{stem}-s")]
        assert labels[0] == labels[1] != b""
