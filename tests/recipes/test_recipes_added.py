"""Fields that came later: sets that were made before them keep their fingerprints."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from support.runs import small_project

from stylebatch.device.from_recipe import objective_spec
from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.manifest import load_manifest
from stylebatch.plan.fingerprint import fingerprint, fingerprint_prefix
from stylebatch.recipes import LAYER_FIELDS, Recipe, recipe_fields, recipe_on
from stylebatch.recipes.field_kinds import ADDED

# Of what decided before there were any of the fields `ADDED`, on vgg19.
BEFORE = {
    "deep-2026-11": "af38c1f194280a5a",
    "feili": "c1c412b586dad226",
    "gatys": "6d40792c60c7208c",
    "keras": "270cb41580d87612",
    "matlab": "6bbc4a1abdf9f92d",
    "neural-style": "ebcbe7db6a08c864",
    "perceptual": "87eb8a1390272f43",
    "pytorch-tutorial": "ecb01d8df99f042c",
}
# Of `balanced` as it was then.
BALANCED_BEFORE = {
    "vgg19": "1ba39f1b53358cb4",
    "vgg16": "1ba39f1b53358cb4",
    "alexnet": "c1b3b35b66523281",
    "squeezenet1_1": "c0dd1e95e46edeb4",
}
DEEP = recipe_fields("deep-2026-11")


def digest(recipe: Recipe) -> str:
    text = json.dumps(recipe.deciding_fields(), sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()


@pytest.mark.parametrize("name", BEFORE)
def test_what_decides_is_what_decided_before_fields_were_added(name: str) -> None:
    assert digest(recipe_on("vgg19", recipe_fields(name))) == BEFORE[name]


@pytest.mark.parametrize("arch", BALANCED_BEFORE)
def test_balanced_of_november_2026_decides_what_balanced_did_then(arch: str) -> None:
    assert digest(recipe_on(arch, recipe_fields("balanced-2026-11"))) == BALANCED_BEFORE[arch]


# By recipe, architecture and weights as they are called now: the id of the settings, and the
# fingerprint of a job, as they were under the names of then, `balanced`, `deep` and `slim`.
JOBS_BEFORE = {
    ("balanced-2026-11", "slim-2026-11", "shipped"): (
        "172f4be6158106a1",
        "025e694b3ebef12e1be4c61cc2708625",
    ),
    ("balanced-2026-11", "vgg19", "random"): (
        "3a02fd725477c654",
        "1145d3fc3dbe4ad13686f8c8223dd64e",
    ),
    ("balanced-2026-11", "vgg16", "random"): (
        "f7b6883d4e80744c",
        "e495ab80d0c3a18cdf7546d99351e57c",
    ),
    ("balanced-2026-11", "alexnet", "random"): (
        "fc84006eb713d355",
        "42edfa5519e0d34482c2f0d998af5f76",
    ),
    ("balanced-2026-11", "squeezenet1_1", "random"): (
        "74e2f790782a01de",
        "f7aaf41b29129a8dad96e6e8ffefe12c",
    ),
    ("deep-2026-11", "vgg19", "random"): (
        "1becbb65d05140b8",
        "ce8306a91640755b2a7b095cefabeab6",
    ),
    ("gatys", "vgg19", "random"): (
        "222c8904d1c06372",
        "5d8e8ccf2f43bd053b7f1b73b15d9428",
    ),
}


def of_a_job(root: Path, recipe: str, arch: str, weights: str) -> tuple[str, str]:
    """Return the id of a manifest's settings, and the fingerprint of a job with them."""
    small = small_project(root)
    small.document["extractor"] = {"arch": arch, "weights": weights}
    small.pair = {"name": "all", "content": "photos", "styles": ["styles"], "recipe": recipe}
    small.document["pairs"] = [small.pair]
    (pair,) = load_manifest(small.write()).pairs
    prefix = fingerprint_prefix(pair.settings, "style")
    return pair.settings.id, fingerprint(prefix, "content", 1.0, None)


@pytest.mark.parametrize(("recipe", "arch", "weights"), JOBS_BEFORE)
def test_sets_of_november_2026_go_on_under_the_new_names(
    tmp_path: Path, recipe: str, arch: str, weights: str
) -> None:
    assert of_a_job(tmp_path, recipe, arch, weights) == JOBS_BEFORE[recipe, arch, weights]


@pytest.mark.parametrize(
    ("recipe", "arch", "weights"),
    [
        ("balanced", "slim-2026-11", "shipped"),
        ("balanced", "vgg19", "random"),
        ("balanced-2026-11", "slim", "shipped"),
        ("balanced-2026-11", "slim", "random"),
        ("balanced-2026-11", "slim-2026-11", "random"),
        ("deep", "vgg19", "random"),
    ],
)
def test_what_is_not_as_it_was_is_made_again(
    tmp_path: Path, recipe: str, arch: str, weights: str
) -> None:
    """Under the names of then, as well as where only one of two has its new name."""
    settings_id, decides = of_a_job(tmp_path, recipe, arch, weights)
    assert settings_id not in {before for before, _ in JOBS_BEFORE.values()}
    assert decides not in {before for _, before in JOBS_BEFORE.values()}


