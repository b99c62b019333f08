"""Recipe < defaults < pair < override < sweep, on the extractor's weights → resolved settings."""

import re
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stylebatch.extractors.architectures import UnknownLayerError
from stylebatch.extractors.weights import (
    NORMALISATIONS,
    Normalisation,
    NormalisationError,
    WeightsError,
    WeightSet,
    check_layers,
    find_weights,
    layers_digest,
)
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import DEFAULT_RECIPE, Defaults, Extractor, NormalisationFields
from stylebatch.manifest.sweeps import Point
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.formats import PNG, FileFormat
from stylebatch.pictures.levels import Levels
from stylebatch.recipes import (
    LAYER_FIELDS,
    Recipe,
    Settings,
    describe_field,
    describe_value,
    fields_of_no_use,
    make_settings,
    recipe_fields,
    recipe_on,
)

# Fields of a pair that name its recipe, or are fields of it too.
_SHARED = ("recipe", "size_px", "output_size", "steps", "strength")

Strength = tuple[float, float]
Level = tuple[Loc, Defaults]


class SettingsResolver:
    """Resolves the settings of pairs that run on one set of weights."""

    def __init__(
        self, extractor: Extractor, precision: str, root: Path, findings: Findings
    ) -> None:
        self.arch, self.precision = extractor.arch, precision
        self.findings = findings
        self._find = partial(self._find_weights, extractor, root)
        self._digests: dict[tuple[str, ...], str] = {}

    def resolve(
        self,
        levels: list[Level],
        point: Point | None = None,
        file_format: FileFormat = PNG,
        grey_levels: Levels = "auto",
    ) -> tuple[Settings, Strength] | None:
        """Return settings and the range of strengths, None where a problem was noted.

        Args:
            levels: the defaults and the pair, weakest first, with their places.
            point: of the pair's sweep; wins over all of them.
            file_format: of the pair's files.
            grey_levels: of the pair's photographs of 16-bit grey.
        """
        values, places = _layered(levels, point)
        name, name_loc = values.pop("recipe", DEFAULT_RECIPE), places.get("recipe", levels[-1][0])
        strength = values.pop("strength", None)
        drawn = strength if isinstance(strength, tuple) else None
        if strength is not None:
            # Of a range the upper end has to suit the recipe too.
            values["strength"] = drawn[1] if drawn else strength
        recipe = self._recipe({**recipe_fields(name), **values}, places, name_loc)
        if recipe is None:
            return None
        if recipe.needs_network and not self._check_layers(recipe, places, name_loc):
            return None
        bounds = drawn or (recipe.strength, recipe.strength)
        # Each job has its own: settings are the same whatever it is, and hold the recipe's.
        recipe = recipe.model_copy(update={"strength": recipe_fields(name)["strength"]})
        weights, digest = None, ""
        if recipe.needs_network:
            weights = self.weights
            assert weights is not None
            digest = self._digest(weights, recipe.layers)
        made = make_settings(recipe, weights, digest, self.precision, file_format, grey_levels)
        return made, bounds

    @cached_property
    def weights(self) -> WeightSet | None:
        """The weights, looked for where the first pair needs them; None where they can't be had."""
        return self._find()

    def _recipe(self, values: dict[str, Any], places: dict[str, Loc], loc: Loc) -> Recipe | None:
        try:
            return recipe_on(self.arch, values)
        except ValidationError as error:
            for item in error.errors(include_url=False):
                # What doesn't fit together is said of the recipe as a whole, by a plain ValueError.
                if not item["loc"]:
                    problem = item.get("ctx", {}).get("error", item["msg"])
                    allowed = getattr(problem, "allowed", "")
                    todo = getattr(problem, "todo", "change one of them")
                    place = places.get(_first_written(str(problem), places), loc)
                    self.findings.add(place, str(problem), allowed, todo)
                    continue
                field, *inner = item["loc"]
                place = (*places[str(field)], *inner) if field in places else loc
                found = f"found {describe_value(item['input'])}"
                allowed = f"allowed is {describe_field(item['loc'])}"
                self.findings.add(place, found, allowed, "change it")
            return None

    def _find_weights(self, extractor: Extractor, root: Path) -> WeightSet | None:
        parts = ("arch", "weights", "normalisation")
        if any(self.findings.is_broken("extractor", part) for part in parts):
            return None
        try:
            given = _normalisation(extractor.normalisation)
            return find_weights(extractor.arch, extractor.weights, root, given)
        except NormalisationError as error:
            place = ("extractor", "normalisation")
            self.findings.add(place, error.found, error.allowed, error.todo)
            return None
        except WeightsError as error:
            self._add_weights_error(("extractor", "weights"), error)
            return None

    def _check_layers(self, recipe: Recipe, places: dict[str, Loc], recipe_loc: Loc) -> bool:
        """Check layers by where they are written, so that the message names what is wrong."""
        if self.weights is None:
            return False
        written: dict[Loc, list[str]] = {}
        for field in LAYER_FIELDS:
            layers = getattr(recipe, field)
            written.setdefault(places.get(field, recipe_loc), []).extend(layers)
        are_there = True
        for loc, names in written.items():
            try:
                check_layers(self.weights, names)
                continue
            except UnknownLayerError as error:
                self.findings.add(loc, error.found, error.allowed, error.todo)
            except WeightsError as error:
                self._add_weights_error(loc, error)
            are_there = False
        return are_there

    def _add_weights_error(self, loc: Loc, error: WeightsError) -> None:
        self.findings.add(loc, f"'{error.where}' {error.found}", error.allowed, error.todo)

    def _digest(self, weights: WeightSet, layers: tuple[str, ...]) -> str:
        if layers not in self._digests:
            try:
                self._digests[layers] = layers_digest(weights, layers)
            except WeightsError as error:
                self._add_weights_error(("extractor", "weights"), error)
                self._digests[layers] = ""
        return self._digests[layers]


