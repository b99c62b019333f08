"""Shards: which outputs are whose, what each of them plans, and several ledgers of one output."""

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest
from support.jobs import UNSCORED
from support.projects import Project, waiting

from stylebatch.ledger import Ledger
from stylebatch.manifest import Pair
from stylebatch.output.layout import Dataset
from stylebatch.output.shard import Shard
from stylebatch.plan import KnownFile, PlanError, PlanSummary, plan_jobs, resolve_styles
from stylebatch.records import Job, JobDone, JobFailed
from stylebatch.run.session import new_summary
from stylebatch.system.files import write_synced

HALVES = [Shard(0, 2), Shard(1, 2)]


def shard_by_hand(output: str, count: int) -> int:
    """Return an output's shard by the documented rule: BLAKE2b-64, big-endian, modulo N."""
    return int(blake2b(output.encode(), digest_size=8).hexdigest(), 16) % count


# Which outputs are whose


@pytest.mark.parametrize(
    ("output", "digest"),
    # As `printf %s OUTPUT | b2sum -l 64` prints them.
    [("cats/a-s.png", 0xD14E1BC814DC8841), ("dogs/é-t.png", 0x04ADB84D391F8B26)],
)
def test_an_output_belongs_to_the_shard_that_its_hash_names(output: str, digest: int) -> None:
    for count in (1, 2, 3, 7, 1000):
        held = [index for index in range(count) if Shard(index, count).holds(output)]
        assert held == [digest % count]


def test_shards_are_even_up_to_chance() -> None:
    outputs = [f"class{n % 7}/{n:05}-{style}.png" for n in range(4000) for style in "ab"]
    for count in (2, 8, 50):
        sizes = [sum(map(Shard(index, count).holds, outputs)) for index in range(count)]
        assert sum(sizes) == len(outputs)
        expected = len(outputs) / count
        # Chi-squared over its degrees of freedom: 1 up to chance, here with six deviations' room.
        chi = sum((size - expected) ** 2 / expected for size in sizes)
        assert chi < count - 1 + 6 * (2 * (count - 1)) ** 0.5


@pytest.mark.parametrize(
    "text", ["", "1", "1/1", "4/3", "0/0", "-1/3", "a/b", "1/2/3", "٠/١", "0/"]
)
def test_what_is_no_shard_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(ValueError, match="allowed is I/N with 0 ≤ I < N") as caught:
        Shard.parse(text)
    assert f"'{text}'" in str(caught.value)


def test_a_shard_is_written_and_read_in_two_ways() -> None:
    assert (str(Shard.parse("03/10")), Shard.parse("3/10").name) == ("3/10", "3-of-10")
    assert Shard.from_name("3-of-10") == Shard(3, 10)
    for name in ("03-of-10", "3/10", "10-of-10", "lock", "3-of-10x"):
        assert Shard.from_name(name) is None


# What a shard plans


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Twelve photographs in two folders, and one beside them."""
    project = Project(tmp_path / "here")
    for number in range(12):
        project.photo(f"{'cats' if number % 2 else 'dogs'}/{number}.png", number)
    project.photo("a.png", 100)
    return project


@pytest.fixture
def pair(project: Project) -> Pair:
    return project.pair([project.style("wave.png", 1), project.style("sky.png", 2)])


def open_shard(project: Project, shard: Shard) -> Ledger:
    """Open a shard's ledger as its run does."""
    return Ledger.open(Dataset(project.dataset.root, shard).ledger, beneath=project.dataset.ledger)


def planned_jobs(
    project: Project, ledger: Ledger, shard: Shard, *pairs: Pair, retry_failed: bool = False
) -> tuple[list[Job], dict[str, int]]:
    """Plan a shard; return its jobs that wait, and how many of its are total, done and failed."""
    manifest = project.manifest(*pairs)
    styles = resolve_styles(manifest, ledger)
    dataset = Dataset(project.dataset.root, shard)
    planned = ledger.begin_plan(manifest, styles, dataset, retry_failed=retry_failed)
    for folder in plan_jobs(manifest, ledger, styles, PlanSummary(), shard):
        planned.add(folder)
    planned.finish()
    every = planned.counts.values()
    counts = {
        state: sum(getattr(each, state) for each in every) for state in ("total", "done", "failed")
    }
    return waiting(planned), counts


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shards_part_the_plan_by_their_outputs(project: Project, pair: Pair, count: int) -> None:
    variants = replace(pair, variants=2)
    whole = project.jobs(variants)
    for index in range(count):
        with open_shard(project, Shard(index, count)) as ledger:
            jobs, counts = planned_jobs(project, ledger, Shard(index, count), variants)
        own = {output for output in whole if shard_by_hand(output, count) == index}
        assert {job.output: job for job in jobs} == {output: whole[output] for output in own}
        assert counts == {"total": len(own), "done": 0, "failed": 0}


