from typing import Any

import pytest
from pydantic import ValidationError

from stylebatch.architectures import ARCHITECTURES
from stylebatch.recipes import PROSE, Recipe, recipe_fields, recipe_names


def recipe(name: str = "balanced", **fields: Any) -> Recipe:
    return Recipe(**(recipe_fields(name) | fields))


def test_balanced_is_there_and_names_are_sorted() -> None:
    assert "balanced" in recipe_names()
    assert recipe_names() == sorted(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_complete_and_says_where_it_comes_from(name: str) -> None:
    optional = {"notes"}
    assert set(Recipe.model_fields) - set(recipe_fields(name)) <= optional
    assert recipe(name).title
    assert recipe(name).source


@pytest.mark.parametrize("name", recipe_names())
def test_the_layers_of_a_recipe_are_those_of_the_architecture(name: str) -> None:
    layers = recipe(name).layers
    assert len(set(layers)) == len(layers)
    assert ARCHITECTURES["vgg19"].up_to(layers)


def test_an_unknown_recipe_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        recipe_fields("blanced")


def test_reading_a_recipe_twice_gives_fields_of_its_own() -> None:
    changed = recipe_fields("balanced") | {"steps": 3}
    assert recipe_fields("balanced")["steps"] != changed["steps"]


def test_prose_and_strength_decide_no_settings() -> None:
    plain = recipe().deciding_fields()
    assert recipe(title="x", source="y", notes="z", strength=3).deciding_fields() == plain
    assert set(plain) == set(Recipe.model_fields) - {*PROSE, "strength"}
    assert recipe(steps=99).deciding_fields() != plain


def test_noise_is_used_where_the_recipe_starts_from_it() -> None:
    assert not recipe().uses_noise
    assert recipe(start="noise").uses_noise


@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 0},
        {"size_px": -5},
        {"strength": 0},
        {"strength": float("nan")},
        {"style_layers": {}},
        {"content_layers": {"conv3_3": 0}},
        {"pooling": "median"},
        {"unheard_of": 1},
    ],
)
def test_absurd_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        recipe(**fields)
