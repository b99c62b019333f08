import random
from collections import Counter
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.jobs import BUDGET, Jobs

from stylebatch.records import Job, Shape, num_slots
from stylebatch.run import Scheduler
from stylebatch.run.lots import LOT_SLOTS, MIN_LOT
from stylebatch.run.scheduler import capacity


def start(counts: dict[tuple[int, int], int], *workers: int, limit: int | None = None) -> Scheduler:
    scheduler = Scheduler(Jobs(counts), limit=limit)
    for worker in workers:
        scheduler.worker_joined(worker, BUDGET)
    return scheduler


def drain(scheduler: Scheduler, worker: int) -> list[Job]:
    """Let one worker do all that it is given."""
    done: list[Job] = []
    while jobs := scheduler.jobs_for(worker):
        for each in jobs:
            scheduler.finished(worker, each.output)
        done += jobs
    return done


def test_slots_come_from_the_pixel_budget_and_stay_within_limits() -> None:
    assert num_slots(64, 64, 5 * 64 * 64) == 5
    assert num_slots(4096, 4096, 1000) == 1
    assert num_slots(8, 8, 2**16) == num_slots(0, 0, 2**16) == 16
    assert num_slots(8, 8, 10**9) == num_slots(0, 0, 10**9) == 128
    assert num_slots(1024, 1024, 40 * 2**20) == 40
    assert capacity(64, 64, 5 * 64 * 64) == 10
    assert capacity(4096, 4096, 1000) == 3


def test_a_worker_gets_its_slots_and_as_many_to_refill_them() -> None:
    scheduler = start({(64, 64): 100}, 0)
    assert len(scheduler.jobs_for(0)) == 8
    assert scheduler.jobs_for(0) == []
    # Four slots, four that wait: it gets more as soon as half of these are gone, not one by one.
    scheduler.finished(0, "64x64/0003.png")
    assert scheduler.jobs_for(0) == []
    scheduler.finished(0, "64x64/0001.png")
    assert [each.output for each in scheduler.jobs_for(0)] == ["64x64/0008.png", "64x64/0009.png"]


def test_groups_have_their_turns_in_lots_the_larger_first_of_those_that_lie_alike() -> None:
    scheduler = start({(64, 64): 64, (128, 64): 32, (32, 32): 5}, 0)
    widths = [each.width for each in drain(scheduler, 0)]
    # Lots of 16, and all of the small group, which lies in the middle.
    lots = [(64, 16), (128, 16), (64, 16), (32, 5), (64, 16), (128, 16), (64, 16)]
    assert [(width, len(list(each))) for width, each in groupby(widths)] == lots
    assert scheduler.is_finished


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from([16, 32, 64, 128]), st.sampled_from([16, 64])),
        st.integers(1, 300),
        min_size=1,
    ),
    st.integers(1, 3),
    st.data(),
)
def test_at_any_moment_each_group_has_had_its_share_but_for_a_lot(
    counts: dict[tuple[int, int], int], num_workers: int, data: st.DataObject
) -> None:
    """With one worker, and with several that take turns as it comes."""
    scheduler = start(counts, *range(num_workers))
    lots = {shape: max(MIN_LOT, LOT_SLOTS * num_slots(*shape, BUDGET)) for shape in counts}
    total, had = sum(counts.values()), Counter[tuple[int, int]]()
    while not scheduler.is_finished:
        worker = data.draw(st.integers(0, num_workers - 1)) if num_workers > 1 else 0
        jobs = scheduler.jobs_for(worker)
        for each in jobs:
            had[each.width, each.height] += 1
            # Of those before it and behind it each other group is up to a lot off, and each worker
            # is within one of its own.
            rest = sum(lots.values()) + num_workers * max(lots.values())
            for shape, count in counts.items():
                share = count * sum(had.values()) / total
                off = lots[shape] * (num_workers + 1) + rest * count / total
                assert abs(had[shape] - share) <= off
            scheduler.finished(worker, each.output)
    assert had == counts


def test_the_cost_decides_which_group_goes_first() -> None:
    scheduler = Scheduler(Jobs({(64, 64): 1, (128, 64): 1}), cost=lambda group: -group.width)
    scheduler.worker_joined(0, BUDGET)
    assert [each.width for each in drain(scheduler, 0)] == [64, 128]


def test_workers_start_on_groups_of_their_own_and_share_what_is_left() -> None:
    scheduler = start({(64, 64): 100, (128, 64): 100}, 0, 1)
    assert {each.width for each in scheduler.jobs_for(0)} == {128}
    assert {each.width for each in scheduler.jobs_for(1)} == {64}
    scheduler.worker_joined(2, BUDGET)
    assert {each.width for each in scheduler.jobs_for(2)} == {128}


