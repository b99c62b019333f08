"""The words of a data set's card: what is in the output, and how it is loaded."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from stylebatch.output.by_names import ByNames
from stylebatch.output.layout import IMAGES

_MAX_NAMED = 50

_NEW = """\
---
# Yours: what stands outside of stylebatch's lines stays as you write it.
pretty_name: {name}
license: unknown  # fill in, from https://huggingface.co/docs/hub/repositories-licenses
task_categories: [image-classification]
tags: [style-transfer, data-augmentation]
{yaml}
---

# {title}

{text}

## Licence

Fill in: who made the photographs and the styles, where they come from, and under which licences they may be used, changed and passed on. Above, `license:` has one for the whole.
"""  # noqa: E501

_LOADING = """\
```python
from datasets import load_dataset

dataset = load_dataset("{place}")  # this folder
```

Every image comes with its label, its split and all that `metadata.jsonl` says of it."""

_BY_NAMES = "Where names say something else than this card: {}."


class Facts(Protocol):
    """What the words are about, as `Card` gathers it."""

    rows: dict[str, Counter[str]]
    pairs: Counter[tuple[str, str]]
    folders: dict[str, str]
    styles: Counter[str]
    by_names: ByNames

    @property
    def labels(self) -> list[str]: ...


def new_card(name: str, yaml: str, text: str) -> str:
    """Return a whole card, with what is for the user to fill in."""
    # Text in JSON is text in YAML.
    quoted = json.dumps(name, ensure_ascii=False)
    return _NEW.format(name=quoted, title=name, yaml=yaml, text=text)


def card_text(facts: Facts, settings: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what is in the output: counts, classes, recipes, styles."""
    counts = [
        [f"`{name}`", f"{kinds['original']:,}", f"{kinds['stylised']:,}"]
        for name, kinds in facts.rows.items()
    ]
    parts = [
        "Photographs and stylised versions of them, made with stylebatch.",
        _table(("split", "photographs", "stylised"), counts),
    ]
    if facts.labels:
        parts.append(f"Classes ({len(facts.labels):,}): {_named(facts.labels)}.")
    parts.append(_LOADING.format(place="."))
    parts += [_BY_NAMES.format(text) for text in facts.by_names.warnings(".", IMAGES)]
    made = [
        [
            f"`{pair}`",
            f"`{facts.folders[pair] or '.'}`",
            f"{count:,}",
            f"`{key}`",
            *_described(settings.get(key, {})),
        ]
        for (pair, key), count in sorted(facts.pairs.items())
    ]
    parts += [
        "## How it was made",
        _table(("pair", "photographs from", "images", "`settings_id`", "recipe", "network"), made),
        "`settings.json` has every field of these, `metadata.jsonl` the photograph, the style and "
        "the strength of each image.",
    ]
    if facts.styles:
        styles = [f"`{style}` ({count:,})" for style, count in sorted(facts.styles.items())]
        parts.append(f"Styles, with the number of their images: {_named(styles, is_code=True)}.")
    return "\n\n".join(parts)


def _described(entry: Mapping[str, Any]) -> tuple[str, str]:
    if "recipe" not in entry:
        return "the photograph itself", ""
    told = entry["recipe"].get("title") or entry["recipe"].get("source") or ""
    extractor = entry["extractor"]
    return str(told), f"{extractor['arch']} ({extractor['weights']})" if extractor else "none"


def _named(names: Iterable[str], *, is_code: bool = False) -> str:
    every = list(names)
    shown = [name if is_code else f"`{name}`" for name in every[:_MAX_NAMED]]
    more = len(every) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    cells = [list(header), *map(list, rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(
        f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in row)} |"
        for row in cells
    )
