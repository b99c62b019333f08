"""The layouts that ultralytics reads: folders of classes, or images with their labels.

Source: https://docs.ultralytics.com/datasets/classify/ and https://docs.ultralytics.com/datasets/detect/.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from stylebatch.export.places import NO_SPLIT, rest_of, stem_of
from stylebatch.export.request import ExportError
from stylebatch.system import files

# Where an output has its labels, and what says which classes they number.
LABELS, CLASSES, DATA = "labels", "classes.txt", "data.yaml"
_SPLITS = ("train", "val", "test")
_NOTE = "# There is no val: what is trained on is what is validated on. Split it first.\n"


def classify_place(split: str, file_name: str, of_image: str | None, label: str | None) -> str:
    """Return where an image is, without its suffix: below its split and its class.

    Args:
        split: as the export names it.
        of_image: the same as the output has it.
    """
    rest = rest_of(file_name, of_image, label)
    return f"{split}/{label}/{rest.replace('/', '_')}"


def detect_place(split: str, file_name: str, of_image: str | None) -> str:
    """Return where an image is, without its suffix: its folders below its split are kept."""
    return f"images/{split}/{rest_of(file_name, of_image, None)}"


def label_place(place: str) -> str:
    """Return where the labels of an image are: ultralytics replaces the folder and the suffix."""
    return f"{LABELS}{place.removeprefix('images')}.txt"


def labels_of(root: Path, file_name: str) -> Path:
    """Return where an output has an image's labels, if there are any."""
    return root / LABELS / f"{stem_of(file_name)}.txt"


def has_labels(root: Path) -> bool:
    """Whether an output has labels of objects."""
    return (root / LABELS).is_dir()


def read_names(root: Path) -> dict[str, Any]:
    """Return what an output says of its labels: `names`, and what stands beside it.

    Raises:
        ExportError: nothing says what the classes are called.
    """
    places = [root / DATA, root / LABELS / CLASSES, root / CLASSES]
    try:
        for place in places:
            if files.stat_file(place) is None:
                continue
            text = files.read_bytes(place).decode("utf-8-sig")
            if place.name == CLASSES:
                return {"names": [line.strip() for line in text.splitlines() if line.strip()]}
            found = yaml.safe_load(text)
            if isinstance(found, dict) and found.get("names"):
                return {key: value for key, value in found.items() if key not in _NOT_KEPT}
    except (ValueError, yaml.YAMLError) as error:
        found, todo = f"can't be read ({error})", "run the manifest again: it writes it"
        raise ExportError(str(place), found, "", todo) from error
    allowed = f"allowed are {DATA} with `names`, and {LABELS}/{CLASSES}"
    raise ExportError(str(root), "nothing names the classes of its labels", allowed)


_NOT_KEPT = {*_SPLITS, "path", "download"}


def data_yaml(told: dict[str, Any], splits: Iterable[str]) -> str:
    """Return data.yaml: where the images of each split are, and what the output says of labels.

    Paths are from its own folder, which ultralytics takes where there is no `path`.
    """
    there = set(splits)
    found = {split: f"images/{split}" for split in _SPLITS if split in there}
    first = found.get(NO_SPLIT) or f"images/{min(there, default=NO_SPLIT)}"
    is_whole = "val" in found
    found = {"train": first, "val": found.get("val", first), **found}
    text = yaml.safe_dump(found | told, sort_keys=False, allow_unicode=True)
    return text if is_whole else f"{_NOTE}{text}"
