"""`stylebatch.data`: which image an item is, and that this is drawn as it says."""

import json
import pickle
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support.runs import Small, small_project
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from stylebatch.data import NO_CLASS, DataError, StylisedDataset

Colour = tuple[int, int, int]
STYLES = ("sea", "stone", "wood")


class Output:
    """An output of plain images, each of a colour of its own, and its metadata."""

    def __init__(self, root: Path) -> None:
        self.root = root / "out"
        self.rows: list[dict[str, Any]] = []
        self.paths: dict[Colour, str] = {}

    def image(self, path: Path, name: str) -> None:
        number = len(self.paths) + 1
        colour = (number // 16 * 16, number % 16 * 16, 128)
        self.paths[colour] = name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), colour).save(path)

    def add(
        self, folder: str, stem: str, styles: tuple[str, ...] = STYLES, split: str | None = None,
        *, has_original: bool = True, label: str | None = None,
    ) -> None:  # fmt: skip
        names = {style: f"images/{folder}/{stem}-{style}.png" for style in styles}
        if has_original:
            names[""] = f"images/{folder}/{stem}.png"
        for style, name in names.items():
            self.image(self.root / name, name)
            row: dict[str, Any] = {"file_name": name, "kind": "stylised" if style else "original"}
            row |= {"content": f"photos/{folder}/{stem}.png", "style": style or None}
            self.rows.append(row | {"label": label or folder.split("/")[-1], "split": split})

    def write(self, *rows: dict[str, Any]) -> "Output":
        self.root.mkdir(exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in (*self.rows, *rows))
        (self.root / "metadata.jsonl").write_text(lines)
        return self

    def name(self, image: Image.Image) -> str:
        """Return the path of the file that an image was read from."""
        pixel = image.getpixel((0, 0))
        assert isinstance(pixel, tuple)
        red, green, blue = (int(each) for each in pixel)
        return self.paths[red, green, blue]

    def drawn(self, dataset: StylisedDataset, epochs: int) -> list[list[str]]:
        """Return what each item was in so many epochs."""
        found: list[list[str]] = [[] for _ in range(len(dataset))]
        for epoch in range(epochs):
            dataset.set_epoch(epoch)
            for index in range(len(dataset)):
                found[index].append(self.name(dataset[index][0]))
        return found


@pytest.fixture
def output(tmp_path: Path) -> Output:
    """Six photographs of two classes with three styles each."""
    output = Output(tmp_path)
    for number in range(6):
        output.add(("cats", "dogs")[number % 2], f"p{number}")
    return output.write()


def test_an_item_is_its_photograph_or_one_of_its_versions(output: Output) -> None:
    dataset = StylisedDataset(output.root)
    assert len(dataset) == 6
    for content, names in zip(dataset.contents, output.drawn(dataset, 40), strict=True):
        stem = content.removeprefix("photos/").removesuffix(".png")
        wanted = {f"images/{stem}.png", *(f"images/{stem}-{style}.png" for style in STYLES)}
        assert set(names) == wanted


@pytest.mark.parametrize("probability", [0, 0.25, 0.5, 1])
def test_versions_come_as_often_as_asked_and_each_like_the_others(
    output: Output, probability: float
) -> None:
    dataset = StylisedDataset(output.root, probability=probability, seed=3)
    names = [name for item in output.drawn(dataset, 200) for name in item]
    counts = Counter("".join(re.findall(r"-(\w+)\.png", name)) for name in names)
    # Six standard deviations of a binomial.
    for style in ("", *STYLES):
        share = probability / 3 if style else 1 - probability
        slack = 6 * (1200 * share * (1 - share)) ** 0.5
        assert abs(counts[style] - 1200 * share) <= slack, counts


def test_labels_are_those_of_an_image_folder(output: Output) -> None:
    oracle = ImageFolder(str(output.root / "images"))
    dataset = StylisedDataset(output.root)
    assert dataset.classes == oracle.classes
    assert dataset.class_to_idx == oracle.class_to_idx
    known = {Path(path).stem: label for path, label in oracle.samples}
    for index, content in enumerate(dataset.contents):
        _, label = dataset[index]
        assert label == dataset.targets[index] == known[Path(content).stem]


