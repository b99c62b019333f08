"""`accept:` of a manifest: what it comes to, and what is wrong with it."""

from pathlib import Path
from typing import Any

import pytest
from support.runs import Small, command, small_project

from stylebatch.manifest import load_manifest
from stylebatch.output.acceptance import Acceptance


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def acceptance(small: Small, **fields: Any) -> Acceptance | None:
    small.pair["accept"] = fields
    (pair,) = load_manifest(small.write()).pairs
    return pair.acceptance


CLOSED = (("closed", 0.5, None),)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"closed": [0.5, None]}, Acceptance(CLOSED)),
        (
            {"speckle": [None, 2], "ssim": [0.2, 0.9], "otherwise": "keep"},
            Acceptance((("ssim", 0.2, 0.9), ("speckle", None, 2.0)), "keep"),
        ),
        (
            {"closed": [0.5, None], "otherwise": "retry", "retry_strength": [2, 0.5, 4]},
            Acceptance(CLOSED, "retry", 3, (2.0, 0.5, 4.0)),
        ),
        (
            {"closed": [0.5, None], "otherwise": "retry", "retry_strength": 1.5},
            Acceptance(CLOSED, "retry", 2, (1.5, 2.25)),
        ),
        (
            {"closed": [0.5, None], "otherwise": "retry", "retry_strength": 2, "retries": 3},
            Acceptance(CLOSED, "retry", 3, (2.0, 4.0, 8.0)),
        ),
    ],
)
def test_what_is_written_is_what_holds(
    fields: dict[str, Any], wanted: Acceptance, small: Small
) -> None:
    assert acceptance(small, **fields) == wanted


def test_without_a_factor_strengths_are_drawn_from_the_pairs(small: Small) -> None:
    small.pair["strength"] = [0.5, 2]
    found = acceptance(small, closed=[0.5, None], otherwise="retry")
    assert found == Acceptance(CLOSED, "retry", 2, (), (0.5, 2.0))


def test_defaults_hold_where_a_pair_says_nothing(small: Small) -> None:
    small.document["defaults"] = {"accept": {"closed": [0.5, None]}}
    (pair,) = load_manifest(small.write()).pairs
    assert pair.acceptance == Acceptance(CLOSED)
    assert acceptance(small, ssim=[0.1, None]) == Acceptance((("ssim", 0.1, None),))


def test_thresholds_decide_no_fingerprint_and_no_settings(small: Small) -> None:
    plain = command("plan", str(small.write()), "--jobs").out
    before = set(load_manifest(small.manifest).all_settings())
    small.pair["accept"] = {"closed": [0.5, None]}
    assert set(load_manifest(small.write()).all_settings()) == before
    assert command("plan", str(small.manifest), "--jobs").out == plain


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"otherwise": "keep"}, "accept: names no score; allowed are closed, ssim, saturation, sp"),
        ({"closed": [None, None]}, "accept.closed: found no bound; allowed is [LEAST, MOST]"),
        ({"closed": [0.5, 0.4]}, "accept.closed: found LEAST 0.5 above MOST 0.4"),
        ({"closed": [1.5, None]}, "accept.closed: found LEAST 1.5, which no image reaches"),
        ({"speckle": [None, -1]}, "accept.speckle: found MOST -1, below which no image is"),
        ({"closed": 0.5}, "accept.closed: found 0.5; allowed is a list"),
        ({"closer": [0.5, None]}, "accept.closer: unknown key 'closer' (did you mean 'closed'?)"),
        (
            {"closed": [0.5, None], "otherwise": "retry"},
            "accept.otherwise: found retry, but the strength is 1 each time; allowed is a retry_st",
        ),
        (
            {"closed": [0.5, None], "retries": 2},
            "accept.retries: is of `otherwise: retry`, and it is reject",
        ),
        (
            {
                "closed": [0.5, None],
                "otherwise": "retry",
                "retry_strength": [2, 3],
                "retries": 3,
            },
            "accept.retries: found 3, but retry_strength lists 2; allowed is 2",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(
    fields: dict[str, Any], message: str, small: Small
) -> None:
    small.pair["accept"] = fields
    ended = command("plan", str(small.write()))
    assert ended.code == 2
    assert f"pairs[0].{message}" in ended.err, ended.err
