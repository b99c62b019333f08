"""Style entries as they are written → the images that they stand for."""

import glob
import posixpath
from collections.abc import Iterator
from pathlib import Path

from stylebatch.manifest.model import StyleSource
from stylebatch.manifest.paths import CORRECT, NAME_RULE, path_problem, relative_to
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import Blend
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.system.files import walk_files

_GLOB = frozenset("*?[")
_FILES = f"allowed are image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
_ALLOWED = f"{_FILES}, folders and globs"


class StyleFinder:
    """Finds the images of style entries; blends are remembered, as their names must be unique."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self.root = root
        self.findings = findings
        self._blends: dict[str, StyleSource] = {}

    def find(self, entries: list[str | Blend], loc: Loc) -> tuple[StyleSource, ...]:
        """Return the style entries of a pair, each once, in the order in which they are written."""
        found: dict[str, StyleSource] = {}
        for index, entry in enumerate(entries):
            here = (*loc, index)
            if self.findings.is_broken(*here):
                continue
            if isinstance(entry, Blend):
                source = self._blend(entry, here)
                found[source.key] = source
                continue
            for path in self._images(entry, here):
                key = relative_to(self.root, path)
                found.setdefault(key, StyleSource(key, Path(path).stem, ((path, 1.0),)))
        return tuple(found.values())

    def _images(self, entry: str, loc: Loc) -> list[str]:
        try:
            images, problem = self._look_up(entry, posixpath.normpath(entry))
        except (OSError, ValueError) as error:
            images, problem = [], f"can't be read ({error})"
        if problem:
            self.findings.add(loc, f"'{entry}' {problem}", _ALLOWED, CORRECT)
        return images

    def _look_up(self, entry: str, path: str) -> tuple[list[str], str]:
        """Return the images that an entry stands for, else what is wrong with it."""
        target = self.root / path
        if target.is_dir():
            images = list(_below(self.root, path))
            return images, "" if images else "holds no image"
        if target.is_file() or _GLOB.isdisjoint(entry):
            problem = _file_problem(target)
            return [] if problem else [path], problem
        matches = sorted(glob.glob(path, root_dir=self.root, recursive=True))
        images = [match for match in matches if not _file_problem(self.root / match)]
        return images, "" if images else "matches no image"

    def _blend(self, blend: Blend, loc: Loc) -> StyleSource:
        if problem := path_problem(blend.name):
            self.findings.add((*loc, "name"), f"'{blend.name}' {problem}", NAME_RULE, "rename it")
        total = sum(blend.blend.values())
        images = []
        for written, weight in blend.blend.items():
            path = posixpath.normpath(written)
            if problem := _file_problem(self.root / path):
                place = (*loc, "blend", written)
                self.findings.add(place, f"'{written}' {problem}", _FILES, CORRECT)
            images.append((path, weight / total))
        source = StyleSource(f"blend:{blend.name}", blend.name, tuple(images))
        if self._blends.setdefault(blend.name, source) != source:
            todo = "give one of them another name"
            found = f"'{blend.name}' is another blend elsewhere"
            self.findings.add((*loc, "name"), found, "allowed is one blend per name", todo)
        return source


def _below(root: Path, folder: str) -> Iterator[str]:
    for _, files in walk_files(root / folder, IMAGE_SUFFIXES):
        for file in files:
            yield posixpath.normpath(posixpath.join(folder, file.path))


def _file_problem(path: Path) -> str:
    if not path.is_file():
        return "is no file that exists" if path.is_dir() else "is no file or folder that exists"
    return "" if path.suffix.lower() in IMAGE_SUFFIXES else "is no image by its suffix"
