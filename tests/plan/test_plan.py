import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.projects import Project, png, project_of_three

from stylebatch.errors import Problems
from stylebatch.manifest import Assign, StyleSource
from stylebatch.output.naming import folded
from stylebatch.plan import PlanError, PlanSummary, draw_noise_seed, fingerprint, resolve_styles
from stylebatch.plan.fingerprint import draw_strength
from stylebatch.plan.style_table import TableError
from stylebatch.recipes import SecondPass
from stylebatch.system.files import digest_bytes, write_synced

CHANGED_FIELDS = {
    "steps": 7,
    "style_weight": 3.0,
    "size_px": 64,
    "pooling": "average",
    "content_layers": {"conv3_1": 1.0},
    "output_size": "work",
    "learning_rate": 0.5,
}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two classes and a photograph outside of them, and two styles."""
    return project_of_three(tmp_path)


@pytest.fixture
def styles(project: Project) -> list[StyleSource]:
    return [project.style("wave.png", 1), project.style("sky.png", 2)]


def test_each_image_is_planned_in_each_style_in_its_own_folder(
    project: Project, styles: list[StyleSource]
) -> None:
    jobs = project.jobs(project.pair(styles))
    assert set(jobs) == {
        "a-wave.png",
        "a-sky.png",
        "cats/b-wave.png",
        "cats/b-sky.png",
        "dogs/c-wave.png",
        "dogs/c-sky.png",
    }
    job = jobs["cats/b-wave.png"]
    assert (job.content, job.label, job.style) == ("photos/cats/b.png", "cats", "styles/wave.png")
    assert (job.width, job.height, job.strength, job.noise_seed) == (64, 32, 1.0, None)
    assert jobs["a-sky.png"].label is None


def test_into_and_variants_stand_in_the_output_path(
    project: Project, styles: list[StyleSource]
) -> None:
    jobs = project.jobs(project.pair(styles[:1], into="extra/set", variants=2))
    assert set(jobs) == {
        f"extra/set/{name}{suffix}.png"
        for name in ("a-wave", "cats/b-wave", "dogs/c-wave")
        for suffix in ("", "-v2")
    }


def test_an_image_that_cannot_be_read_is_a_job_of_no_size(
    project: Project, styles: list[StyleSource]
) -> None:
    write_synced(project.root / "photos/broken.jpg", b"not an image")
    summary = PlanSummary()
    pair = project.pair(styles[:1])
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, pair, summary=summary)
    job = project.jobs(pair)["broken-wave.png"]
    assert (job.width, job.height) == (0, 0)
    assert summary.pairs["all"].unreadable == 1


def test_only_inputs_that_changed_are_read_again(
    project: Project, styles: list[StyleSource]
) -> None:
    pair = project.pair(styles)
    project.run(pair)
    project.photo("cats/b.png", 77)
    os.utime(project.root / "photos/a.png", ns=(1, 1))
    summary = PlanSummary()
    with project.ledger() as ledger:
        project.plan(ledger, pair, summary=summary)
    assert summary.read.files == 2
    assert summary.read.bytes == len(png(0)) + len(png(77))


def test_two_pairs_over_one_folder_read_it_once(
    project: Project, styles: list[StyleSource]
) -> None:
    summary = PlanSummary()
    pairs = [project.pair(styles, name=name, into=name) for name in ("one", "two")]
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, *pairs, summary=summary)
    assert summary.read.files == 3


def test_files_that_are_no_images_are_counted(project: Project, styles: list[StyleSource]) -> None:
    write_synced(project.root / "photos/cats/notes.txt", b"")
    summary = PlanSummary()
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, project.pair(styles), summary=summary)
    assert summary.pairs["all"].walked.passed_over == {".txt": 1}


def test_outputs_enlarged_more_than_twice_are_warned_of(
    project: Project, styles: list[StyleSource]
) -> None:
    project.photo("large.png", 5, width=1100, height=300)
    pair = project.pair(styles, settings=project.settings(size_px=512))
    summary = PlanSummary()
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, pair, summary=summary)
    assert summary.pairs["all"].enlarged == 1
    (line,) = summary.warnings()
    assert "1 photograph comes out enlarged more than twice (such as large.png)" in line


def test_an_image_that_is_stretched_may_be_enlarged_along_one_edge_only(
    project: Project, styles: list[StyleSource]
) -> None:
    project.photo("square.png", 5, width=200, height=180)
    stretched = {"fit": "stretch", "aspect": (4, 1), "size_px": 256, "bucket_px": 1}
    for output_size, count in (("content", 1), ("work", 0)):
        settings = project.settings(**stretched, output_size=output_size)
        summary = PlanSummary()
        with project.ledger(read_only=True) as ledger:
            project.plan(ledger, project.pair(styles, settings=settings), summary=summary)
        assert summary.pairs["all"].enlarged == count
    job = project.jobs(project.pair(styles, settings=settings))["square-wave.png"]
    assert (job.width, job.height) == (256, 64)


def test_the_planned_size_is_that_of_the_last_pass(
    project: Project, styles: list[StyleSource]
) -> None:
    project.photo("large.png", 5, width=400, height=200)
    fields = {"size_px": 100, "bucket_px": 1, "second_pass": SecondPass(size_px=300, steps=5)}
    job = project.jobs(project.pair(styles, settings=project.settings(**fields)))["large-sky.png"]
    assert (job.width, job.height) == (300, 150)


# Which fingerprints change


def test_two_identical_photographs_in_two_folders_are_two_jobs(
    project: Project, styles: list[StyleSource]
) -> None:
    project.photo("cats/same.png", 9)
    project.photo("dogs/same.png", 9)
    jobs = project.jobs(project.pair(styles[:1]))
    one, other = jobs["cats/same-wave.png"], jobs["dogs/same-wave.png"]
    assert one.fingerprint == other.fingerprint
    assert project.run(project.pair(styles[:1]))[0] == set(jobs)


@pytest.mark.parametrize("name", CHANGED_FIELDS)
def test_a_changed_recipe_field_changes_every_fingerprint(
    project: Project, styles: list[StyleSource], name: str
) -> None:
    before = project.jobs(project.pair(styles))
    changed = project.settings(**{name: CHANGED_FIELDS[name]})
    after = project.jobs(project.pair(styles, settings=changed))
    assert set(before) == set(after)
    assert all(before[key].fingerprint != after[key].fingerprint for key in before)


def test_the_prose_of_a_recipe_changes_nothing(project: Project, styles: list[StyleSource]) -> None:
    before = project.jobs(project.pair(styles))
    told = project.settings(title="other", notes="words", source="here")
    assert project.jobs(project.pair(styles, settings=told)) == before


@pytest.mark.parametrize("name", ["layers_digest", "precision"])
def test_other_weights_or_precision_redo_everything(
    project: Project, styles: list[StyleSource], name: str
) -> None:
    project.run(project.pair(styles))
    pair = project.pair(styles, settings=project.settings(**{name: "float32"}))
    made, moved = project.run(pair)
    assert made == moved == set(project.jobs(pair))


def test_another_strength_redoes_everything(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    made, _ = project.run(project.pair(styles, strength=(1.5, 1.5)))
    assert len(made) == 6


def test_a_higher_algorithm_number_redoes_everything(
    project: Project, styles: list[StyleSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    project.run(project.pair(styles))
    monkeypatch.setattr(fingerprint, "ALGORITHM", fingerprint.ALGORITHM + 1)
    assert len(project.run(project.pair(styles))[0]) == 6


def test_a_new_seed_redoes_nothing_where_nothing_is_random(
    project: Project, styles: list[StyleSource]
) -> None:
    project.run(project.pair(styles), seed=1)
    assert project.run(project.pair(styles), seed=2) == (set(), set())


def test_a_new_seed_redoes_what_starts_from_noise(
    project: Project, styles: list[StyleSource]
) -> None:
    pairs = [
        project.pair(styles[:1], name="noise", into="n", settings=project.settings(start="noise")),
        project.pair(styles[:1], name="plain", into="p"),
    ]
    project.run(*pairs, seed=1)
    made, _ = project.run(*pairs, seed=2)
    assert made == {"n/a-wave.png", "n/cats/b-wave.png", "n/dogs/c-wave.png"}


def test_a_new_seed_redoes_what_draws_its_strength(
    project: Project, styles: list[StyleSource]
) -> None:
    pair = project.pair(styles, strength=(0.5, 2.0))
    project.run(pair, seed=1)
    assert len(project.run(pair, seed=2)[0]) == 6
    assert project.run(pair, seed=2) == (set(), set())


def test_changed_content_redoes_its_own_images(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    project.photo("cats/b.png", 99)
    made, moved = project.run(project.pair(styles))
    assert made == moved == {"cats/b-wave.png", "cats/b-sky.png"}


def test_a_changed_style_redoes_its_own_images(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    project.style("wave.png", 99)
    made, moved = project.run(project.pair(styles))
    assert made == moved == {"a-wave.png", "cats/b-wave.png", "dogs/c-wave.png"}


def test_a_touched_file_redoes_nothing(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    os.utime(project.root / "photos/a.png", ns=(1, 1))
    assert project.run(project.pair(styles)) == (set(), set())


def test_a_renamed_pair_redoes_nothing(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    assert project.run(project.pair(styles, name="other")) == (set(), set())
    with project.ledger(read_only=True) as ledger:
        assert {row["pair"] for row in ledger.done()} == {"other"}


def test_another_into_moves_every_output_but_changes_no_fingerprint(
    project: Project, styles: list[StyleSource]
) -> None:
    before = project.jobs(project.pair(styles))
    after = project.jobs(project.pair(styles, into="set"))
    assert {f"set/{key}": job.fingerprint for key, job in before.items()} == {
        key: job.fingerprint for key, job in after.items()
    }
    project.run(project.pair(styles))
    assert project.run(project.pair(styles, into="set")) == (set(after), set(before))


def test_an_image_added_redoes_nothing_else(project: Project, styles: list[StyleSource]) -> None:
    project.run(project.pair(styles))
    project.photo("cats/new.png", 8)
    assert project.run(project.pair(styles)) == ({"cats/new-wave.png", "cats/new-sky.png"}, set())


def test_more_variants_redo_nothing(project: Project, styles: list[StyleSource]) -> None:
    pair = project.pair(styles[:1], strength=(0.5, 2.0))
    project.run(pair)
    made, moved = project.run(replace(pair, variants=2))
    assert made == {"a-wave-v2.png", "cats/b-wave-v2.png", "dogs/c-wave-v2.png"}
    assert not moved


def test_an_image_removed_moves_its_outputs_aside(
    project: Project, styles: list[StyleSource]
) -> None:
    project.run(project.pair(styles))
    project.remove_photo("cats/b.png")
    assert project.run(project.pair(styles)) == (set(), {"cats/b-wave.png", "cats/b-sky.png"})


def test_a_style_added_to_a_sample_redoes_few_but_who_draws_it(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for number in range(30):
        project.photo(f"{number}.png", number)
    styles = [project.style(f"s{number}.png", number) for number in range(4)]
    pair = project.pair(styles, assign=Assign("sample", 1))
    project.run(pair)
    more = replace(pair, styles=(*styles, project.style("new.png", 9)))
    made, moved = project.run(more)
    assert 6 <= len(made) == len(moved) <= 10
    assert sum(output.endswith("-new.png") for output in made) == 6


# Assignment


def test_a_sample_gives_each_image_as_many_styles(
    project: Project, styles: list[StyleSource]
) -> None:
    jobs = project.jobs(project.pair(styles, assign=Assign("sample", 1)))
    assert sorted(job.content for job in jobs.values()) == [
        "photos/a.png",
        "photos/cats/b.png",
        "photos/dogs/c.png",
    ]


def test_a_table_gives_styles_to_the_images_that_it_lists(
    project: Project, styles: list[StyleSource]
) -> None:
    table = b"content,style\ncats/b.png,sky\na.png,wave\na.png,sky\ngone.png,sky\n"
    write_synced(project.root / "map.csv", table)
    pair = project.pair(styles, assign=Assign("map", table="map.csv"))
    assert set(project.jobs(pair)) == {"cats/b-sky.png", "a-wave.png", "a-sky.png"}
    summary = PlanSummary()
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, pair, summary=summary)
    assert summary.warnings() == ["all: 1 row names no content: map.csv:5: gone.png"]


def test_errors_of_all_tables_come_together(project: Project, styles: list[StyleSource]) -> None:
    write_synced(project.root / "map.csv", b"content,style\na.png,nothing\n")
    pairs = [
        project.pair(styles, name=name, into=name, assign=Assign("map", table=table))
        for name, table in (("one", "map.csv"), ("two", "none.csv"))
    ]
    with pytest.raises(Problems) as caught:
        project.jobs(*pairs)
    kinds = [type(problem) for problem in caught.value.problems]
    assert kinds == [TableError, TableError]


def test_a_style_that_is_no_image_is_named(project: Project, styles: list[StyleSource]) -> None:
    style = project.style("wave.png")
    write_synced(project.root / "styles/wave.png", b"text")
    manifest = project.manifest(project.pair([*styles, style]))
    unreadable: list[str] = []
    with project.ledger(read_only=True) as ledger:
        found = resolve_styles(manifest, ledger, unreadable)
    assert unreadable == ["styles/wave.png"]
    assert found["styles/wave.png"].digest == digest_bytes(b"text")


def test_a_blend_has_the_digests_and_weights_of_its_images(
    project: Project, styles: list[StyleSource]
) -> None:
    paths = [source.key for source in styles]

    def digest(*weights: float) -> str:
        images = tuple(zip(paths, weights, strict=True))
        blend = StyleSource("blend:dusk", "dusk", images)
        with project.ledger(read_only=True) as ledger:
            manifest = project.manifest(project.pair([blend]))
            return resolve_styles(manifest, ledger)["blend:dusk"].digest

    assert digest(0.7, 0.3) == digest(0.7, 0.3) != digest(0.3, 0.7)


# Draws


@given(st.floats(0.01, 10), st.floats(0, 10), st.integers(0, 2**63 - 1), st.text(max_size=9))
def test_a_drawn_strength_lies_within_its_bounds(
    low: float, width: float, seed: int, path: str
) -> None:
    strength = draw_strength((low, low + width), seed, path, "style", 1)
    assert low <= strength <= low + width
    assert strength == draw_strength((low, low + width), seed, path, "style", 1)


def test_drawn_strengths_fill_their_range_evenly() -> None:
    drawn = [draw_strength((1.0, 3.0), 0, f"{i}.jpg", "style", 1) for i in range(4000)]
    counts = [sum(low <= x < low + 0.5 for x in drawn) for low in (1.0, 1.5, 2.0, 2.5)]
    assert all(900 < count < 1100 for count in counts)


def test_noise_seeds_fit_in_63_bits_and_differ_by_all_that_they_depend_on() -> None:
    args = [
        (0, "a", "s", 1),
        (1, "a", "s", 1),
        (0, "b", "s", 1),
        (0, "a", "t", 1),
        (0, "a", "s", 2),
    ]
    seeds = {draw_noise_seed(*each) for each in args}
    assert len(seeds) == len(args)
    assert all(0 <= seed < 2**63 for seed in seeds)


# Names of real files

part = st.text(alphabet="aAbéÉ\u0301.- _v2", min_size=1, max_size=5)
file_name = part.map(lambda text: "x" + text + ".png")
folder_name = st.sampled_from(["", "cats/", "Cats/", "cats/.x/", "dogs.v1/", "é/", "e\u0301/"])


@settings(max_examples=40)
@given(st.sets(st.tuples(folder_name, file_name), min_size=1, max_size=12), st.integers(1, 2))
def test_outputs_are_unique_for_any_file_names(
    tmp_path_factory: pytest.TempPathFactory, found: set[tuple[str, str]], variants: int
) -> None:
    project = Project(tmp_path_factory.mktemp("names"))
    visible = 0
    for number, (folder, name) in enumerate(sorted(found)):
        write_synced(project.root / "photos" / (folder + name), b"%d" % number)
        visible += "/." not in folder
    styles = [project.style("x.png", 1), project.style("X-v2.png", 2)]
    jobs = project.jobs(project.pair(styles, variants=variants))
    assert len({folded(output) for output in jobs}) == visible * 2 * variants
    shutil.rmtree(project.root)


def test_folders_that_differ_by_case_only_give_outputs_that_do_not(
    project: Project, styles: list[StyleSource]
) -> None:
    project.photo("Cats/b.png", 5)
    jobs = project.jobs(project.pair(styles[:1]))
    twins = sorted(output for output in jobs if output.lower().startswith("cats/"))
    assert len(twins) == 2
    assert all(len(output) == len("cats/b-wave-01234567.png") for output in twins)
    assert "dogs/c-wave.png" in jobs


@pytest.mark.skipif(sys.platform != "linux", reason="Linux file names are bytes")
def test_bytes_that_are_not_utf8_are_escaped(project: Project, styles: list[StyleSource]) -> None:
    folder = os.fsencode(project.root / "photos") + b"/f\xfc"
    os.mkdir(folder)
    Path(os.fsdecode(folder + b"/\xff.png")).write_bytes(png(9, 40, 30))
    Path(os.fsdecode(folder + rb"/\xfe.png")).write_bytes(png(9, 40, 30))  # a name as it is
    jobs = project.jobs(project.pair(styles[:1]))
    for name in (r"\xff", r"\xfe"):
        (job,) = (job for job in jobs.values() if job.content == rf"photos/f\xfc/{name}.png")
        assert (job.label, job.width, len(job.content_digest)) == (r"f\xfc", 32, 32)
        assert job.output.isascii()


def test_two_pairs_that_write_one_path_are_refused(
    project: Project, styles: list[StyleSource]
) -> None:
    pairs = [project.pair(styles, name=name, line=line) for name, line in (("one", 3), ("two", 8))]
    with pytest.raises(PlanError) as caught:
        project.jobs(*pairs)
    assert str(caught.value).startswith("pipeline.yaml:8: pair 'two': 6 outputs would also be")
    assert "those of 'one', such as a-wave.png" in str(caught.value)
    assert "`into:`" in str(caught.value)


def test_two_pairs_whose_paths_differ_by_case_only_are_refused(
    project: Project, styles: list[StyleSource]
) -> None:
    pairs = [project.pair(styles, name=into, into=into) for into in ("set", "Set")]
    with pytest.raises(PlanError, match="case ignored"):
        project.jobs(*pairs)
