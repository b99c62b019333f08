"""Style images as pixels: from their files, or given."""

from pathlib import Path

from stylebatch.device.planned_file import read_planned
from stylebatch.errors import UserError
from stylebatch.pictures.images import Pixels, decode
from stylebatch.records import StyleImage


class StyleError(UserError):
    """A style image that can't be read, or is no longer what was planned with."""


class StyleImages:
    """Reads style images below a folder; keeps none but the bytes that it is given."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._given: dict[str, bytes] = {}

    def put(self, digest: str, data: bytes) -> None:
        """Give the bytes of a style image that need not be a file."""
        self._given[digest] = data

    def read(self, image: StyleImage) -> Pixels:
        """Return a style image as it is, (H, W, 3).

        Raises:
            StyleError: it can't be read or has changed.
            ImageError: a file that is no image.
        """
        if image.digest in self._given:
            return decode(self._given[image.digest], image.path).rgb
        data = read_planned(self._root, image.path, image.digest, "style image", StyleError)
        return decode(data, image.path).rgb
