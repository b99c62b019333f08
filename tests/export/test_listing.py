"""Names, order and shards of an export, without an output."""

import io
import re
import tarfile
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylebatch.export import ShardSize, parse_shard_size
from stylebatch.export.listing import Image, Listing, rank_of
from stylebatch.export.places import MAX_CHARS, key_of, rest_of, split_name
from stylebatch.export.webdataset import Sample, write_shard
from stylebatch.system.placed import HashedFile

PARTS = st.text("aAbB_-.ßé字 ", min_size=1, max_size=5)
NAMES = st.sets(st.builds("/".join, st.lists(PARTS, min_size=1, max_size=3)), max_size=30)


def images(names: list[str], sizes: list[int] | None = None, seed: int = 0) -> Iterator[Image]:
    for number, name in enumerate(sorted(names)):
        size = sizes[number] if sizes else 1
        split = ("train", "val")[number % 2] if sizes is None else "train"
        rank = rank_of(seed, name)
        yield Image(split, None, "stylised", key_of(f"{name}.png"), rank, size, 0, name, "{}")


@settings(max_examples=25)
@given(NAMES)
def test_every_key_is_plain_and_there_once(names: set[str]) -> None:
    with Listing() as listing:
        listing.fill(images(list(names)))
        keys = [image.place for image in listing.images()]
    assert len({key.lower() for key in keys}) == len(names)
    for key in keys:
        assert re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z_-]*", key)
        assert len(key) <= MAX_CHARS + 33


def test_a_hash_is_only_where_names_meet_and_says_which_it_is() -> None:
    names = ["a/b_c", "a_b/c", "a/d"]
    with Listing() as listing:
        listing.fill(images(names))
        found = {image.file_name: image.place for image in listing.images()}
    assert found["a/d"] == "a_d"
    assert all(re.fullmatch(r"a_b_c-[0-9a-f]{8}", found[name]) for name in names[:2])


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.one_of(
        st.builds(lambda number: ShardSize(images=number), st.integers(1, 9)),
        st.builds(lambda number: ShardSize(num_bytes=number), st.integers(1, 120)),
    ),
)
def test_shards_hold_every_image_once_and_are_full(sizes: list[int], size: ShardSize) -> None:
    names = [f"{number:03}" for number in range(len(sizes))]
    with Listing() as listing:
        listing.fill(images(names, sizes))
        shards = [list(listing.of_shard(shard)) for shard in listing.shards(size)]
        assert [len(each) for each in shards] == [s.num_images for s in listing.shards(size)]
    order = [image for shard in shards for image in shard]
    assert [image.file_name for image in order] == sorted(names, key=lambda n: rank_of(0, n))
    for shard, after in pairwise(shards):
        if size.images:
            assert len(shard) == size.images
        else:
            assert size.num_bytes is not None
            total = sum(image.size for image in shard)
            assert total <= size.num_bytes or len(shard) == 1
            assert total + after[0].size > size.num_bytes


def test_an_image_that_comes_leaves_the_order_of_the_others() -> None:
    orders = []
    for names in (["a", "b", "c", "d", "e"], ["a", "b", "c", "d", "e", "more"]):
        orders.append(sorted(names, key=lambda name: rank_of(3, name)))
    assert [name for name in orders[1] if name != "more"] == orders[0]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1000", ShardSize(images=1000)),
        ("5 images", ShardSize(images=5)),
        ("256MB", ShardSize(num_bytes=256_000_000)),
        ("2 GiB", ShardSize(num_bytes=2**31)),
        ("10b", ShardSize(num_bytes=10)),
    ],
)
def test_a_size_is_images_or_bytes(text: str, size: ShardSize) -> None:
    assert parse_shard_size(text) == size
    assert parse_shard_size(str(size)) == size


@pytest.mark.parametrize("text", ["", "0", "0MB", "MB", "-5", "5 MX", "1.5GB"])
def test_what_is_no_size_is_told_with_what_is_one(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("images (1000) or bytes (256MB, 1GiB)")):
        parse_shard_size(text)


def test_splits_have_the_names_that_readers_know() -> None:
    assert split_name(None, is_yolo=False) == "train"
    assert split_name("validation", is_yolo=True) == "val"
    assert split_name("validation", is_yolo=False) == "validation"
    assert split_name("fold-1.a", is_yolo=False) == "fold_1_a"


def test_split_and_class_are_left_out_of_a_path_where_they_stand() -> None:
    assert rest_of("train/cats/sub/a-s.png", "train", "cats") == "sub/a-s"
    assert rest_of("more/val/cats/a.png", "val", "cats") == "more/a"
    assert rest_of("cats/cats/a.png", None, "cats") == "cats/a"
    assert rest_of("a.png", None, None) == "a"


def test_a_shard_takes_no_memory_for_what_is_written() -> None:
    def samples(count: int) -> Iterator[Sample]:
        for number in range(count):
            yield Sample(f"{number:06d}", "png", b"x" * 100, 0, "{}")

    def peak(count: int) -> int:
        with Path("/dev/null").open("wb") as file:
            tracemalloc.start()
            write_shard(HashedFile(file), samples(count))
            found = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return found

    assert peak(400) < 2 * peak(20)
    file = io.BytesIO()
    write_shard(HashedFile(file), samples(3))
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as tar:
        assert len(tar.getmembers()) == 9
