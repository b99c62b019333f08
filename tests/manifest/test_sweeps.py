"""Sweeps: the points of a pair, what they change, their names, and what is wrong with them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.manifests import changed, load, messages, write_inputs
from support.projects import Project, project_of_three
from support.runs import Small, small_project

from stylebatch.manifest import Pair, SweepPoint
from stylebatch.manifest.sweeps import MAX_SUFFIX
from stylebatch.output.naming import safe_part
from stylebatch.plan import PlanSummary
from stylebatch.recipes import recipe_fields


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photographs and styles, which is the working directory."""
    write_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def with_sweep(*entries: str, before: str = "") -> str:
    """Return the good manifest with a sweep; its entries stand from line 13 on."""
    lines = "".join(f"\n      - {entry}" for entry in entries)
    return changed("size_px: 128", f"{before}sweep:{lines}")


def pairs_of(*entries: str, before: str = "") -> list[Pair]:
    return list(load(with_sweep(*entries, before=before)).pairs)


def labels(*entries: str) -> list[str]:
    return [pair.point.label for pair in pairs_of(*entries) if pair.point]


# Points


@pytest.mark.usefixtures("root")
def test_each_value_of_a_sweep_is_a_pair_of_its_own() -> None:
    pairs = pairs_of("content_weight: [0.1, 1, 5, 10]", "style_weight: [1, 100]")
    assert [(pair.name, pair.point) for pair in pairs] == [
        (
            f"paintings:{field}={value}",
            SweepPoint("paintings", entry, f"{field}={value}", f"{field}-{suffix}"),
        )
        for entry, field, value, suffix in [
            (0, "content_weight", "0.1", "0_1"),
            (0, "content_weight", "1", "1"),
            (0, "content_weight", "5", "5"),
            (0, "content_weight", "10", "10"),
            (1, "style_weight", "1", "1"),
            (1, "style_weight", "100", "100"),
        ]
    ]
    recipes = [pair.settings.recipe for pair in pairs]
    assert [recipe.content_weight for recipe in recipes] == [0.1, 1, 5, 10, 1, 1]
    plain = recipe_fields("balanced")["style_weight"]
    assert plain not in (1, 100)
    assert [recipe.style_weight for recipe in recipes] == [*[plain] * 4, 1, 100]


@pytest.mark.usefixtures("root")
def test_the_points_of_a_pair_have_all_else_in_common() -> None:
    plain = load(changed("size_px: 128", "into: x")).pairs[0]
    for pair in pairs_of("steps: [7, 8]", before="into: x\n    "):
        expected = plain.settings.recipe.model_copy(update={"steps": pair.settings.recipe.steps})
        assert pair.settings.recipe == expected
        same = replace(pair, name=plain.name, point=None, settings=plain.settings)
        assert same == plain


@pytest.mark.usefixtures("root")
def test_a_pair_without_a_sweep_has_no_point() -> None:
    (pair,) = load(changed("size_px: 128", "sweep:")).pairs
    assert (pair.name, pair.point) == ("paintings", None)


@pytest.mark.usefixtures("root")
def test_several_fields_in_one_entry_give_every_combination() -> None:
    assert labels("{tv_weight: [1, 5], steps: [50, 60]}") == [
        "tv_weight=1,steps=50",
        "tv_weight=1,steps=60",
        "tv_weight=5,steps=50",
        "tv_weight=5,steps=60",
    ]


@pytest.mark.usefixtures("root")
def test_a_point_wins_over_the_pair_and_its_override() -> None:
    before = "steps: 3\n    strength: [1, 2]\n    override: {steps: 4, tv_weight: 3}\n    "
    (pair,) = pairs_of("{steps: [5], strength: [7]}", before=before)
    recipe = pair.settings.recipe
    assert (recipe.steps, recipe.tv_weight, pair.strength) == (5, 3, (7, 7))
    (pair,) = pairs_of("steps: [5]", before=before)
    assert pair.strength == (1, 2)


@pytest.mark.usefixtures("root")
def test_recipes_can_be_swept_with_the_override_over_each() -> None:
    gatys, balanced = pairs_of("recipe: [gatys, balanced]", before="override: {steps: 9}\n    ")
    assert (gatys.name, balanced.name) == ("paintings:recipe=gatys", "paintings:recipe=balanced")
    assert gatys.settings.recipe.content_layers == {"relu4_2": 1}
    assert balanced.settings.recipe.content_layers == {"conv3_3": 1}
    assert gatys.settings.recipe.steps == balanced.settings.recipe.steps == 9


