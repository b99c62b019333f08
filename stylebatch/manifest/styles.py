"""Style entries as they are written → the images that they stand for."""

import glob
import math
import posixpath
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stylebatch.library.errors import LibraryError
from stylebatch.library.shelf import Library, is_of_library, name_of, normalised
from stylebatch.library.style_file import Told
from stylebatch.manifest.model import StyleSource
from stylebatch.manifest.paths import NAME_RULE, path_problem, relative_to
from stylebatch.manifest.places import (
    NO_IMAGE_BY_SUFFIX,
    image_file_problem,
    image_folder_problem,
    todo_for,
)
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import StyleFields
from stylebatch.manifest.schema_text import describe_place
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.recipes import Recipe
from stylebatch.system import inputs
from stylebatch.system.globs import glob_regex
from stylebatch.system.object_stores import is_installed, is_remote
from stylebatch.system.paths import below, escaped

_GLOB = frozenset("*?[")
_FILES = f"allowed are image files ({', '.join(sorted(IMAGE_SUFFIXES))})"
_ALLOWED = f"{_FILES}, folders, globs and library:NAME"


class StyleFinder:
    """Finds the images of style entries; blends are remembered, as their names must be unique."""

    def __init__(self, root: Path, findings: Findings, library: Library) -> None:
        self.root = root
        self.findings = findings
        self._library = library
        # What the files of styles from the library tell, by reference.
        self._told: dict[str, Told] = {}
        self._blends: dict[str, StyleSource] = {}

    def find(self, entries: list[str | StyleFields], loc: Loc) -> tuple[StyleSource, ...]:
        """Return the style entries of a pair, each once, in the order in which they are written.

        Where several name an image, a weight that is written holds, of these the last.
        """
        found: dict[str, StyleSource] = {}
        for index, entry in enumerate(entries):
            here = (*loc, index)
            if self.findings.is_broken(*here):
                continue
            for source in self._sources(entry, here):
                found.setdefault(source.key, source)
                if isinstance(entry, StyleFields) and entry.weight is not None:
                    found[source.key] = replace(source, weight=entry.weight)
        return tuple(found.values())

    def _sources(self, entry: str | StyleFields, loc: Loc) -> Iterator[StyleSource]:
        if isinstance(entry, StyleFields):
            if self._is_refused(entry, loc):
                return
            if entry.path is None:
                yield self._blend(entry.name or "", entry.blend or {}, loc)
                return
            entry, loc = entry.path, (*loc, "path")
        if is_of_library(entry):
            reference = normalised(entry)
            if self._is_in_library(reference, loc):
                yield StyleSource(reference, name_of(reference), ((reference, 1.0),))
            return
        for path in self._images(entry, loc):
            key = relative_to(self.root, path)
            yield StyleSource(key, Path(path).stem, ((path, 1.0),))

    def _is_in_library(self, reference: str, loc: Loc) -> bool:
        if reference not in self._told:
            try:
                self._told[reference] = self._library.open(reference).told
            except LibraryError as error:
                self.findings.add(loc, error.found, error.allowed, error.todo)
                return False
        return True

    def check_images(self, styles: tuple[StyleSource, ...], recipe: Recipe, place: Loc) -> None:
        """Refuse styles whose file holds no image where a recipe needs one."""
        needing = _needs_image(recipe)
        for path in (path for source in styles for path, _ in source.images):
            if needing and path in self._told and not self._told[path].has_image:
                found = f"'{path}' has no image in its file, and {needing} needs it"
                todo = "export it without --without-image, or change the recipe"
                self.findings.add(place, found, "allowed are styles with their image", todo)

    def _is_refused(self, entry: StyleFields, loc: Loc) -> bool:
        """Refuse an entry that is neither a path nor a whole blend."""
        if entry.path is not None:
            if of_blend := [key for key in ("name", "blend") if getattr(entry, key) is not None]:
                found = f"found 'path' and '{of_blend[0]}'"
                allowed = "allowed is path, or name and blend"
                self.findings.add(loc, found, allowed, "write an entry for each")
            return bool(of_blend)
        keys = [key for key in ("name", "blend") if getattr(entry, key) is None]
        for key in keys:
            allowed = f"allowed is {describe_place((*loc, key))}"
            todo = "add it" if len(keys) == 1 else "add it, or a path"
            self.findings.add((*loc, key), f"no '{key}'", allowed, todo)
        return bool(keys)

    def _images(self, entry: str, loc: Loc) -> list[str]:
        try:
            look_up = self._look_up_stored if is_remote(entry) else self._look_up
            images, problem = look_up(entry, inputs.normalised(entry))
        except (OSError, ValueError) as error:
            of_store = isinstance(error, OSError) and is_remote(entry) and error.strerror
            images, problem = [], f"can't be read ({of_store or error})"
        if problem:
            self.findings.add(loc, f"'{entry}' {problem}", _ALLOWED, todo_for(entry))
        return images

    def _look_up(self, entry: str, path: str) -> tuple[list[str], str]:
        """Return the images that an entry stands for, else what is wrong with it."""
        target = self.root / path
        if target.is_dir():
            images = list(_below(self.root, path))
            return images, "" if images else "holds no image"
        if target.is_file() or _GLOB.isdisjoint(entry):
            problem = image_file_problem(target)
            return [] if problem else [path], problem
        matches = sorted(glob.glob(path, root_dir=self.root, recursive=True))
        images = [escaped(match) for match in matches if not image_file_problem(self.root / match)]
        return images, "" if images else "matches no image"

    def _look_up_stored(self, entry: str, url: str) -> tuple[list[str], str]:
        """Return the same of an entry that is a URL."""
        place = inputs.StorePath(url)
        if not _GLOB.isdisjoint(entry) and "/" in url.partition("://")[2]:
            # The object itself first: its name may hold such signs.
            if is_installed() and inputs.is_file(place):
                return [url], image_file_problem(place)
            images = list(_matching(url))
            return images, "" if images else "matches no image"
        problem = image_file_problem(place)
        if not problem:
            return [url], ""
        if of_folder := image_folder_problem(place):
            return [], problem if problem == NO_IMAGE_BY_SUFFIX else of_folder
        return list(_below(self.root, url)), ""

    def _blend(self, name: str, blend: dict[str, float], loc: Loc) -> StyleSource:
        if problem := path_problem(name):
            self.findings.add((*loc, "name"), f"'{name}' {problem}", NAME_RULE, "rename it")
        total = sum(blend.values())
        if not math.isfinite(total):
            found, allowed = "found weights whose sum is infinite", "only their proportions count"
            self.findings.add((*loc, "blend"), found, allowed, "divide all by one number")
        images = []
        for written, weight in blend.items():
            if is_of_library(written):
                path = normalised(written)
                self._is_in_library(path, (*loc, "blend", written))
                images.append((path, weight / total))
                continue
            path = inputs.normalised(written)
            if problem := image_file_problem(inputs.at(self.root, path)):
                place = (*loc, "blend", written)
                self.findings.add(place, f"'{written}' {problem}", _FILES, todo_for(written))
            images.append((path, weight / total))
        source = StyleSource(f"blend:{name}", name, tuple(images))
        if self._blends.setdefault(name, source) != source:
            todo = "give one of them another name"
            found = f"'{name}' is another blend elsewhere"
            self.findings.add((*loc, "name"), found, "allowed is one blend per name", todo)
        return source