def test_a_shard_reads_only_the_images_that_it_needs(project: Project, pair: Pair) -> None:
    summary, shard = PlanSummary(), Shard(0, 5)
    manifest = project.manifest(pair)
    with project.ledger(read_only=True) as ledger:
        styles = resolve_styles(manifest, ledger)
        folders = list(plan_jobs(manifest, ledger, styles, summary, shard))
    whole = project.jobs(pair)
    needed = {job.content for out, job in whole.items() if shard_by_hand(out, 5) == 0}
    assert 0 < summary.read.files == summary.pairs["all"].images == len(needed) < 13
    # What others make is still known by name, and counted.
    names = [f"{folder.folder}/{name}".strip("/") for folder in folders for name in folder.others]
    assert sorted(names) == sorted(out for out in whole if shard_by_hand(out, 5) != 0)


def test_more_images_move_no_output_to_another_shard(project: Project, pair: Pair) -> None:
    def shares() -> list[set[str]]:
        found = []
        for shard in HALVES:
            with open_shard(project, shard) as ledger:
                found.append({job.output for job in planned_jobs(project, ledger, shard, pair)[0]})
        return found

    before = shares()
    project.photo("cats/new.png", 200)
    assert all(one <= other for one, other in zip(before, shares(), strict=True))


def test_every_shard_finds_outputs_that_collide(project: Project, pair: Pair) -> None:
    other = replace(pair, name="other")
    for shard in (Shard(0, 40), Shard(39, 40)):
        with open_shard(project, shard) as ledger, pytest.raises(PlanError, match="26 outputs"):
            planned_jobs(project, ledger, shard, pair, other)


def test_a_file_that_is_not_ours_concerns_its_shard_alone(project: Project, pair: Pair) -> None:
    output = "cats/1-wave.png"
    write_synced(project.dataset.image_path(output), b"somebody's")
    own = shard_by_hand(output, 2)
    with open_shard(project, HALVES[1 - own]) as ledger:
        assert planned_jobs(project, ledger, HALVES[1 - own], pair)[0]
    with open_shard(project, HALVES[own]) as ledger, pytest.raises(PlanError, match="did not make"):
        planned_jobs(project, ledger, HALVES[own], pair)


# A shard's ledger on the whole's


def test_a_shard_knows_what_the_whole_has_done(project: Project, pair: Pair) -> None:
    project.run(pair)
    for shard in HALVES:
        with open_shard(project, shard) as ledger:
            jobs, counts = planned_jobs(project, ledger, shard, pair)
        assert jobs == []
        assert counts["done"] == counts["total"] > 0


def test_a_shards_own_row_replaces_the_wholes(project: Project, pair: Pair) -> None:
    project.run(pair)
    louder = replace(pair, strength=(2.0, 2.0))
    with open_shard(project, HALVES[0]) as ledger:
        jobs, _ = planned_jobs(project, ledger, HALVES[0], louder)
        ledger.claim(jobs)
        ledger.record([JobFailed(0, jobs[0].output, jobs[0].fingerprint, "broken")])
        project.finish(ledger, jobs[1:])
        left, counts = planned_jobs(project, ledger, HALVES[0], louder)
    assert left == []
    assert counts == {"total": len(jobs), "done": len(jobs) - 1, "failed": 1}
    with project.ledger(read_only=True) as whole:
        assert whole.counts() == {"all": {"done": 26}}


def test_deaths_and_failures_of_the_whole_count_on_in_a_shard(project: Project, pair: Pair) -> None:
    with project.ledger() as ledger:
        jobs = waiting(project.plan(ledger, pair))
        ledger.claim(jobs)
        died, failed = (job for job in jobs[:2])
        assert ledger.add_death(died.output) == 1
        ledger.record([JobFailed(0, failed.output, failed.fingerprint, "broken")])
    shard = Shard(0, 1)
    with open_shard(project, shard) as ledger:
        left, counts = planned_jobs(project, ledger, shard, pair)
        assert counts["failed"] == 1
        assert {job.output for job in left} == {job.output for job in jobs} - {failed.output}
        ledger.claim([died])
        assert ledger.add_death(died.output) == 2
        again, counts = planned_jobs(project, ledger, shard, pair, retry_failed=True)
        assert (len(again), counts["failed"]) == (26, 0)


def test_inputs_that_the_whole_knows_are_not_read_again(project: Project, pair: Pair) -> None:
    known = KnownFile(1, 2, "digest", 3, 4)
    with project.ledger() as ledger:
        ledger.remember_files("photos", {"a": known, "b": known})
    with open_shard(project, HALVES[0]) as ledger:
        ledger.remember_files("photos", {"b": KnownFile(9, 9, "newer", 3, 4)})
        ledger.keep_files()
        both = ledger.known_files("photos", "a", "b")
    assert {name: file.digest for name, file in both.items()} == {"a": "digest", "b": "newer"}


# A shard's ledger into the whole's


