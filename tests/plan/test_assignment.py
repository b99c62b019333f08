from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylebatch.errors import Problems
from stylebatch.manifest import StyleSource
from stylebatch.plan.assignment import sample_styles
from stylebatch.plan.style_table import TableError, read_table

paths = st.sets(st.text(min_size=1, max_size=12), min_size=1, max_size=40).map(sorted)
seeds = st.integers(0, 2**63 - 1)


def keys(count: int) -> list[str]:
    return [f"styles/{number}.jpg" for number in range(count)]


def drawn_keys(seed: int, path: list[str], styles: list[str], count: int) -> list[set[str]]:
    return [{styles[i] for i in row} for row in sample_styles(seed, path, styles, count)]


@given(seeds, paths, st.integers(1, 12), st.integers(0, 14))
def test_each_image_draws_distinct_styles(
    seed: int, path: list[str], num_styles: int, count: int
) -> None:
    drawn = sample_styles(seed, path, keys(num_styles), count)
    assert len(drawn) == len(path)
    for row in drawn:
        assert row == sorted(set(row))
        assert len(row) == min(count, num_styles)
        assert all(0 <= index < num_styles for index in row)


@settings(max_examples=20)
@given(seeds, st.integers(1, 4))
def test_styles_are_even_up_to_chance(seed: int, count: int) -> None:
    num_images, num_styles = 3000, 12
    path = [f"class{i % 7}/photo{i}.jpg" for i in range(num_images)]
    drawn = sample_styles(seed, path, keys(num_styles), count)
    observed = np.bincount(np.concatenate(drawn), minlength=num_styles)
    expected = num_images * count / num_styles
    # Variance of a style's count, as an image draws it once or not; 11 degrees of freedom.
    chi_square = ((observed - expected) ** 2).sum() / (expected * (1 - count / num_styles))
    assert chi_square < 60


@settings(max_examples=20)
@given(seeds)
def test_styles_are_independent_of_the_class(seed: int) -> None:
    num_classes, num_styles, each = 5, 6, 600
    path = [f"class{c}/photo{i}.jpg" for c in range(num_classes) for i in range(each)]
    drawn = np.array(sample_styles(seed, path, keys(num_styles), 1)).reshape(num_classes, each)
    expected = each / num_styles
    counts = np.array([np.bincount(row, minlength=num_styles) for row in drawn])
    # 25 degrees of freedom.
    assert ((counts - expected) ** 2 / expected).sum() < 100


@given(seeds, paths, paths, st.integers(1, 5))
def test_an_image_keeps_its_styles_when_images_are_added(
    seed: int, path: list[str], more: list[str], count: int
) -> None:
    before = dict(zip(path, sample_styles(seed, path, keys(9), count), strict=True))
    together = sorted({*path, *more})
    after = dict(zip(together, sample_styles(seed, together, keys(9), count), strict=True))
    assert {name: after[name] for name in path} == before


@given(seeds, paths, st.integers(1, 5), st.integers(0, 6))
def test_a_style_added_changes_only_images_that_draw_it(
    seed: int, path: list[str], count: int, at: int
) -> None:
    styles = keys(6)
    more = [*styles[:at], "styles/new.jpg", *styles[at:]]
    before = drawn_keys(seed, path, styles, count)
    after = drawn_keys(seed, path, more, count)
    for old, new in zip(before, after, strict=True):
        assert new == old or ("styles/new.jpg" in new and len(new & old) == count - 1)


@given(seeds, paths, st.integers(1, 5))
def test_the_order_of_styles_decides_nothing(seed: int, path: list[str], count: int) -> None:
    styles = keys(7)
    assert drawn_keys(seed, path, styles, count) == drawn_keys(seed, path, styles[::-1], count)


def test_another_seed_draws_other_styles() -> None:
    path = [f"photo{i}.jpg" for i in range(200)]
    one, other = (sample_styles(seed, path, keys(10), 1) for seed in (0, 1))
    assert 1 < sum(a == b for a, b in zip(one, other, strict=True)) < 60


