"""What `benchmarks.speed.batching` compares the scheduler with."""

from support.jobs import BUDGET, Jobs

from benchmarks.speed.batching import FixedBatches


def test_fixed_batches_are_of_one_shape_and_end_before_the_next_begins() -> None:
    # Two slots for the larger shape, four for the smaller.
    scheduler = FixedBatches(Jobs({(64, 64): 6, (128, 64): 3}))
    scheduler.worker_joined(0, BUDGET)
    batches = []
    while jobs := scheduler.jobs_for(0):
        batches.append([each.width for each in jobs])
        for each in jobs:
            assert scheduler.jobs_for(0) == []
            scheduler.finished(0, each.output)
    assert batches == [[128, 128], [128], [64] * 4, [64] * 2]
    assert scheduler.is_finished
