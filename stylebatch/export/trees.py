"""YOLO and COCO: every image a file of its own, and what stands beside them."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from stylebatch.export import coco, yolo
from stylebatch.export.contents import Contents, Tell, suffix_of
from stylebatch.export.places import stem_of
from stylebatch.export.request import ExportError
from stylebatch.export.target import Source, Target
from stylebatch.system import files
from stylebatch.system.placed import HashedFile
from stylebatch.system.words import counted

_NO_VAL = "there is no split val, which ultralytics validates on"


class Classify:
    """YOLO's folders of classes."""

    is_sharded, is_yolo = False, True

    def __init__(self) -> None:
        self.notes: list[str] = []

    def takes(self, file_name: str) -> bool:
        """Whether an image is part of it: each one is."""
        return True

    def place(self, row: dict[str, Any], split: str) -> tuple[str, bytes]:
        """Return an image's place, and no rank."""
        label = row["label"]
        return yolo.classify_place(split, row["file_name"], row["split"], label), b""

    def check(self, contents: Contents) -> None:
        """Refuse images without a class.

        Raises:
            ExportError: there are some.
        """
        if num_without := contents.listing.counts("label").get(None, 0):
            found = f"{counted(num_without, 'image', 'has', 'have')} no class"
            todo = "put the photographs into folders of classes, or export to another format"
            where = str(contents.dataset.root)
            raise ExportError(where, found, "yolo needs one for each", todo)

    def write(self, target: Target, contents: Contents, tell: Tell) -> None:
        """Write all images."""
        put_images(target, contents, tell)
        if "val" not in contents.listing.counts("split"):
            self.notes.append(_NO_VAL)


class Detect:
    """YOLO's images and labels."""

    is_sharded, is_yolo = False, True

    def __init__(self, root: Path) -> None:
        """Read what an output says of its labels.

        Raises:
            ExportError: nothing names their classes.
        """
        self._root, self._told = root, yolo.read_names(root)
        self.notes: list[str] = []

    def takes(self, file_name: str) -> bool:
        """Whether an image is part of it: without labels it is one without objects."""
        return True

    def place(self, row: dict[str, Any], split: str) -> tuple[str, bytes]:
        """Return an image's place, and no rank."""
        return yolo.detect_place(split, row["file_name"], row["split"]), b""

    def check(self, contents: Contents) -> None:
        """Refuse nothing."""

    def write(self, target: Target, contents: Contents, tell: Tell) -> None:
        """Write all images, their labels, and data.yaml."""
        put_images(target, contents, tell)
        for _ in target.put_files(self._labels(contents)):
            tell("writing", contents.listing.num_images, contents.listing.num_images)
        splits = [str(name) for name in contents.listing.counts("split")]
        target.put_text(yolo.DATA, yolo.data_yaml(self._told, splits))
        if "val" not in splits:
            self.notes.append(_NO_VAL)

    def _labels(self, contents: Contents) -> Iterator[Source]:
        for image in contents.listing.images():
            path = yolo.labels_of(self._root, image.file_name)
            if stat := files.stat_file(path):
                yield Source(yolo.label_place(image.place), path, *stat)


class Coco:
    """COCO: images as the output has them, and a file for each split."""

    is_sharded, is_yolo = False, False

    def __init__(self, root: Path) -> None:
        """Read the annotations of an output, if it has any.

        Raises:
            ExportError: they can't be read.
        """
        self._merged = coco.Merged(root) if coco.Merged.is_there(root) else None
        self._num_without = 0

    @property
    def notes(self) -> list[str]:
        """What the user may not have meant."""
        if not self._num_without:
            return []
        left = counted(self._num_without, "image", "is", "are")
        return [f"{left} left out, of which {coco.MERGED} does not tell"]

    def takes(self, file_name: str) -> bool:
        """Whether an image is part of it.

        One of which the annotations don't tell is not: it would be one without objects.
        """
        is_taken = self._merged is None or self._merged.has(file_name)
        self._num_without += not is_taken
        return is_taken

    def place(self, row: dict[str, Any], split: str) -> tuple[str, bytes]:
        """Return an image's place, and no rank."""
        return f"images/{stem_of(row['file_name'])}", b""

    def check(self, contents: Contents) -> None:
        """Refuse nothing."""

    def write(self, target: Target, contents: Contents, tell: Tell) -> None:
        """Write all images, then the file of each split."""
        put_images(target, contents, tell)
        for split, num_images in contents.listing.counts("split").items():
            images = partial(contents.listing.images, split)
            more = self._merged.digest if self._merged else ""
            key = contents.key(images(), more)
            write = self._writer(contents, images)
            target.put(f"annotations/{split}.json", key, write, num_images)

    def _writer(self, contents: Contents, images: coco.Images) -> Callable[[HashedFile], None]:
        if merged := self._merged:
            return lambda file: merged.write(file, [image.file_name for image in images()])
        return lambda file: coco.write_labels(file, images, contents.classes, contents.path)


def put_images(target: Target, contents: Contents, tell: Tell) -> None:
    """Let all images be in their places."""
    done, total = 0, contents.listing.num_images
    for num_files in target.put_files(_sources(contents)):
        done += num_files
        tell("writing", done, total)


def _sources(contents: Contents) -> Iterable[Source]:
    for image in contents.listing.images():
        place = f"{image.place}.{suffix_of(image)}"
        yield Source(place, contents.path(image), image.size, image.mtime_ns, num_images=1)
