"""COCO: one JSON file for each split, whose `images` name files below `images/`.

Source: https://cocodataset.org/#format-data.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import PIL.Image

from stylebatch.export.listing import Image
from stylebatch.export.request import ExportError
from stylebatch.system import files
from stylebatch.system.placed import HashedFile

# Where an output has boxes and masks of its images.
MERGED = "annotations_coco.json"
# What an image's entry says beside what COCO asks for.
_TOLD = ("kind", "content", "style", "strength")

Entry = dict[str, Any]
# Yields the images of a split, in order: more than once.
Images = Callable[[], Iterable[Image]]


def write_labels(
    file: HashedFile,
    images: Images,
    classes: Sequence[str],
    path_of: Callable[[Image], Path],
) -> None:
    """Write a file that says which class each image belongs to; nothing is held in memory.

    An annotation has no box: a class is of the whole image. Categories count from 1.

    Args:
        path_of: returns where an image is.
    """
    numbers = {name: number for number, name in enumerate(classes, 1)}
    sections = {
        "categories": ({"id": number, "name": name} for name, number in numbers.items()),
        "images": (_image_of(image, path_of(image)) for image in images()),
        "annotations": (
            {"id": image.number, "image_id": image.number, "category_id": numbers[image.label]}
            for image in images()
            if image.label is not None
        ),
    }
    _write_sections(file, sections)


def _image_of(image: Image, path: Path) -> Entry:
    row = json.loads(image.row)
    # Of its header only. What is in an output is upright.
    with PIL.Image.open(path) as opened:
        width, height = opened.size
    return {
        "id": image.number,
        "file_name": image.file_name,
        "width": width,
        "height": height,
        **{key: row[key] for key in _TOLD},
    }


class Merged:
    """The annotations that an output has; they are in memory, as they are of all who read them.

    Raises:
        ExportError: the file can't be read.
    """

    def __init__(self, root: Path) -> None:
        place = root / MERGED
        try:
            data = files.read_bytes(place)
            self._told: Mapping[str, Any] = json.loads(data)
            self.digest = files.digest_bytes(data)
            self._ids = {each["file_name"]: each["id"] for each in self._told["images"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            found, todo = f"can't be read ({error!r})", "run the manifest again: it writes it"
            raise ExportError(str(place), found, "", todo) from error

    @staticmethod
    def is_there(root: Path) -> bool:
        """Whether an output has boxes and masks as COCO has them."""
        return files.stat_file(root / MERGED) is not None

    def has(self, file_name: str) -> bool:
        """Whether it tells of an image."""
        return file_name in self._ids

    def write(self, file: HashedFile, names: Collection[str]) -> None:
        """Write what it tells of some images, by their paths: ids and categories stay."""
        ids = {self._ids[name] for name in names if name in self._ids}
        told = self._told
        lists = {key: value for key, value in told.items() if isinstance(value, list)}
        sections: dict[str, Iterable[Entry]] = {
            **lists,
            "images": (each for each in told["images"] if each["id"] in ids),
            "annotations": (
                each for each in told.get("annotations", ()) if each["image_id"] in ids
            ),
        }
        rest = {key: value for key, value in told.items() if key not in sections}
        _write_sections(file, sections, rest)


def _write_sections(
    file: HashedFile, sections: Mapping[str, Iterable[Entry]], rest: Mapping[str, Any] | None = None
) -> None:
    """Write lists entry by entry, a line each."""
    start = "{"
    for key, value in (rest or {}).items():
        _put(file, f"{start}\n{json.dumps(key)}: {json.dumps(value)}")
        start = ","
    for key, entries in sections.items():
        _put(file, f"{start}\n{json.dumps(key)}: [")
        for text in _separated(entries):
            _put(file, text)
        _put(file, "\n]")
        start = ","
    _put(file, "\n}\n")


def _separated(entries: Iterable[Entry]) -> Iterator[str]:
    for number, entry in enumerate(entries):
        yield f"{',' if number else ''}\n{json.dumps(entry)}"


def _put(file: HashedFile, text: str) -> None:
    file.write(text.encode())
