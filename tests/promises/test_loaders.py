"""Loaders read the output as it is: the content's own classes, and nothing but images."""

import importlib.util
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.runs import Small, command, lines, small_project
from torchvision.datasets import ImageFolder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """An output that has seen a failure, a stale class and a second pair."""
    small = small_project(tmp_path_factory.mktemp("loaders"))
    small.photo("birds/gone.png", 3)
    small.photo("dogs/two.dots.in.it.png", 4)
    assert small.run().code == 0
    small.remove_photo("birds/gone.png")
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


# Hugging Face's `datasets`. It warns of itself, and leaves files open.

hugging_face = [
    pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets"),
    pytest.mark.filterwarnings("ignore"),
]


def with_hugging_face(test: Callable[..., None]) -> Callable[..., None]:
    for mark in hugging_face:
        test = mark(test)
    return test


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return `load_dataset` with a cache of its own."""
    from datasets import load_dataset  # type: ignore[import-untyped]

    def loaded(path: object, **options: object) -> Any:
        return load_dataset(str(path), cache_dir=str(tmp_path / "cache"), **options)

    return loaded


def check_all_is_there(small: Small, loaded: Any, called: Mapping[Any, str]) -> None:
    """Check every image against the file that its line names, and every field against the line.

    Args:
        called: what each split is to be called.
    """
    rows = lines(small.out / "metadata.jsonl")
    assert {row["file_name"].removeprefix("images/") for row in rows} == small.images().keys()
    wanted = Counter(called[row["split"]] for row in rows)
    assert {name: len(part) for name, part in loaded.items()} == wanted
    seen = []
    for name, part in loaded.items():
        assert part.features == next(iter(loaded.values())).features
        labels = part.features["label"].names
        assert labels == sorted({row["label"] for row in rows})
        for item in part:
            row = next(
                row
                for row in rows
                if all(row[key] == item[key] for key in ("pair", "content", "style", "variant"))
            )
            with Image.open(small.out / row["file_name"]) as image:
                assert item["image"].convert("RGB").tobytes() == image.convert("RGB").tobytes()
            assert labels[item["label"]] == row["label"]
            assert called[row["split"]] == name
            told = {key: item[key] for key in row if key not in ("file_name", "label")}
            assert told == {key: row[key] for key in row if key not in ("file_name", "label")}
            seen.append(row["file_name"])
    assert sorted(seen) == sorted(row["file_name"] for row in rows)


@with_hugging_face
def test_an_output_is_loaded_whole_with_all_its_metadata(
    small: Small, load: Callable[..., Any]
) -> None:
    check_all_is_there(small, load(small.out), {None: "train"})


def trapped(root: Path, *photos: str, **pair: object) -> Small:
    """Make an output of photographs and styles whose names say something to `datasets`."""
    small = small_project(root)
    shutil.rmtree(small.root / "photos")
    for number, path in enumerate(photos):
        small.photo(path, number)
    small.pair |= pair
    assert small.run().code == 0
    return small


TRAPS = {
    "a photograph called test": ("cats/test.png", "cats/b.png", "dogs/c.png"),
    "a photograph with a split in its name": ("cats/my test 2.png", "dogs/c.png"),
    "a class called train": ("train/a.png", "dogs/b.png", "dogs/c.png"),
    "classes called like splits": ("train/a.png", "test/b.png", "eval/c.png", "dogs/d.png"),
}


@with_hugging_face
@pytest.mark.parametrize("trap", TRAPS)
def test_names_like_splits_drop_nothing(
    tmp_path: Path, load: Callable[..., Any], trap: str
) -> None:
    small = trapped(tmp_path, *TRAPS[trap], originals="copy", split="none")
    check_all_is_there(small, load(small.out), {None: "train"})


@with_hugging_face
def test_a_style_called_eval_drops_nothing(tmp_path: Path, load: Callable[..., Any]) -> None:
    small = small_project(tmp_path)
    small.style("eval.png", 20)
    assert small.run().code == 0
    check_all_is_there(small, load(small.out), {None: "train"})


SPLITS = {
    "train": ("train/cats/a.png", "train/dogs/test.png", "train/test/eval.png"),
    "val": ("val/cats/c.png", "val/dogs/train.png", "val/test/x.png"),
}


@with_hugging_face
@pytest.mark.parametrize("third", [None, "eval", "holdout"])
def test_splits_are_splits(tmp_path: Path, load: Callable[..., Any], third: str | None) -> None:
    photos = [*SPLITS["train"], *SPLITS["val"], *([f"{third}/cats/z.png"] if third else [])]
    small = trapped(tmp_path, *photos, originals="copy", split="folders")
    called = {"train": "train", "val": "validation", "eval": "test", "holdout": "holdout"}
    loaded = load(small.out)
    check_all_is_there(small, loaded, called)
    assert set(loaded["validation"]["style"]) == {None}
    assert set(loaded["validation"]["split"]) == {"val"}
    streamed = load(small.out, streaming=True, split="validation")
    assert len(list(streamed)) == 3


@with_hugging_face
def test_without_originals_and_names_like_splits_both_ways_agree(
    tmp_path: Path, load: Callable[..., Any]
) -> None:
    photos = [f"{split}/{name}.png" for split in ("train", "val") for name in ("cats/a", "dogs/b")]
    small = trapped(tmp_path, *photos, stylise=["train", "val"], split="folders")
    loaded, by_names = load(small.out), load("imagefolder", data_dir=str(small.out / "images"))
    check_all_is_there(small, loaded, {"train": "train", "val": "validation"})
    for name in ("train", "validation"):
        labels = loaded[name].features["label"].names
        assert Counter(by_names[name]["label"]) == Counter(
            labels[label] for label in loaded[name]["label"]
        )
    assert "by names" not in (small.out / "README.md").read_text(encoding="utf-8")


@with_hugging_face
def test_columns_of_null_have_a_type(tmp_path: Path, load: Callable[..., Any]) -> None:
    small = trapped(tmp_path, "a.png", originals="copy", styles=["styles/s.png"])
    features = load(small.out, split="train").features
    dtypes = {name: feature.dtype for name, feature in features.items() if name != "losses"}
    assert "null" not in dtypes.values()
    assert (dtypes["seed"], dtypes["split"], dtypes["label"]) == ("int64", "string", "string")
    assert not [row for row in small.metadata().values() if row["seed"] or row["split"]]


@with_hugging_face
def test_classes_of_any_name_have_their_numbers(tmp_path: Path, load: Callable[..., Any]) -> None:
    names = ["1", "10", "2", "no", "null", "~", "a: b", "[x]", "é ü", "#c", "__d", "e*", "'f'"]
    photos = [f"{name}/photo.png" for name in names]
    small = trapped(tmp_path, *photos, styles=["styles/s.png"], steps=1)
    check_all_is_there(small, load(small.out), {None: "train"})


@with_hugging_face
def test_an_output_that_was_moved_is_loaded(tmp_path: Path, load: Callable[..., Any]) -> None:
    small = trapped(tmp_path / "before", "cats/a.png", "dogs/b.png")
    small.out.rename(tmp_path / "moved")
    assert len(load(tmp_path / "moved", split="train")) == 4


@with_hugging_face
def test_an_output_of_before_gets_its_card_by_a_run_with_nothing_to_do(
    tmp_path: Path, load: Callable[..., Any]
) -> None:
    small = trapped(tmp_path, "cats/a.png", "dogs/b.png")
    wanted = (small.out / "metadata.jsonl").read_bytes()
    (small.out / "README.md").unlink()
    rows = [row | {"file_name": name} for name, row in small.metadata().items()]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (small.out / "metadata.jsonl").write_text(text, encoding="utf-8")
    assert small.again() == set()
    assert (small.out / "metadata.jsonl").read_bytes() == wanted
    assert len(load(small.out, split="train")) == 4
    (small.out / "README.md").unlink()
    assert command("metadata", str(small.out)).code == 0
    assert (small.out / "README.md").is_file()
