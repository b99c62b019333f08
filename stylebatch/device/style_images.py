"""Style images as pixels: from their files, from the library, or given.

What is transparent does not count.
"""

from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path

import numpy as np

from stylebatch.device.planned_file import read_planned
from stylebatch.device.requests import TargetRequest, fit_style
from stylebatch.errors import UserError
from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import Library, is_of_library, normalised
from stylebatch.library.style_file import StyleFile
from stylebatch.pictures.given import ImageLike, read_image
from stylebatch.pictures.images import Picture, Pixels, decode
from stylebatch.pictures.scores import fine_chroma
from stylebatch.records import StyleImage
from stylebatch.system.files import digest_bytes
from stylebatch.transfer.sizes import SMALLEST_EDGE_PX

_HALF = 128


class StyleError(UserError):
    """A style image that can't be read, or is no longer what was planned with."""


@dataclass(frozen=True, slots=True, eq=False)
class StylePicture:
    """A style image at its own size.

    Attributes:
        pixels: (H, W, 3); what is transparent has the mean colour of what is not.
        visible: (H, W), how much each pixel counts, 255 fully; None where all of them do.
    """

    pixels: Pixels
    visible: Pixels | None = None

    @property
    def counted(self) -> Pixels:
        """The pixels whose colours count, (H, W, 3), or in one row where only some do."""
        if self.visible is None:
            return self.pixels
        most = min(_HALF, int(self.visible.max()))
        return self.pixels[self.visible >= most][None]

    def fine_chroma(self, request: TargetRequest) -> float:
        """Return `scores.fine_chroma` at the size of a request."""
        fitted = fit_style(self.pixels, request, SMALLEST_EDGE_PX)
        # What is transparent has one colour.
        share = 1.0 if self.visible is None else float(self.visible.mean()) / 255
        return fine_chroma(fitted) / share


class StyleImages:
    """Reads style images below a folder; keeps none but the bytes that it is given."""

    def __init__(self, root: Path, cache: Path) -> None:
        """Read below `root`, and of the library in a cache folder."""
        self.root = root
        self._library = Library(cache, root)
        self._given: dict[str, bytes] = {}

    def take(self, image: ImageLike) -> tuple[str, str]:
        """Take a style image as a caller has it, or `library:NAME`; return its name and digest.

        Raises:
            StylizeError: what is no image, or can't be read.
            LibraryError: as `Library.open`.
        """
        if isinstance(image, str | PathLike) and is_of_library(fspath(image)):
            reference = normalised(fspath(image))
            return reference, self._library.open(reference).told.digest
        where, data = read_image(image)
        digest = digest_bytes(data)
        self._given[digest] = data
        return where, digest

    def read(self, image: StyleImage) -> StylePicture:
        """Return a style image as it is.

        Raises:
            StyleError: it can't be read, has changed, or is all transparent.
            LibraryError: as `open`.
            ImageError: a file that is no image.
        """
        return _shown(decode(self.read_bytes(image), image.path), image.path)

    def read_bytes(self, image: StyleImage) -> bytes:
        """Return the bytes of a style image's file; errors as `read`, but for decoding."""
        if image.digest in self._given:
            return self._given[image.digest]
        if not is_of_library(image.path):
            return read_planned(self.root, image.path, image.digest, "style image", StyleError)
        try:
            data = self.open(image).image()
        except LibraryError as error:
            error.unexpected_input = image.path
            raise
        if data is None:
            raise _without_image(image)
        return data

    def read_small(self, image: StyleImage) -> Pixels:
        """Return a style image to be looked at: as it is, or in small where that is all there is.

        Errors as `read`.
        """
        file = self.open(image) if is_of_library(image.path) else None
        if file and not file.told.has_image and (data := file.thumbnail()):
            return decode(data, image.path).rgb
        return self.read(image).pixels

    def open(self, image: StyleImage) -> StyleFile:
        """Open the file of a style of the library.

        Raises:
            LibraryError: it is not there, can't be read or is damaged.
            StyleError: it is of another image than was planned with.
        """
        try:
            found = self._library.open(image.path)
        except LibraryError as error:
            error.unexpected_input = image.path
            raise
        if found.told.digest != image.digest:
            todo = "run again: the plan then sees the new one"
            problem = StyleError(image.path, "another style has its name since planning", "", todo)
            problem.unexpected_input = image.path
            raise problem
        return found


def _without_image(image: StyleImage) -> StyleError:
    found = "its file holds no image, and one is needed"
    todo = "export it without --without-image, import that"
    problem = StyleError(image.path, found, "", todo)
    problem.unexpected_input = image.path
    return problem


def _shown(picture: Picture, where: str) -> StylePicture:
    alpha = picture.alpha
    if alpha is None or alpha.min() == 255:
        return StylePicture(picture.rgb)
    if not alpha.any():
        raise StyleError(where, "is transparent everywhere", "", "choose another style image")
    share = alpha[..., None] / 255
    mean = (picture.rgb * share).sum((0, 1)) / share.sum()
    filled = np.rint(picture.rgb * share + mean * (1 - share)).astype(np.uint8)
    return StylePicture(filled, alpha)
