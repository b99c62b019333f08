"""How many workers a run starts, and what share of the cores each gets."""

from dataclasses import replace

import pytest
from support.runs import Small

from stylebatch.device.cpu_memory import worker_bytes
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import Group, Shape
from stylebatch.run import Pace, Work, specs, worker_specs
from stylebatch.run.pace import read_paces
from stylebatch.worker.spec import WorkerSpec

GB = 10**9


@pytest.fixture
def manifest(small: Small, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """Of a run by processes on a machine of eight cores with plenty of memory."""
    machine(monkeypatch, cores=8, free=64 * GB)
    small.document["run"]["executor"] = "local"
    return load_manifest(small.write())


def machine(patch: pytest.MonkeyPatch, *, cores: int, free: int | None) -> None:
    patch.setattr(specs, "computing_cores", lambda: cores)
    patch.setattr(specs, "usable_cores", lambda: 2 * cores)
    patch.setattr(specs, "allowed_cores", lambda: list(range(100, 100 + cores)))
    patch.setattr(specs, "available_bytes", lambda: free)


def made(manifest: Manifest, work: Work | None = None) -> list[WorkerSpec]:
    given = () if work is None else (work,)
    return worker_specs(manifest, {}, Dataset(manifest.output), "run", *given)


def counts(manifest: Manifest, work: Work | None = None) -> tuple[int, int | None]:
    """Return how many workers there are, and the threads of each."""
    found = made(manifest, work)
    (threads,) = {each.threads for each in found}
    return len(found), threads


def test_the_cpu_is_shared_by_a_process_for_each_core(manifest: Manifest) -> None:
    found = made(manifest, Work(1000, 128**2))
    assert [(each.worker, each.device, each.threads) for each in found] == [
        (number, "cpu", 1) for number in range(8)
    ]
    assert [each.cores for each in found] == [(core,) for core in range(100, 108)]


@pytest.mark.parametrize(
    ("images", "expected"), [(0, (1, 8)), (1, (1, 8)), (2, (2, 4)), (3, (3, 2)), (9, (8, 1))]
)
def test_there_are_no_more_of_them_than_images(
    manifest: Manifest, images: int, expected: tuple[int, int]
) -> None:
    assert counts(manifest, Work(images, 128**2)) == expected


def test_there_are_no_more_of_them_than_memory_has_room_for(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 10 GB 7; a worker of small images takes .77, of 1,024 px 3.3, of 4,096 px 14.9.
    machine(monkeypatch, cores=16, free=10 * GB)
    assert counts(manifest, Work(1000, 64**2)) == (9, 1)
    assert counts(manifest, Work(1000, 1024**2)) == (2, 8)
    assert counts(manifest, Work(1000, 4096**2)) == (1, 16)
    machine(monkeypatch, cores=16, free=None)
    assert counts(manifest, Work(1000, 1024**2)) == (16, 1)


def test_freed_memory_is_kept_where_there_is_room(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps(*, edge: int) -> bool:
        (told,) = {each.keeps_memory for each in made(manifest, Work(1000, edge**2))}
        return told

    machine(monkeypatch, cores=2, free=2 * GB)
    assert keeps(edge=256)
    assert not keeps(edge=1024)
    machine(monkeypatch, cores=2, free=None)
    assert keeps(edge=1024)
    # A number of workers that somebody asks for is not lowered.
    manifest = replace(manifest, run=replace(manifest.run, cpu_workers=2))
    machine(monkeypatch, cores=2, free=2 * GB)
    assert not keeps(edge=256)


def test_what_a_worker_takes_grows_with_its_largest_image_but_for_small_ones() -> None:
    sizes = [worker_bytes(edge**2) for edge in (16, 64, 256, 512, 1024, 2048, 4096)]
    assert sizes[0] == sizes[1] == sizes[2]
    assert sizes[2:] == sorted(set(sizes[2:]))


def test_one_run_does_not_start_hundreds(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(monkeypatch, cores=128, free=1000 * GB)
    assert counts(manifest) == (32, 4)


def test_a_number_is_taken_as_it_is_and_inline_has_one(manifest: Manifest) -> None:
    three = replace(manifest, run=replace(manifest.run, cpu_workers=3))
    assert counts(three, Work(1, 64**2)) == (3, 2)
    inline = replace(manifest, run=replace(manifest.run, executor="inline", cpu_workers=3))
    assert counts(inline) == (1, 8)
    assert made(inline)[0].cores == ()


def test_beside_a_gpu_the_cpu_has_one(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(specs, "find_devices", lambda manifest: ["cuda:0", "cpu"])
    found = [(each.device, each.keeps_memory) for each in made(manifest)]
    assert found == [("cuda:0", False), ("cpu", True)]


def test_work_is_the_sum_of_groups_up_to_a_limit_and_the_largest_that_needs_a_network(
    manifest: Manifest,
) -> None:
    settings = manifest.all_settings()
    (key,) = settings
    groups = [Group(key, 64, 32, 5), Group(key, 16, 512, 2), Group("carried over", 9000, 9000, 1)]
    assert Work.of_groups(groups, settings) == Work(8, 16 * 512)
    assert Work.of_groups(groups, settings, limit=3).images == 3
    assert Work.of_groups([], settings) == Work(0, 0)


def test_speed_is_remembered_by_what_a_worker_has(manifest: Manifest) -> None:
    (one,) = {each.pace_key for each in made(manifest, Work(2, 0))}
    (other,) = {each.pace_key for each in made(manifest, Work(8, 0))}
    assert (one, other) == ("cpu/4", "cpu/1")
    assert replace(made(manifest)[0], device="cuda:3").pace_key == "cuda"


def test_what_is_known_of_another_share_is_better_than_nothing_and_stays() -> None:
    paces = {}
    for key, seconds in (("cpu/1", 8.0), ("cpu/4", 2.0), ("cuda", 1.0)):
        pace = Pace()
        pace.add(Shape("a", 8, 8), 1, seconds)
        paces[key] = pace.to_json()

    def found(keys: dict[str, str]) -> dict[str, float | None]:
        group = Group("a", 8, 8, 1)
        read = read_paces(paces, keys)
        return {kind: pace.seconds_of([group], {"a": 1}) for kind, pace in read.items()}

    every = {"cpu/1": 8.0, "cpu/4": 2.0, "cuda": 1.0}
    assert found({"cpu": "cpu/4"}) == every | {"cpu": 2.0}
    assert found({"cpu": "cpu/2"}) == every | {"cpu": 8.0}
    assert found({"cuda": "cuda", "mps": "mps"}) == every
    assert read_paces({}, {"cpu": "cpu/2"}) == {}
