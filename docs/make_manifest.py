"""Bring the tables of keys in docs/manifest.md up to date with the manifest's schema.

    python docs/make_manifest.py            # writes them
    python docs/make_manifest.py --check    # exit code 1 where they are not up to date

What is written by hand stands around them; a table is what lies between its two comments.
"""

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from stylebatch.manifest import json_schema
from stylebatch.recipes import describe, recipe_fields, recipe_on, schemas_at, whole_schema

PAGE = Path(__file__).with_name("manifest.md")
PAIR = ("pairs", 0)
PLACES: dict[str, tuple[str | int, ...]] = {
    "top": (),
    "extractor": ("extractor",),
    "normalisation": ("extractor", "normalisation"),
    "pairs": PAIR,
    "styles": (*PAIR, "styles", 0),
    "assign": (*PAIR, "assign"),
    "split": (*PAIR, "split"),
    "format": (*PAIR, "format"),
    "originals": (*PAIR, "originals"),
    "accept": (*PAIR, "accept"),
    "annotations": (*PAIR, "annotations"),
    "table": (*PAIR, "annotations", "csv"),
    "override": (*PAIR, "override"),
    "second_pass": (*PAIR, "override", "second_pass"),
    "run": ("run",),
    "ray": ("run", "ray"),
}
# Recipes are complete: what a field is without being written stands in the recipe.
RECIPE = "balanced"
# Part of a recipe, of which no schema has examples.
SECOND_PASS: dict[str, list[int]] = {"size_px": [1024], "steps": [30]}
TABLE = re.compile(r"(<!-- keys: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
# Beyond this many, keys of a mapping have a table of their own.
MANY_KEYS = re.compile(r"(mapping) with \w+(?:, \w+){3,}")


def main() -> None:
    """Write the tables, or compare them."""
    parser = argparse.ArgumentParser(description="Tables of docs/manifest.md from the schema.")
    parser.add_argument("--check", action="store_true", help="write nothing")
    is_checking = parser.parse_args().check
    before = PAGE.read_text(encoding="utf-8")
    after = TABLE.sub(lambda found: f"{found[1]}\n{table(found[2])}\n{found[3]}", before)
    if after == before:
        return
    if is_checking:
        sys.exit(f"{PAGE.name} is not up to date: run `python docs/make_manifest.py`")
    PAGE.write_text(after, encoding="utf-8")


def table(name: str) -> str:
    """Return the table of the keys at a place of the manifest."""
    values = recipe_values() if name == "override" else None
    middle = (f"in `{RECIPE}`",) if values else ("default", "example")
    header = ("key", "type", *middle, "what it is")
    lines = [header, ("---",) * len(header), *rows(PLACES[name], values)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def rows(
    place: tuple[str | int, ...], values: Mapping[str, Any] | None
) -> Iterator[tuple[str, ...]]:
    """Yield a row for each key.

    Args:
        values: of a recipe, by key: they stand in the place of default and example.
    """
    schema = whole_schema(json_schema())
    (holder,) = (each for each in schemas_at(schema, place) if "properties" in each)
    # What a pair is called comes first, although only pairs have it, and defaults don't.
    for key, told in sorted(holder["properties"].items(), key=lambda item: item[0] != "name"):
        kind = MANY_KEYS.sub(r"\1", describe(*schemas_at(schema, (*place, key))))
        if values:
            middle: tuple[str, ...] = (_code(values[key]),)
        else:
            example = (told.get("examples") or SECOND_PASS[key])[0]
            middle = (_default(told, is_required=key in holder.get("required", ())), _code(example))
        yield f"`{key}`", kind, *middle, " ".join(told["description"].split())


def recipe_values() -> dict[str, Any]:
    """Return what the usual recipe says of each field, where layers are left to the network."""
    known = recipe_fields(RECIPE)
    return {**recipe_on("vgg19", known).model_dump(mode="json"), **known}


def _default(told: Mapping[str, Any], *, is_required: bool) -> str:
    default = told.get("default")
    known = told.get("x-otherwise", "none") if default is None else default
    return "required" if is_required else str(known)


def _code(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    # Behind a plain value stands the end of a document.
    return f"`{text.strip().removesuffix('...').strip()}`"


if __name__ == "__main__":
    main()