def _needs_image(recipe: Recipe) -> str:
    """Return the field by which a recipe looks at the pixels of a style, "" if none does."""
    if recipe.color == "matched":
        return "color: matched"
    if "style" in recipe.start_shares:
        return "a start from the style"
    return "side_by_side" if recipe.side_by_side else ""


def _below(root: Path, folder: str) -> Iterator[str]:
    for _, files in inputs.walk_files(inputs.at(root, folder), IMAGE_SUFFIXES):
        for file in files:
            if is_remote(folder):
                yield below(folder, file.path)
            else:
                yield posixpath.normpath(posixpath.join(folder, file.path))


def _matching(url: str) -> Iterator[str]:
    """Yield the images of a store that a glob matches: below the last folder without a sign."""
    parts = url.split("/")
    first = next(index for index, part in enumerate(parts) if not _GLOB.isdisjoint(part))
    folder, pattern = "/".join(parts[:first]), glob_regex("/".join(parts[first:]))
    is_flat = first == len(parts) - 1 and "**" not in parts[first]
    place = inputs.StorePath(folder)
    if is_flat:
        found = [inputs.list_files(place, IMAGE_SUFFIXES)]
    else:
        found = [files for _, files in inputs.walk_files(place, IMAGE_SUFFIXES)]
    paths = sorted(file.path for files in found for file in files)
    yield from (below(folder, path) for path in paths if pattern.fullmatch(path))
