"""Style images as pixels: from their files, or given; what is transparent does not count."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stylebatch.device.planned_file import read_planned
from stylebatch.errors import UserError
from stylebatch.pictures.images import Picture, Pixels, decode
from stylebatch.records import StyleImage

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


class StyleImages:
    """Reads style images below a folder; keeps none but the bytes that it is given."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._given: dict[str, bytes] = {}

    def put(self, digest: str, data: bytes) -> None:
        """Give the bytes of a style image that need not be a file."""
        self._given[digest] = data

    def read(self, image: StyleImage) -> StylePicture:
        """Return a style image as it is.

        Raises:
            StyleError: it can't be read, has changed, or is all transparent.
            ImageError: a file that is no image.
        """
        if image.digest in self._given:
            data = self._given[image.digest]
        else:
            data = read_planned(self._root, image.path, image.digest, "style image", StyleError)
        return _shown(decode(data, image.path), image.path)


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