@pytest.mark.usefixtures("root")
def test_defaults_give_their_sweep_to_every_pair() -> None:
    pair = "  - {name: b, content: photos, styles: [styles], into: b}\nrun:\n"
    text = changed("recipe: balanced", "sweep: [{steps: [3, 4]}]").replace("run:\n", pair)
    assert [pair.name for pair in load(text).pairs] == [
        "paintings:steps=3",
        "paintings:steps=4",
        "b:steps=3",
        "b:steps=4",
    ]


@pytest.mark.usefixtures("root")
def test_a_null_among_the_values_is_the_pair_without_the_field() -> None:
    one, two = pairs_of("second_pass: [null, {size_px: 600, steps: 9}]")
    assert (one.settings.recipe.second_pass, two.settings.recipe.final_size_px) == (None, 600)


# Names


@pytest.mark.usefixtures("root")
def test_values_that_are_no_scalars_are_named_by_layer_or_number() -> None:
    assert labels("style_layers: [{conv1_1: 1}, {conv2_1: 0.5}, {conv1_1: 1, conv2_1: 3}]") == [
        "style_layers=conv1_1",
        "style_layers=conv2_1",
        "style_layers=#3",
    ]
    assert labels("style_powers: [[4], [2, 4]]") == ["style_powers=#1", "style_powers=#2"]
    assert labels("start: [noise, {noise: 0.5}]") == ["start=noise", "start=#2"]
    assert labels("clamp: [true, false]") == ["clamp=true", "clamp=false"]
    assert labels("epsilon: [1.0e-8, 1.0]") == ["epsilon=1e-08", "epsilon=1"]


@pytest.mark.usefixtures("root")
def test_points_that_would_have_one_name_are_numbered() -> None:
    pairs = pairs_of(
        "style_layers: [{conv1_1: 1}, {conv1_1: 2}, {conv1_1: 1, conv2_1: 1}]",
        "style_layers: [{conv2_1: 1}, {conv3_1: 1}, {conv1_1: 1, conv2_1: 9}]",
    )
    assert [(pair.point.label, pair.point.suffix) for pair in pairs if pair.point] == [
        ("style_layers=conv1_1", "style_layers-conv1_1"),
        ("style_layers=conv1_1 (2)", "style_layers-conv1_1-2"),
        ("style_layers=#3", "style_layers-3"),
        ("style_layers=conv2_1", "style_layers-conv2_1"),
        ("style_layers=conv3_1", "style_layers-conv3_1"),
        ("style_layers=#3 (2)", "style_layers-3-2"),
    ]


@pytest.mark.usefixtures("root")
def test_suffixes_are_short_safe_and_unique_however_many_fields() -> None:
    pairs = pairs_of(
        "{learning_rate_schedule: [cosine, constant], preconditioner_levels: [0, 1, 2], "
        "output_resampling: [nearest, lanczos], epsilon: [1.0e-8, 0.5]}"
    )
    suffixes = [pair.point.suffix for pair in pairs if pair.point]
    assert len({suffix.lower() for suffix in suffixes}) == len({pair.name for pair in pairs}) == 24
    assert all(len(suffix) <= MAX_SUFFIX for suffix in suffixes)
    assert all(safe_part(suffix) == suffix for suffix in suffixes)


# What is wrong


