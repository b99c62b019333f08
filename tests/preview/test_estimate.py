"""What a run will take, against sums by hand and against what a run then takes."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.runs import Small, command, contents, small_project
from support.terminal import listing, on_a_terminal

from stylebatch.cli.dry_run import lines
from stylebatch.ledger import Ledger
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.preview import speed_probe
from stylebatch.preview.disk_space import (
    BLOCK_BYTES,
    RECORD_BYTES,
    ROW_BYTES,
    free_bytes,
    measure_space,
)
from stylebatch.preview.estimate import Estimate, estimate, expected_evaluations, first_groups
from stylebatch.preview.samples import spread
from stylebatch.records import Group, Shape
from stylebatch.run import Pace, make_plan, worker_specs
from stylebatch.system.cores import computing_cores

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_one_core")]

SMALL, WIDE = (16, 16), (32, 16)


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Six images to make: four of 16×16, two of 32×16."""
    small = small_project(tmp_path)
    small.photo("cats/wide.png", 3, 32, 16)
    small.pair |= {"size_px": 32, "steps": 4}
    small.write()
    return small


def estimated(small: Small, **options: Any) -> Estimate:
    manifest = load_manifest(small.write())
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite", read_only=True) as ledger:
        planned, _, styles = make_plan(manifest, ledger)
        options["space"] = measure_space(manifest, planned, ledger, styles)
        options["waiting"] = ledger.sizes.waiting()
        return estimate(manifest, planned, ledger, styles, **options)


def remember(small: Small, kind: str, pace: Pace) -> None:
    """Let earlier runs have had a pace; on a CPU with one thread, and with all cores."""
    keys = ["cpu/1", f"cpu/{computing_cores()}"] if kind == "cpu" else [kind]
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite") as ledger:
        ledger.put("pace", dict.fromkeys(keys, pace.to_json()))


def settings_id(small: Small) -> str:
    (key,) = load_manifest(small.write()).all_settings()
    return key


def test_a_probe_measures_each_shape_and_a_run_finds_what_it_told(small: Small) -> None:
    told = estimated(small)
    assert (told.images, told.evaluations, told.is_at_most) == (6, 24, False)
    assert (told.devices, told.num_probed, told.trouble) == (("cpu",), 2, "")
    assert told.seconds is not None
    assert 0 < told.seconds[0] <= told.seconds[1]
    assert not small.out.exists()
    assert not (small.root / "cache").exists()
    assert small.run().code == 0
    assert small.summary()["evaluations"] == told.evaluations
    assert len(small.images()) == told.images
    assert told.output_bytes is not None
    made = [*small.images().values(), *contents(small.out / "losses").values()]
    beside = told.images * (BLOCK_BYTES + RECORD_BYTES)
    assert told.output_bytes - beside == pytest.approx(sum(map(len, made)), rel=0.3)
    logs = contents(small.out / "losses").values()
    _, *rows = next(iter(logs)).splitlines(keepends=True)
    assert sum(map(len, rows)) / len(rows) == pytest.approx(ROW_BYTES["csv"], rel=0.2)


def test_evaluations_are_at_most_so_many_where_too_few_images_tell_when_they_end(
    small: Small,
) -> None:
    small.pair["override"]["tolerance"] = 0.01
    (small.root / "photos/cats/wide.png").unlink()  # four are left
    told = estimated(small)
    assert (told.evaluations, told.most_evaluations, told.is_at_most) == (16, 16, True)
    pace = Pace()
    pace.finished(Shape(settings_id(small), *SMALL), 2)
    pace.finished(Shape(settings_id(small), *SMALL), 3)
    remember(small, "mps", pace)  # on whatever device: it takes as many everywhere
    told = estimated(small)
    assert (told.evaluations, told.is_at_most, told.num_probed) == (10, False, 1)


