"""The corpus, walked: every file has the outcome that its table says, by the real reading code."""

from collections import Counter

import numpy as np
import pytest
from support.corpus import FAMILIES, NUM_FLIPS, SUFFIXES, Case, flipped, large

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import decode, upright_size


def problem(case: Case) -> str:
    """Say in what a file's outcome is another than its table says; "" if in nothing."""
    try:
        picture = decode(case.data, case.name)
    except ImageError as error:
        found = str(error).removeprefix(f"{case.name}: ")
        is_so = not case.is_read and case.outcome in found
        return "" if is_so else f"{case.name}: wanted {case.outcome}, found {found}"
    height, width = picture.rgb.shape[:2]
    outcome = f"{width}x{height}" + " alpha" * (picture.alpha is not None)
    if outcome != case.outcome:
        return f"{case.name}: wanted {case.outcome}, found {outcome}"
    if upright_size(case.data, case.name) != (width, height):
        return f"{case.name}: its header tells another size"
    if case.rgb is not None:
        difference = int(np.abs(picture.rgb.astype(int) - case.rgb).max())
        if difference > case.within:
            return f"{case.name}: pixels differ by {difference}"
    return ""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_of_the_corpus_comes_out_as_its_table_says(family: str) -> None:
    cases = list(FAMILIES[family]())
    assert len({case.name for case in cases}) == len(cases) > 5
    assert [text for text in map(problem, cases) if text] == []


@pytest.mark.slow
def test_8000_by_8000_is_read() -> None:
    for case in large():
        assert problem(case) == ""


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_flipped_bit_gives_a_picture_of_the_stated_size_or_a_reason(kind: str) -> None:
    ends: Counter[str] = Counter()
    for data in flipped(kind):
        try:
            picture = decode(data, "x")
        except ImageError:
            ends["refused"] += 1
        else:
            assert upright_size(data, "x") == picture.rgb.shape[1::-1]
            ends["read"] += 1
    assert ends.total() == NUM_FLIPS
    if kind == "PNG":  # which has check sums
        assert ends["refused"] > NUM_FLIPS // 2