def tables(ledger: Ledger) -> list[object]:
    """Return all that a ledger tells."""
    known = ledger.known_files("photos/cats", "", "z")
    told = (ledger.done(), ledger.failures(), ledger.settings(), known)
    return [*map(list, told), ledger.counts(), ledger.get("plan")]


def test_what_a_shard_knows_is_taken_and_taking_it_again_is_no_harm(
    project: Project, pair: Pair
) -> None:
    project.run(pair)
    louder = replace(pair, strength=(2.0, 2.0))
    with open_shard(project, HALVES[0]) as ledger:
        jobs, _ = planned_jobs(project, ledger, HALVES[0], louder)
        ledger.claim(jobs)
        ledger.add_death(jobs[2].output)
        ledger.record([JobFailed(0, jobs[0].output, jobs[0].fingerprint, "broken")])
        facts = {"evaluations": 77, "content_digest": "decoded"}
        ledger.record([JobDone(0, jobs[1].output, jobs[1].fingerprint, 5, facts)])
        ledger.remember_settings({"new": {"a": 1}})
    source = Dataset(project.dataset.root, HALVES[0]).ledger
    with project.ledger() as whole, Ledger.open(source, read_only=True) as own:
        untouched = {row["output"]: row for row in whole.done()}
        changes = whole.changes
        whole.absorb(own)
        assert whole.changes > changes
        once = tables(whole)
        whole.absorb(own)
        assert tables(whole) == once
        assert whole.add_death(jobs[2].output) == 2
        done = {row["output"]: row for row in whole.done()}
        assert done[jobs[1].output]["facts"] == {"evaluations": 77, **UNSCORED}
        assert done[jobs[1].output]["content_digest"] == "decoded"
        assert whole.counts() == {
            "all": {"done": 26 - len(jobs) + 1, "failed": 1, "outdated": len(jobs) - 1}
        }
        others = untouched.keys() - {job.output for job in jobs}
        assert {output: done[output] for output in others} == {
            output: untouched[output] for output in others
        }
        assert whole.settings()["new"] == {"a": 1}
        assert whole.get("plan") == {"all": 26}


def test_the_latest_plan_is_the_one_that_counts(project: Project, pair: Pair) -> None:
    with open_shard(project, HALVES[0]) as ledger:
        planned_jobs(project, ledger, HALVES[0], pair)
    project.photo("cats/new.png", 200)
    with project.ledger() as whole:
        project.plan(whole, pair)
        source = Dataset(project.dataset.root, HALVES[0]).ledger
        with Ledger.open(source, read_only=True) as older:
            whole.absorb(older)
        assert whole.get("plan") == {"all": 28}


def test_a_plan_that_was_made_tomorrow_does_not_outlast_the_next(
    project: Project, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was ahead, and is put right: a photograph that came since then counts."""
    with monkeypatch.context() as ahead:
        ahead.setattr("time.time", lambda: 4e9)
        with project.ledger() as whole:
            project.plan(whole, pair)
    project.photo("cats/new.png", 200)
    with open_shard(project, HALVES[0]) as ledger:
        planned_jobs(project, ledger, HALVES[0], pair)
    source = Dataset(project.dataset.root, HALVES[0]).ledger
    with project.ledger() as whole, Ledger.open(source, read_only=True) as newer:
        whole.absorb(newer)
        assert whole.get("plan") == {"all": 28}


# Whose temporaries are swept


def test_only_siblings_keep_their_temporaries(tmp_path: Path) -> None:
    root = tmp_path / "out"

    def left(sweeper: Shard | None) -> set[str]:
        for shard in (None, Shard(0, 2), Shard(1, 2), Shard(0, 3)):
            run = Dataset(root, shard).name_run("run")
            write_synced(Dataset(root).temporary_folder(run) / "worker0/0.tmp", b"")
        dataset = Dataset(root, sweeper)
        mine = new_summary(dataset, "").run_id
        write_synced(dataset.temporary_folder(mine) / "worker0/0.tmp", b"")
        dataset.sweep_temporaries(mine)
        names = {path.name for path in (root / ".stylebatch/tmp").iterdir()}
        assert mine in names
        return names - {mine}

    assert left(Shard(0, 2)) == {"run-shard-1-of-2"}
    assert left(Shard(0, 3)) == set()
    assert left(None) == set()


def test_unfinished_files_of_siblings_stay(tmp_path: Path) -> None:
    root = tmp_path / "out"
    names = [".run.json.1.tmp", ".holder.json.1-ab.tmp"]
    for shard in HALVES:
        for name in names:
            write_synced(Dataset(root, shard).home / name, b"half")
    write_synced(root / ".metadata.jsonl.1.tmp", b"half")
    Dataset(root, HALVES[0]).sweep_temporaries("mine")
    assert {path.relative_to(root).as_posix() for path in root.rglob("*.tmp")} == {
        f".stylebatch/shards/1-of-2/{name}" for name in names
    }
