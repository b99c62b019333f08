"""A worker by itself: jobs in, events out, one evaluation at a time; no run around it."""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.followed import follow
from support.page_faults import check_kept, faults_after, needs_glibc
from support.projects import Project, project_of_three
from support.runs import SHALLOW, wait_until

from stylebatch.output.acceptance import Acceptance, tries_of
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.plan import resolve_styles
from stylebatch.records import Event, Job, JobDone, JobFailed, JobsDropped, Progress, RunFailed
from stylebatch.worker.spec import WorkerSpec
from stylebatch.worker.worker import Worker

pytestmark = pytest.mark.usefixtures("on_one_core")
STEPS = 3
FIELDS = {**SHALLOW, "steps": STEPS, "tolerance": 0, "size_px": 32}

# More than any image closes.
NEVER = Acceptance((("closed", 0.9999, None),), "retry", 2, (2.0, 0.5))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return project_of_three(tmp_path)


@pytest.fixture
def jobs(project: Project) -> list[Job]:
    """Three photographs in two styles."""
    settings = project.settings(**FIELDS)
    pair = project.pair([project.style("wave", 1), project.style("sky", 2)], settings=settings)
    return list(project.jobs(pair).values())


@pytest.fixture
def spec(project: Project, jobs: list[Job]) -> Iterator[WorkerSpec]:
    project.dataset.make_folders()
    pair = project.pair([project.style("wave", 1), project.style("sky", 2)])
    settings = project.settings(**FIELDS)
    with project.ledger() as ledger:
        styles = resolve_styles(project.manifest(pair), ledger)
    with OutputLock(project.dataset, "run"):
        yield WorkerSpec(
            worker=0,
            device="cpu",
            run_id="run",
            root=project.root,
            output=project.dataset.root,
            settings={settings.id: settings},
            styles=styles,
            cache=project.root / "cache",
        )


def test_each_job_comes_out_once_with_its_file_and_all_its_evaluations(
    spec: WorkerSpec, jobs: list[Job], project: Project
) -> None:
    worker = Worker(spec)
    assert worker.is_idle
    worker.submit(jobs)
    assert not worker.is_idle
    events = follow(worker)
    done = [event for event in events if isinstance(event, JobDone)]
    assert sorted(event.output for event in done) == sorted(job.output for job in jobs)
    for event in done:
        assert project.dataset.image_path(event.output).stat().st_size == event.size
        assert event.facts["evaluations"] == STEPS
        assert event.facts["device"] == "cpu"
    told = [event for event in events if isinstance(event, Progress)]
    assert sum(event.evaluations for event in told) == STEPS * len(jobs)
    assert told[-1].running == told[-1].behind == 0
    assert all(event.seconds >= 0 for event in told)


def test_two_workers_make_the_same_bytes_whatever_shares_their_slots(
    spec: WorkerSpec, jobs: list[Job], project: Project, tmp_path: Path
) -> None:
    one = Worker(spec)
    one.submit(jobs)
    follow(one)
    other = Dataset(tmp_path / "other")
    other.make_folders()
    with OutputLock(other, "run"):
        alone = Worker(replace(spec, output=other.root, pixel_budget=1))
        alone.submit(jobs[::-1])
        follow(alone)
    for job in jobs:
        found, wanted = (each.image_path(job.output) for each in (other, project.dataset))
        assert found.read_bytes() == wanted.read_bytes()


def test_what_is_dropped_does_not_come_out_and_what_has_begun_does(
    spec: WorkerSpec, jobs: list[Job]
) -> None:
    worker = Worker(replace(spec, pixel_budget=1))  # one slot
    worker.submit(jobs)
    events = worker.advance()
    dropped = worker.drop_waiting()
    assert isinstance(dropped, JobsDropped)
    events += follow(worker)
    done = {event.output for event in events if isinstance(event, JobDone)}
    assert done | set(dropped.outputs) == {job.output for job in jobs}
    assert done.isdisjoint(dropped.outputs)
    assert done
    assert dropped.outputs


