"""What the manifest's JSON Schema allows at a place: messages and editors say the same."""

from stylebatch.manifest.schema import json_schema
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.recipes import describe, keys_of, schemas_at, whole_schema

_SCHEMA = whole_schema(json_schema())


def describe_place(loc: Loc) -> str:
    """Put into words what a place in the document takes."""
    return describe(*schemas_at(_SCHEMA, loc))


def known_keys(loc: Loc) -> set[str]:
    """Return the keys that a mapping at this place may have."""
    return {key for schema in schemas_at(_SCHEMA, loc) for key in keys_of(schema)}


def known_words(loc: Loc) -> list[str]:
    """Return the texts of which one may stand at this place."""
    values = [
        value
        for schema in schemas_at(_SCHEMA, loc)
        for value in (*schema.get("enum", []), schema.get("const"))
    ]
    return [value for value in values if isinstance(value, str)]