def test_small_groups_fill_a_worker_together() -> None:
    scheduler = start({(64 + i, 64): 1 for i in range(4)}, 0)
    assert len(scheduler.jobs_for(0)) == 4


def test_the_last_jobs_are_shared_evenly() -> None:
    scheduler = start({(8, 8): 6}, 0, 1)
    assert [len(scheduler.jobs_for(worker)) for worker in (0, 1, 0)] == [3, 3, 0]


def test_a_limit_counts_jobs_that_were_handed_out() -> None:
    scheduler = start({(64, 64): 20}, 0, limit=5)
    assert len(drain(scheduler, 0)) == 5
    assert scheduler.is_finished


def test_a_lost_workers_jobs_run_one_at_a_time() -> None:
    scheduler = start({(64, 64): 30}, 0, 1)
    scheduler.jobs_for(1)
    lost = scheduler.worker_lost(0)
    assert lost == ([], False)
    scheduler.worker_joined(0, BUDGET)
    had = scheduler.jobs_for(0)
    lost = scheduler.worker_lost(0)
    assert lost == (had, False)
    scheduler.worker_joined(2, BUDGET)
    for suspect in had:
        assert scheduler.jobs_for(2) == [suspect]
        assert scheduler.jobs_for(2) == []
        scheduler.finished(2, suspect.output)
    assert len(scheduler.jobs_for(2)) > 1


def test_a_worker_with_something_in_flight_gets_no_suspect() -> None:
    scheduler = start({(64, 64): 40}, 0, 1)
    scheduler.jobs_for(0)
    suspects = scheduler.jobs_for(1)
    scheduler.worker_lost(1)
    assert not set(suspects) & set(scheduler.jobs_for(0))


def test_a_death_alone_is_told_and_the_job_can_be_dropped() -> None:
    scheduler = start({(64, 64): 1}, 0)
    (only,) = scheduler.jobs_for(0)
    assert scheduler.worker_lost(0) == ([only], True)
    scheduler.worker_joined(0, BUDGET)
    assert scheduler.jobs_for(0) == [only]
    assert scheduler.worker_lost(0).was_alone
    assert not scheduler.is_finished
    scheduler.drop(only.output)
    assert scheduler.is_finished


def test_a_result_of_a_worker_that_is_lost_counts() -> None:
    scheduler = start({(64, 64): 1}, 0)
    (only,) = scheduler.jobs_for(0)
    scheduler.worker_lost(0)
    scheduler.finished(0, only.output)
    assert scheduler.is_finished


def test_after_stop_admitting_only_what_is_in_flight_is_waited_for() -> None:
    scheduler = start({(64, 64): 30}, 0)
    jobs = scheduler.jobs_for(0)
    scheduler.stop_admitting()
    assert scheduler.jobs_for(0) == []
    assert not scheduler.is_finished
    for each in jobs:
        scheduler.finished(0, each.output)
    assert scheduler.is_finished


def test_a_source_with_fewer_jobs_than_it_said_ends_all_the_same() -> None:
    source = Jobs({(64, 64): 3})
    scheduler = Scheduler(source)
    source.jobs[64, 64].pop()
    scheduler.worker_joined(0, BUDGET)
    assert len(drain(scheduler, 0)) == 2
    assert scheduler.is_finished


def test_nothing_to_do_is_finished_at_once() -> None:
    assert start({}, 0).is_finished


shapes = st.tuples(st.sampled_from([0, 32, 64, 96, 500]), st.sampled_from([0, 32, 64, 500]))


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.dictionaries(shapes, st.integers(1, 40), max_size=6),
    st.lists(st.integers(0, 40_000), min_size=1, max_size=3),
    st.one_of(st.none(), st.integers(1, 60)),
    st.randoms(use_true_random=False),
)
def test_each_job_runs_once_within_capacity_and_suspects_alone(
    counts: dict[tuple[int, int], int], budgets: list[int], limit: int | None, random: random.Random
) -> None:
    source = Jobs(counts)
    scheduler = Scheduler(source, limit=limit)
    workers = dict(enumerate(budgets))
    for worker, budget in workers.items():
        scheduler.worker_joined(worker, budget)
    has: dict[int, dict[str, Job]] = {worker: {} for worker in workers}
    done: list[str] = []
    suspects: set[str] = set()
    num_deaths = 0
    while not scheduler.is_finished:
        worker = random.choice(sorted(has))
        new = scheduler.jobs_for(worker)
        if any(each.output in suspects for each in new):
            assert len(new) == 1
            assert not has[worker]
        elif new:
            assert not suspects & set(has[worker])
            total = len(has[worker]) + len(new)
            assert total <= capacity(new[-1].width, new[-1].height, workers[worker])
        has[worker] |= {each.output: each for each in new}
        if has[worker] and num_deaths < 4 and random.random() < 0.1:
            num_deaths += 1
            lost = scheduler.worker_lost(worker)
            assert {each.output for each in lost.jobs} == set(has[worker])
            suspects |= set(has.pop(worker))
            workers[worker + 10] = workers.pop(worker)
            has[worker + 10] = {}
            scheduler.worker_joined(worker + 10, workers[worker + 10])
            continue
        for output in random.sample(sorted(has[worker]), random.randint(0, len(has[worker]))):
            scheduler.finished(worker, output)
            del has[worker][output]
            done.append(output)
            suspects.discard(output)
        assert scheduler.in_flight == sum(map(len, has.values()))
    total = sum(map(len, source.jobs.values()))
    assert len(done) == len(set(done)) == min(total, total if limit is None else limit)


