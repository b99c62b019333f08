"""A result of a photograph: which one, and where the photograph's points are in it."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from stylebatch.annotations.geometry import Fit, Geometry, GeometryError, Size, find_geometry
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import exif_orientation, read_size, upright_size
from stylebatch.system import files


class Result(NamedTuple):
    """An image of an output.

    Attributes:
        output: its path below `images/`.
        content: its photograph's path from the manifest's folder.
        path: the same from the content folder.
        geometry: returns where points go; raises GeometryError where nobody can tell.
    """

    output: str
    content: str
    path: str
    geometry: Callable[[], Geometry]


class _Photograph(NamedTuple):
    size: Size
    orientation: int
    digest: str


class Geometries:
    """Finds geometries, and reads of each photograph what it needs to, once.

    Args:
        root: the manifest's folder.
        open_image: opens one of the output's by its path below `images/`.
    """

    def __init__(self, root: Path, open_image: Callable[[str], BinaryIO]) -> None:
        self._root, self._open_image = root, open_image
        self._read = lru_cache(maxsize=64)(self._read_photograph)

    def find(self, output: str, content: str, digest: str, fit: Fit | None) -> Geometry:
        """Return the geometry of a result.

        Args:
            digest: of the photograph as it was when the result was made.
            fit: how it came of the photograph; None where that is not known.

        Raises:
            GeometryError: it can't be told, or a file can't be read.
        """

        def photograph() -> _Photograph:
            found = self._read(content)
            if found.digest != digest:
                raise GeometryError(f"{content} has changed since {output} was made of it")
            return found

        try:
            with self._open_image(output) as file:
                result = read_size(file, output)
        except (OSError, ImageError) as error:
            raise GeometryError(f"images/{output} can't be read ({error})") from None
        return find_geometry(
            lambda: photograph().size, result, fit, lambda: photograph().orientation
        )

    def _read_photograph(self, content: str) -> _Photograph:
        try:
            data = files.read_bytes(self._root / content)
            size, turned = upright_size(data, content), exif_orientation(data, content)
        except OSError as error:
            raise GeometryError(f"{content} can't be read ({error.strerror})") from None
        except ImageError as error:
            raise GeometryError(str(error)) from None
        return _Photograph(size, turned, files.digest_bytes(data))
