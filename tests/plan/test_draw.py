"""The even draw: counted anew, by brute force on small cases, and what an addition moves."""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from itertools import combinations, product
from math import ceil, floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylebatch.plan.draw import NOTHING, Styles, match
from stylebatch.plan.versions import EvenDraw

seeds = st.integers(0, 2**63 - 1)
Drawn = dict[str, frozenset[str]]


def keys(count: int) -> list[str]:
    return [f"styles/{number}.jpg" for number in range(count)]


def photos(sizes: Mapping[str, int]) -> dict[str, list[str]]:
    return {label: [f"{label}/{n}.jpg" for n in range(size)] for label, size in sizes.items()}


def drawn_by(
    classes: Mapping[str, Sequence[str]],
    styles: Sequence[str],
    count: int,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> Drawn:
    """Let images draw; return each one's styles by key."""
    entries = Styles(styles, weights or [1.0] * len(styles), count)
    everyone = EvenDraw(seed, entries, [(label, list(paths)) for label, paths in classes.items()])
    found: Drawn = {}
    for label, paths in classes.items():
        for path, row in zip(paths, everyone.styles_of(label, paths), strict=True):
            assert row == sorted(set(row))
            found[path] = frozenset(styles[index] for index in row)
    return found


def counts(drawn: Drawn, styles: Sequence[str], label: str = "") -> list[int]:
    """Return how many images, of a class or of all, draw each style."""
    found = Counter(
        style
        for path, row in drawn.items()
        if not label or path.startswith(f"{label}/")
        for style in row
    )
    return [found[style] for style in styles]


def changed(before: Drawn, after: Drawn, label: str = "") -> int:
    return sum(before[path] != after[path] for path in before if path.startswith(label))


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=1),
    st.integers(1, 12),
    st.data(),
)
def test_counts_of_a_class_and_of_all_differ_by_one_at_most(
    seed: int, sizes: dict[str, int], num_styles: int, data: st.DataObject
) -> None:
    count, styles = data.draw(st.integers(1, num_styles)), keys(num_styles)
    drawn = drawn_by(photos(sizes), styles, count, seed=seed)
    assert all(len(row) == count for row in drawn.values())
    for label in ("", *sizes):
        found = counts(drawn, styles, label)
        assert max(found) - min(found) <= 1


def test_many_small_classes_are_even_in_all() -> None:
    """Three images of twelve styles each: what a hash alone gives differs by chance."""
    sizes = {f"class{number}": 3 for number in range(200)}
    drawn = drawn_by(photos(sizes), keys(12), 1)
    assert counts(drawn, keys(12)) == [50] * 12
    assert all(max(counts(drawn, keys(12), label)) == 1 for label in sizes)


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.dictionaries(st.sampled_from("abcde"), st.integers(1, 60), min_size=1),
    st.lists(st.sampled_from([0.5, 1.0, 1.5, 2.0, 3.0, 10.0]), min_size=1, max_size=7),
    st.data(),
)
def test_counts_follow_the_weights(
    seed: int, sizes: dict[str, int], weights: list[float], data: st.DataObject
) -> None:
    styles, count = keys(len(weights)), data.draw(st.integers(1, len(weights)))
    drawn = drawn_by(photos(sizes), styles, count, weights, seed)
    shares = slow_shares(weights, count)
    for label, size in sizes.items():
        found = counts(drawn, styles, label)
        assert sum(found) == size * count
        for share, each in zip(shares, found, strict=True):
            assert floor(size * share) <= each <= ceil(size * share)
    if len(sizes) == 1:
        assert counts(drawn, styles) in largest_remainders(sum(sizes.values()), shares)


def slow_shares(weights: Sequence[float], count: int) -> list[Fraction]:
    """Give out `count` in proportion to weights, one at most to each: the largest first."""
    shares = [Fraction(0)] * len(weights)
    left = Fraction(count)
    order = sorted(range(len(weights)), key=lambda index: -weights[index])
    for place, index in enumerate(order):
        rest = sum(Fraction(weights[other]) for other in order[place:])
        shares[index] = min(Fraction(1), left * Fraction(weights[index]) / rest)
        left -= shares[index]
    return shares


def largest_remainders(size: int, shares: Sequence[Fraction]) -> list[list[int]]:
    """Return all apportionments by largest remainder: ties may go either way."""
    exact = [size * share for share in shares]
    missing = int(sum(exact)) - sum(map(floor, exact))
    found = []
    for up in combinations(range(len(exact)), missing):
        rests = [each - floor(each) for each in exact]
        others = [rest for index, rest in enumerate(rests) if index not in up]
        if not up or not others or min(rests[index] for index in up) >= max(others):
            found.append([floor(each) + (index in up) for index, each in enumerate(exact)])
    return found


def test_a_heavy_style_is_drawn_by_every_image_and_once_by_each() -> None:
    drawn = drawn_by(photos({"a": 100}), keys(4), 2, [5, 1, 1, 0.5])
    assert counts(drawn, keys(4)) == [100, 40, 40, 20]