SWEEP_ERRORS = [
    (
        "content_weight: [0.1, 1, -5]",
        "13: pairs[0].sweep[0].content_weight[2]: found -5; allowed is a number from 0; change it",
    ),
    (
        "content_weight: 1",
        "13: pairs[0].sweep[0].content_weight: found 1; allowed is a list of: a number from 0; "
        "change it",
    ),
    (
        "steps: []",
        "13: pairs[0].sweep[0].steps: found an empty list; allowed is a list of: a whole number "
        "from 1 to 100000; change it",
    ),
    (
        "style_layers: [{conv1_1: 1}, {conv1_1: 0}]",
        "13: pairs[0].sweep[0].style_layers[1].conv1_1: found 0; allowed is a number above 0; "
        "change it",
    ),
    (
        "steps: [1, null]",
        "13: pairs[0].sweep[0].steps[1]: found nothing; allowed is a whole number from 1 to "
        "100000; change it",
    ),
    (
        "{}",
        "13: pairs[0].sweep[0]: found no field; allowed is any field of the recipe, or recipe, "
        "with a list of values; add one, or remove it",
    ),
    (
        "content_weight: [1, 0.5, 1.0]",
        "13: pairs[0].sweep[0].content_weight[2]: content_weight=1 is a point of "
        "pairs[0].sweep[0] already; allowed is each point once; remove one of them",
    ),
    (
        "{steps: [5, 5], tv_weight: [1]}",
        "13: pairs[0].sweep[0]: steps=5,tv_weight=1 is a point of pairs[0].sweep[0] already; "
        "allowed is each point once; remove one of them",
    ),
    (
        "fit: [longest, crop]",
        "13: pairs[0].sweep[0].fit[1]: fit: crop cuts edges off: it needs output_size: work; "
        "change one of them",
    ),
    (
        "{a: [1]}",
        "13: pairs[0].sweep[0].a: unknown key 'a'; known are aspect, betas, ",
    ),
    (
        "{strength: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], history: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "
        "steps: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}",
        "12: pairs[0].sweep: found 1,100 points; allowed are up to 1,000; write fewer values, or "
        "fewer fields in one entry",
    ),
]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(("entry", "start"), SWEEP_ERRORS)
def test_each_wrong_point_gives_one_message_with_its_place(entry: str, start: str) -> None:
    (message,) = messages(with_sweep(entry))
    assert message.startswith(f"pipeline.yaml:{start}")


@pytest.mark.usefixtures("root")
def test_a_point_of_two_entries_is_refused() -> None:
    (message,) = messages(with_sweep("steps: [5, 6]", "steps: [7]", "steps: [8, 6]"))
    assert message == (
        "pipeline.yaml:15: pairs[0].sweep[2].steps[1]: steps=6 is a point of pairs[0].sweep[0] "
        "already; allowed is each point once; remove one of them"
    )


def test_layers_are_checked_for_each_point(root: Path, shared: Path) -> None:
    (message,) = messages(with_sweep("style_layers: [{conv1_1: 1}, {conv1_9: 1}]"))
    assert message.startswith(
        "pipeline.yaml:13: pairs[0].sweep[0].style_layers[1]: 'conv1_9' is no layer of vgg19; "
    )
    weights = shared / "weights/vgg19_conv3_4.safetensors"
    text = with_sweep("steps: [3, 4]", "recipe: [balanced, gatys]")
    (message,) = messages(text.replace("weights: random", f"weights: {weights}"))
    assert message.startswith("pipeline.yaml:14: pairs[0].sweep[1].recipe[1]: ")
    assert "does not have conv4_1" in message


@pytest.mark.usefixtures("root")
def test_what_concerns_all_points_is_said_once_and_variants_by_the_point() -> None:
    before = "strength: [2, 1]\n    "
    (message,) = messages(with_sweep("steps: [3, 4, 5]", before=before))
    assert message.startswith("pipeline.yaml:12: pairs[0].strength: found LOW 2 above HIGH 1")
    (message,) = messages(with_sweep("start: [noise, content]", before="variants: 2\n    "))
    assert message.startswith(
        "pipeline.yaml:12: pairs[0].variants: found 2, but they would all be the same with "
        "start=content: nothing is drawn at random; "
    )


@pytest.mark.usefixtures("root")
def test_wrong_entries_do_not_hide_what_is_wrong_with_the_others() -> None:
    found = messages(with_sweep("steps: [x]", "7", "style_layers: [{conv9_9: 1}]", "steps: [3, 3]"))
    assert [message.split(": ")[1] for message in found] == [
        "pairs[0].sweep[0].steps[0]",
        "pairs[0].sweep[1]",
        "pairs[0].sweep[2].style_layers[0]",
        "pairs[0].sweep[3].steps[1]",
    ]


