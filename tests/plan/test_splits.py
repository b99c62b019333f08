"""Splits, labels and filters of a plan: which jobs there are, where, and what is told of it."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.projects import png
from support.split_projects import SplitProject

from stylebatch.errors import Problems
from stylebatch.output.shard import Shard
from stylebatch.plan import PlanError
from stylebatch.plan.split_lists import ListError
from stylebatch.system.files import digest_bytes, write_synced

ALL = {"shares": {"train": 0.5, "val": 0.25, "test": 0.25}}


@pytest.fixture
def project(tmp_path: Path) -> SplitProject:
    return SplitProject(tmp_path)


def classes(split: str = "", count: int = 2) -> list[str]:
    above = f"{split}/" if split else ""
    return [f"{above}{name}/{number}.png" for name in ("cats", "dogs") for number in range(count)]


# By folders


def test_folders_named_as_splits_are_splits_and_only_train_is_stylised(
    project: SplitProject,
) -> None:
    project.photos(*classes("Train"), "Train/loose.png", *classes("val"), *classes("test"))
    jobs = project.split()
    assert {(job.output, job.label, job.split) for job in jobs.values()} == {
        ("Train/cats/0-s.png", "cats", "Train"),
        ("Train/cats/1-s.png", "cats", "Train"),
        ("Train/dogs/0-s.png", "dogs", "Train"),
        ("Train/dogs/1-s.png", "dogs", "Train"),
        ("Train/loose-s.png", None, "Train"),
    }
    assert project.summary.split_lines(is_found=True) == [
        "all: split by the content's folders: Train stylised, not test, val "
        "(`split: none` takes no notice of them)"
    ]
    assert list(project.summary.split_rows()) == [
        ("all", "Train", "5", "stylised"),
        ("all", "test", "4", "not stylised"),
        ("all", "val", "4", "not stylised"),
    ]


@pytest.mark.parametrize(
    ("paths", "hint"),
    [
        (["val/cats/a.png", "test/cats/a.png"], False),  # nothing to train on
        (["train/a.png", "bus/a.png"], False),  # a class
        (["train/a.png", "val/a.png", "more/a.png"], True),
    ],
)
def test_other_layouts_are_no_splits(project: SplitProject, paths: list[str], hint: bool) -> None:
    project.photos(*paths)
    jobs = project.split()
    assert len(jobs) == len(paths)
    assert {job.label for job in jobs.values()} == {path.partition("/")[0] for path in paths}
    assert {job.split for job in jobs.values()} == {None}
    told = [line for line in project.summary.warnings() if "is not split" in line]
    assert len(told) == hint
    assert not told or "train, val it has more" in told[0]
    assert not project.summary.split_lines()


def test_folders_without_images_and_loose_images_do_not_undo_a_split(project: SplitProject) -> None:
    project.photos("train/cats/a.png", "val/cats/a.png", "loose.png")
    write_synced(project.root / "photos/notes/a.txt", b"")
    assert set(project.split()) == {"train/cats/a-s.png"}
    assert project.summary.left_out() == ["all: left out 1 in the folder of no split"]


def test_none_takes_no_notice_of_splits(project: SplitProject) -> None:
    project.photos(*classes("train"), *classes("val"))
    jobs = project.split(split="none")
    assert len(jobs) == 8
    assert {(job.label, job.split) for job in jobs.values()} == {("train", None), ("val", None)}


def test_any_folders_are_splits_where_it_is_asked_for(project: SplitProject) -> None:
    project.photos(*classes("fold1"), *classes("fold2"), *classes("kept"))
    jobs = project.split(split="folders", stylise=["fold1", "fold2"])
    assert {job.split for job in jobs.values()} == {"fold1", "fold2"}
    assert len(jobs) == 8
    assert not project.summary.split_lines(is_found=True)


# By lists


def test_lists_split_and_the_split_is_the_first_folder(project: SplitProject) -> None:
    project.photos(*classes(count=3), "a.png")
    write_synced(project.root / "photos/cats/two.dots.png", png(50))
    project.write("train.txt", "# seen", "cats/0.png", "", "./dogs//1", "a", "cats/two.dots")
    project.write("val.txt", "cats\\1.png", "dogs/0.PNG", "cats/gone.jpg", " dogs/2.png ")
    lists = {"train": "train.txt", "val": "val.txt"}
    jobs = project.split(split={"lists": lists}, stylise=["val", "train"])
    assert {output: (job.split, job.label) for output, job in jobs.items()} == {
        "train/cats/0-s.png": ("train", "cats"),
        "train/dogs/1-s.png": ("train", "dogs"),
        "train/cats/two_dots-s.png": ("train", "cats"),
        "train/a-s.png": ("train", None),
        "val/cats/1-s.png": ("val", "cats"),
        "val/dogs/2-s.png": ("val", "dogs"),
    }
    assert project.summary.left_out() == ["all: left out 2 in no list"]
    assert project.summary.warnings() == [
        "all: 2 lines name no image: val.txt:2: dogs/0.PNG, val.txt:3: cats/gone.jpg"
    ]


def test_only_the_list_called_train_is_stylised(project: SplitProject) -> None:
    project.photos(*classes())
    project.write("t", "cats/0", "dogs/0")
    project.write("v", "cats/1", "dogs/1")
    jobs = project.split(split={"lists": {"val": "v", "train": "t"}})
    assert set(jobs) == {"train/cats/0-s.png", "train/dogs/0-s.png"}
    assert project.selected.counts == {"train": 2, "val": 2}


def test_an_image_in_two_lists_is_an_error_with_both_lines(project: SplitProject) -> None:
    project.photos(*classes(count=30))
    project.write("t", "cats/0.png", "cats/1")
    project.write("v", "dogs/0.png", "cats/1", "./cats/0.png")
    lists: dict[str, Any] = {"split": {"lists": {"train": "t", "val": "v"}}}
    with pytest.raises(Problems) as caught:
        project.split(**lists)
    assert str(caught.value).splitlines() == [
        "v:2: 'cats/1' is in train too (t:2); allowed is each image in one list; "
        "remove one of the lines",
        "v:3: './cats/0.png' is in train too (t:1); allowed is each image in one list; "
        "remove one of the lines",
    ]
    # Only the folder tells that these are one.
    project.write("v", "dogs/0", "cats/0")
    with pytest.raises(ListError, match=r"^v:2: 'cats/0\.png' is in train too \(t:1\)"):
        project.split(**lists)
    for each in "tv":
        project.write(each, *classes(count=30))
    with pytest.raises(Problems) as caught:
        project.split(**lists)
    assert str(caught.value).splitlines()[-1] == "v: 40 more lines of other lists"


def test_a_line_that_may_mean_two_images_is_an_error(project: SplitProject) -> None:
    project.photos("cats/a.png", "cats/b.png")
    (project.root / "photos/cats/b.png").rename(project.root / "photos/cats/a.jpg")
    project.write("t", "# two", "cats/a")
    with pytest.raises(ListError) as caught:
        project.split(split={"lists": {"train": "t"}})
    assert str(caught.value).startswith("t:2: 'cats/a' may be cats/a.jpg or cats/a.png; ")
    project.write("t", "cats/a.jpg")
    assert set(project.split(split={"lists": {"train": "t"}})) == {"train/cats/a-s.png"}


def test_lists_that_are_no_text_or_name_nothing_are_errors(project: SplitProject) -> None:
    project.photos("cats/a.png")
    write_synced(project.root / "t", b"\xff\xfe")
    with pytest.raises(ListError, match=r"^t: not UTF-8 text"):
        project.split(split={"lists": {"train": "t"}})
    project.write("t", "photos/cats/a.png")
    with pytest.raises(PlanError) as caught:
        project.split(split={"lists": {"train": "t"}})
    assert "no image of 'photos' is in train; t:1: photos/cats/a.png" in str(caught.value)
    assert str(caught.value).startswith("pipeline.yaml:10: pair 'all': ")


# By shares


def splits_by_content(project: SplitProject, **keys: Any) -> dict[str, str]:
    """Return the split of each image, all of them stylised."""
    keys = {"split": ALL, "stylise": ["train", "val", "test"], **keys}
    jobs = project.split(**keys).values()
    found: dict[str, str] = {}
    for job in jobs:
        assert job.output.split("/")[0] == job.split
        assert job.split is not None
        assert found.setdefault(job.content, job.split) == job.split
    return found


def test_shares_split_each_class_and_copies_are_on_one_side(project: SplitProject) -> None:
    project.photos(*classes(count=40))
    # Copies under other names, in the same class and in another one.
    for number in range(8):
        project.photo(f"cats/copy{number}.png", number)
        project.photo(f"apes/{number}.png", number)
    found = splits_by_content(project, assign="all", strength=[0.5, 1], variants=3)
    assert len(found) == 96
    by_bytes: dict[str, set[str]] = {}
    for path, split in found.items():
        digest = digest_bytes((project.root / path).read_bytes())
        by_bytes.setdefault(digest, set()).add(split)
    assert len(by_bytes) == 80
    assert all(len(splits) == 1 for splits in by_bytes.values())
    counts = Counter(split for path, split in found.items() if "/dogs/" in path)
    assert counts == {"train": 20, "val": 10, "test": 10}
    assert project.selected.counts == Counter(found.values())


def test_only_train_is_stylised_and_images_keep_their_split_by_name_and_place(
    project: SplitProject,
) -> None:
    project.photos(*classes(count=20))
    before = splits_by_content(project)
    only = project.split(split=ALL)
    assert {job.content for job in only.values()} == {
        path for path, split in before.items() if split == "train"
    }
    for path in ("cats/3.png", "dogs/7.png"):
        moved = project.root / "photos" / path
        moved.rename(moved.with_name(f"renamed{moved.name}"))
    after = splits_by_content(project)
    assert {path.replace("renamed", ""): split for path, split in after.items()} == before


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 3))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_images_that_are_added_move_one_for_each_cut_at_most(
    tmp_path_factory: pytest.TempPathFactory, count: int, more: int, first: int
) -> None:
    project = SplitProject(tmp_path_factory.mktemp("added"))
    project.photos(*classes(count=count), first=first * 1000)
    before = splits_by_content(project)
    project.photos(*(f"cats/new{number}.png" for number in range(more)), first=500)
    after = splits_by_content(project)
    moved = [path for path, split in before.items() if after[path] != split]
    assert len(moved) <= 2 * more
    assert not any("/dogs/" in path for path in moved)


def test_pairs_with_one_split_agree_about_every_photograph(project: SplitProject) -> None:
    project.photos(*classes(count=20))
    for number in range(10):
        write_synced(project.root / f"others/{number}.png", png(number))
    shared = {"split": ALL, "stylise": ["train", "val", "test"]}
    jobs = project.split(
        {"name": "all", "into": "a", **shared},
        {"name": "few", "into": "b", "include": ["*/1*"], "max_images": 4, **shared},
        {"name": "others", "into": "c", "content": "others", **shared},
        {"name": "swept", "into": "d", "sweep": [{"style_weight": [5, 10]}], **shared},
    )
    splits: dict[str, set[str | None]] = {}
    for job in jobs.values():
        splits.setdefault(job.content_digest, set()).add(job.split)
    assert len(splits) == 40
    assert all(len(each) == 1 for each in splits.values())
    assert {job.pair for job in jobs.values()} == {
        *("all", "few", "others", "swept:style_weight=5", "swept:style_weight=10")
    }
    assert len(list(project.summary.split_rows())) == 4 * 3


def test_shards_split_alike_and_make_the_whole(project: SplitProject) -> None:
    project.photos(*classes(count=20))
    whole = project.split(split=ALL)
    parts = [project.split(split=ALL, shard=Shard(index, 3)) for index in range(3)]
    assert sum(map(len, parts)) == len(whole)
    assert {output: job for part in parts for output, job in part.items()} == whole


def test_what_can_not_be_read_has_a_split_too(project: SplitProject) -> None:
    project.photos(*classes(count=8))
    write_synced(project.root / "photos/cats/broken.jpg", b"no image")
    (project.root / "photos/cats/0.png").chmod(0)
    assert len(splits_by_content(project)) == 17


# Filters


def test_filters_leave_out_and_are_counted(project: SplitProject) -> None:
    project.photos(*classes("train", 3), *classes("val", 3), "train/apes/x.png", "train/y.png")
    project.photo("train/cats/more/deep.png", 90)
    jobs = project.split(
        include=["**/*.png"],
        exclude=["**/0.png", "nothing/**"],
        classes=["cats", "apes"],
    )
    assert set(jobs) == {
        *("train/apes/x-s.png", "train/cats/1-s.png", "train/cats/2-s.png"),
        "train/cats/more/deep-s.png",
    }
    assert project.summary.left_out() == ["all: left out 5 by classes, 4 by exclude"]
    assert [line for line in project.summary.warnings() if "matches" in line] == [
        "all: exclude: nothing/** matches no image: globs are matched with the path below content"
    ]


@pytest.mark.parametrize("keys", [{}, {"split": ALL, "stylise": ["train", "val", "test"]}])
def test_so_many_images_of_each_class_in_each_split(
    project: SplitProject, keys: dict[str, Any]
) -> None:
    project.photos(*classes(count=12), *(f"cats/deep/{number}.png" for number in range(12)))
    jobs = project.split(max_images=2, **keys)
    counts = Counter((job.split, job.label) for job in jobs.values())
    assert set(counts.values()) == {2}
    assert len(counts) == (6 if keys else 2)
    assert project.summary.left_out() == [f"all: left out {36 - len(jobs)} by max_images"]
    # The split comes first: no number moves an image from one into another.
    assert jobs.items() <= project.split(**keys).items()


@given(st.integers(1, 20), st.integers(1, 6))
@settings(max_examples=15, deadline=None)
def test_an_image_more_takes_the_place_of_one_at_most(
    tmp_path_factory: pytest.TempPathFactory, count: int, most: int
) -> None:
    project = SplitProject(tmp_path_factory.mktemp("drawn"))
    project.photos(*classes(count=count))
    before = set(project.split(max_images=most))
    assert len(before) == 2 * min(count, most)
    assert before <= set(project.split(max_images=most + 1))
    project.photo("cats/new.png", 99)
    after = set(project.split(max_images=most))
    assert len(before - after) <= 1
    assert len(after) == min(count, most) + min(count + 1, most)


def test_the_images_that_are_drawn_are_anywhere(project: SplitProject) -> None:
    project.photos(*(f"cats/{number:03}.png" for number in range(100)))
    drawn = [int(output[5:8]) for output in project.split(max_images=50)]
    assert 30 < sum(drawn) / 50 < 70


# With the rest


def test_masks_tables_and_names_go_on_to_work(project: SplitProject) -> None:
    project.photos(*classes())
    write_synced(project.root / "photos/cats/0.bmp", png(70))
    write_synced(project.root / "masks/cats/0.png", png(80))
    write_synced(project.root / "masks/dogs/1.png", png(81))
    project.write("train.txt", "cats/0.png", "cats/0.bmp", "dogs/1.png")
    project.write("map.csv", "content,style", "cats/0.png,s", "cats/0.bmp,s", "cats/1.png,s")
    split: dict[str, Any] = {"split": {"lists": {"train": "train.txt"}}}
    jobs = project.split(**split, masks="masks")
    assert {job.mask for job in jobs.values()} == {"masks/cats/0.png", "masks/dogs/1.png"}
    # Both are called 0: each gets its hash.
    names = sorted(output for output in jobs if output.startswith("train/cats"))
    assert len(names) == 2
    assert all(len(name) == len("train/cats/0-s-12345678.png") for name in names)
    table = project.split(**split, assign={"map": "map.csv"})
    assert sorted(table) == names
    assert project.summary.warnings() == [
        "all: 1 row names no content that is stylised: map.csv:4: cats/1.png"
    ]


def test_a_split_changes_no_fingerprint(project: SplitProject) -> None:
    project.photos(*classes(count=4))
    plain = {job.content: job.fingerprint for job in project.split(strength=[0.5, 1]).values()}
    for keys in ({"split": ALL}, {"exclude": ["cats/0*"]}, {"max_images": 1}):
        jobs = project.split(strength=[0.5, 1], **keys).values()
        assert jobs
        assert all(plain[job.content] == job.fingerprint for job in jobs)


def test_images_of_splits_that_are_not_stylised_are_not_read(project: SplitProject) -> None:
    project.photos(*classes("train"), *classes("val", 10))
    assert len(project.split()) == 4
    assert project.summary.read.files == 4