CHANGES: dict[str, Any] = {
    "style_weight_px": 112,
    "scales": [1, 1],
    "content_scales": [0, 1],
    "tv_divisor": "edge",
    "tv_border": True,
    "strength_acts_on": "statistics",
    "tile_px": 256,
}


def test_each_added_field_is_changed_below() -> None:
    # Which makes another recipe of it: tests/recipes/test_color_recipe.py.
    assert {*CHANGES, "color_transfer"} == set(ADDED)


@pytest.mark.parametrize("field", CHANGES)
def test_an_added_field_decides_where_it_says_anything_new(field: str) -> None:
    plain = recipe_on("vgg19", DEEP).deciding_fields()
    default = Recipe.model_fields[field].default
    assert recipe_on("vgg19", {**DEEP, field: default}).deciding_fields() == plain
    changed = recipe_on("vgg19", {**DEEP, field: CHANGES[field]}).deciding_fields()
    assert changed == {**plain, field: CHANGES[field]}


def test_scales_as_whole_numbers_decide_what_they_do_as_fractions() -> None:
    for scales in ([1], [1, 2]):
        whole, fraction = (
            recipe_on("vgg19", {**DEEP, "scales": each, "content_scales": each})
            for each in (scales, [float(x) for x in scales])
        )
        assert digest(whole) == digest(fraction)


@pytest.mark.parametrize("statistic", ["mean_std", "mean_covariance", "wasserstein"])
def test_another_statistic_decides(statistic: str) -> None:
    assert digest(recipe_on("vgg19", {**DEEP, "statistic": statistic})) != BEFORE["deep-2026-11"]


# Tiles are the device's: tests/device/test_tiling.py.
@pytest.mark.parametrize("field", sorted(CHANGES.keys() - {"tile_px"}))
def test_an_added_field_reaches_the_objective(field: str) -> None:
    recipe = recipe_on("vgg19", {**DEEP, field: CHANGES[field]})
    plain, changed = (objective_spec(x) for x in (recipe_on("vgg19", DEEP), recipe))
    assert getattr(plain, field) != getattr(changed, field)
    assert getattr(changed, field) == getattr(recipe, field)


# --- an architecture's own layers ------------------------------------------------------------

# Content, then style: the latter after the activation, and before it.
OWN = {
    "vgg19": ("conv3_3 relu1_1 relu2_1 relu3_1", "conv3_3 conv1_1 conv2_1 conv3_1"),
    "vgg16": ("conv3_3 relu1_1 relu2_1 relu3_1", "conv3_3 conv1_1 conv2_1 conv3_1"),
    "alexnet": ("conv4 relu1 relu2 relu3", "conv4 conv1 conv2 conv3"),
    "squeezenet1_1": (
        "fire4_expand relu1 fire2 fire3",
        "fire4_expand conv1 fire2_expand fire3_expand",
    ),
    "slim": ("conv3_3 relu1_1 relu2_1 relu3_1", "conv3_3 conv1_1 conv2_1 conv3_1"),
    "slim-2026-11": ("conv3_3 conv1_1 conv2_1 conv3_1",) * 2,
}


def layers_on(arch: str, word: str) -> tuple[dict[str, float], dict[str, float]]:
    recipe = recipe_on(arch, {**DEEP, **dict.fromkeys(LAYER_FIELDS, word)})
    return recipe.content_layers, recipe.style_layers


@pytest.mark.parametrize("arch", OWN)
@pytest.mark.parametrize("word", ["default", "before_activation"])
def test_an_architecture_s_own_layers_are_taken_after_or_before_the_activation(
    word: str, arch: str
) -> None:
    named = OWN[arch][word == "before_activation"].split()
    found = layers_on(arch, word)
    assert found == (dict.fromkeys(named[:1], 1), dict.fromkeys(named[1:], 1))


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("word", ["default", "before_activation"])
def test_own_layers_are_some_that_the_architecture_has(word: str, arch: str) -> None:
    content, style = layers_on(arch, word)
    own = ARCHITECTURES[arch]
    assert {*content, *style} <= set(own.tappable)
    if word == "before_activation":
        convolving = {layer.name for layer in own.layers if layer.convolutions}
        assert {*content, *style} <= convolving


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_each_own_layer_is_named_before_its_activation_once(arch: str) -> None:
    content, style = layers_on(arch, "before_activation")
    after = layers_on(arch, "default")
    assert (len(content), len(style)) == (len(after[0]), len(after[1]))


def test_a_layer_that_does_not_rectify_is_itself_before_the_activation() -> None:
    vgg = ARCHITECTURES["vgg19"]
    names = ("conv1_1", "relu1_1", "pool1", "relu3_4", "conv4_2")
    found = [vgg.before_activation(name) for name in names]
    assert found == ["conv1_1", "conv1_1", "pool1", "conv3_4", "conv4_2"]


def test_one_term_s_layers_can_be_the_architecture_s_and_the_other_s_written_out() -> None:
    fields = {**DEEP, "content_layers": "before_activation", "style_layers": {"relu2_2": 3}}
    recipe = recipe_on("vgg16", fields)
    assert recipe.content_layers == {"conv3_3": 1}
    assert recipe.style_layers == {"relu2_2": 3}
