"""What an export holds: its images in order, their classes, their bytes as they were listed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from stylebatch.export.listing import Image, Listing
from stylebatch.export.target import changed
from stylebatch.output.layout import Dataset
from stylebatch.system import files

# Raised when the same images come out as other bytes.
FORMAT = 1

# Is told what is being done (listing, writing, checking), how far it is and of how much.
Tell = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Contents:
    """The images that were asked for.

    Attributes:
        classes: of the whole output, sorted: exports of its splits number them alike.
    """

    dataset: Dataset
    listing: Listing
    classes: tuple[str, ...]

    def path(self, image: Image) -> Path:
        """Where the output has an image."""
        return self.dataset.image_path(image.file_name)

    def read(self, image: Image) -> bytes:
        """Return an image's bytes.

        Raises:
            ExportStoppedError: they are no longer those that were listed.
        """
        path = self.path(image)
        try:
            data = files.read_bytes(path)
        except FileNotFoundError:
            raise changed(path) from None
        if files.stat_file(path) != (image.size, image.mtime_ns) or len(data) != image.size:
            raise changed(path)
        return data

    def number(self, image: Image) -> int | None:
        """Return the number of an image's class, from 0; None where it has none."""
        return None if image.label is None else self.classes.index(image.label)

    def key(self, images: Iterable[Image], *more: str) -> str:
        """Return what tells a file that is made of images: by another key it may be another."""
        state = blake2b(repr((FORMAT, self.classes, more)).encode(), digest_size=16)
        for image in images:
            state.update(repr((image.place, image.size, image.mtime_ns, image.row)).encode())
        return state.hexdigest()


def suffix_of(image: Image) -> str:
    """Return the suffix of an image's file, without its dot."""
    return image.file_name.rpartition(".")[2].lower()