def test_a_rehearsal_tells_how_many_evaluations_a_run_then_takes(small: Small) -> None:
    small.pair["override"] |= {"tolerance": 0.3, "window": 4}
    small.pair["steps"] = 60
    told = estimated(small)
    assert not told.is_at_most
    assert told.most_evaluations == 6 * 60
    out = small.run("--dry-run").out
    assert f"evaluations: about {told.evaluations}, at most 360\n" in out
    assert small.run().code == 0
    # So small as they are, and all of them tried, they end as they do in the run.
    assert small.summary()["evaluations"] == told.evaluations < 360


def test_what_a_rehearsal_could_not_end_in_time_stays_unknown(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_probe, "LONGEST_S", 0.0)
    small.pair["override"]["tolerance"] = 0.01
    told = estimated(small)
    assert (told.evaluations, told.is_at_most, told.num_probed) == (24, True, 1)
    out = small.run("--dry-run").out
    assert re.search(r"time: at most .+ \(usually about .+: images end early\) on", out)


@pytest.mark.parametrize(("load", "num_probed"), [(1e4, 1), (1e4, 0), (0.0, 1)])
def test_what_was_measured_on_a_busy_machine_says_so(
    small: Small, load: float, num_probed: int
) -> None:
    found = replace(estimated(small), load=load, num_probed=num_probed)
    told = lines(found, load_manifest(small.manifest), None)
    busy = [line for line in told if "the machine was busy (load 10000.0, " in line]
    assert len(busy) == (load > 0 and num_probed > 0)


def test_a_rehearsal_is_of_small_images_in_their_own_proportions(small: Small) -> None:
    small.pair |= {"size_px": 512}
    small.photo("cats/wide.png", 3, 600, 300)
    manifest = load_manifest(small.write())
    with Ledger.open(small.out / "no", read_only=True) as ledger:
        planned, _, styles = make_plan(manifest, ledger)
        (spec,) = worker_specs(manifest, styles, Dataset(small.out), "test")
        sizes = {
            (job.width, job.height)
            for job in map(partial(speed_probe._smaller, spec), planned.spread(9))
        }
    assert sizes == {(16, 16), (96, 48)}


def test_the_time_of_earlier_runs_is_told_without_a_probe(small: Small) -> None:
    key, pace = settings_id(small), Pace()
    pace.add(Shape(key, *SMALL), 10, 20_000.0)
    pace.add(Shape(key, *WIDE), 10, 50_000.0)
    remember(small, "cpu", pace)

    def both(seconds: float) -> Any:
        return pytest.approx((seconds, seconds), rel=2e-3)  # and until workers are there

    told = estimated(small)
    assert told.num_probed == 0
    one_worker = 4 * 4 * 2000.0 + 2 * 4 * 5000.0
    assert told.seconds == both(one_worker)
    small.document["run"] |= {"executor": "local", "cpu_workers": 3}
    told = estimated(small)
    assert told.devices == ("cpu",) * 3
    assert told.seconds == both(one_worker / 3)
    # One of each shape, and two images keep no more than two workers busy.
    assert estimated(small, limit=2).seconds == both((4 * 2000.0 + 4 * 5000.0) / 2)


def test_what_workers_had_with_another_share_of_the_cores_does_not_do(small: Small) -> None:
    pace = Pace()
    pace.add(Shape(settings_id(small), *SMALL), 10, 1e9)
    pace.add(Shape(settings_id(small), *WIDE), 10, 1e9)
    with Ledger.open(small.out / ".stylebatch/ledger.sqlite") as ledger:
        ledger.put("pace", {"cpu/63": pace.to_json()})
    assert estimated(small).num_probed == 2


def test_what_earlier_runs_had_of_other_settings_or_devices_does_not_do(small: Small) -> None:
    pace = Pace()
    pace.add(Shape("other", *SMALL), 10, 1e9)
    remember(small, "cpu", pace)
    assert estimated(small).num_probed == 2
    pace = Pace()
    pace.add(Shape(settings_id(small), *SMALL), 10, 1e9)
    remember(small, "cuda", pace)
    told = estimated(small)
    assert told.num_probed == 2
    assert told.seconds is not None
    assert told.seconds[1] < 1e6