def test_many_styles_are_drawn_in_blocks_as_in_one() -> None:
    path = [f"photo{i}.jpg" for i in range(300)]
    styles = keys(3000)
    drawn = sample_styles(5, path, styles, 2)
    assert [sample_styles(5, [one], styles, 2)[0] for one in path] == drawn


def test_what_a_seed_draws_is_the_same_in_every_version() -> None:
    path = [f"photo{i}.jpg" for i in range(8)]
    drawn = [row[0] for row in sample_styles(0, path, keys(10), 1)]
    assert drawn == [4, 4, 2, 6, 7, 2, 2, 4]


SOURCES = [
    StyleSource("styles/wave.jpg", "wave", (("styles/wave.jpg", 1.0),)),
    StyleSource("styles/a/sky.jpg", "sky", (("styles/a/sky.jpg", 1.0),)),
    StyleSource("styles/b/sky.jpg", "sky", (("styles/b/sky.jpg", 1.0),)),
    StyleSource("blend:dusk", "dusk", (("styles/wave.jpg", 1.0),)),
]


def test_a_table_names_styles_by_path_or_name() -> None:
    text = "\ufeffcontent,style\ncat/a.jpg,wave\ncat/a.jpg,styles/b/sky.jpg\n\nb.jpg,dusk\n"
    table = read_table(text.encode(), "map.csv", SOURCES, root=Path())
    assert table.versions_of("cat/a.jpg") == [(0, 1), (2, 1)]
    assert table.versions_of("c.jpg") == []
    assert table.unknown() == ["map.csv:5: b.jpg"]


@pytest.mark.parametrize(
    "style", ["./styles/wave.jpg", "styles/a/../wave.jpg", "{root}/styles/wave.jpg"]
)
def test_a_table_may_name_a_style_by_another_path_to_it(style: str, tmp_path: Path) -> None:
    text = f"content,style\na.jpg,{style.format(root=tmp_path)}\n"
    table = read_table(text.encode(), "map.csv", SOURCES, root=tmp_path)
    assert table.versions_of("a.jpg") == [(0, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            "map.csv:1: the first line is ''; content,style, and after these variant or pair, or "
            "both; write this line on top",
        ),
        ("photo,style\n", "map.csv:1: the first line is 'photo,style'"),
        ("content,style\na.jpg\n", "map.csv:2: 1 column: 'a.jpg'; a content and a style"),
        ("content,style\na.jpg,\n", "map.csv:2: 2 columns: 'a.jpg,'"),
        ("content,style\na,wawe\n", "'wawe' is no style of this pair; did you mean 'wave'?"),
        ("content,style\na,sky\n", "map.csv:2: 'sky' is the name of 2 styles; write its path"),
        ("content,style\na,wave\na,styles/wave.jpg\n", "map.csv:3: 'a' with 'styles/wave.jpg' ag"),
    ],
)
def test_a_table_with_an_error_says_in_which_line(text: str, message: str) -> None:
    with pytest.raises(TableError) as caught:
        read_table(text.encode(), "map.csv", SOURCES, root=Path())
    assert message in str(caught.value)


def test_all_errors_of_a_table_are_told_together() -> None:
    with pytest.raises(Problems) as caught:
        read_table(b"content,style\na,x\nb,y\n", "map.csv", SOURCES, root=Path())
    assert [problem.where for problem in caught.value.problems] == ["map.csv:2", "map.csv:3"]


def test_of_many_errors_of_a_table_the_first_are_told_and_the_rest_counted() -> None:
    text = "content,style\n" + "".join(f"{number}.jpg,x\n" for number in range(350))
    with pytest.raises(Problems) as caught:
        read_table(text.encode(), "map.csv", SOURCES, root=Path())
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [f"map.csv:{n}" for n in range(2, 22)]
    assert lines[-1] == "map.csv: 330 further rows with something wrong; correct these first"


def test_a_table_that_is_no_text_is_refused() -> None:
    with pytest.raises(TableError, match="not UTF-8 text"):
        read_table(b"content,style\n\xff\n", "map.csv", SOURCES, root=Path())
