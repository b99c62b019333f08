"""Splits by shares, against independent counts: their sizes, copies, and how many images move."""

from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stylebatch.plan.hashes import Hashes, as_shares, draw_numbers
from stylebatch.plan.shares import ShareDraw

SHARES = (0.8, 0.1, 0.1)
CUTS = len(SHARES) - 1


def numbers(photographs: list[str], seed: int = 0) -> Hashes:
    return draw_numbers("share", seed, photographs)


def drawn(
    classes: dict[str, list[str]], shares: tuple[float, ...] = SHARES, seed: int = 0
) -> dict[str, int]:
    """Return the split of each photograph by its bytes, here a name."""
    draw = ShareDraw({name: numbers(each, seed) for name, each in classes.items()}, shares, seed)
    flat = sorted({photograph for each in classes.values() for photograph in each})
    return dict(zip(flat, draw.splits_of(numbers(flat, seed)).tolist(), strict=True))


def photographs(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number}" for number in range(count)]


@st.composite
def any_shares(draw: st.DrawFn) -> tuple[float, ...]:
    parts = draw(st.lists(st.integers(1, 20), min_size=1, max_size=5))
    return tuple(float(Fraction(part, sum(parts))) for part in parts)


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), any_shares(), st.integers(0, 5))
@settings(max_examples=150, deadline=None)
def test_each_class_has_its_shares_to_within_one_image(
    sizes: list[int], shares: tuple[float, ...], seed: int
) -> None:
    classes = {f"c{index}": photographs(f"{index}-", size) for index, size in enumerate(sizes)}
    found = drawn(classes, shares, seed)
    for each in classes.values():
        counts = Counter(found[photograph] for photograph in each)
        for split, share in enumerate(shares):
            assert abs(counts[split] - share * len(each)) < 1 + 1e-6


def test_many_small_classes_do_not_all_round_alike() -> None:
    classes = {f"c{index}": photographs(f"{index}-", 3) for index in range(2000)}
    counts = Counter(drawn(classes).values())
    for split, share in enumerate(SHARES):
        # Each class is off by less than one: the sum of 2000 such is off by chance only.
        assert abs(counts[split] - share * 6000) < 4 * (0.25 * 2000) ** 0.5


@given(st.integers(1, 80), st.integers(1, 40), st.integers(0, 10))
@settings(max_examples=150, deadline=None)
def test_an_image_more_moves_at_most_one_across_each_cut(size: int, more: int, seed: int) -> None:
    before = {"a": photographs("a", size), "b": photographs("b", 30)}
    found = drawn(before, seed=seed)
    for number in range(more):
        after = {**before, "a": [*before["a"], f"new{number}"]}
        again = drawn(after, seed=seed)
        moved = [photograph for photograph in found if again[photograph] != found[photograph]]
        assert len(moved) <= CUTS
        assert not any(photograph.startswith("b") for photograph in moved)
        before, found = after, again


def test_of_a_thousand_images_few_move_when_as_many_are_added() -> None:
    moved = []
    for seed in range(100):
        found = drawn({"a": photographs("a", 1000)}, seed=seed)
        again = drawn({"a": photographs("a", 2000)}, seed=seed)
        moved.append(sum(again[each] != found[each] for each in found))
    # A cut is where its share of the numbers lies: for n and for 2n they differ by chance, as the
    # quantiles of a sample do, by 8.9 and 6.7 images; in the mean by √(2/π) of that, added up.
    deviation = sum((500 * share * (1 - share)) ** 0.5 for share in (0.8, 0.9))
    assert np.mean(moved) == pytest.approx((2 / np.pi) ** 0.5 * deviation, rel=0.25)
    assert max(moved) < 60


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_shares_with_copies_are_an_independent_count(data: st.DataObject) -> None:
    """The same by loops and fractions: groups in their order, each at a place of its class."""
    names = st.lists(st.sampled_from(photographs("p", 12)), max_size=25)
    classes = data.draw(st.dictionaries(st.sampled_from("abcd"), names, min_size=1))
    seed = data.draw(st.integers(0, 3))
    found = drawn(classes, seed=seed)
    home: dict[str, str] = {}
    weight = Counter(photograph for each in classes.values() for photograph in each)
    for name in sorted(classes):
        for photograph in classes[name]:
            home.setdefault(photograph, name)
    order = {photograph: int(numbers([photograph], seed)[0]) for photograph in home}
    for name in classes:
        own = sorted((each for each in home if home[each] == name), key=order.__getitem__)
        total, before = sum(weight[each] for each in own), Fraction(0)
        begin = Fraction(float(as_shares(draw_numbers("class", seed, [name]))[0]))
        for photograph in own:
            place = (before + begin * weight[photograph]) / total
            expected = int(place >= Fraction(SHARES[0])) + int(place >= Fraction(sum(SHARES[:2])))
            assert found[photograph] == expected
            before += weight[photograph]


def test_another_seed_draws_otherwise_and_one_share_takes_all() -> None:
    classes = {"a": photographs("a", 200)}
    assert drawn(classes, seed=1) != drawn(classes, seed=2)
    assert set(drawn(classes, (1.0,)).values()) == {0}
    assert drawn({}) == {}


def test_what_was_not_drawn_from_is_split_by_its_own_number() -> None:
    draw = ShareDraw({"a": numbers(photographs("a", 50))}, SHARES, 0)
    others = numbers(photographs("other", 3000))
    counts = Counter(draw.splits_of(others).tolist())
    assert counts[0] == pytest.approx(2400, abs=100)
    nothing = ShareDraw({}, SHARES, 0)
    assert nothing.splits_of(others).tolist() == draw.splits_of(others).tolist()
