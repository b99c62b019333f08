"""Executors: the same events whoever runs the worker, and processes that end when they should."""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from support.pools import Work, has, held, lasting, poll_until
from support.runs import children_of, needs_proc, small_project

from stylebatch.manifest import RunOptions
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobFailed,
    JobsDropped,
    Progress,
    RunFailed,
    WorkerJoined,
    WorkerLost,
)
from stylebatch.run import EXECUTORS
from stylebatch.worker.process import run_child
from stylebatch.worker.spec import WorkerSpec

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """Four images, and one that can't be read, of an output that is held."""
    small = small_project(tmp_path)
    (small.root / "photos/cats/broken.png").write_bytes(b"no image")
    small.pair["styles"] = ["styles/s.png"]
    small.photo("cats/c.png", 3)
    with held(small) as work:
        yield work


def is_over(jobs: list[Job]) -> Callable[[list[Event]], bool]:
    outputs = {job.output for job in jobs}
    return lambda events: outputs <= set(_ended(events))


def _ended(events: list[Event]) -> list[str]:
    ended: list[str] = []
    for event in events:
        if isinstance(event, JobsDropped):
            ended += event.outputs
        elif isinstance(event, JobDone | JobFailed):
            ended.append(event.output)
    return ended


def drive(kind: str, work: Work) -> set[Event | str]:
    """Run all jobs and return what does not depend on time and number of polls."""
    executor = EXECUTORS[kind]([work.spec], RunOptions())
    executor.start()
    joined = poll_until(executor, has(WorkerJoined))
    executor.submit(work.spec.worker, work.jobs)
    events = joined + poll_until(executor, is_over(work.jobs))
    executor.stop(at_once=False)
    evaluations = sum(event.evaluations for event in events if isinstance(event, Progress))
    assert evaluations == 3 * 3
    return {repr(_timeless(event)) for event in events if not isinstance(event, Progress)}


def _timeless(event: Event) -> Event:
    if not isinstance(event, JobDone):
        return event
    return replace(event, facts={**event.facts, "seconds": 0})


@needs_proc
def test_inline_and_local_give_the_same_events_and_files(work: Work) -> None:
    inline = drive("inline", work)
    images = work.small.images()
    assert len(inline) == 1 + 4
    assert len(images) == 3
    work.dataset.images.rename(work.small.root / "inline")
    work.dataset.make_folders()
    assert drive("local", work) == inline
    assert work.small.images() == images
    assert children_of(os.getpid()) == lasting()


def test_jobs_that_are_in_no_slot_yet_can_be_dropped(work: Work) -> None:
    executor = EXECUTORS["inline"]([replace(work.spec, pixel_budget=2 * 16 * 16)], RunOptions())
    executor.start()
    executor.submit(0, work.jobs)
    events = poll_until(executor, lambda events: any(isinstance(e, Progress) for e in events))
    executor.drain(work.spec.worker)
    events += poll_until(executor, lambda news: is_over(work.jobs)(events + news))
    executor.stop(at_once=False)
    dropped = {name for event in events if isinstance(event, JobsDropped) for name in event.outputs}
    done = {event.output for event in events if isinstance(event, JobDone)}
    failed = {event.output for event in events if isinstance(event, JobFailed)}
    assert dropped
    assert set(work.small.images()) == done
    assert dropped | done | failed == {job.output for job in work.jobs}


@needs_proc
def test_a_killed_process_is_told_and_can_be_replaced(work: Work) -> None:
    executor = EXECUTORS["local"]([work.spec], RunOptions())
    executor.start()
    poll_until(executor, has(WorkerJoined))
    (worker,) = set(children_of(os.getpid())) - set(lasting())
    os.kill(worker, signal.SIGKILL)
    (lost,) = poll_until(executor, has(WorkerLost))
    assert lost == WorkerLost(0, "its process has ended (killed by SIGKILL)", worker)
    executor.submit(0, work.jobs)  # to nobody: no error
    assert executor.poll(0.0) == []
    executor.replace(0)
    assert isinstance(poll_until(executor, has(WorkerJoined))[0], WorkerJoined)
    executor.stop(at_once=True)
    assert children_of(os.getpid()) == lasting()


def test_a_process_ends_by_itself_when_its_pipe_is_closed(work: Work) -> None:
    process, pipe = _child(work.spec)
    assert pipe.poll(60)
    assert pipe.recv() == [WorkerJoined(0, "cpu", work.spec.pixel_budget or 2**16)]
    pipe.close()
    process.join(60)
    assert process.exitcode == 1


def _child(spec: WorkerSpec) -> tuple[Any, Any]:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=run_child, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    ours.send(spec)
    return process, ours


def test_an_error_of_ours_in_a_process_comes_back_with_its_traceback(work: Work) -> None:
    process, pipe = _child(replace(work.spec, device="cuda:63"))
    assert pipe.poll(60)
    (failed,) = pipe.recv()
    assert isinstance(failed, RunFailed)
    assert failed.is_ours
    assert "Traceback" in failed.text
    process.join(60)
    assert process.exitcode == 0