def test_a_split_has_its_own_photographs_and_everybody_s_classes(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.add("train/cats", "a", split="train")
    output.add("train/dogs", "b", split="train")
    output.add("val/dogs", "c", (), split="val")
    output.add("more/cats", "d")
    output.write()
    train = StylisedDataset(output.root, split="train")
    assert [Path(path).stem for path in train.contents] == ["a", "b", "d"]
    val = StylisedDataset(output.root, split="val", probability=1)
    assert (list(val.contents), val.targets) == (["photos/val/dogs/c.png"], [1])
    assert val.classes == train.classes == ["cats", "dogs"]
    assert output.name(val[0][0]) == "images/val/dogs/c.png"


def test_images_without_a_class_have_a_label_that_losses_refuse(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.add("cats", "a")
    output.rows += [row | {"label": None, "content": "photos/b.png"} for row in output.rows]
    assert StylisedDataset(output.write().root).targets == [0, NO_CLASS]


def test_some_versions_are_kept_and_all_photographs(output: Output) -> None:
    dataset = StylisedDataset(output.root, probability=1, keep=lambda row: row["style"] == "sea")
    assert len(dataset) == 6
    assert all(name.endswith("-sea.png") for item in output.drawn(dataset, 5) for name in item)
    alone = StylisedDataset(output.root, probability=1, keep=lambda _: False)
    assert not [name for item in output.drawn(alone, 5) for name in item if "-" in name]


# What is drawn

NOISY = v2.Compose(
    [v2.RandomResizedCrop(4), v2.ColorJitter(0.5), v2.ToImage(), v2.ToDtype(torch.float32, True)]
)


def epochs(dataset: StylisedDataset, workers: int, count: int = 2) -> torch.Tensor:
    """Return all items of some epochs, read in batches by one loader; (E, N, 3, H, W)."""
    loader = DataLoader(
        dataset, batch_size=2, num_workers=workers, persistent_workers=bool(workers)
    )
    found = []
    for epoch in range(count):
        dataset.set_epoch(epoch)
        found.append(torch.cat([images for images, _ in loader]))
    return torch.stack(found)


# Of forking where there are threads.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:This DataLoader will create")
def test_items_are_the_same_whatever_the_number_of_workers(output: Output) -> None:
    dataset = StylisedDataset(output.root, transform=NOISY, seed=5)
    wanted = epochs(dataset, 0)
    assert not torch.equal(wanted[0], wanted[1])
    for workers in (1, 3):
        torch.manual_seed(workers)
        assert torch.equal(epochs(dataset, workers), wanted)
    other = StylisedDataset(output.root, transform=NOISY, seed=6)
    assert not torch.equal(epochs(other, 0), wanted)


def test_items_are_the_same_in_any_order_and_after_a_pickle(output: Output) -> None:
    dataset = StylisedDataset(output.root, transform=NOISY)
    wanted = epochs(dataset, 0)[1]
    copied: StylisedDataset = pickle.loads(pickle.dumps(dataset))
    order = random.Random(0).sample(range(6), 6)
    for index in order:
        assert torch.equal(dataset[index][0], wanted[index])
        assert torch.equal(copied[index - 6][0], wanted[index])


def test_what_is_drawn_for_an_item_leaves_torch_as_it_was(output: Output) -> None:
    dataset = StylisedDataset(output.root, transform=NOISY)
    dataset.set_epoch(0)
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    dataset[0]
    assert torch.equal(torch.rand(3), wanted)


def test_without_an_epoch_torch_draws_as_for_any_transform(output: Output) -> None:
    dataset = StylisedDataset(output.root, transform=NOISY)
    loader = DataLoader(dataset, batch_size=6)

    def epoch() -> torch.Tensor:
        (batch,) = [images for images, _ in loader]
        return torch.as_tensor(batch)

    torch.manual_seed(1)
    first, second = epoch(), epoch()
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(epoch(), first)


# Photographs that the output has no copy of


def without_originals(root: Path) -> Output:
    output = Output(root)
    output.add("cats", "a", has_original=False)
    return output.write()


@pytest.mark.parametrize("is_told", [False, True])
def test_photographs_are_read_from_the_content_upright(tmp_path: Path, is_told: bool) -> None:
    output = without_originals(tmp_path / "here")
    folder = tmp_path / ("elsewhere" if is_told else "here")
    path = folder / "photos/cats/a.png"
    output.image(path, "the photograph")
    exif = Image.Exif()
    exif[274] = 6
    with Image.open(path) as image:
        image.save(path, exif=exif)
    told = folder if is_told else None
    dataset = StylisedDataset(output.root, probability=0, manifest_folder=told)
    image, label = dataset[0]
    assert (output.name(image), image.size, image.mode, label) == (
        "the photograph", (6, 8), "RGB", 0,
    )  # fmt: skip


def test_photographs_that_are_not_there_are_missed_at_once(tmp_path: Path) -> None:
    output = without_originals(tmp_path)
    with pytest.raises(DataError, match=r"photos/cats/a\.png: no such photograph.*originals: copy"):
        StylisedDataset(output.root)
    assert len(StylisedDataset(output.root, probability=1)) == 1


# Errors


def test_a_split_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    output = Output(tmp_path)
    output.add("train/cats", "a", split="train")
    output.add("val/cats", "b", split="val")
    output.write()
    for split in (None, "test"):
        with pytest.raises(DataError, match="allowed is `split='train'`, `split='val'`"):
            StylisedDataset(output.root, split=split)


def test_a_split_is_refused_where_there_are_none(output: Output) -> None:
    with pytest.raises(DataError, match="no split 'train'; allowed is none: there are no splits"):
        StylisedDataset(output.root, split="train")


Act = Callable[[Output], object]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda output: StylisedDataset(output.root, probability=1.5), "allowed is 0 to 1"),
        (lambda output: StylisedDataset(output.root.parent), "stylebatch metadata"),
        (lambda output: StylisedDataset(output.write({"a": 1}).root), r"jsonl:25: .*older"),
        (lambda output: StylisedDataset(output.root).set_epoch(-1), "allowed is 0 or more"),
    ],
)
def test_what_can_not_be_used_is_refused(output: Output, act: Act, message: str) -> None:
    with pytest.raises(DataError, match=message):
        act(output)


