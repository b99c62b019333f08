import random
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from stylebatch.manifest.sweeps import MAX_SUFFIX
from stylebatch.output.naming import MAX_PART_BYTES, NameParts, folded, safe_part, unique_names

names = st.text(min_size=0, max_size=120)
# Few letters, so that names collide by case, by hyphens and by suffixes that look like ours.
alike = st.text(alphabet="aAbB-v2ßéÉe\u0301", min_size=1, max_size=4)


def parts_of(triples: list[tuple[str, str, int]]) -> list[NameParts]:
    return [
        NameParts(safe_part(stem), safe_part(style), variant, f"{stem}.jpg", style)
        for stem, style, variant in triples
    ]


@given(names)
def test_a_safe_part_has_no_dot_is_nfc_and_fits_in_eighty_bytes(name: str) -> None:
    part = safe_part(name)
    assert 1 <= len(part.encode()) <= MAX_PART_BYTES
    assert not set(part) & set('./\\:*?"<>|\n\0')
    assert unicodedata.normalize("NFC", part) == part
    assert not part.startswith("-")
    assert safe_part(part) == part


def test_a_part_is_cut_at_a_character() -> None:
    assert safe_part("é" * 60) == "é" * 40
    assert safe_part("a" + "é" * 60) == "a" + "é" * 39


def test_names_stay_as_they_are_where_they_can() -> None:
    assert safe_part("IMG_2024-05-01 (2)") == "IMG_2024-05-01 (2)"
    assert safe_part("v1.2") == "v1_2"
    assert safe_part("..") == "__"
    assert safe_part(" ") == "_"


def test_the_first_variant_has_no_suffix() -> None:
    made = unique_names(parts_of([("cat", "wave", 1), ("cat", "wave", 2)]))
    assert made == ["cat-wave.png", "cat-wave-v2.png"]


def test_a_suffix_stands_between_style_and_variant() -> None:
    parts = [NameParts("cat", "wave", variant, "cat.jpg", "wave", "steps-3") for variant in (1, 2)]
    assert unique_names(parts) == ["cat-wave-steps-3.png", "cat-wave-steps-3-v2.png"]


def test_the_longest_names_fit_into_a_file_system() -> None:
    long, suffix = "x" * MAX_PART_BYTES, "y" * MAX_SUFFIX
    parts = [NameParts(long, long, 10_000, content, "s", suffix) for content in ("a", "b")]
    made = unique_names(parts)
    assert len(set(made)) == 2
    assert all(len(name) <= 255 for name in made)


def test_every_one_of_two_colliding_names_gets_a_hash() -> None:
    made = unique_names(parts_of([("cat", "wave", 1), ("Cat", "wave", 1), ("dog", "wave", 1)]))
    assert made == ["cat-wave-1e3a522a.png", "Cat-wave-478ecccd.png", "dog-wave.png"]


def test_a_hyphen_between_other_words_collides_as_well() -> None:
    made = unique_names(parts_of([("a-b", "c", 1), ("a", "b-c", 1)]))
    assert len(set(made)) == 2
    assert all(name.startswith("a-b-c-") for name in made)


def test_a_name_that_looks_hashed_already_is_told_apart() -> None:
    hashed = unique_names(parts_of([("a", "b", 1), ("A", "b", 1)]))
    style = hashed[0].removeprefix("a-").removesuffix(".png")
    made = unique_names(parts_of([("a", "b", 1), ("A", "b", 1), ("a", style, 1)]))
    assert len({folded(name) for name in made}) == 3


def test_a_folder_with_a_twin_hashes_every_name() -> None:
    (name,) = unique_names(parts_of([("a", "b", 1)]), hash_all=True)
    assert len(name) == len("a-b-01234567.png")


@given(st.sets(st.tuples(alike | names, alike, st.integers(1, 3)), min_size=1), st.randoms())
def test_names_are_unique_whatever_the_case_and_in_any_order(
    triples: set[tuple[str, str, int]], random: random.Random
) -> None:
    parts = parts_of(sorted(triples))
    made = unique_names(parts)
    assert len({folded(name) for name in made}) == len(parts)
    assert all(len(name.encode()) <= 255 and name.count(".") == 1 for name in made)
    order = list(range(len(parts)))
    random.shuffle(order)
    assert unique_names([parts[i] for i in order]) == [made[i] for i in order]
