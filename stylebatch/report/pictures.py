"""Which small picture stands for which image, photograph and style."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from stylebatch.output.layout import Dataset
from stylebatch.report.columns import Shown
from stylebatch.report.folder import ReportFolder
from stylebatch.report.records import Row, name_of
from stylebatch.report.thumbnails import Tell, find_file, is_small, key_of, make_thumbnails
from stylebatch.system import files
from stylebatch.system.inputs import Place, StorePath
from stylebatch.system.object_stores import is_remote

# What a blend's name begins with: it has no file.
_BLEND = "blend:"


class Pictures:
    """Keys of thumbnails: a file's key, "" where it stands for itself, None where there is none."""

    def __init__(self, dataset: Dataset, inputs: Path, *, links_itself: bool) -> None:
        """Know of none yet.

        Args:
            inputs: the folder from which contents and styles are told.
            links_itself: small files that browsers show need no thumbnail.
        """
        self._dataset, self._inputs, self._links_itself = dataset, inputs, links_itself
        self._wanted: dict[str, Place] = {}
        self._of_inputs: dict[str, str | None] = {}
        self._wrong: set[str] = set()
        self.num_missing = 0

    @property
    def keys(self) -> set[str]:
        """The keys of all thumbnails that are there once they are made."""
        return self._wanted.keys() - self._wrong

    def show(self, row: Row) -> Shown:
        """Return what to show of an image."""
        path = self._dataset.image_path(name_of(row))
        stat = _stat(path)
        content = self._input(row, "content") if row.get("content") else None
        return Shown(self._key(row["file_name"], path, stat), content, stat and stat[1] / 1e9)

    def styles(self, images: Sequence[Row]) -> dict[str, str | None]:
        """Return the key of each style."""
        styles = {row["style"]: row for row in images if row.get("style")}
        return {
            style: self._input(row, "style")
            for style, row in styles.items()
            if not style.startswith(_BLEND)
        }

    def _input(self, row: Row, kind: str) -> str | None:
        told = row[kind]
        if told not in self._of_inputs and is_remote(told):
            of_digest = key_of(told, (0, 0), row.get(f"{kind}_digest", ""))
            self._of_inputs[told] = of_digest
            self._wanted[of_digest] = StorePath(told)
        if told not in self._of_inputs:
            path = find_file(self._inputs, told)
            self._of_inputs[told] = key = self._key(told, path, _stat(path))
            self.num_missing += key is None
        return self._of_inputs[told]

    def _key(self, name: str, path: Path, stat: tuple[int, int] | None) -> str | None:
        if stat is None:
            return None
        if self._links_itself and is_small(path, stat):
            return ""
        key = key_of(name, stat)
        self._wanted[key] = path
        return key

    def make(self, folder: ReportFolder, tell: Tell, *, is_alone: bool) -> None:
        """Make what is missing."""
        self._wrong = make_thumbnails(folder, self._wanted, tell, is_alone=is_alone)

    def usable(self, key: str | None) -> str | None:
        """Return a key, or None where its file turned out to be unreadable."""
        return None if key in self._wrong else key

    def checked(self, shown: Shown) -> Shown:
        """Return the same of what to show of an image."""
        if not self._wrong:
            return shown
        return replace(
            shown,
            thumbnail=self.usable(shown.thumbnail),
            content_thumbnail=self.usable(shown.content_thumbnail),
        )


def _stat(path: Path) -> tuple[int, int] | None:
    with suppress(OSError):
        return files.stat_file(path)
    return None
