"""Reading many files: each one's bytes, in order, with few of them open."""

import os
import random
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from stylebatch.system.read_ahead import read_each


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """A hundred files, some larger than a page, some empty; a folder and gaps among them."""
    draw = random.Random(0)
    paths = [tmp_path / f"{number}.bin" for number in range(100)]
    for number, path in enumerate(paths):
        if number == 50:
            path.mkdir()
        elif number % 9:
            path.write_bytes(draw.randbytes(draw.choice([0, 10, 5_000, 200_000])))
    return paths


def test_each_file_gives_its_bytes_in_order_and_none_where_it_cannot_be_read(
    paths: list[Path],
) -> None:
    expected = [path.read_bytes() if path.is_file() else None for path in paths]
    assert expected.count(None) == 13
    assert list(read_each(map(str, paths))) == expected


@pytest.mark.skipif(sys.platform == "darwin", reason="needs /proc")
def test_few_files_are_open_and_none_when_reading_ends_early(paths: list[Path]) -> None:
    def num_open() -> int:
        return len(os.listdir("/proc/self/fd"))

    before = num_open()
    reading = read_each(map(str, paths))
    most = max(num_open() - before for _ in zip(range(80), reading, strict=False))
    assert 1 < most <= 40
    assert isinstance(reading, Generator)
    reading.close()
    assert num_open() == before