def test_few_jobs_are_shared_with_workers_that_are_still_starting() -> None:
    scheduler = Scheduler(Jobs({(64, 64): 6}), num_workers=3)
    scheduler.worker_joined(0, BUDGET)
    assert len(scheduler.jobs_for(0)) == 2
    scheduler.worker_joined(1, BUDGET)
    assert len(scheduler.jobs_for(1)) == 2


def test_what_a_worker_has_not_begun_goes_back_to_its_place() -> None:
    scheduler = start({(64, 64): 10}, 0, 1)
    first = [each.output for each in scheduler.jobs_for(0)]
    scheduler.give_back(0, first[2:])
    assert (scheduler.left, scheduler.in_flight) == (8, 2)
    assert [each.output for each in scheduler.jobs_for(1)][: len(first) - 2] == first[2:]
    done = first[:2] + [each.output for each in drain(scheduler, 1)]
    for output in first[:2]:
        scheduler.finished(0, output)
    assert len(set(done)) == len(done)


def test_a_job_that_is_held_is_left_until_it_comes_back() -> None:
    scheduler = start({(64, 64): 2}, 0)
    one, other = scheduler.jobs_for(0)
    assert scheduler.hold(0, one.output) == one
    assert scheduler.hold(0, "unknown") is None
    scheduler.finished(0, other.output)
    assert scheduler.jobs_for(0) == []
    assert not scheduler.is_finished
    scheduler.again(one)
    assert scheduler.jobs_for(0) == [one]
    scheduler.finished(0, one.output)
    assert scheduler.is_finished


def one_second_per_64(shape: Shape) -> float:
    return shape.width / 64


def test_no_more_are_handed_out_than_there_is_time_for() -> None:
    scheduler = start({(64, 64): 10}, 0)
    assert scheduler.jobs_for(0, 0.0) == []
    assert len(scheduler.jobs_for(0, 3.5, one_second_per_64)) == 3
    assert scheduler.jobs_for(0, 0.9, one_second_per_64) == []
    assert len(scheduler.jobs_for(0)) == 5


def test_jobs_of_several_shapes_together_take_no_longer_than_is_left() -> None:
    scheduler = start({(128, 64): 2, (64, 64): 2, (32, 32): 20}, 0)
    jobs = scheduler.jobs_for(0, 5.7, one_second_per_64)
    # 2 + 2 s, one of the two that take 1 s; the other would not fit, and what follows waits.
    assert [each.width for each in jobs] == [128, 128, 64]


def test_when_all_workers_are_closed_nothing_more_is_begun() -> None:
    scheduler = start({(64, 64): 40}, 0, 1)
    jobs = scheduler.jobs_for(0)
    scheduler.close(0)
    assert scheduler.jobs_for(0) == []
    assert scheduler.jobs_for(1)
    scheduler.worker_lost(1)
    for each in jobs:
        scheduler.finished(0, each.output)
    assert not scheduler.is_finished
    scheduler.worker_joined(1, BUDGET)
    scheduler.close(1)
    assert scheduler.is_finished


def test_what_is_left_is_told_by_shape() -> None:
    scheduler = start({(64, 64): 10, (32, 32): 3}, 0)
    jobs = scheduler.jobs_for(0)
    scheduler.finished(0, jobs[0].output)
    left = {group.shape: group.num_jobs for group in scheduler.groups_left()}
    assert left == {Shape("s", 64, 64): 9, Shape("s", 32, 32): 3}


def test_an_idle_worker_passes_over_what_takes_too_long_and_others_do_not() -> None:
    scheduler = start({(128, 64): 3, (32, 32): 5}, 0, 1)
    done: list[Job] = []
    while jobs := scheduler.jobs_for(0, 1.5, one_second_per_64):
        for each in jobs:
            scheduler.finished(0, each.output)
        done += jobs
    assert [each.width for each in done] == [32] * 5
    assert scheduler.has_passed_over_all(0)
    assert not scheduler.has_passed_over_all(1)
    assert (scheduler.left, scheduler.is_finished) == (3, False)
    assert {each.width for each in drain(scheduler, 1)} == {128}
    assert scheduler.is_finished