def _normalisation(told: str | NormalisationFields | None) -> Normalisation | None:
    if isinstance(told, NormalisationFields):
        return Normalisation(told.mean, told.std, told.channels)
    return NORMALISATIONS[told] if told else None


def _first_written(text: str, places: Mapping[str, Loc]) -> str:
    """Return the first field that a text names and that is written in the manifest, "" if none."""
    return next((word for word in re.findall(r"\w+", text) if word in places), "")


def _leave_out(fields: set[str], values: dict[str, Any]) -> None:
    for field in fields:
        del values[field]


def _layered(levels: list[Level], point: Point | None) -> tuple[dict[str, Any], dict[str, Loc]]:
    """Return the recipe and what is written over it, and where; a level's override comes last.

    Where a level names a recipe, what levels below it say that means nothing to that one is left
    out: defaults may be meant for other pairs.
    """
    values: dict[str, Any] = {}
    places: dict[str, Loc] = {}
    for loc, fields in levels:
        written = {field: (*loc, field) for field in _SHARED}
        holders: list[tuple[Any, dict[str, Loc]]] = [(fields, written)]
        if fields.override is not None:
            names = sorted(fields.override.model_fields_set)
            holders.append((fields.override, {name: (*loc, "override", name) for name in names}))
        for holder, names_and_locs in holders:
            for field, place in names_and_locs.items():
                if (value := getattr(holder, field)) is not None:
                    if field == "recipe":
                        _leave_out(fields_of_no_use(recipe_fields(value), values), values)
                    values[field], places[field] = value, place
    if point and (name := point.values.get("recipe")):
        _leave_out(fields_of_no_use(recipe_fields(name), values), values)
    for field, value in point.values.items() if point else ():
        # A `null` is not written: so one point can be the pair without the field.
        if value is not None and point:
            values[field], places[field] = value, point.places[field]
    return values, places
