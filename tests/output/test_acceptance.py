"""Thresholds: who is outside, at which strengths it is made again, what is remembered of it."""

import json
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stylebatch.output.acceptance import (
    SCORES,
    Acceptance,
    Try,
    acceptance_of,
    round_score,
    tell_rejection,
    tries_of,
)

CLOSED = Acceptance((("closed", 0.5, None),))
BOTH = Acceptance((("ssim", 0.2, 0.9), ("speckle", None, 2.0)))
AGAIN = Acceptance((("closed", 0.5, None),), "retry", 2, (2.0, 0.5))
DRAWN = Acceptance((("closed", 0.5, None),), "retry", 3, (), (0.5, 2.0))


@pytest.mark.parametrize(
    ("scores", "outside"),
    [
        ({"ssim": 0.2, "speckle": 2.0}, []),
        ({"ssim": 0.1999, "speckle": 0.0}, ["ssim"]),
        ({"ssim": 0.9001, "speckle": 2.0001}, ["ssim", "speckle"]),
        ({"ssim": None, "speckle": None}, []),
        ({"closed": -1.0}, []),
    ],
)
def test_bounds_belong_to_what_is_allowed(
    scores: dict[str, float | None], outside: list[str]
) -> None:
    assert BOTH.outside(scores) == outside
    assert BOTH.is_met(scores) == (not outside)


def test_strengths_are_its_own_times_the_factors() -> None:
    assert AGAIN.strengths(1.5, "f") == [1.5, 3.0, 0.75]
    assert CLOSED.strengths(1.5, "f") == [1.5]
    tries = [Try(1.5, {"closed": 0.1})]
    assert AGAIN.next_strength(tries, "f") == 3.0
    assert AGAIN.next_strength([*tries, *tries], "f") == 0.75
    assert AGAIN.next_strength([*tries, *tries, *tries], "f") is None
    assert CLOSED.next_strength(tries, "f") is None


def test_drawn_strengths_are_even_and_only_the_jobs() -> None:
    first, *drawn = DRAWN.strengths(1.0, "ab" * 16)
    assert first == 1.0
    assert drawn == DRAWN.strengths(1.7, "ab" * 16)[1:] != DRAWN.strengths(1.0, "cd" * 16)[1:]
    bits = int.from_bytes(
        blake2b(b"retry\0" + b"ab" * 16 + b"\x001", digest_size=8).digest(), "big"
    )
    assert drawn[0] == float(f"{0.5 + 1.5 * (bits >> 11) / 2**53:.6g}")
    every = [x for n in range(2000) for x in DRAWN.strengths(1.0, str(n))[1:]]
    assert 0.5 <= min(every) < 0.51
    assert 1.99 < max(every) <= 2.0
    assert sum(every) / len(every) == pytest.approx(1.25, abs=0.02)


scores = st.fixed_dictionaries(
    {name: st.none() | st.floats(-1e6, 1e6).map(lambda x: round(x, 4) + 0.0) for name in SCORES}
)
tries = st.lists(st.builds(Try, st.floats(0, 1e6), scores), min_size=1)


@given(tries)
def test_a_reason_tells_all_tries(every: list[Try]) -> None:
    reason = tell_rejection(BOTH, every)
    assert reason.startswith("rejected: at strength ")
    assert reason.endswith("; allowed is ssim 0.2 to 0.9, speckle up to 2")
    assert tries_of(reason) == every


@pytest.mark.parametrize("acceptance", [CLOSED, BOTH, AGAIN, DRAWN], ids=str)
def test_thresholds_come_back_from_json(acceptance: Acceptance) -> None:
    told = acceptance.described()
    assert acceptance_of(json.loads(json.dumps(told))) == acceptance
    assert json.loads(json.dumps(told)) == told
    assert acceptance_of(None) is None


def test_who_was_tried_in_vain_at_every_strength_is_rejected() -> None:
    vain, good = {"closed": 0.4}, {"closed": 0.6}
    every = [Try(1.0, vain), Try(2.0, vain), Try(0.5, vain)]
    assert AGAIN.rejects(every, 1.0, "f")
    assert AGAIN.rejects(every[::-1], 1.0, "f")
    assert not AGAIN.rejects(every[:2], 1.0, "f")
    assert not AGAIN.rejects([*every[:2], Try(0.5, good)], 1.0, "f")
    assert CLOSED.rejects(every[:1], 1.0, "f")
    assert not CLOSED.rejects(every[1:], 1.0, "f"), "not tried at its own strength"
    kept = Acceptance(CLOSED.bounds, "keep")
    assert not kept.rejects(every, 1.0, "f")


def test_what_is_judged_is_what_is_recorded() -> None:
    assert round_score(0.49996) == 0.5
    assert round_score(None) is None
