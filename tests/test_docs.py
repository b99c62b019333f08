"""What the other documents say holds: links, fields, the table of recipes."""

import re
from pathlib import Path

import pytest
import yaml

from stylebatch.extractors.architectures import ARCHITECTURES
from stylebatch.recipes import recipe_fields, recipe_names, recipe_on

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted([ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
RECIPES = (ROOT / "docs/recipes.md").read_text(encoding="utf-8")
# Written in a pair, not in a recipe.
OF_A_PAIR = {"masks", "name", "recipe"}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_that_a_document_links_to_exist(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
    named = re.findall(r"`((?:stylebatch|tests|benchmarks|examples)/[\w./-]+)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists() and "NAME" not in name] == []


def test_the_table_of_recipes_is_theirs() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| .* \| (conv\d_\d) \| ([\d,]+)", RECIPES, re.MULTILINE)
    told = {name: (layer, int(steps.replace(",", ""))) for name, layer, steps in rows}
    vgg = ARCHITECTURES["vgg19"]
    for name in recipe_names():
        recipe = recipe_on("vgg19", recipe_fields(name))
        deepest = vgg.convolutions(recipe.layers)[-1].name
        assert told.pop(name) == (deepest, recipe.max_evaluations)
    assert told == {}


def test_every_field_it_names_is_one_and_takes_the_value() -> None:
    _, _, section = RECIPES.partition("## What the fields are for")
    table = section.partition("## Sweeps")[0]
    written = [yaml.safe_load(text) for text in re.findall(r"`(\w+: [^`]+)`", table)]
    overrides = [each for each in written if not OF_A_PAIR & each.keys()]
    assert len(overrides) >= 12
    for override in overrides:
        together = {"output_size": "work", "levels": 1} | override
        recipe_on("vgg19", recipe_fields("balanced") | together)