# The plan and the ledger


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Two classes and a photograph outside of them."""
    return project_of_three(tmp_path)


def points_of(project: Project, *steps: int, **fields: Any) -> list[Pair]:
    """Return the points of a sweep over steps, as a manifest gives them."""
    styles = [project.style("wave.png", 1), project.style("sky.png", 2)]
    return [
        project.pair(
            styles,
            name=f"all:steps={value}",
            settings=project.settings(steps=value),
            point=SweepPoint("all", 0, f"steps={value}", f"steps-{value}"),
            **fields,
        )
        for value in steps
    ]


NAMES = [f"{stem}-{style}" for stem in ("a", "cats/b", "dogs/c") for style in ("wave", "sky")]


def test_the_point_stands_after_the_style_in_the_outputs_name(project: Project) -> None:
    jobs = project.jobs(*points_of(project, 3, 40))
    assert set(jobs) == {f"{name}-steps-{value}.png" for name in NAMES for value in (3, 40)}
    assert jobs["cats/b-sky-steps-40.png"].pair == "all:steps=40"
    fingerprints = {jobs[f"a-wave-steps-{value}.png"].fingerprint for value in (3, 40)}
    assert len(fingerprints) == 2


def test_points_have_variants_after_their_names(project: Project) -> None:
    jobs = project.jobs(*points_of(project, 3, strength=(0.5, 2.0), variants=2))
    ends = ("", "-v2")
    assert set(jobs) == {f"{name}-steps-3{end}.png" for name in NAMES for end in ends}


def test_points_share_what_is_drawn_for_an_image(project: Project) -> None:
    jobs = project.jobs(*points_of(project, 3, 40, strength=(0.5, 2.0)))
    for name in NAMES:
        one, other = (jobs[f"{name}-steps-{value}.png"] for value in (3, 40))
        assert one.strength == other.strength


def test_a_point_that_is_removed_moves_its_outputs_aside_and_no_others(project: Project) -> None:
    plain = project.pair([project.style("wave.png", 1)], name="other", into="other")
    project.run(*points_of(project, 3, 40), plain)
    made, moved = project.run(*points_of(project, 3), plain)
    assert (made, moved) == (set(), {f"{name}-steps-40.png" for name in NAMES})


def test_a_point_that_is_added_redoes_nothing(project: Project) -> None:
    project.run(*points_of(project, 3))
    made, moved = project.run(*points_of(project, 3, 40))
    assert (made, moved) == ({f"{name}-steps-40.png" for name in NAMES}, set())


def test_a_sweep_that_comes_or_goes_moves_what_was_there_before(project: Project) -> None:
    (point,) = points_of(project, 3)
    plain = replace(point, name="all", point=None)
    swept = {f"{name}-steps-3.png" for name in NAMES}
    bare = {f"{name}.png" for name in NAMES}
    project.run(plain)
    assert project.run(point) == (swept, bare)
    assert project.run(plain) == (bare, swept)


def test_a_pair_that_is_called_like_the_start_of_another_leaves_its_points(
    project: Project,
) -> None:
    project.run(*points_of(project, 3))
    other = project.pair([project.style("wave.png", 1)], name="al", into="al")
    assert project.run(other)[1] == set()


def test_a_warning_that_all_points_share_comes_once(project: Project) -> None:
    project.photo("large.png", 5, width=1100, height=300)
    points = [
        replace(pair, settings=project.settings(size_px=512, steps=value))
        for value, pair in enumerate(points_of(project, 3, 4, 5), start=3)
    ]
    summary = PlanSummary()
    with project.ledger(read_only=True) as ledger:
        project.plan(ledger, *points, summary=summary)
    (line,) = summary.warnings()
    assert line.startswith("all:steps=3: 1 photograph comes out enlarged more than twice")


# A run


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Two photographs in one style, at two points."""
    small = small_project(tmp_path)
    small.pair |= {"styles": ["styles/s.png"], "sweep": [{"steps": [2, 3]}]}
    return small


def test_a_sweep_is_run_and_told_in_the_metadata(small: Small) -> None:
    made = {"cats/a-s-steps-2.png", "cats/a-s-steps-3.png"}
    made |= {"dogs/b-s-steps-2.png", "dogs/b-s-steps-3.png"}
    assert small.again() == made == set(small.images())
    rows = small.metadata()
    assert rows["cats/a-s-steps-2.png"]["pair"] == "all:steps=2"
    assert rows["cats/a-s-steps-2.png"]["label"] == "cats"
    assert (
        rows["cats/a-s-steps-2.png"]["settings_id"] != rows["cats/a-s-steps-3.png"]["settings_id"]
    )
    assert small.again() == set()
    small.pair["sweep"] = [{"steps": [3]}]
    assert small.again() == set()
    assert small.stale() == {"cats/a-s-steps-2.png", "dogs/b-s-steps-2.png"}
