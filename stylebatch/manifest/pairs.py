"""One pair over the defaults → what it stands for, with everything about it checked."""

import os
from pathlib import Path

from stylebatch.annotations.sources import FOLDERS, WHOLE, Annotations
from stylebatch.library.shelf import Library
from stylebatch.manifest.acceptances import read_acceptance
from stylebatch.manifest.annotations import AnnotationReader
from stylebatch.manifest.assign import is_by_copies, read_assign
from stylebatch.manifest.files import check_originals, read_format, read_originals
from stylebatch.manifest.model import Assign, Originals, Pair, StyleSource
from stylebatch.manifest.paths import folder_problem, is_inside
from stylebatch.manifest.places import image_folder_problem, todo_for
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.schema import DEFAULT_RECIPE, Defaults, ManifestFields, PairFields
from stylebatch.manifest.selection import EVERYTHING, NO_SPLIT, Selection, Split
from stylebatch.manifest.settings import SettingsResolver, Strength
from stylebatch.manifest.splits import SPLIT_KEYS, ImagesReader
from stylebatch.manifest.styles import StyleFinder
from stylebatch.manifest.sweeps import Point, read_points
from stylebatch.manifest.written import Written
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.levels import Levels
from stylebatch.recipes import LAYER_FIELDS, Settings
from stylebatch.system import inputs
from stylebatch.system.object_stores import is_remote

_MADE_IN_OUTPUT = ("images", "losses", "progress", "side_by_side", "report", ".stylebatch")
_ANNOTATIONS_MADE = (*_MADE_IN_OUTPUT, *FOLDERS.values(), *WHOLE.values())
_DECIDE_CHANCE = ("start", "strength")


