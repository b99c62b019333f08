"""Loaders read the output as it is: the content's own classes, and nothing but images."""

import importlib.util
from pathlib import Path

import pytest
from support.runs import Small, small_project
from torchvision.datasets import ImageFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """An output that has seen a failure, a stale class and a second pair."""
    small = small_project(tmp_path_factory.mktemp("loaders"))
    small.photo("birds/gone.png", 3)
    small.photo("dogs/two.dots.in.it.png", 4)
    assert small.run().code == 0
    (small.root / "photos/birds/gone.png").unlink()
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    assert small.run().code == 3
    return small


def test_torchvision_sees_the_contents_classes_and_all_images(small: Small) -> None:
    loaded = ImageFolder(str(small.out / "images"))
    assert loaded.classes == ["cats", "dogs"]
    found = {Path(path).relative_to(small.out / "images").as_posix() for path, _ in loaded.samples}
    assert found == set(small.metadata())
    assert len(found) == 6
    image, label = loaded[0]
    assert (image.size, label) == ((16, 16), 0)


def test_labels_of_the_metadata_are_the_loaders_classes(small: Small) -> None:
    loaded = ImageFolder(str(small.out / "images"))
    rows = small.metadata()
    for path, label in loaded.samples:
        row = rows[Path(path).relative_to(small.out / "images").as_posix()]
        assert row["label"] == loaded.classes[label]


def test_no_name_has_a_dot_in_its_stem(small: Small) -> None:
    assert not [path for path in small.images() if path.count(".") != 1]


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets")
# It warns of itself, and leaves files open.
@pytest.mark.filterwarnings("ignore")
def test_hugging_face_sees_the_contents_classes_and_all_images(
    small: Small, tmp_path: Path
) -> None:
    from datasets import load_dataset  # type: ignore[import-untyped]

    folder = str(small.out / "images")
    loaded = load_dataset("imagefolder", data_dir=folder, cache_dir=str(tmp_path), split="train")
    assert set(loaded.column_names) == {"image", "label"}
    assert loaded.features["label"].names == ["cats", "dogs"]
    assert len(loaded) == 6
    assert loaded[0]["image"].size == (16, 16)