def test_items_end_and_one_that_is_gone_is_named(output: Output) -> None:
    dataset = StylisedDataset(output.root, probability=0)
    assert len([dataset[index] for index in range(len(dataset))]) == 6
    with pytest.raises(IndexError):
        dataset[6]
    (output.root / "images/cats/p0.png").unlink()
    with pytest.raises(DataError, match=r"cats/p0\.png: can't be read"):
        dataset[0]


# A real output


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    small = small_project(tmp_path_factory.mktemp("data"))
    for split in ("train", "val"):
        for folder in ("cats", "dogs"):
            (small.root / "photos" / split).mkdir(exist_ok=True)
            for number in range(2):
                small.photo(f"{split}/{folder}/{number}.png", 10 * number + len(split + folder))
    for folder in ("cats", "dogs"):
        for path in (small.root / "photos" / folder).iterdir():
            path.unlink()
        (small.root / "photos" / folder).rmdir()
    small.pair |= {"originals": "copy", "format": "jpeg"}
    assert small.run().code == 0
    return small


@pytest.mark.slow
def test_it_reads_what_a_run_has_made(small: Small) -> None:
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    rows = small.metadata()
    for split, versions in (("train", 2), ("val", 0)):
        dataset = StylisedDataset(small.out, split=split, probability=1, transform=transform)
        of_split = [row for row in rows.values() if row["split"] == split]
        assert set(dataset.contents) == {row["content"] for row in of_split}
        assert len(of_split) == len(dataset) * (1 + versions)
        images, labels = next(iter(DataLoader(dataset, batch_size=4)))
        assert images.shape == (4, 3, 16, 16)
        assert sorted(labels.tolist()) == [0, 0, 1, 1]
