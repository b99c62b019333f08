"""A worker that is to end: what it saves, and how another one goes on with it."""

import json
import random
from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from support.followed import follow as to_its_end
from support.loss_logs import read_log
from support.projects import Project, project_of_three
from support.runs import SHALLOW, wait_until

from stylebatch.device.tensor_files import decode_tensors, encode_tensors
from stylebatch.output.acceptance import Acceptance, tries_of
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.plan import resolve_styles
from stylebatch.records import (
    Event,
    Job,
    JobDone,
    JobFailed,
    JobResumed,
    JobSaved,
    JobsDropped,
    Notice,
    Progress,
    RunFailed,
)
from stylebatch.transfer.problem import Row
from stylebatch.transfer.suspended import Underway
from stylebatch.worker import ending
from stylebatch.worker.ending import Ending
from stylebatch.worker.spec import WorkerSpec
from stylebatch.worker.worker import Worker

pytestmark = pytest.mark.usefixtures("on_one_core")
STEPS = 6
FIELDS = {**SHALLOW, "steps": STEPS, "tolerance": 0, "size_px": 32}
# More than any image closes.
NEVER = Acceptance((("closed", 0.9999, None),), "retry", 2, (2.0, 0.5))
# One slot.
ALONE = 1


class Bench(NamedTuple):
    """A project, its jobs, and what workers are started with that save whatever they have begun."""

    project: Project
    jobs: list[Job]
    spec: WorkerSpec

    def elsewhere(self, root: Path, **changes: Any) -> WorkerSpec:
        """Return the same for another output."""
        dataset = Dataset(root)
        dataset.make_folders()
        OutputLock(dataset, "run").__enter__()
        return replace(self.spec, output=root, **changes)

    @property
    def saved(self) -> Path:
        return self.project.dataset.saved

    def files(self) -> list[Path]:
        return sorted(self.saved.iterdir()) if self.saved.exists() else []


