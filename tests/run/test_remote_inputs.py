"""Runs whose photographs, styles and masks are in an object store: as with files, bit for bit."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image
from support.runs import Ended, Small, command, contents, picture, small_project
from support.stores import BUCKET, Store

from stylebatch.manifest import load_manifest

URL = f"s3://{BUCKET}"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


class Both:
    """A project on the disk, and the same with what it reads in the bucket."""

    def __init__(self, folder: Path, store: Store) -> None:
        (folder / "local").mkdir()
        (folder / "far").mkdir()
        self.local = small_project(folder / "local")
        self.far, self.store = Small(folder / "far"), store

    def upload(self) -> None:
        """Bring the bucket and the other manifest up to date with the project."""
        for key in self.store.objects():
            self.store.remove(key)
        for name in ("photos", "styles", "masks", "lists"):
            self.store.put_folder(self.local.root / name, f"{name}/")
        self.far.document = yaml.safe_load(yaml.safe_dump(self.local.document))
        self.far.pair = self.far.document["pairs"][0]
        for key in ("content", "masks"):
            if key in self.far.pair:
                self.far.pair[key] = f"{URL}/{self.far.pair[key]}"
        self.far.pair["styles"] = [f"{URL}/{each}" for each in self.far.pair["styles"]]
        self.store.forget()

    def make(self, *arguments: str) -> Ended:
        """Run both, and hold the images against each other."""
        self.upload()
        ended = self.local.run()
        assert ended.code == 0, ended
        ended = self.far.run(*arguments)
        assert ended.code == 0, ended
        assert self.far.images() == self.local.images()
        return ended


@pytest.fixture
def both(tmp_path: Path, store: Store) -> Both:
    return Both(tmp_path, store)


@pytest.fixture
def far(both: Both) -> Small:
    """A project that reads from the bucket, not begun."""
    both.upload()
    return both.far


def is_only_listed(store: Store) -> bool:
    """Whether no object was read, and something asked."""
    counts = store.counts()
    return bool(counts["list"]) and not counts["read"]


def test_images_are_the_same_bit_for_bit(both: Both) -> None:
    both.make()
    assert len(both.far.images()) == 4
    rows = both.far.metadata()
    of_local = both.local.metadata()
    for path, row in rows.items():
        assert row["content"] == f"{URL}/{of_local[path]['content']}"
        assert row["style"] == f"{URL}/{of_local[path]['style']}"
        for key in ("content_digest", "style_digest", "fingerprint", "digest", "label"):
            assert row[key] == of_local[path][key]
    assert json.loads((both.far.out / "run.json").read_bytes())["done"] == 4


def test_a_pool_of_processes_makes_the_same(both: Both) -> None:
    both.make("--executor", "local")


def test_splits_filters_globs_and_masks_are_those_of_files(both: Both, store: Store) -> None:
    local = both.local
    shutil.rmtree(local.root / "photos")
    for number, path in enumerate(
        f"{split}/{label}/{name}.png"
        for split in ("train", "val")
        for label in ("cats", "dogs")
        for name in "abcd"
    ):
        local.photo(path, number)
        mask = Image.new("L", (16, 16), 0)
        mask.paste(255, (0, 0, 8, 16))
        place = local.root / "masks" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        mask.save(place)
    local.pair |= {"masks": "masks", "exclude": ["**/d.png"], "max_images": 2}
    local.pair["styles"] = ["styles/s*.png"]
    both.make()
    assert len(both.far.images()) == 4
    assert all(row["mask"].startswith(f"{URL}/masks/") for row in both.far.metadata().values())
    store.forget()
    assert both.far.again() == set()
    assert is_only_listed(store)


def test_styles_are_files_folders_globs_and_blends(both: Both) -> None:
    local = both.local
    for number, path in enumerate(("deep/u.png", "deep/er/v.png", "x[1].png"), 20):
        local.style(path, number)
    for entries in (
        ["styles/s.png"],
        ["styles"],
        ["styles/*.png"],
        ["styles/**/[uv].png"],
        ["styles/x[1].png"],
    ):
        local.pair["styles"] = entries
        both.upload()
        of_local, of_far = _styles(local), _styles(both.far)
        assert of_far == [(name, f"{URL}/{path}") for name, path in of_local]
        assert of_local
    far = both.far
    far.pair["styles"] = [
        {"name": "dusk", "blend": {f"{URL}/styles/s.png": 1, f"{URL}/styles/t.png": 2}}
    ]
    local.pair["styles"] = [{"name": "dusk", "blend": {"styles/s.png": 1, "styles/t.png": 2}}]
    assert far.run().code == local.run().code == 0
    assert far.images() == local.images()


def _styles(small: Small) -> list[tuple[str, str]]:
    (pair,) = load_manifest(small.write()).pairs
    return [(source.name, path) for source in pair.styles for path, _ in source.images]


def test_tables_and_lists_may_be_in_the_store_too(both: Both, store: Store) -> None:
    local = both.local
    (local.root / "lists").mkdir()
    (local.root / "lists/train.txt").write_text("cats/a.png\n")
    (local.root / "lists/val.txt").write_text("dogs/b.png\n")
    (local.root / "lists/map.csv").write_text("content,style\ncats/a.png,s\ndogs/b.png,t\n")
    names = {name: f"lists/{name}.txt" for name in ("train", "val")}
    local.pair |= {"split": {"lists": names}, "assign": {"map": "lists/map.csv"}}
    both.upload()
    far = both.far
    far.pair["split"] = {"lists": {name: f"{URL}/{path}" for name, path in names.items()}}
    far.pair["assign"] = {"map": f"{URL}/lists/map.csv"}
    assert local.run().code == far.run().code == 0
    assert len(far.images()) == 1
    assert far.images() == local.images()


def test_planning_an_unchanged_prefix_again_only_lists(far: Small, store: Store) -> None:
    assert far.run().code == 0
    for arguments in (["run"], ["plan"], ["run", "--dry-run"], ["status"]):
        store.requests.clear()
        assert command(arguments[0], str(far.manifest), *arguments[1:]).code == 0
        assert not store.counts()["read"], arguments


def test_one_photograph_that_changed_is_read_and_made_again(far: Small, store: Store) -> None:
    assert far.run().code == 0
    changed = far.root / "changed.png"
    picture(9).save(changed)
    store.put("photos/cats/a.png", changed.read_bytes())
    store.forget()
    assert {Path(path).parent.name for path in far.again()} == {"cats"}
    read = [each.path for each in store.requests if each.is_read]
    assert set(read) == {f"/{BUCKET}/photos/cats/a.png"} | {
        each for each in read if "/styles/" in each
    }


def test_the_same_bytes_written_again_make_nothing_again(far: Small, store: Store) -> None:
    assert far.run().code == 0
    data = store.objects()["photos/cats/a.png"]
    store.put("photos/cats/a.png", data + b"\0")
    assert far.run().code == 0
    store.put("photos/cats/a.png", data)
    # Taken back: what was made of these bytes lies there yet.
    assert len(far.again()) == 2
    assert far.summary()["taken_back"] == 2


def test_a_set_that_was_moved_is_not_made_again(far: Small, store: Store) -> None:
    assert far.run().code == 0
    for key, data in store.objects().items():
        store.remove(key)
        store.put(f"elsewhere/{key}", data)
    far.pair |= {"content": f"{URL}/elsewhere/photos", "styles": [f"{URL}/elsewhere/styles"]}
    assert far.again() == set()
    assert len(far.images()) == 4


def test_a_photograph_that_was_removed_takes_its_images_along(far: Small, store: Store) -> None:
    assert far.run().code == 0
    store.remove("photos/cats/a.png")
    assert far.run().code == 0
    assert {Path(path).parent.name for path in far.images()} == {"dogs"}
    assert len(far.stale()) == 2


def test_originals_are_copied_from_the_store(both: Both) -> None:
    both.local.pair["originals"] = "copy"
    both.make()
    assert len(both.far.images()) == 6


def test_commands_that_look_at_inputs_do_so_in_the_store(far: Small, tmp_path: Path) -> None:
    manifest = str(far.write())
    sheet = tmp_path / "sheet.png"
    ended = command("run", manifest, "--preview", "2", "--sheet", str(sheet))
    assert ended.code == 0, ended
    assert sheet.exists()
    assert command("run", manifest, "--dry-run").code == 0
    ended = command("styles", "warm", manifest)
    assert ended.code == 0, ended
    assert far.run().code == 0
    ended = command("report", manifest)
    assert ended.code == 0, ended
    thumbnails = contents(far.out / "report" / "thumbnails")
    # Of four images, two photographs and two styles.
    assert len(thumbnails) == 8
    assert "not found" not in ended.out
    assert command("verify", manifest).code == 0


def test_annotations_links_and_init_are_refused(far: Small, tmp_path: Path) -> None:
    far.pair["originals"] = "link"
    ended = far.run()
    assert ended.code == 2
    assert "originals: found link, but the content is in an object store" in ended.err
    far.pair |= {"originals": "none", "annotations": {"yolo": "labels"}}
    ended = far.run()
    assert ended.code == 2
    assert "annotations are read from disks only" in ended.err
    ended = command("init", f"{URL}/photos", f"{URL}/styles", "-o", str(tmp_path / "new.yaml"))
    assert ended.code == 2
    assert "is in an object store" in ended.err
