"""Recipes: named objectives and solver settings, one YAML file each beside this module."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from hashlib import blake2b
from importlib import resources
from typing import Any, Literal

import yaml

from stylebatch.extractors.architectures import ARCHITECTURES, Architecture
from stylebatch.extractors.weights import WeightSet
from stylebatch.pictures.formats import PNG, FileFormat
from stylebatch.pictures.levels import Levels
from stylebatch.recipes.color_transfer import UnfitFieldsError, fields_of_no_use
from stylebatch.recipes.field_kinds import LAYER_FIELDS, LAYER_WORDS, PROSE
from stylebatch.recipes.recipe import Recipe, SecondPass
from stylebatch.recipes.words import (
    describe,
    describe_field,
    describe_value,
    keys_of,
    schemas_at,
    whole_schema,
)

__all__ = [
    "LAYER_FIELDS",
    "LAYER_WORDS",
    "PROSE",
    "Recipe",
    "SecondPass",
    "Settings",
    "UnfitFieldsError",
    "carrying_settings",
    "describe",
    "describe_field",
    "describe_value",
    "fields_of_no_use",
    "keys_of",
    "make_settings",
    "needs_network",
    "recipe_fields",
    "recipe_names",
    "recipe_on",
    "schemas_at",
    "whole_schema",
]


@dataclass(frozen=True, slots=True)
class Settings:
    """A recipe resolved for a pair, with the weights it runs on.

    Attributes:
        id: 16 hex digits of a hash of the rest; names it in metadata and `settings.json`.
        network: its weights; None where the recipe needs none.
        layers_digest: of the weights that the recipe's layers need, their normalisation included;
            "" without.
        precision: as asked for: float32 | bfloat16 | auto; "" without.
        file_format: of the images.
        carries: of settings that stylise nothing but carry photographs over, how; "" of others.
        levels: how many bits photographs of 16-bit grey hold.
    """

    id: str
    recipe: Recipe
    network: WeightSet | None
    layers_digest: str
    precision: str
    file_format: FileFormat = PNG
    carries: Literal["", "link", "copy"] = ""
    levels: Levels = "auto"

    @property
    def needs_network(self) -> bool:
        """Whether a worker needs a network and a device for it."""
        return self.recipe.needs_network and not self.carries

    @property
    def weights(self) -> WeightSet:
        """The weights of its network, which it has to have."""
        assert self.network is not None
        return self.network

    @property
    def smallest_edge_px(self) -> int:
        """The smallest edge of an image that the recipe's layers can do with."""
        if self.network is None:
            return 1
        return _smallest_edge_px(self.weights.arch, self.recipe.layers, self.recipe.padding)

    @property
    def time_key(self) -> str:
        """What settings have in common whose evaluations take as long, of images of one size."""
        arch = self.network.arch if self.network else ""
        deciding = [arch, self.layers_digest, self.precision, self.recipe.time_fields]
        return json.dumps(deciding, sort_keys=True)

    def work_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) at which an upright image leaves the optimiser."""
        return self.recipe.work_size(width, height, self.smallest_edge_px)


@cache  # asked for every image of a plan
def _smallest_edge_px(arch: str, layers: tuple[str, ...], padding: str) -> int:
    return ARCHITECTURES[arch].smallest_edge_px(layers, padding)


def make_settings(
    recipe: Recipe,
    weights: WeightSet | None,
    layers_digest: str,
    precision: str,
    file_format: FileFormat = PNG,
    levels: Levels = "auto",
) -> Settings:
    """Put settings together under an id that is a hash of all that they decide."""
    if not recipe.needs_network or weights is None:
        weights, layers_digest, precision = None, "", ""
    arch = ARCHITECTURES[weights.arch].digest_name if weights else ""
    deciding: list[Any] = [recipe.deciding_fields(), arch, layers_digest, precision]
    if file_format != PNG:  # ids are older than other formats
        deciding.append(file_format.described())
    if levels != "auto":  # and than the number of levels
        deciding.append({"levels": levels})
    made = Settings(_id_of(deciding), recipe, weights, layers_digest, precision, file_format)
    return replace(made, levels=levels)


def carrying_settings(settings: Settings, how: Literal["link", "copy"]) -> Settings:
    """Return the settings with which the photographs themselves go beside what `settings` make.

    Their id is a hash of the sizes and the format only: no other field of a recipe matters.
    """
    recipe, file_format = settings.recipe, settings.file_format
    deciding: list[Any] = ["original", how]
    if how == "copy":
        names = {"output_size", "output_resampling"}
        if recipe.output_size == "work":
            names |= {"fit", "aspect", "enlarge", "size_px", "second_pass", "bucket_px"}
            names |= {"resampling"}
            deciding.append(settings.smallest_edge_px)
        deciding += [recipe.model_dump(mode="json", include=names), file_format.described()]
        if settings.levels != "auto":
            deciding.append({"levels": settings.levels})
    return replace(settings, id=_id_of(deciding), carries=how)


def _id_of(deciding: list[Any]) -> str:
    text = json.dumps(deciding, sort_keys=True, separators=(",", ":"))
    return blake2b(text.encode(), digest_size=8).hexdigest()


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with the package, sorted."""
    entries = resources.files(__name__).iterdir()
    return sorted(entry.name[:-5] for entry in entries if entry.name.endswith(".yaml"))


@cache
def recipe_fields(name: str) -> dict[str, Any]:
    """Return a shipped recipe as the plain fields of its file; KeyError for an unknown name."""
    if name not in recipe_names():
        raise KeyError(name)
    text = resources.files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    fields: dict[str, Any] = yaml.safe_load(text)
    return fields


def needs_network(name: str) -> bool:
    """Whether a recipe needs a network and its weights; one that is not known might."""
    return name not in recipe_names() or recipe_fields(name).get("color_transfer") is None


def recipe_on(arch: str, fields: Mapping[str, Any]) -> Recipe:
    """Return a recipe by its plain fields, with the layers of `arch` where they leave these to it.

    Raises:
        ValidationError: a field that is missing or unknown, or a value that one does not take.
    """
    own = {
        field: dict.fromkeys(_layers_of(ARCHITECTURES[arch], field, str(fields[field])), 1.0)
        for field in LAYER_FIELDS
        if fields.get(field) in LAYER_WORDS
    }
    return Recipe(**{**fields, **own})


def _layers_of(architecture: Architecture, field: str, word: str) -> tuple[str, ...]:
    layers: tuple[str, ...] = getattr(architecture, field)
    return layers if word == "default" else tuple(map(architecture.before_activation, layers))
