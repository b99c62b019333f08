"""Runs that have less time than they need."""

from pathlib import Path

import pytest
from support.runs import Small, small_project

from stylebatch.ledger import Ledger


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return small_project(tmp_path)


def test_images_too_large_for_the_time_left_do_not_keep_small_ones_from_being_made(
    small: Small,
) -> None:
    """Or no night would ever get anywhere: the largest go first."""
    small.pair["size_px"] = 64
    small.photo("cats/large.png", 3, 64, 64)
    assert small.run().code == 0
    before = small.images()
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite") as ledger:
        pace = ledger.get("pace")
        for row in pace["cpu"]:
            # A worker's first report counts for nothing: on a quick machine there is no other.
            row[3] = max(1, row[3])
            row[4] = row[3] * (3600 if row[1] == 64 else 0.01)  # seconds, by evaluations
        ledger.put("pace", pace)
    for path in before:
        (small.out / "images" / path).unlink()
    assert small.run("--deadline", "30m").code == 4
    assert small.summary()["stopped_by"] == "deadline"
    large = {"cats/large-s.png", "cats/large-t.png"}
    assert small.images() == {path: data for path, data in before.items() if path not in large}
