"""The folder `report/` of an output: whose it is, and what is in it."""

import os
from collections.abc import Collection
from pathlib import Path

from stylebatch.errors import UserError
from stylebatch.system import files

# Says that the folder is ours: without it nothing in there is touched.
MARKER = ".stylebatch-report"
_MARKER_TEXT = b"Made by `stylebatch report`, which replaces and removes what is in this folder.\n"


class ReportError(UserError):
    """A report that can't be made."""


class ReportFolder:
    """What `stylebatch report` writes, and nothing else.

    Attributes:
        index: the page.
        data: what the page loads when it needs it.
        thumbnails: small pictures, by their key.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = root / "index.html"
        self.data = root / "data"
        self.thumbnails = root / "thumbnails"

    def claim(self) -> None:
        """Make the folder; the output has to be there.

        Raises:
            ReportError: there is something of that name that is not ours.
        """
        marker = self.root / MARKER
        if files.stat_file(marker) is None:
            if self.root.is_symlink() or (self.root.exists() and not self._is_empty()):
                found = "exists, but stylebatch did not make it"
                raise ReportError(str(self.root), found, "", "move it away, and try again")
            self.root.mkdir(exist_ok=True)
            files.write_atomic(marker, _MARKER_TEXT, make_folders=False)
        for folder in (self.data, self.thumbnails):
            folder.mkdir(exist_ok=True)
        files.sweep_unfinished(self.root, files.UNFINISHED_S)

    def _is_empty(self) -> bool:
        return self.root.is_dir() and not os.listdir(self.root)

    def thumbnail(self, key: str) -> Path:
        """Where a thumbnail is."""
        return self.thumbnails / key[:2] / f"{key}.webp"

    def write_data(self, name: str, data: bytes) -> None:
        """Write a script under a name that tells its bytes; one that is there is left."""
        path = self.data / name
        if files.stat_file(path) is None:
            files.write_atomic(path, data, make_folders=False)

    def sweep(self, scripts: Collection[str], thumbnails: Collection[str]) -> None:
        """Remove scripts and thumbnails that the page no longer names."""
        for path in self.data.iterdir():
            if path.name not in scripts:
                files.remove_file(path)
        kept = {f"{key}.webp" for key in thumbnails}
        for folder in self.thumbnails.iterdir():
            for path in folder.iterdir():
                if path.name not in kept:
                    files.remove_file(path)
