"""The recipe that optimises nothing: which fields it has, what decides, what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.runs import Small, small_project

from stylebatch.api import make_recipe
from stylebatch.errors import UserError
from stylebatch.extractors.weights import find_weights
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.pictures.color_transfer import color_statistics
from stylebatch.pictures.images import Pixels
from stylebatch.plan.fingerprint import fingerprint_prefix
from stylebatch.recipes import (
    PROSE,
    Recipe,
    Settings,
    make_settings,
    needs_network,
    recipe_fields,
    recipe_names,
    recipe_on,
)
from stylebatch.recipes.color_transfer import COLOR_TRANSFER_FIELDS, UNUSED

NAME = "color-transfer"


def recipe(**fields: Any) -> Recipe:
    return recipe_on("vgg19", {**recipe_fields(NAME), **fields})


def settings(**fields: Any) -> Settings:
    return make_settings(recipe(**fields), None, "", "auto")


def fingerprint_of(of: Settings) -> str:
    return fingerprint_prefix(of, "style").hexdigest()


def test_it_is_the_one_that_needs_no_network() -> None:
    assert [name for name in recipe_names() if not needs_network(name)] == [NAME]
    assert needs_network("nonesuch")
    assert recipe().layers == ()
    assert settings().smallest_edge_px == 1


def test_what_it_lacks_is_what_others_have_to_say() -> None:
    required = {key for key, field in Recipe.model_fields.items() if field.is_required()}
    assert required - recipe_fields(NAME).keys() == UNUSED.keys()
    assert not UNUSED.keys() & set(COLOR_TRANSFER_FIELDS)


def test_only_its_own_fields_are_told_and_they_make_the_same_recipe() -> None:
    told = recipe().model_dump(mode="json")
    assert told.keys() == {*PROSE, *COLOR_TRANSFER_FIELDS}
    assert Recipe(**told) == recipe()
    balanced = recipe_on("vgg19", recipe_fields("balanced")).model_dump(mode="json")
    assert balanced.keys() == Recipe.model_fields.keys()


CHANGES: Mapping[str, Any] = {
    "color_transfer": "covariance",
    "fit": "shortest",
    "aspect": (3, 2),
    "enlarge": True,
    "size_px": 64,
    "bucket_px": 8,
    "resampling": "bicubic",
    "output_size": "work",
    "output_resampling": "bicubic",
    "brightness": 1.1,
    "saturation": 1.1,
    "sharpness": 1.1,
    "side_by_side": True,
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_of_its_fields_decides(field: str) -> None:
    assert {*CHANGES, "strength"} == set(COLOR_TRANSFER_FIELDS)
    changed = settings(**{field: CHANGES[field]})
    assert changed.id != settings().id
    assert fingerprint_of(changed) != fingerprint_of(settings())


def test_weights_and_precision_decide_nothing() -> None:
    weights = find_weights("vgg19", "random", Path.cwd())
    other = make_settings(recipe(), weights, "digest", "bfloat16")
    assert other == settings()


@pytest.mark.parametrize("method", ["mean_std", "covariance", "histogram"])
def test_each_method_is_one_that_pictures_have(method: str) -> None:
    assert recipe(color_transfer=method).color_transfer == method
    one: Pixels = np.zeros((2, 2, 3), np.uint8)
    assert color_statistics(one, method).ndim == 2


@pytest.mark.parametrize("field", sorted(Recipe.model_fields.keys() - COLOR_TRANSFER_FIELDS))
def test_a_field_that_only_optimising_has_is_refused_with_those_that_there_are(field: str) -> None:
    if field in PROSE:
        return
    balanced = recipe_on("vgg19", recipe_fields("balanced"))
    with pytest.raises(UserError) as told:
        make_recipe(NAME, {field: getattr(balanced, field)}, "vgg19")
    assert str(told.value).startswith(
        f"override: {field} decides nothing in a colour transfer: it optimises nothing; "
        "allowed are color_transfer, strength, fit"
    )
    assert str(told.value).endswith("remove it, or choose another recipe")


def test_a_recipe_that_optimises_has_no_method() -> None:
    for name in recipe_names():
        if needs_network(name):
            with pytest.raises(UserError, match="color_transfer is no field of a recipe that opt"):
                make_recipe(name, {"color_transfer": "mean_std"}, "vgg19")
            make_recipe(name, {"color_transfer": None}, "vgg19")


def test_a_method_or_a_field_that_there_is_not_is_told_as_anywhere() -> None:
    allowed = "color_transfer: 'mean'; allowed is one of mean_std, covariance, histogram; "
    with pytest.raises(UserError, match=allowed):
        make_recipe(NAME, {"color_transfer": "mean"}, "vgg19")
    with pytest.raises(ValidationError, match="nonesuch"):
        recipe(nonesuch=1)


def test_a_strength_above_1_is_refused_with_the_reason() -> None:
    assert recipe(strength=1).strength == 1
    with pytest.raises(UserError, match=r"strength 1\.5 is too much .*0 \(the photograph\) to 1"):
        make_recipe(NAME, {"strength": 1.5}, "vgg19")


# --- in a manifest ----------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Small:
    small = small_project(tmp_path)
    small.pair.clear()
    small.pair |= {"name": "all", "content": "photos", "styles": ["styles"], "recipe": NAME}
    return small


def load(small: Small) -> Manifest:
    return load_manifest(small.write())


def refusal(small: Small) -> str:
    with pytest.raises(UserError) as told:
        load(small)
    return str(told.value)


@pytest.mark.parametrize(
    ("keys", "place", "told"),
    [
        ({"steps": 5}, "pairs[0].steps", "steps decides nothing in a colour transfer"),
        ({"override": {"levels": 2}}, "pairs[0].override.levels", "levels decides nothing"),
        ({"override": {"style_layers": "default"}}, "pairs[0].override.style_layers", "style_lay"),
        ({"strength": 2}, "pairs[0].strength", "strength 2 is too much for a colour transfer"),
        ({"strength": [0.5, 1.2]}, "pairs[0].strength", "strength 1.2 is too much"),
        ({"sweep": [{"steps": [1, 2]}]}, "pairs[0].sweep[0].steps[0]", "steps decides nothing"),
        (
            {"recipe": "balanced", "override": {"color_transfer": "mean_std"}},
            "pairs[0].override.color_transfer",
            "color_transfer is no field of a recipe that optimises",
        ),
    ],
)
def test_what_has_no_part_in_it_is_refused_where_it_is_written(
    small: Small, keys: dict[str, Any], place: str, told: str
) -> None:
    small.pair |= keys
    refused = refusal(small)
    assert f"{place}: {told}" in refused
    assert "; allowed " in refused
    assert "remove it" in refused or "lower it" in refused


def test_defaults_that_are_meant_for_others_are_passed_over(small: Small) -> None:
    (plain,) = load(small).pairs
    small.document["defaults"] = {"steps": 7, "override": {"levels": 1}}
    small.document["pairs"].append({**small.pair, "name": "other", "into": "x"})
    small.document["pairs"][1]["recipe"] = "balanced"
    first, other = load(small).pairs
    assert first.settings == plain.settings
    assert (other.settings.recipe.steps, other.settings.recipe.levels) == (7, 1)


def test_defaults_of_its_own_are_passed_over_by_others(small: Small) -> None:
    del small.pair["recipe"]
    own = {"recipe": NAME, "override": {"color_transfer": "histogram"}}
    small.document["defaults"] = own
    small.document["pairs"].append({**small.pair, "name": "other", "into": "x"})
    small.document["pairs"][1]["recipe"] = "balanced"
    first, other = load(small).pairs
    assert first.settings.recipe.color_transfer == "histogram"
    assert other.settings.recipe == recipe_on("vgg19", recipe_fields("balanced"))
    small.document["defaults"] = own | {"steps": 7}
    assert "defaults.steps: steps decides nothing" in refusal(small)


def test_weights_are_looked_for_only_where_a_pair_needs_them(small: Small) -> None:
    small.document["extractor"] = {"weights": "nowhere.safetensors"}
    assert not load(small).needs_network
    small.document["pairs"].append({**small.pair, "name": "other", "recipe": "balanced"})
    assert "extractor.weights: 'nowhere.safetensors'" in refusal(small)


def test_several_of_one_style_need_a_range_of_strengths(small: Small) -> None:
    small.pair["variants"] = 2
    assert "would all be the same" in refusal(small)
    small.pair["strength"] = [0.5, 1]
    assert load(small).pairs[0].variants == 2
