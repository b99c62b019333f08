"""What the manifest's JSON Schema allows, in words: messages and editors say the same."""

import json
from typing import Any

from stylebatch.manifest.schema import json_schema
from stylebatch.manifest.yaml_lines import Loc

Schema = dict[str, Any]

_SCHEMA = json_schema()


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
    keys = ", ".join(_keys(schema)) or "names"
    return f"a mapping of {keys} to {describe(*_expand(schema.get('additionalProperties') or {}))}"


def _describe_list(schema: Schema) -> str:
    if items := schema.get("prefixItems"):
        return f"a list [{', '.join(describe(*_expand(item)) for item in items)}]"
    low, high = schema.get("minItems", 0), schema.get("maxItems")
    size = f" of {low} to {high}" if high else ""
    return f"a list{size} of: {describe(*_expand(schema['items']))}"


def _expand(schema: Schema) -> list[Schema]:
    """Return what a schema stands for: references followed, alternatives side by side."""
    if "$ref" in schema:
        return _expand(_SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]])
    if "anyOf" in schema:
        return [one for part in schema["anyOf"] for one in _expand(part)]
    return [schema]


def schemas_at(loc: Loc) -> list[Schema]:
    """Return the schemas for a place in the document."""
    here = [_SCHEMA]
    for part in loc:
        here = [
            inner for schema in here for step in _steps(schema, part) for inner in _expand(step)
        ]
    return here


def _steps(schema: Schema, part: str | int) -> list[Schema]:
    if isinstance(part, int):
        items = schema.get("prefixItems", [])
        inner = items[part] if part < len(items) else schema.get("items")
    else:
        inner = schema.get("properties", {}).get(part, schema.get("additionalProperties"))
    return [inner] if isinstance(inner, dict) else []


def known_keys(loc: Loc) -> set[str]:
    """Return the keys that a mapping at this place may have."""
    return {key for schema in schemas_at(loc) for key in _keys(schema)}


def known_words(loc: Loc) -> list[str]:
    """Return the texts of which one may stand at this place."""
    values = [
        value
        for schema in schemas_at(loc)
        for value in (*schema.get("enum", []), schema.get("const"))
    ]
    return [value for value in values if isinstance(value, str)]


def _keys(schema: Schema) -> list[str]:
    """Return the keys of a mapping whose names are not the user's own."""
    named = schema.get("propertyNames", {})
    return [*schema.get("properties", {}), *named.get("enum", [])]
