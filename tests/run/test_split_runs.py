"""Real runs with splits: what is made, where it stands, what is told of it, and what changes."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support.old_ledgers import age
from support.runs import Small, command, contents, copy_tree, lines, small_project
from torchvision.datasets import ImageFolder

from stylebatch.ledger.database import Database

pytestmark = pytest.mark.slow

SHARES = {"shares": {"train": 0.5, "val": 0.5}}


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """A project with a style, and no photographs yet."""
    small = small_project(tmp_path)
    shutil.rmtree(small.root / "photos")
    (small.root / "styles/t.png").unlink()
    return small


def photos(small: Small, *folders: str, count: int = 2) -> None:
    for index, folder in enumerate(folders):
        for number in range(count):
            small.photo(f"{folder}/{number}.png", 100 * index + number)


def check_trains(small: Small) -> None:
    """Check that a loader sees the classes of each split, and the metadata agree with it."""
    rows = small.metadata()
    seen = set()
    for split in {str(row["split"]) for row in rows.values()}:
        root = small.out / "images" / split
        loaded = ImageFolder(str(root))
        assert loaded.classes == ["cats", "dogs"]
        for path, label in loaded.samples:
            name = Path(path).relative_to(small.out / "images").as_posix()
            assert rows[name]["label"] == loaded.classes[label]
            assert rows[name]["split"] == split
            seen.add(name)
    assert seen == set(rows) == set(small.images())


def test_of_a_folder_with_splits_only_train_is_stylised(small: Small) -> None:
    photos(small, "train/cats", "train/dogs", "val/cats", "val/dogs")
    ended = small.run()
    assert (ended.code, ended.err) == (0, "")
    first, *rest = ended.out.splitlines()
    assert first == (
        "all: split by the content's folders: train stylised, not val "
        "(`split: none` takes no notice of them)"
    )
    assert len(rest) == 1
    assert set(small.images()) == {
        f"train/{name}/{number}-s.png" for name in ("cats", "dogs") for number in range(2)
    }
    assert {row["content"].split("/")[1] for row in small.metadata().values()} == {"train"}
    check_trains(small)
    assert small.again() == set()
    assert small.run("--quiet").out == ""


def test_originals_make_the_output_the_whole_set(small: Small) -> None:
    photos(small, "train/cats", "train/dogs", "val/cats", "val/dogs", count=8)
    small.pair["originals"] = {"how": "copy", "share": 0.5}
    assert small.run().code == 0
    rows = small.metadata()
    counts = Counter((row["split"], row["kind"]) for row in rows.values())
    # Of train a share, drawn; of what a model is judged by each photograph, and nothing else.
    assert set(counts) == {("train", "stylised"), ("train", "original"), ("val", "original")}
    assert (counts["train", "stylised"], counts["val", "original"]) == (16, 16)
    assert 2 <= counts["train", "original"] <= 14
    check_trains(small)
    for name, row in rows.items():
        if row["kind"] == "original":
            made, content = small.out / "images" / name, small.root / row["content"]
            with Image.open(made) as copy, Image.open(content) as photograph:
                assert copy.tobytes() == photograph.convert("RGB").tobytes()
    assert small.again() == set()


@pytest.mark.parametrize("kind", ["lists", "shares"])
def test_what_lists_and_shares_make_trains(small: Small, kind: str) -> None:
    photos(small, "cats", "dogs", count=4)
    small.pair["split"] = SHARES
    if kind == "lists":
        for name, numbers in (("train", (0, 2)), ("val", (1, 3))):
            text = "".join(f"{each}/{n}.png\n" for each in ("cats", "dogs") for n in numbers)
            (small.root / f"{name}.txt").write_text(text)
        small.pair["split"] = {"lists": {"train": "train.txt", "val": "val.txt"}}
    assert small.run().code == 0
    rows = small.metadata()
    assert Counter(row["label"] for row in rows.values()) == {"cats": 2, "dogs": 2}
    if kind == "lists":
        assert {row["content"][-5] for row in rows.values()} == {"0", "2"}
    check_trains(small)
    # With the others: what was there stays, and no photograph is in two splits.
    small.pair["stylise"] = ["train", "val"]
    small.pair |= {"variants": 2, "strength": [0.5, 1]}
    assert small.run().code == 0
    check_trains(small)
    splits: dict[str, set[str]] = {}
    for row in small.metadata().values():
        splits.setdefault(row["content_digest"], set()).add(row["split"])
    assert len(splits) == 8
    assert all(len(each) == 1 for each in splits.values())


def test_the_split_changes_the_path_and_not_the_pixels(small: Small) -> None:
    photos(small, "cats", "dogs", count=3)
    assert small.run().code == 0
    plain = small.images()
    small.pair |= {"split": SHARES, "stylise": ["train", "val"]}
    assert small.run().code == 0
    split = small.images()
    assert {path.partition("/")[2]: data for path, data in split.items()} == plain


def test_a_set_from_before_keeps_its_train_images_and_is_told_otherwise(small: Small) -> None:
    photos(small, "train/cats", "train/dogs", "val/cats", "val/dogs")
    small.pair["split"] = "none"
    assert small.run().code == 0
    before = small.images()
    assert {row["label"] for row in small.metadata().values()} == {"train", "val"}
    ledger = small.out / ".stylebatch/ledger.sqlite"
    age(ledger, 4)
    Database.open(ledger, read_only=True).close()
    copy_tree(small.root, small.root.with_name("kept"))
    del small.pair["split"]
    assert small.again() == set()
    kept = {path: data for path, data in before.items() if path.startswith("train/")}
    assert small.images() == kept
    assert small.stale() == before.keys() - kept.keys()
    check_trains(small)
    # The line that keeps all as it was.
    old = Small(small.root.with_name("kept"))
    old.pair["split"] = "none"
    old.document |= {"seed": 0}
    assert old.again() == set()
    assert old.images() == before
    assert old.stale() == set()
    assert {row["split"] for row in old.metadata().values()} == {None}


def test_no_image_of_a_validation_set_gets_in_whatever_the_pair_has(small: Small) -> None:
    folders = [f"{split}/{name}" for split in ("train", "Val", "test") for name in ("cats", "dogs")]
    photos(small, *folders, count=3)
    for path in (small.root / "photos").rglob("*.png"):
        mask = small.root / "masks" / path.relative_to(small.root / "photos")
        mask.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").save(mask)
    table = "".join(f"{folder}/0.png,s\n" for folder in folders)
    (small.root / "map.csv").write_text(f"content,style\n{table}")
    swept = dict(small.pair, name="swept", into="swept", sweep=[{"style_weight": [1, 2]}])
    small.document["pairs"] = [
        small.pair,
        dict(small.pair, name="masked", into="masked", masks="masks", max_images=2),
        dict(small.pair, name="mapped", into="mapped", assign={"map": "map.csv"}),
        swept,
    ]
    for number in range(2):
        assert small.run("--shard", f"{number}/2").code == 0
    assert command("merge", str(small.out)).code == 0
    rows = small.metadata().values()
    assert Counter(row["pair"] for row in rows) == {
        "all": 6, "masked": 4, "mapped": 2, "swept:style_weight=1": 6, "swept:style_weight=2": 6,
    }  # fmt: skip
    assert {row["content"].split("/")[1] for row in rows} == {"train"}
    assert {row["split"] for row in rows} == {"train"}


def test_shards_with_shares_make_what_one_run_makes(small: Small) -> None:
    photos(small, "cats", "dogs", count=5)
    small.photo("dogs/copy.png", 0)
    small.pair["split"] = SHARES
    assert small.run().code == 0
    whole = small.images()
    shutil.rmtree(small.out)
    for number in (1, 0):
        assert small.run("--shard", f"{number}/2").code == 0
    assert command("merge", str(small.out)).code == 0
    assert small.images() == whole


def test_failures_tell_their_split_and_the_plan_has_a_line_for_each(small: Small) -> None:
    photos(small, "train/cats", "train/dogs", "val/cats")
    (small.root / "photos/train/cats/0.png").write_bytes(b"no image")
    assert small.run().code == 3
    (failure,) = lines(small.out / "failures.jsonl")
    assert (failure["label"], failure["split"]) == ("cats", "train")
    small.pair["exclude"] = ["**/1.png"]
    out = command("plan", str(small.write())).out
    assert "all   train       2  stylised\nall   val         1  not stylised\n" in out
    assert "all: split by the content's folders: train stylised, not val (" in out
    assert "all: left out 3 by exclude\n" in out


def test_a_preview_and_a_dry_run_take_the_split_s_images_only(small: Small) -> None:
    photos(small, "train/cats", "val/cats", count=3)
    sheet = small.root / "sheet.png"
    ended = small.run("--preview", "2", "--sheet", str(sheet))
    assert (ended.code, sheet.exists()) == (0, True)
    out = small.run("--dry-run").out
    assert "images: 3\n" in out
    assert not contents(small.out)