def test_who_is_not_worth_enough_is_tried_at_each_strength_then_rejected(
    spec: WorkerSpec, jobs: list[Job], project: Project
) -> None:
    worker = Worker(replace(spec, acceptances={"all": NEVER}, pixel_budget=2 * 32 * 32))
    worker.submit(jobs)
    events = follow(worker)
    failed = [event for event in events if isinstance(event, JobFailed)]
    assert sorted(event.output for event in failed) == sorted(job.output for job in jobs)
    for event in failed:
        assert event.is_rejected
        assert [each.strength for each in tries_of(event.reason)] == [1.0, 2.0, 0.5]
    told = [event for event in events if isinstance(event, Progress)]
    assert sum(event.evaluations for event in told) == 3 * STEPS * len(jobs)
    assert told[-1].behind == 0
    assert not [path for path in project.dataset.images.rglob("*") if path.is_file()]


@pytest.mark.parametrize("advances", [1, STEPS, STEPS + 1])
def test_who_would_be_tried_again_is_dropped_once_the_worker_is_drained(
    advances: int, spec: WorkerSpec, jobs: list[Job]
) -> None:
    worker = Worker(replace(spec, acceptances={"all": NEVER}))
    worker.submit(jobs[:2])
    events: list[Event] = []
    for _ in range(advances):
        events += worker.advance()
    events.append(worker.drop_waiting())
    events += follow(worker)
    dropped = [x for event in events if isinstance(event, JobsDropped) for x in event.outputs]
    assert sorted(dropped) == sorted(job.output for job in jobs[:2])
    assert not [event for event in events if isinstance(event, JobFailed | JobDone)]
    made = sum(event.evaluations for event in events if isinstance(event, Progress))
    assert made == 2 * STEPS * (2 if advances > STEPS else 1)


def test_after_a_drain_there_are_retries_again(spec: WorkerSpec, jobs: list[Job]) -> None:
    worker = Worker(replace(spec, acceptances={"all": NEVER}))
    worker.drop_waiting()
    worker.submit(jobs[:1])
    (failed,) = (event for event in follow(worker) if isinstance(event, JobFailed))
    assert len(tries_of(failed.reason)) == 3


def test_a_job_that_can_not_be_read_fails_alone(
    spec: WorkerSpec, jobs: list[Job], project: Project
) -> None:
    bad = jobs[0]
    (project.root / bad.content).write_bytes(b"no image any more")
    worker = Worker(spec)
    worker.submit(jobs)
    events = follow(worker)
    failed = {event.output: event for event in events if isinstance(event, JobFailed)}
    broken = {job.output for job in jobs if job.content == bad.content}
    assert failed.keys() == broken
    assert "has changed since planning" in failed[bad.output].reason
    done = {event.output for event in events if isinstance(event, JobDone)}
    assert done == {job.output for job in jobs} - broken


def test_an_output_that_is_lost_ends_the_run_and_is_no_error_of_ours(
    spec: WorkerSpec, jobs: list[Job], project: Project
) -> None:
    worker = Worker(spec)
    project.dataset.root.rename(project.root / "moved")
    worker.submit(jobs)
    events: list[Event] = []

    def has_failed() -> bool:
        events.extend(worker.advance())
        return any(isinstance(event, RunFailed) for event in events)

    wait_until(has_failed, "a failure of the run")
    (failure,) = (event for event in events if isinstance(event, RunFailed))
    assert not failure.is_ours
    assert "the output can't be written" in failure.text
    (project.root / "moved").rename(project.dataset.root)
    worker.close()


def test_slots_known_from_another_worker_are_kept_to(spec: WorkerSpec, jobs: list[Job]) -> None:
    known = {(job.shape, False): 2 for job in jobs}
    worker = Worker(replace(spec, max_slots=known))
    worker.submit(jobs)
    most = max(event.running for event in follow(worker) if isinstance(event, Progress))
    assert most <= 2


SERVE = """
import pickle, sys
from stylebatch.worker.process import Inbox, serve
inbox = Inbox()
inbox.put("stop")
serve(pickle.load(sys.stdin.buffer), inbox, lambda events: None)
"""


@needs_glibc
def test_a_process_that_is_told_so_keeps_the_memory_it_frees(spec: WorkerSpec) -> None:
    kept, given_back = (
        faults_after(SERVE, pickle.dumps(replace(spec, keeps_memory=is_kept)))[1]
        for is_kept in (True, False)
    )
    check_kept(kept, given_back)