@settings(max_examples=40, deadline=None)
@given(seeds, st.data())
def test_the_order_of_listing_and_of_styles_decides_nothing(seed: int, data: st.DataObject) -> None:
    classes, styles = photos({"a": 17, "b": 9, "c": 2}), keys(7)
    weights = [1.0, 2.0, 1.0, 3.0, 1.0, 1.0, 0.5]
    before = drawn_by(classes, styles, 2, weights, seed)
    labels = data.draw(st.permutations(sorted(classes)))
    shuffled = {label: data.draw(st.permutations(classes[label])) for label in labels}
    order = data.draw(st.permutations(range(7)))
    after = drawn_by(shuffled, [styles[i] for i in order], 2, [weights[i] for i in order], seed)
    assert after == before


def test_another_seed_draws_other_styles() -> None:
    one, other = (drawn_by(photos({"a": 200}), keys(10), 1, seed=seed) for seed in (0, 1))
    assert changed(one, other) > 140


def test_what_a_seed_draws_is_the_same_in_every_version() -> None:
    even = drawn_by(photos({"a": 8}), keys(4), 1)
    heavy = drawn_by(photos({"a": 8}), keys(4), 1, [2, 1, 1, 1])
    assert numbers(even) == EVEN
    assert numbers(heavy) == HEAVY


def numbers(drawn: Drawn) -> list[int]:
    return [int(style[7:-4]) for row in drawn.values() for style in row]


EVEN = [3, 0, 3, 1, 1, 2, 0, 2]
HEAVY = [0, 0, 3, 1, 1, 2, 2, 0]


@pytest.mark.parametrize(
    ("num_styles", "count", "mean", "most"), [(8, 1, 2.5, 6), (8, 2, 6, 12), (12, 3, 7, 12)]
)
def test_an_image_added_to_a_class_of_a_hundred_moves_a_handful(
    num_styles: int, count: int, mean: float, most: int
) -> None:
    classes, styles = photos({"a": 100}), keys(num_styles)
    before = drawn_by(classes, styles, count)
    moved = [
        changed(before, drawn_by({"a": [*classes["a"], f"a/new{n}.jpg"]}, styles, count))
        for n in range(40)
    ]
    assert np.mean(moved) <= mean
    assert max(moved) <= most


def test_an_image_added_moves_few_in_other_classes() -> None:
    """One of two thousand: so that all classes together stay even."""
    classes, styles = photos({f"class{n}": 100 for n in range(20)}), keys(11)
    before = drawn_by(classes, styles, 1)
    moved = []
    for number in range(20):
        label = f"class{number}"
        more = classes | {label: [*classes[label], f"{label}/new.jpg"]}
        moved.append(changed(before, drawn_by(more, styles, 1)))
    assert np.mean(moved) <= 10
    assert max(moved) <= 20


def test_a_style_added_moves_about_the_share_that_it_needs() -> None:
    classes = photos({f"class{n}": 100 for n in range(10)})
    for count, needs in ((1, 1000 / 9), (3, 3000 / 9)):
        before = drawn_by(classes, keys(8), count)
        after = drawn_by(classes, [*keys(8), "styles/new.jpg"], count)
        assert sum("styles/new.jpg" in row for row in after.values()) in (
            floor(needs),
            ceil(needs),
        )
        assert needs - 1 <= changed(before, after) <= 1.8 * needs


def test_an_image_that_comes_between_two_looks_draws_as_well() -> None:
    styles = Styles(keys(5), [1.0] * 5, 2)
    everyone = EvenDraw(0, styles, [("a", ["a/0.jpg", "a/1.jpg"])])
    known, new = everyone.styles_of("a", ["a/0.jpg", "a/new.jpg"])
    assert len(set(new)) == 2
    assert [known] == everyone.styles_of("a", ["a/0.jpg"])
    assert len(everyone.styles_of("b", ["b/0.jpg"])[0]) == 2
    assert EvenDraw(0, styles, []).styles_of("a", []) == []


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
def test_a_matching_is_the_stable_one_or_one_swap_from_it(
    seed: int, num_rows: int, num_columns: int, most: int
) -> None:
    """Against the greedy one, which with common costs is the only stable one."""
    random = np.random.default_rng(seed)
    costs = random.random((num_rows, num_columns))
    seats = np.full(num_rows, min(most, num_columns))
    capacities = slow_capacities(random, num_rows, num_columns, int(seats.sum()))
    found = match(lambda rows: costs[rows], seats, capacities[None, :])
    taken: list[set[int]] = [set() for _ in range(num_rows)]
    room = capacities.copy()
    for row, column in sorted(product(range(num_rows), range(num_columns)), key=lambda x: costs[x]):
        if len(taken[row]) < seats[row] and room[column]:
            taken[row].add(column)
            room[column] -= 1
    rows = [set(row) - {NOTHING} for row in found.tolist()]
    assert all(len(row) == count for row, count in zip(rows, seats, strict=True))
    assert np.bincount(found.ravel(), minlength=num_columns).tolist() == capacities.tolist()
    if not room.any():
        assert rows == taken


def slow_capacities(
    random: np.random.Generator, num_rows: int, num_columns: int, total: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Share out so many seats among columns by chance, to each one a row at most."""
    capacities = np.zeros(num_columns, dtype=np.int64)
    while capacities.sum() < total:
        column = random.integers(num_columns)
        capacities[column] += capacities[column] < num_rows
    return capacities
