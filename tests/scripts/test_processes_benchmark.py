"""The model of `benchmarks.speed.processes`, and processes that begin together."""

import time

import pytest

from benchmarks.speed.processes import COPY, Way, fit, kept, run_together, ways_of


def test_ways_are_one_core_and_every_even_share_of_all() -> None:
    assert [str(way) for way in ways_of(4)] == ["1 × 1", "1 × 4", "2 × 2", "4 × 1"]
    assert [str(way) for way in ways_of(6)] == ["1 × 1", "1 × 6", "2 × 3", "3 × 2", "6 × 1"]
    assert ways_of(1) == [Way(1, 1)]


@pytest.mark.parametrize(("cores", "serial_s", "shared_s"), [(2, 0.3, 0.7), (8, 0.1, 0.9)])
def test_the_serial_share_is_that_of_work_of_which_a_part_is_never_shared(
    cores: int, serial_s: float, shared_s: float
) -> None:
    alone_s, together_s = serial_s + shared_s, serial_s + shared_s / cores
    assert fit(cores, alone_s / together_s, cores)[0] == pytest.approx(serial_s / alone_s)
    # Noise, in which two cores are more than twice as fast as one.
    assert fit(cores, cores * 1.02, cores * 1.01) == (0.0, 0.0)


def test_what_processes_lose_to_each_other_is_told_as_it_was_measured() -> None:
    _, lost = fit(4, 4, 3.2)
    assert 4 * kept(lost, 4) == pytest.approx(3.2)
    assert kept(lost, 1) == 1


@pytest.mark.slow
def test_processes_work_for_as_long_as_they_are_told_and_tell_their_rates() -> None:
    began = time.monotonic()
    rates = run_together([([COPY], (0,)), ([COPY], (0,))], 0.3)
    assert len(rates) == 2
    assert all(rate > 0 for rate in rates)
    assert time.monotonic() - began > 0.3
