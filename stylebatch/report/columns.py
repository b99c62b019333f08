"""Images as columns: what the page filters, sorts and shows, in as few bytes as it goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stylebatch.output.acceptance import SCORES
from stylebatch.report.records import Row, name_of

# Few values, which stand once; an image has their numbers.
NAMED = ("pair", "label", "split", "kind", "style", "status", "device", "settings_id")
NUMBERS = ("strength", "variant", "evaluations", "seconds", "retries")
LOSSES = ("total", "content", "style", "tv")


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows of an image beside its line of the metadata.

    Attributes:
        thumbnail: the key of its thumbnail; "" where its own file is, None where there is none.
        content_thumbnail: likewise of its photograph.
        finished: when, in seconds since 1970; None where its file is gone.
    """

    thumbnail: str | None
    content_thumbnail: str | None
    finished: float | None


class Names:
    """Values that many images share: the number of each, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[str, dict[Any, int]] = {key: {} for key in NAMED}

    def number(self, key: str, value: Any) -> int:
        """Return the number of a value; -1 of None."""
        if value is None:
            return -1
        numbers = self._numbers[key]
        return numbers.setdefault(value, len(numbers))

    def values(self) -> dict[str, list[Any]]:
        """Return all values of each key by their numbers."""
        return {key: list(numbers) for key, numbers in self._numbers.items()}


def columns(
    images: Sequence[Row], shown: Sequence[Shown], names: Names, logs: Sequence[int]
) -> dict[str, Any]:
    """Return some images as columns.

    Contents stand once: images of one lie beside each other.

    Args:
        shown: of each image.
        names: takes those of its values that many share.
        logs: what there is of each one's losses, as `curves.LogKind` has it.
    """
    contents: dict[str, int] = {}
    content_thumbnails: list[str | None] = []
    of_content = []
    for row, each in zip(images, shown, strict=True):
        content = row.get("content") or ""
        if content not in contents:
            contents[content] = len(contents)
            content_thumbnails.append(each.content_thumbnail)
        of_content.append(contents[content])
    losses: dict[str, list[Any]] = {
        f"loss_{term}": [_short((row.get("losses") or {}).get(term)) for row in images]
        for term in LOSSES
    }
    return {
        "file": [name_of(row) for row in images],
        "contents": list(contents),
        "content_thumbnails": content_thumbnails,
        "content_of": of_content,
        "thumbnail": [each.thumbnail for each in shown],
        "finished": [each.finished and round(each.finished) for each in shown],
        "log": list(logs),
        "accepted": [_flag(row.get("accepted")) for row in images],
        **{key: [names.number(key, status_of(row, key)) for row in images] for key in NAMED},
        **{key: _known([_short(row.get(key)) for row in images]) for key in (*NUMBERS, *SCORES)},
        **{key: _known(values) for key, values in losses.items()},
    }


def status_of(row: Row, key: str) -> Any:
    """Return a value of a row; images that were not optimised have a status in words here."""
    if key != "status" or row.get(key) is not None:
        return row.get(key)
    return "original" if row.get("kind") == "original" else "colours only"


def _known(values: list[Any]) -> list[Any]:
    """Return a column; [] where nothing of it is known."""
    return values if any(value is not None for value in values) else []


def _flag(value: Any) -> int | None:
    return None if value is None else int(bool(value))


def _short(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value
