"""The order of jobs: counted at every possible end of a run, over styles, classes and cells."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.projects import Project, waiting

from stylebatch.manifest import Assign, Pair
from stylebatch.records import Job


def furthest(jobs: Sequence[Job], kind: Callable[[Job], Hashable]) -> float:
    """Return by how many jobs a kind is ahead or behind of its share, at worst, at any end."""
    totals, had, worst = Counter(map(kind, jobs)), Counter[Hashable](), 0.0
    for number, job in enumerate(jobs, 1):
        had[kind(job)] += 1
        worst = max(
            worst, *(abs(had[each] - total * number / len(jobs)) for each, total in totals.items())
        )
    return worst


def make(root: Path, sizes: dict[str, int], num_styles: int, *widths: int) -> Project:
    project = Project(root)
    for label, size in sizes.items():
        for number in range(size):
            width = widths[number % len(widths)] if widths else 48
            project.photo(f"{label}/{number}.png", number, width)
    for number in range(num_styles):
        project.style(f"s{number}.png", 100 + number)
    return project


def pair_of(project: Project, num_styles: int, assign: Assign) -> Pair:
    styles = [project.style(f"s{number}.png", 100 + number) for number in range(num_styles)]
    return project.pair(styles, assign=assign)


def in_order(project: Project, pair: Pair) -> list[Job]:
    with project.ledger(read_only=True) as ledger:
        return waiting(project.plan(ledger, pair))


@pytest.mark.parametrize(
    ("sizes", "num_styles", "assign"),
    [
        ({"a": 20, "b": 20, "c": 20}, 4, Assign()),
        ({"a": 30, "b": 3, "c": 11}, 5, Assign("sample", 2)),
        ({"a": 60}, 7, Assign("sample", 1)),
        ({f"class{number}": 3 for number in range(20)}, 6, Assign("sample", 1)),
    ],
)
def test_wherever_it_ends_styles_and_classes_have_had_their_share(
    tmp_path: Path, sizes: dict[str, int], num_styles: int, assign: Assign
) -> None:
    project = make(tmp_path, sizes, num_styles)
    jobs = in_order(project, pair_of(project, num_styles, assign))
    assert len(jobs) == sum(sizes.values()) * (assign.count or num_styles)
    # Within one of a class with a style; these round alike at times: a few for all of a style.
    assert furthest(jobs, lambda job: (job.label, job.style)) <= 1.5
    assert furthest(jobs, lambda job: job.label) <= 3
    assert furthest(jobs, lambda job: job.style) <= 4


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 12), min_size=1), st.integers(1, 5))
def test_each_job_has_one_turn(
    tmp_path_factory: pytest.TempPathFactory, sizes: dict[str, int], num_styles: int
) -> None:
    project = make(tmp_path_factory.mktemp("order"), sizes, num_styles, 48, 96)
    pair = pair_of(project, num_styles, Assign())
    jobs = in_order(project, pair)
    assert {job.output for job in jobs} == set(project.jobs(pair))
    assert len(jobs) == len(set(jobs)) == sum(sizes.values()) * num_styles
    assert furthest(jobs[: len(jobs)], lambda job: job.style) <= len(jobs)


def test_where_groups_lie_and_their_jobs_agree(tmp_path: Path) -> None:
    """A group's middle is the mean of where its jobs lie, counted from the cells by hand."""
    project = make(tmp_path, {"a": 12}, 3, 48, 96, 160)
    with project.ledger(read_only=True) as ledger:
        planned = project.plan(ledger, pair_of(project, 3, Assign()))
        cells = defaultdict(list)
        for group in planned.groups():
            for job in planned.take(group, 100):
                cells[job.style].append(job)
        places = defaultdict(list)
        for start, (_, jobs) in enumerate(sorted(cells.items())):
            for turn, job in enumerate(sorted(jobs, key=lambda job: job.fingerprint)):
                places[job.shape].append((turn + start / 3) / len(jobs))
        middles = {shape: sum(each) / len(each) for shape, each in places.items()}
        assert planned.middles() == pytest.approx(middles)


def test_masked_and_unmasked_images_of_one_shape_come_in_lots(tmp_path: Path) -> None:
    """They share no batch: one by one, each would have to wait for the other."""
    project = make(tmp_path, {"a": 200}, 1)
    for number in range(200):
        project.photo(f"../masks/a/{number}.png", number)
    pair = pair_of(project, 1, Assign())
    masked = project.pair(pair.styles, name="masked", into="masked", masks="masks")
    with project.ledger(read_only=True) as ledger:
        jobs = waiting(project.plan(ledger, pair, masked))
    changes = sum(bool(one.mask) != bool(other.mask) for one, other in pairwise(jobs))
    assert 6 <= changes <= 14
    assert furthest(jobs, lambda job: job.pair) <= 64
