"""What is transparent, where the files that are made can't be: a user should know before."""

from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.formats import FileFormat
from stylebatch.pictures.images import is_transparent
from stylebatch.system.inputs import Place, StorePath, read

# Of each pair: whoever has transparent images usually has many.
MOST_LOOKED_AT = 64
_SUFFIXES = (".png", ".webp", ".gif", ".tif", ".tiff")


class TransparencyCheck:
    """Looks at a few images of a pair whose format has no transparency, until one has it.

    At none in a store: planning again reads nothing there.
    """

    def __init__(self, root: Place, file_format: FileFormat) -> None:
        self._root = root
        is_needless = file_format.has_alpha or isinstance(root, StorePath)
        self._left = 0 if is_needless else MOST_LOOKED_AT

    def finds(self, path: str) -> bool:
        """Whether an image (path below `root`) is looked at, and the first that has it."""
        if not self._left or not path.lower().endswith(_SUFFIXES):
            return False
        self._left -= 1
        try:
            is_found = is_transparent(read(self._root / path), path)
        except (OSError, ImageError):
            return False
        if is_found:
            self._left = 0
        return is_found
