"""What is said of each image: a line of the metadata with every key, and the keys' types."""

from collections.abc import Mapping
from typing import Any

from stylebatch.output.acceptance import SCORES

# As docs/output.md tells them. A column of nulls has its type as well.
COLUMNS = {
    "file_name": "string",
    "pair": "string",
    "label": "string",
    "split": "string",
    "kind": "string",
    "content": "string",
    "content_digest": "string",
    "style": "string",
    "style_digest": "string",
    "mask": "string",
    "mask_digest": "string",
    "variant": "int32",
    "strength": "float64",
    "seed": "int64",
    "settings_id": "string",
    "fingerprint": "string",
    "digest": "string",
    "device": "string",
    "precision": "string",
    "loss_log": "string",
    "evaluations": "int32",
    "losses": "losses",
    "status": "string",
    "restored": "bool",
    "retried_with_adam": "bool",
    **dict.fromkeys(SCORES, "float64"),
    "retries": "int32",
    "accepted": "bool",
    "seconds": "float64",
    "levels": "int32",
    "pages": "int32",
}
# What a column of the type `losses` is made of: float64 each.
LOSSES = ("total", "content", "style", "tv")
_NOTHING = dict.fromkeys(COLUMNS)


def metadata_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an image's line with every key, from what `Ledger.done` tells of it.

    Every line has the same keys: readers take those of the first for all.
    """
    rest = dict(fields)
    facts = rest.pop("facts", {})
    return {**_NOTHING, "file_name": rest.pop("output"), **rest, **facts}