class PairReader:
    """Reads the pairs of one manifest. What comes back after a finding is never used."""

    def __init__(
        self,
        root: Path,
        fields: ManifestFields,
        settings: SettingsResolver,
        findings: Findings,
        library: Library,
    ) -> None:
        self.root = root
        # What is in a store is in no folder of inputs.
        is_apart = fields.output is not None and is_remote(fields.output)
        self.output = None if is_apart else fields.output
        self.defaults = fields.defaults or Defaults()
        self.settings = settings
        self.findings = findings
        self.styles = StyleFinder(root, findings, library)
        self.annotations = AnnotationReader(root, findings)

    def read(self, index: int, pair: PairFields) -> list[Pair]:
        """Return the pair resolved, or the points of its sweep; none where settings can't be."""
        written = Written(("pairs", index), pair, self.defaults)
        split, selection = NO_SPLIT, EVERYTHING
        num_findings = len(self.findings)
        content = self._content(written)
        if content and len(self.findings) == num_findings:
            split, selection = self._images(written, content)
        num_findings = len(self.findings)
        styles = self._styles(written)
        is_counted = len(self.findings) == num_findings and not self._is_broken(written, "styles")
        assign = read_assign(self.root, written, styles if is_counted else None, self.findings)
        masks, into = self._masks(written, content), self._into(written)
        annotations = self._annotations(written)
        name, pairs = pair.name or "", list[Pair]()
        for point in self._points(written, name):
            if (resolved := self._settings(written, point, assign)) is None:
                continue
            settings, strength, variants = resolved
            self.styles.check_images(styles, settings.recipe, written.place("styles"))
            self.annotations.check_recipe(
                annotations, settings.recipe, written.place("annotations")
            )
            place = written.place("accept")
            acceptance = read_acceptance(
                written.value("accept"), strength, settings.recipe, place, self.findings
            )
            pairs.append(
                Pair(
                    name=f"{name}:{point.swept.label}" if point else name,
                    content=content,
                    styles=styles,
                    assign=assign,
                    strength=strength,
                    variants=variants,
                    into=into,
                    settings=settings,
                    line=self.findings.document.line(written.loc),
                    masks=masks,
                    point=point.swept if point else None,
                    split=split,
                    selection=selection,
                    recipe=self._recipe(written, point),
                    provenance=written.value("provenance") is not False,
                    originals=self._originals(written, settings),
                    annotations=annotations,
                    acceptance=acceptance,
                )
            )
        return pairs

    def _recipe(self, written: Written, point: Point | None) -> str:
        swept = point.values.get("recipe") if point else None
        return str(swept or written.value("recipe") or DEFAULT_RECIPE)

    def _originals(self, written: Written, settings: Settings) -> Originals:
        place = written.place("originals")
        originals = read_originals(written.value("originals"))
        if originals.how == "link" and is_remote(written.value("content") or ""):
            found, allowed = "found link, but the content is in an object store", "allowed is copy"
            self.findings.add(place, found, allowed, "write `originals: copy`")
        check_originals(originals, settings.recipe, place, self.findings)
        return originals

    def _points(self, written: Written, name: str) -> list[Point] | list[None]:
        """Return the points of a pair's sweep; one None stands for the pair itself."""
        if self._is_broken(written, "recipe", *LAYER_FIELDS):
            return []
        if (sweeps := written.value("sweep")) is None:
            return [None]
        return read_points(name, sweeps, written.place("sweep"), self.findings)

    def _settings(
        self, written: Written, point: Point | None, assign: Assign
    ) -> tuple[Settings, Strength, int] | None:
        """Return settings, the range of strengths and the number of variants."""
        place = written.place("format")
        file_format = read_format(written.value("format"), place, self.findings)
        grey_levels: Levels = written.value("levels") or "auto"
        resolved = self.settings.resolve(written.levels, point, file_format, grey_levels)
        if resolved is None:
            return None
        settings, strength = resolved
        self._check_strength(written, strength)
        is_random = (
            strength[0] != strength[1]
            or settings.recipe.uses_noise
            or self._is_broken(written, *_DECIDE_CHANCE)
        )
        return settings, strength, self._variants(written, point, assign, is_random)

    def _is_broken(self, written: Written, *keys: str) -> bool:
        """Whether a pair's field, an entry of it or a field of its override was left out."""
        places = [(*loc, *inner) for loc, _ in written.levels for inner in ((), ("override",))]
        return any(self.findings.is_broken(*place, key) for place in places for key in keys)

    def _is_missing(self, written: Written, key: str, what: str) -> bool:
        if written.value(key) is not None:
            return False
        if not self._is_broken(written, key):
            self.findings.add(
                (*written.loc, key), f"no '{key}'", f"allowed is {what}", f"add `{key}: …`"
            )
        return True

    def _content(self, written: Written) -> str:
        if self._is_missing(written, "content", "a folder of images"):
            return ""
        return self._folder(written, "content", "a folder of images (searched recursively)")

    def _images(self, written: Written, content: str) -> tuple[Split, Selection]:
        is_split = not self._is_broken(written, *SPLIT_KEYS)
        reader = ImagesReader(written, self.root, content, self.findings, is_split=is_split)
        try:
            return reader.read()
        except OSError as error:
            # Never as if there were no splits: what is not read may be a validation set.
            found, allowed = (
                f"a folder in it can't be read ({error})",
                "allowed is a folder of images",
            )
            self.findings.add(written.place("content"), found, allowed, todo_for(content))
            return NO_SPLIT, EVERYTHING

    def _masks(self, written: Written, content: str) -> str:
        if written.value("masks") is None:
            return ""
        allowed = "a folder of images, each at the path of its content image"
        masks = self._folder(written, "masks", allowed)
        folder, is_there = inputs.at(self.root, masks), is_remote(masks)
        is_there = is_there or (self.root / masks).is_dir()
        if content and is_there and is_inside(folder, inputs.at(self.root, content)):
            found = f"'{masks}' is inside the content folder '{content}': masks would be stylised"
            allowed, todo = "allowed is a folder outside of it", "move one of them"
            self.findings.add(written.place("masks"), found, allowed, todo)
        return masks

    def _annotations(self, written: Written) -> Annotations | None:
        fields, place = written.value("annotations"), written.place("annotations")
        if fields is not None and is_remote(written.value("content") or ""):
            told = "the content is in an object store, and annotations are read from disks only"
            allowed = "allowed are annotations of photographs on a disk"
            self.findings.add(place, told, allowed, "copy both to a disk, or remove it")
            return None
        found = None if fields is None else self.annotations.read(fields, place)
        if found is not None and self.output is not None:
            for kind in found.kinds():
                path = getattr(found, kind)
                if kind != "files" and self._is_made(path, self.output, _ANNOTATIONS_MADE):
                    told = f"'{path}' is inside the output '{self.output}', where results are made"
                    allowed, todo = "allowed is a place outside of it", "name the photographs' own"
                    self.findings.add((*place, kind), told, allowed, todo)
        return found

    def _folder(self, written: Written, key: str, allowed: str) -> str:
        """Return a folder of images, after looking whether it is one that can be read."""
        folder = inputs.normalised(written.value(key))
        place = written.place(key)
        if problem := image_folder_problem(inputs.at(self.root, folder)):
            todo = todo_for(folder)
            self.findings.add(place, f"'{folder}' {problem}", f"allowed is {allowed}", todo)
        elif self.output is not None:
            self._check_apart(folder, key, place, self.output)
        return folder

    def _check_apart(self, folder: str, key: str, place: Loc, output: str) -> None:
        """Refuse an output that would be read as input, and input where output is made."""
        allowed = "allowed is a folder outside of it"
        if is_inside(self.root / output, inputs.at(self.root, folder)):
            found = f"'{output}' is inside the {key} folder '{folder}': results would be read"
            self.findings.add(("output",), found, allowed, "choose another output")
        elif self._is_made(folder, output):
            found = f"'{folder}' is inside the output '{output}', where results are made"
            self.findings.add(place, found, allowed, "move it, or choose another output")

    def _is_made(self, path: str, output: str, folders: tuple[str, ...] = _MADE_IN_OUTPUT) -> bool:
        made = (self.root / output / folder for folder in folders)
        return any(is_inside(inputs.at(self.root, path), folder) for folder in made)

    def _styles(self, written: Written) -> tuple[StyleSource, ...]:
        if self._is_missing(written, "styles", "a list of files, folders, globs or blends"):
            return ()
        place, entries = written.place("styles"), written.value("styles")
        sources = self.styles.find(entries, place)
        if self.output is not None:
            paths = (entry if isinstance(entry, str) else entry.path for entry in entries)
            folders = [path for path in paths if path is not None]
            self._check_styles_apart(sources, folders, place, self.output)
        return sources

    def _check_styles_apart(
        self, sources: tuple[StyleSource, ...], entries: list[str], place: Loc, output: str
    ) -> None:
        """Refuse results as styles, also those that a folder of styles would get with time."""
        allowed, todo = "allowed are images outside of it", "move it, or choose another output"
        paths = [path for source in sources for path, _ in source.images]
        if inside := next((path for path in paths if self._is_made(path, output)), None):
            found = f"'{inside}' is inside the output '{output}', where results are made"
            self.findings.add(place, found, allowed, todo)
        for entry in entries:
            folder = self.root / entry
            if (
                not is_remote(entry)
                and os.path.isdir(folder)
                and is_inside(self.root / output, folder)
            ):
                found = f"'{output}' is inside the style folder '{entry}': results would be read"
                self.findings.add(("output",), found, allowed, "choose another output")

    def _into(self, written: Written) -> str:
        into: str = written.value("into") or ""
        if into and (problem := folder_problem(into)):
            allowed = "allowed is a folder below images/: names without a leading dot, split by /"
            self.findings.add(written.place("into"), f"'{into}' {problem}", allowed, "rename it")
        return into.strip("/")

    def _check_strength(self, written: Written, strength: tuple[float, float]) -> None:
        low, high = strength
        if low > high:
            found, allowed = f"found LOW {low:g} above HIGH {high:g}", "allowed is [LOW, HIGH]"
            self.findings.add(written.place("strength"), found, allowed, "swap them")

    def _variants(
        self, written: Written, point: Point | None, assign: Assign, is_random: bool
    ) -> int:
        """Return the results for each image and style that is assigned."""
        is_by = is_by_copies(written)
        variants: int = 1 if is_by else written.value("variants") or 1
        if not is_random and (variants > 1 or assign.rounds + bool(assign.count) > 1):
            key = "copies" if is_by else "variants"
            of_point = f" with {point.swept.label}" if point else ""
            some = ", but more than one of a style" if is_by else ", but they"
            self.findings.add(
                written.place(key),
                f"found {written.value(key)}{some} would all be the same{of_point}: nothing is "
                "drawn at random",
                f"allowed is {'the number of styles' if is_by else '1'}, unless strength is "
                "[LOW, HIGH] or the recipe starts from noise",
                f"write `strength: [LOW, HIGH]`, or {'lower' if is_by else 'remove'} it",
            )
        return variants