def test_suspects_that_take_too_long_wait_for_another_worker() -> None:
    scheduler = start({(64, 64): 1, (32, 32): 1}, 0)
    (first,) = (each for each in scheduler.jobs_for(0) if each.width == 64)
    scheduler.worker_lost(0)
    scheduler.worker_joined(0, BUDGET)
    (small,) = scheduler.jobs_for(0, 0.7, one_second_per_64)
    assert small.width == 32
    scheduler.finished(0, small.output)
    assert scheduler.jobs_for(0, 0.7, one_second_per_64) == []
    assert scheduler.has_passed_over_all(0)
    scheduler.worker_joined(1, BUDGET)
    assert drain(scheduler, 1) == [first]
    assert scheduler.is_finished


def test_a_closed_worker_ends_nothing_while_another_is_on_its_way() -> None:
    scheduler = start({(64, 64): 4}, 0)
    scheduler.close(0, others_come=True)
    assert not scheduler.is_finished
    scheduler.worker_joined(1, BUDGET)
    assert drain(scheduler, 1)
    assert scheduler.is_finished


def test_a_suspect_that_comes_back_stays_one() -> None:
    scheduler = start({(64, 64): 3}, 0)
    jobs = scheduler.jobs_for(0)
    scheduler.worker_lost(0)
    scheduler.worker_joined(0, BUDGET)
    (suspect,) = scheduler.jobs_for(0)
    scheduler.give_back(0, [suspect.output])
    (suspect,) = scheduler.jobs_for(0)
    assert scheduler.hold(0, suspect.output) == suspect
    scheduler.again(suspect)
    alone = []
    while some := scheduler.jobs_for(0):
        (each,) = some
        scheduler.finished(0, each.output)
        alone.append(each)
    assert sorted(each.output for each in alone) == sorted(each.output for each in jobs)


def begun(counts: dict[tuple[int, int], int], *numbers: tuple[tuple[int, int], int]) -> Scheduler:
    """Return a scheduler some of whose jobs an earlier run has begun."""
    source = Jobs(counts)
    jobs = [source.jobs[shape][number] for shape, number in numbers]
    scheduler = Scheduler(source, begun=jobs)
    scheduler.worker_joined(0, BUDGET)
    return scheduler


def test_what_was_begun_goes_first_once_and_the_rest_in_its_order() -> None:
    counts = {(64, 64): 100, (32, 32): 40, (128, 64): 40}
    late = [((32, 32), 39), ((128, 64), 20), ((128, 64), 39)]
    scheduler = begun(counts, *late)
    order = [each.output for each in drain(scheduler, 0)]
    usual = [each.output for each in drain(begun(counts), 0)]
    firsts = [f"{width}x{height}/{number:04d}.png" for (width, height), number in late]
    assert set(order[:3]) == set(firsts)
    assert sorted(order) == sorted(usual)
    for shape in counts:
        of_shape = [x for x in order[3:] if x.startswith("{}x{}/".format(*shape))]
        assert of_shape == sorted(of_shape)
    assert scheduler.is_finished


def test_what_was_begun_waits_at_no_worker_while_another_is_free() -> None:
    """With four slots each: the second gets its own, though the first would take more."""
    scheduler = begun({(64, 64): 100}, *(((64, 64), 90 + number) for number in range(6)))
    scheduler.worker_joined(1, BUDGET)
    first, second = ([each.output for each in scheduler.jobs_for(worker)] for worker in (0, 1))
    assert first == [f"64x64/{90 + number:04d}.png" for number in range(4)]
    assert second[:2] == [f"64x64/{94 + number:04d}.png" for number in range(2)]


def test_at_a_nights_end_what_was_begun_is_gone_on_with_and_slots_are_filled() -> None:
    scheduler = begun({(64, 64): 100, (32, 32): 9}, ((64, 64), 50))
    assert scheduler.jobs_for(0, 1.0, lambda shape: 10.0) == []
    assert scheduler.has_passed_over_all(0)
    jobs = scheduler.begin_anyway(0, lambda shape: float(shape.width), fills_slots=True)
    names = ["0050", "0000", "0001", "0002"]
    assert [each.output for each in jobs] == [f"64x64/{name}.png" for name in names]
    assert scheduler.in_flight == 4


def test_what_was_begun_and_is_given_back_is_handed_out_again() -> None:
    scheduler = begun({(64, 64): 8}, ((64, 64), 5))
    jobs = scheduler.jobs_for(0)
    scheduler.give_back(0, [each.output for each in jobs])
    assert sorted(each.output for each in drain(scheduler, 0)) == [
        f"64x64/{number:04d}.png" for number in range(8)
    ]