def test_images_that_are_there_tell_how_large_others_are(small: Small) -> None:
    (small.root / "photos/dogs/b.png").unlink()
    assert small.run().code == 0  # the two wide ones and two of the others
    small.photo("dogs/b.png", 2)
    made = {path: len(data) for path, data in small.images().items()}
    assert sum("wide" in path for path in made) == 2
    square = sum(size for path, size in made.items() if "wide" not in path) / 2
    logs = contents(small.out / "losses").values()
    told = estimated(small)
    each = square + BLOCK_BYTES / 2 + sum(map(len, logs)) / 4 + BLOCK_BYTES / 2 + RECORD_BYTES
    assert told.output_bytes == pytest.approx(2 * each, abs=1)
    assert told.images == 2
    # Of a shape that is not there by the pixels of its file: here four times as large as worked on.
    small.photo("cats/high.png", 5, 32, 64)
    sizes = sum(made.values()) / (2 * 32 * 16 + 2 * 16 * 16) * 32 * 64
    more = sizes + BLOCK_BYTES / 2 + each - square - BLOCK_BYTES / 2
    assert estimated(small).output_bytes == pytest.approx(2 * each + 2 * more, abs=2)


def test_pictures_beside_the_images_count(small: Small) -> None:
    plain = estimated(small).output_bytes
    small.pair["override"] |= {"side_by_side": True, "progress_every": 2}
    beside = estimated(small).output_bytes
    assert plain is not None
    assert beside is not None
    assert beside - plain > 6 * 5 * BLOCK_BYTES / 2


def test_images_that_can_not_be_read_are_left_out(small: Small) -> None:
    for path in ("a", "aa"):
        noise = np.zeros((16, 16, 3), np.uint8)
        Image.fromarray(noise).save(small.root / f"photos/cats/{path}.png")
    data = (small.root / "photos/cats/a.png").read_bytes()
    (small.root / "photos/cats/a.png").write_bytes(b"no image")
    # The header says what it is, the rest is missing: only a decoder finds out.
    (small.root / "photos/cats/aa.png").write_bytes(data[:50])
    (small.root / "photos/dogs/b.png").unlink()
    (small.root / "photos/cats/wide.png").unlink()
    told = estimated(small)
    assert told.images == 2
    assert told.seconds is None
    assert "photos/cats/aa.png" in told.trouble