def bench_of(root: Path, **fields: Any) -> Iterator[Bench]:
    project = project_of_three(root)
    settings = project.settings(**{**FIELDS, **fields})
    pair = project.pair([project.style("wave", 1), project.style("sky", 2)], settings=settings)
    jobs = list(project.jobs(pair).values())
    project.dataset.make_folders()
    with project.ledger() as ledger:
        styles = resolve_styles(project.manifest(pair), ledger)
    with OutputLock(project.dataset, "run"):
        yield Bench(
            project,
            jobs,
            WorkerSpec(
                worker=0,
                device="cpu",
                run_id="run",
                root=project.root,
                output=project.dataset.root,
                settings={settings.id: settings},
                styles=styles,
                cache=project.root / "cache",
                save_after_s=0,
            ),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    yield from bench_of(tmp_path)


def follow(worker: Worker) -> list[Event]:
    """Advance until it is idle, which nothing may end; return all that happened."""
    events = to_its_end(worker)
    assert not [event for event in events if isinstance(event, RunFailed)], events
    return events


def interrupted(spec: WorkerSpec, jobs: list[Job], evaluations: int) -> list[Event]:
    """Let a worker make so many evaluations of each image in a slot, then end."""
    worker = Worker(spec)
    worker.submit(jobs)
    events: list[Event] = []

    def has_made() -> bool:
        events.extend(worker.advance())
        return any(len(entry.rows) >= evaluations for entry in in_slots(worker))

    wait_until(has_made, "evaluations")
    events.append(worker.save_slots())
    return events + follow(worker)


def in_slots(worker: Worker) -> list[Any]:
    engine = worker._engine
    return [each for batch in engine._batches.values() for each in batch.entries] if engine else []


def whole(spec: WorkerSpec, jobs: list[Job]) -> list[Event]:
    worker = Worker(spec)
    worker.submit(jobs)
    return follow(worker)


def of(kind: type[Event], events: list[Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in of(Notice, events)]


def made(events: list[Event]) -> int:
    return sum(event.evaluations for event in of(Progress, events))


def facts(events: list[Event]) -> dict[str, dict[str, Any]]:
    """Return what is told of each image that is done, but for its seconds."""
    return {
        event.output: {key: value for key, value in event.facts.items() if key != "seconds"}
        for event in of(JobDone, events)
    }


def check_same(spec: WorkerSpec, other: WorkerSpec, jobs: list[Job]) -> None:
    """Hold what two workers have made of jobs against each other: images, loss logs."""
    found, wanted = Dataset(spec.output), Dataset(other.output)
    for job in jobs:
        image, same = (each.image_path(job.output).read_bytes() for each in (found, wanted))
        assert image == same
        rows, others = (log_of(each, job) for each in (found, wanted))
        assert str([row[:7] for row in rows]) == str([row[:7] for row in others])


def log_of(dataset: Dataset, job: Job) -> list[Row]:
    return read_log(dataset.log_path(job.output).read_bytes())


# --- saved, and gone on with -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("slots", "evaluations"),
    [(1, 3), *(pytest.param(*each, marks=pytest.mark.slow) for each in [(1, 1), (2, 5), (4, 3)])],
)
def test_what_is_saved_goes_on_in_another_worker_and_comes_out_the_same(
    bench: Bench, tmp_path: Path, evaluations: int, slots: int
) -> None:
    budget = slots * max(job.width * job.height for job in bench.jobs)
    before = interrupted(replace(bench.spec, pixel_budget=budget), bench.jobs, evaluations)
    saved = {event.output: event.evaluations for event in of(JobSaved, before)}
    assert set(saved.values()) == {evaluations}
    dropped = {output for event in of(JobsDropped, before) for output in event.outputs}
    assert saved.keys() | dropped == {job.output for job in bench.jobs}
    assert len(bench.files()) == len(saved) == slots
    assert of(Progress, before)[-1].behind == 0
    # In another order, beside others.
    after = whole(bench.spec, bench.jobs[::-1])
    assert {event.output: event.evaluations for event in of(JobResumed, after)} == saved
    assert texts(after) == []
    assert made(before) + made(after) == STEPS * len(bench.jobs)
    assert bench.files() == []
    other = bench.elsewhere(tmp_path / "other")
    undisturbed = whole(other, bench.jobs)
    assert facts(after) == facts(undisturbed)
    check_same(bench.spec, other, bench.jobs)


def test_an_image_longer_than_any_night_is_done_after_some(bench: Bench, tmp_path: Path) -> None:
    job, events = bench.jobs[0], list[Event]()
    for night in range(1, STEPS):
        tonight = interrupted(bench.spec, [job], night)
        assert [event.evaluations for event in of(JobSaved, tonight)] == [night]
        assert len(bench.files()) == 1
        events += tonight
    events += whole(bench.spec, [job])
    assert made(events) == STEPS
    (done,) = of(JobDone, events)
    assert done.facts["evaluations"] == STEPS
    assert bench.files() == []
    other = bench.elsewhere(tmp_path / "other")
    assert facts(whole(other, [job])) == facts(events)
    check_same(bench.spec, other, [job])
    seconds = [row.seconds for row in log_of(Dataset(bench.spec.output), job)]
    assert seconds == sorted(seconds)


def test_images_that_take_less_time_than_is_worth_a_file_are_finished(bench: Bench) -> None:
    events = interrupted(replace(bench.spec, save_after_s=1e6), bench.jobs[:2], 2)
    assert (len(of(JobDone, events)), of(JobSaved, events), bench.files()) == (2, [], [])


def test_progress_counts_what_an_earlier_run_has_made(bench: Bench) -> None:
    job = bench.jobs[0]
    interrupted(bench.spec, [job], 4)
    after = whole(bench.spec, [job])
    assert made(after) == STEPS - 4
    told = [event.each for event in of(Progress, after) if event.each]
    assert all(each >= 4 for counts in told for each in counts)
    assert of(Progress, after)[-1].behind == 0


# --- tries at several strengths --------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("advances", range(2, 3 * STEPS + 4, 3))
def test_tries_are_remembered(bench: Bench, advances: int) -> None:
    """Whether it ends in a try or between two; the last is rejected with what all were worth."""
    spec = replace(bench.spec, acceptances={"all": NEVER}, pixel_budget=ALONE)
    job = bench.jobs[0]
    (wanted,) = of(JobFailed, whole(spec, [job]))
    worker = Worker(spec)
    worker.submit([job])
    events: list[Event] = []
    for _ in range(advances):
        events += worker.advance()
    events.append(worker.save_slots())
    events += follow(worker)
    after = []
    if not of(JobFailed, events):
        assert [event.output for event in of(JobSaved, events)] == [job.output]
        after = whole(spec, [job])
    (found,) = of(JobFailed, events + after)
    assert found == wanted
    assert len(tries_of(found.reason)) == 3
    assert made(events) + made(after) == 3 * STEPS


def test_an_image_that_was_turned_down_last_goes_on_with_its_next_try(bench: Bench) -> None:
    spec = replace(bench.spec, acceptances={"all": NEVER}, pixel_budget=ALONE, save_after_s=1e-9)
    worker, job = Worker(spec), bench.jobs[0]
    worker.submit([job])
    events: list[Event] = []

    def has_begun() -> bool:
        events.extend(worker.advance())
        return bool(in_slots(worker))

    wait_until(has_begun, "a slot")
    # Its image is nearly done for as long as it is asked.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ending.Ending, "due", lambda self, images: [])
        events.append(worker.save_slots())
        events += follow(worker)
    (saved,) = of(JobSaved, events)
    assert saved.evaluations == 0
    after = whole(spec, [job])
    assert of(JobResumed, after) == []
    assert made(events) + made(after) == 3 * STEPS


def test_tries_for_other_thresholds_are_of_no_use(bench: Bench) -> None:
    spec = replace(bench.spec, acceptances={"all": NEVER}, pixel_budget=ALONE)
    job, worker = bench.jobs[0], Worker(spec)
    worker.submit([job])
    events: list[Event] = []

    def is_tried_again() -> bool:
        events.extend(worker.advance())
        return any(each.tries for each in worker._running.values())

    wait_until(is_tried_again, "a second try")
    worker.save_slots()
    assert of(JobSaved, follow(worker))
    other = replace(spec, acceptances={"all": replace(NEVER, factors=(3.0,))})
    after = whole(other, [job])
    assert made(after) == 2 * STEPS
    (text,) = texts(after)
    assert text.startswith(f"{job.output}: what was saved of it goes with other thresholds")


# --- what can't be used ----------------------------------------------------------------------


def retold(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """Return what changes what a file tells, and vouches for it anew."""

    def edit(data: bytes) -> bytes:
        tensors, text = decode_tensors(data)
        told = json.loads(text)
        change(told)
        return encode_tensors(tensors, json.dumps(told))

    return edit


def other_tensors(data: bytes) -> bytes:
    tensors, text = decode_tensors(data)
    return encode_tensors({**tensors, "best": torch.zeros(3, 8, 8)}, text)


USELESS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "is damaged"),
    "cut": (lambda data: data[: len(data) // 2], "is damaged"),
    "longer": (lambda data: data + b"\0", "is damaged"),
    "no-tensors-file": (lambda data: b"\x10" + bytes(200), "is damaged"),
    "no-digest": (lambda data: data.replace(b'"blake2b"', b'"blake2c"'), "is damaged"),
    "torch": (retold(lambda told: told["kind"].update(torch="0.1")), "is of another version"),
    "format": (retold(lambda told: told["kind"].update(format=0)), "is of another version"),
    "device": (retold(lambda told: told["kind"].update(device="cuda")), "another kind of device"),
    "renamed": (retold(lambda told: told["kind"].update(fingerprint="f")), "is of another version"),
    "no-numbers": (retold(lambda told: told.pop("numbers")), "is damaged"),
    "level": (retold(lambda told: told["numbers"].update(level=3)), "does not fit"),
    "rows": (retold(lambda told: told["numbers"].update(rows=7)), "does not fit"),
    "shape": (other_tensors, "does not fit"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", USELESS)
def test_what_can_not_be_used_is_told_of_removed_and_begun_anew(
    bench: Bench, tmp_path: Path, what: str
) -> None:
    spoil, why = USELESS[what]
    job = bench.jobs[0]
    interrupted(bench.spec, [job], 3)
    (file,) = bench.files()
    file.write_bytes(spoil(file.read_bytes()))
    after = whole(bench.spec, [job])
    (text,) = texts(after)
    assert text.startswith(f"{job.output}: what was saved of it ")
    assert text.endswith("; it is begun anew")
    assert why in text
    assert (made(after), of(JobResumed, after), bench.files()) == (STEPS, [], [])
    other = bench.elsewhere(tmp_path / "other")
    whole(other, [job])
    check_same(bench.spec, other, [job])


def test_any_flipped_bit_is_found(bench: Bench) -> None:
    job = bench.jobs[0]
    interrupted(bench.spec, [job], 3)
    (file,) = bench.files()
    sound, draw = file.read_bytes(), random.Random(0)
    head = int.from_bytes(sound[:8], "little") + 8
    places = [*draw.sample(range(head), 60), *draw.sample(range(head, len(sound)), 20)]
    for place in places:
        data = bytearray(sound)
        data[place] ^= 1 << draw.randrange(8)
        with pytest.raises(ValueError, match=r"damaged|without a digest"):
            decode_tensors(bytes(data))
    assert decode_tensors(sound)[0]


def test_a_file_that_can_not_be_read_is_told_of(bench: Bench) -> None:
    job = bench.jobs[0]
    interrupted(bench.spec, [job], 3)
    (file,) = bench.files()
    worker = Worker(bench.spec)
    file.unlink()
    worker.submit([job])
    after = follow(worker)
    assert "can't be read (No such file or directory)" in texts(after)[0]
    assert len(of(JobDone, after)) == 1


def test_what_can_not_be_saved_is_only_lost_and_told_of_once(bench: Bench) -> None:
    bench.saved.write_bytes(b"in the way")
    events = interrupted(bench.spec, bench.jobs[:3], 2)
    dropped = sorted(output for event in of(JobsDropped, events) for output in event.outputs)
    assert dropped == sorted(job.output for job in bench.jobs[:3])
    (text,) = texts(events)
    assert "of an image can't be saved" in text
    assert not list(bench.project.dataset.temporary_folder("run").rglob("*.tmp"))
    bench.saved.unlink()
    assert len(of(JobDone, whole(bench.spec, bench.jobs[:3]))) == 3


def test_a_full_disk_costs_what_is_half_made_and_nothing_else(bench: Bench) -> None:
    job = bench.jobs[0]
    worker = Worker(replace(bench.spec, pixel_budget=ALONE))
    worker.submit(bench.jobs[:1])
    worker.advance()
    folder = bench.project.dataset.worker_folder("run", 0, 0)
    (folder / "saved.tmp").symlink_to("/dev/full")
    worker.save_slots()
    events = follow(worker)
    assert [event.outputs for event in of(JobsDropped, events)] == [(job.output,)]
    (text,) = texts(events)
    assert "of an image can't be saved (No space left on device)" in text
    assert bench.files() == []
    assert not list(bench.project.dataset.temporary_folder("run").rglob("*.tmp"))


def test_saving_has_an_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "SAVE_FOR_S", 1e-9)
    events = interrupted(bench.spec, bench.jobs[:3], 2)
    assert len(of(JobSaved, events)) == 1
    assert len([x for event in of(JobsDropped, events) for x in event.outputs]) == 2
    assert {text.rpartition(": ")[2] for text in texts(events)} == {
        "saving takes too long; the rest is begun anew"
    }


# --- pictures on the way ---------------------------------------------------------------------


def test_pictures_on_the_way_of_both_halves_are_in_place(tmp_path: Path) -> None:
    """Also where they replace an older image, whose own were moved aside by the first run."""
    for bench in bench_of(tmp_path, progress_every=2):
        job = replace(bench.jobs[0], is_replacement=True)
        dataset = bench.project.dataset
        old = dataset.progress_path(job.output, 1)
        old.parent.mkdir(parents=True)
        old.write_bytes(b"of the image that stood there")
        interrupted(bench.spec, [job], 3)
        OutputLock(dataset, "run").__exit__(None, None, None)
    with OutputLock(dataset, "run2"):
        whole(replace(bench.spec, run_id="run2"), [job])
    names = [path.name for path in sorted(dataset.progress_folder(job.output).iterdir())]
    assert names == ["00002.png", "00004.png", "00006.png"]


# --- which, and when -------------------------------------------------------------------------


def test_the_longest_are_saved_first_and_what_is_nearly_done_is_not() -> None:
    images: dict[Hashable, Underway] = {
        "young": Underway(29.0, 10, 990),
        "long": Underway(300.0, 30, 970),
        "longer": Underway(400.0, 40, 960),
        "nearly done": Underway(400.0, 990, 10),
        "not begun": Underway(31.0, 0, 100),
    }
    end = Ending(30.0)
    assert end.due(images) == []
    end.begin()
    assert end.due(images) == ["longer", "long", "not begun"]
    end.cancel()
    assert end.due(images) == []


def test_nothing_goes_on_for_longer_than_an_image_is_to_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(ending, "time", SimpleNamespace(monotonic=lambda: now[0]))
    end = Ending(30.0)
    end.begin()
    nearly: dict[Hashable, Underway] = {"nearly done": Underway(4000.0, 9999, 1)}
    assert end.due(nearly) == []
    now[0] += 29
    end.begin()  # a second time changes nothing
    assert end.due(nearly) == []
    now[0] += 2
    assert end.due(nearly) == ["nearly done"]
    assert end.has_time
    end.timed(lambda: now.__setitem__(0, now[0] + ending.SAVE_FOR_S))
    assert not end.has_time
