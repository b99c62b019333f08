"""Globs on paths, against those of the standard library on real files."""

import glob
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylebatch.system.globs import glob_regex, unmatched

FILES = (
    *("a.jpg", "A.jpg", "b.png", "cats/a.jpg", "cats/b[1].jpg", "cats/more/a.jpg", "cats/a+b.jpg"),
    *("dogs/a.jpg", "dogs/-.jpg", "dogs/].jpg", "dogs/^.jpg", "dogs/more/still/x.png"),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("globs")
    for path in FILES:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    return folder


def found(root: Path, pattern: str) -> set[str]:
    paths = glob.glob(pattern, root_dir=root, recursive=True)
    return {re.sub(r"(^|(?<=/))(\./)+", "", path) for path in paths} & set(FILES)


PART = st.text("ab*?.jpgcats[]!-^+\\", min_size=1, max_size=5)


@given(st.lists(PART | st.sampled_from(["**", "*", "cats", "more", "*.jpg"]), min_size=1))
@settings(max_examples=500, deadline=None)
def test_a_glob_matches_what_the_standard_library_finds(root: Path, parts: list[str]) -> None:
    pattern = "/".join(parts)
    matched = {path for path in FILES if glob_regex(pattern).fullmatch(path)}
    assert matched == found(root, pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        *("**", "*", "**/*.jpg", "cats/**", "**/a.jpg", "cats/*", "*/more/**", "**/more/**/*.png"),
        *("[aA].jpg", "[!a].*", "dogs/[]].jpg", "dogs/[^].jpg", "dogs/[!a-z].jpg", "cats/b[[]1].*"),
        *("cats/a+b.jpg", "?.png", "./a.jpg", "cats/././*"),
    ],
)
def test_what_people_write(root: Path, pattern: str) -> None:
    matched = {path for path in FILES if glob_regex(pattern).fullmatch(path)}
    assert matched == found(root, pattern)
    assert matched


def test_a_folder_stands_for_what_is_below_it() -> None:
    assert glob_regex("cats/").fullmatch("cats/more/a.jpg")
    assert not glob_regex("cats/").fullmatch("dogs/a.jpg")


def test_several_are_one_or_the_other_and_those_without_a_match_are_told() -> None:
    either = glob_regex("cats/*", "b|.png")
    assert [path for path in FILES if either.fullmatch(path)] == [
        *("cats/a.jpg", "cats/b[1].jpg", "cats/a+b.jpg")
    ]
    assert list(unmatched(["x*", "**/a.jpg", "*/x"], FILES)) == ["x*", "*/x"]
