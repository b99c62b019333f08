"""Runs whose photographs, styles and masks are in an object store: as with files, bit for bit."""

from pathlib import Path

import pytest
import yaml
from support.runs import Small, command, small_project
from support.stores import BUCKET, Store

URL = f"s3://{BUCKET}"
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


def remote(small: Small, root: Path) -> Small:
    """Return the same project elsewhere, with what it reads in the bucket."""
    root.mkdir()
    made = Small(root)
    text = yaml.safe_dump(small.document, sort_keys=False)
    made.document = yaml.safe_load(text)
    made.pair = made.document["pairs"][0]
    made.pair["content"] = f"{URL}/photos"
    made.pair["styles"] = [f"{URL}/styles"]
    if "masks" in made.pair:
        made.pair["masks"] = f"{URL}/masks"
    return made


@pytest.fixture
def local(tmp_path: Path, store: Store) -> Small:
    """A project whose files are in the bucket as well."""
    folder = tmp_path / "local"
    folder.mkdir()
    made = small_project(folder)
    for name in ("photos", "styles"):
        store.put_folder(folder / name, f"{name}/")
    return made


@pytest.fixture
def far(local: Small, tmp_path: Path) -> Small:
    return remote(local, tmp_path / "far")


def test_images_are_the_same_bit_for_bit(local: Small, far: Small, store: Store) -> None:
    assert local.run().code == 0
    ended = far.run()
    assert ended.code == 0, ended
    assert len(far.images()) == 4
    assert far.images() == local.images()
    rows = far.metadata()
    assert {row["content"] for row in rows.values()} == {
        f"{URL}/photos/cats/a.png",
        f"{URL}/photos/dogs/b.png",
    }
    assert far.summary()["done"] == 4


def test_planning_an_unchanged_prefix_again_only_lists(far: Small, store: Store) -> None:
    assert far.run().code == 0
    store.forget()
    assert far.again() == set()
    assert set(store.counts()) <= {"list", "HEAD"}
    store.forget()
    assert command("plan", str(far.manifest)).code == 0
    assert set(store.counts()) <= {"list", "HEAD"}
