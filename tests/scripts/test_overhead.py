"""What `benchmarks.speed.overhead` wraps is there: names are written as text in it."""

import pytest

from benchmarks.speed.overhead import AROUND, OPTIMISATION, Measured, wrapped

PLACES = [place for places in (OPTIMISATION | AROUND).values() for place in places]


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_every_function_that_is_timed_is_there(owner: object, name: str) -> None:
    assert callable(getattr(owner, name))


def test_functions_are_themselves_again_afterwards() -> None:
    before = [getattr(owner, name) for owner, name in PLACES]
    with wrapped(Measured()):
        assert [getattr(owner, name) for owner, name in PLACES] != before
    assert [getattr(owner, name) for owner, name in PLACES] == before
