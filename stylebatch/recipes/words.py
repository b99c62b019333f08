"""What a JSON Schema allows, in words: recipes, manifests and editors say the same."""

import json
from functools import cache
from typing import Any

from stylebatch.recipes.field_kinds import LAYER_FIELDS, LAYER_WORDS
from stylebatch.recipes.recipe import Recipe

Schema = dict[str, Any]
Loc = tuple[str | int, ...]


def describe_value(value: Any) -> str:
    """Put a value of the document into words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:60]}…'"
    return json.dumps(value)[:60]


def describe(*schemas: Schema) -> str:
    """Put what JSON Schemas allow into words: the same that editors are told."""
    texts = [_describe_one(schema) for schema in schemas if schema.get("type") != "null"]
    return " or ".join(dict.fromkeys(texts))


def _describe_one(schema: Schema) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    kind = schema.get("type")
    if kind in ("integer", "number"):
        noun = "a whole number" if kind == "integer" else "a number"
        return f"{noun}{_describe_bounds(schema)}"
    if kind == "array":
        return _describe_list(schema)
    if kind == "object":
        return _describe_mapping(schema)
    if kind == "string":
        examples = ", ".join(schema.get("examples", []))
        return f"text like {examples}" if examples else "text"
    return "true or false"


def _describe_bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    words = [
        f"{word} {bound if isinstance(bound, int) else format(bound, '.15g')}"
        for word, bound in (("from", low), ("above", above), ("to", high), ("below", below))
        if bound is not None
    ]
    return "".join(f" {word}" for word in words)


def _describe_mapping(schema: Schema) -> str:
    if known := ", ".join(schema.get("properties", {})):
        return f"a mapping with {known}"
    if schema.get("additionalProperties") is True:
        return "a mapping"
    keys = ", ".join(keys_of(schema)) or "names"
    return f"a mapping of {keys} to {describe(*_expand(schema.get('additionalProperties') or {}))}"


def _describe_list(schema: Schema) -> str:
    if items := schema.get("prefixItems"):
        return f"a list [{', '.join(describe(*_expand(item)) for item in items)}]"
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    size = f" of {low} to {high}" if high else ""
    return f"a list{size} of: {describe(*_expand(schema['items']))}"


def _expand(schema: Schema) -> list[Schema]:
    """Return what a schema stands for: its alternatives side by side."""
    if "anyOf" in schema:
        return [one for part in schema["anyOf"] for one in _expand(part)]
    return [schema]


def whole_schema(schema: Schema) -> Schema:
    """Return a schema with what it refers to in its place; none of ours refers to itself."""
    definitions = schema.get("$defs", {})

    def place(part: Any) -> Any:
        if isinstance(part, list):
            return [place(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            return place(definitions[part["$ref"].rsplit("/", 1)[-1]])
        return {key: place(each) for key, each in part.items() if key != "$defs"}

    placed: Schema = place(schema)
    return placed


def schemas_at(schema: Schema, loc: Loc) -> list[Schema]:
    """Return the schemas for a place in what a whole one describes."""
    here = [schema]
    for part in loc:
        here = [inner for each in here for step in _steps(each, part) for inner in _expand(step)]
    return here


def _steps(schema: Schema, part: str | int) -> list[Schema]:
    if isinstance(part, int):
        items = schema.get("prefixItems", [])
        inner = items[part] if part < len(items) else schema.get("items")
    else:
        inner = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
    return [inner] if isinstance(inner, dict) else []


def keys_of(schema: Schema) -> list[str]:
    """Return the keys of a mapping whose names are not the user's own."""
    named = schema.get("propertyNames", {})
    return [*schema.get("properties", {}), *named.get("enum", [])]


@cache
def _recipe() -> Schema:
    return whole_schema(Recipe.model_json_schema())


def describe_field(loc: Loc) -> str:
    """Put into words what a recipe's field takes, or a field of that, where pydantic names one.

    Args:
        loc: as pydantic gives it: with names of types of its own in it, and a user's keys.
    """
    place: Loc = ()
    for part in loc:
        if any(part in schema.get("properties", {}) for schema in schemas_at(_recipe(), place)):
            place = (*place, part)
    own = [{"enum": list(LAYER_WORDS)}] if place[-1] in LAYER_FIELDS else []
    return describe(*own, *schemas_at(_recipe(), place))