def test_weights_are_not_downloaded_for_it(
    small: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    small.document["extractor"] = {"arch": "squeezenet1_1"}
    small.pair["override"] |= {"content_layers": {"conv1": 1}, "style_layers": {"conv1": 1}}
    told = estimated(small)
    assert told.seconds is None
    assert "weights fetch squeezenet1_1/imagenet" in told.trouble
    ended = small.run("--dry-run")
    assert ended.code == 0
    assert "time: not known (its weights are not here" in ended.out


# The parts


def test_a_limit_takes_the_groups_in_a_runs_order(small: Small) -> None:
    settings = load_manifest(small.manifest).all_settings()
    (key,) = settings
    groups = [Group(key, *SMALL, 4), Group(key, 0, 0, 9), Group(key, *WIDE, 2)]
    assert first_groups(groups, settings, None) == [Group(key, *WIDE, 2), Group(key, *SMALL, 4)]
    # Of each its share: shapes take turns.
    assert first_groups(groups, settings, 3) == [Group(key, *WIDE, 1), Group(key, *SMALL, 2)]
    assert first_groups(groups, settings, 2) == [Group(key, *WIDE, 1), Group(key, *SMALL, 1)]


def test_a_few_shapes_stand_for_many() -> None:
    many = [Group(f"s{n % 3}", 16 * n, 16, 1 + n % 5) for n in range(1, 41)]
    chosen = spread(many, 8)
    assert len(chosen) == len(set(chosen)) == 8
    assert {group.settings_id for group in chosen} == {"s0", "s1", "s2"}
    assert many[0] in chosen
    assert many[-1] in chosen
    for key in ("s0", "s1", "s2"):
        work = [group for group in many if group.settings_id == key]
        assert max(work, key=lambda group: group.num_jobs * group.width) in chosen
    assert spread(many[:8], 8) == many[:8]
    assert len(spread([Group(f"s{n}", 16, 16, 1) for n in range(20)], 8)) == 8


def test_expected_evaluations_are_those_of_the_settings_that_are_needed(small: Small) -> None:
    small.pair["override"]["tolerance"] = 0.01
    small.document["pairs"].append(small.pair | {"name": "two", "into": "two", "steps": 9})
    settings = load_manifest(small.write()).all_settings()
    one, two = settings
    pace = Pace()
    pace.finished(Shape(one, *SMALL), 3)
    groups = [Group(one, *SMALL, 1)]
    assert expected_evaluations(settings, groups, [pace]) == ({one: 3, two: 9}, set())
    groups.append(Group(two, *SMALL, 1))
    assert expected_evaluations(settings, groups, [pace, Pace()]) == ({one: 3, two: 9}, {two})


def test_free_space_is_that_of_the_file_system(tmp_path: Path) -> None:
    there = free_bytes(tmp_path)
    assert free_bytes(tmp_path / "not/yet/there") == pytest.approx(there, rel=0.1)
    assert there > 0


# The command


def test_a_dry_run_tells_it_below_the_plan_and_writes_nothing(small: Small) -> None:
    before = listing(small.root)
    planned = command("plan", str(small.manifest)).out
    ended = command("run", str(small.manifest), "--dry-run")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(planned)
    # On a machine that is busy one more line says so.
    images, evaluations, disk, time, *_ = ended.out.removeprefix(planned).splitlines()
    assert (images, evaluations) == ("images: 6", "evaluations: 24")
    assert re.fullmatch(rf"disk: about [\d.]+ kB; [\d.]+ [kMGTP]B are free at {small.out}", disk)
    assert re.fullmatch(r"time: .*\d s on cpu, measured now on 2 images", time)
    assert listing(small.root) == before
    limited = command("run", str(small.manifest), "--dry-run", "--limit", "2").out
    assert "images: 2\nevaluations: 8\n" in limited
    assert re.search(r"measured now on [12] images?\n", limited)


def test_shards_are_estimated_apart(small: Small) -> None:
    told = [small.run("--dry-run", "--shard", f"{index}/2").out for index in (0, 1)]
    images = [int(re.findall(r"^images: (\d+)$", text, re.MULTILINE)[0]) for text in told]
    assert sum(images) == 6
    assert min(images) > 0


def test_a_dry_run_with_nothing_to_do_is_the_plan(small: Small) -> None:
    assert small.run().code == 0
    assert small.run("--dry-run").out == command("plan", str(small.manifest)).out


def test_a_deadline_that_is_too_short_is_told(small: Small) -> None:
    pace = Pace()
    # 24 evaluations of which those of 32×16 count twice.
    pace.add(Shape(settings_id(small), *SMALL), 1, 1000.0)
    remember(small, "cpu", pace)
    out = small.run("--dry-run", "--deadline", "6h").out
    assert "time: about 8 h 55 min on cpu, from earlier runs\n" in out
    assert "the deadline (6 h) may come first: run it again to go on\n" in out
    assert "may come first" not in small.run("--dry-run", "--deadline", "10h").out


def test_on_a_terminal_it_says_that_it_measures(small: Small) -> None:
    code, written = on_a_terminal("run", str(small.manifest), "--dry-run")
    assert code == 0
    assert "measuring a few evaluations" in written
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    assert "measured now on 2 images" in text
    assert not small.out.exists()


def test_a_device_that_is_not_there_is_told_as_by_a_run(small: Small) -> None:
    dry, real = (small.run(*more, "--devices", "cuda:63") for more in (["--dry-run"], []))
    assert (dry.code, real.code) == (2, 2)
    assert dry.err == real.err
