"""What a pair says of its photographs' annotations: whether it is there, and fits its recipe."""

import posixpath
from pathlib import Path

from stylebatch.annotations.sources import WHOLE, Annotations
from stylebatch.manifest.annotation_fields import AnnotationFields, TableFields
from stylebatch.manifest.paths import CORRECT
from stylebatch.manifest.problems import Findings
from stylebatch.manifest.yaml_lines import Loc
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.recipes import Recipe

_FOLDERS = ("yolo", "voc", "segmentation")


class AnnotationReader:
    """Reads the annotations of a manifest's pairs."""

    def __init__(self, root: Path, findings: Findings) -> None:
        self._root, self._findings = root, findings

    def read(self, fields: AnnotationFields, place: Loc) -> Annotations:
        """Return what a pair's field says, after looking whether all is there."""
        table = fields.csv if isinstance(fields.csv, TableFields) else None
        csv = table.file if table else fields.csv if isinstance(fields.csv, str) else None
        paths = {kind: getattr(fields, kind) for kind in (*_FOLDERS, "coco")} | {"csv": csv}
        found = {kind: posixpath.normpath(path) for kind, path in paths.items() if path is not None}
        for kind, path in found.items():
            self._check(kind, path, (*place, kind))
        if not found and not fields.files:
            kinds = ", ".join((*_FOLDERS, *WHOLE, "files"))
            self._findings.add(place, "found none", f"allowed are {kinds}", "write one of them")
        for suffix in fields.files or ():
            if f".{suffix.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES:
                told = f"'{suffix}' is a suffix of images, which would be stylised"
                allowed, todo = "allowed are others", "write `segmentation: FOLDER` for masks"
                self._findings.add((*place, "files"), told, allowed, todo)
        return Annotations(
            **found,
            csv_image=(table.image if table else None) or "",
            csv_box=(table.box if table else None) or (),
            files=tuple(fields.files or ()),
            malformed=fields.malformed,
        )

    def check_recipe(self, found: Annotations | None, recipe: Recipe, place: Loc) -> None:
        """Refuse a recipe that crops before it optimises."""
        if found is not None and recipe.fit == "crop":
            told = "the recipe has fit: crop, which cuts edges off before it optimises"
            allowed = "allowed with annotations are longest, shortest and stretch"
            todo = "write `output_size: [W, H]` to cut results, boxes and masks alike"
            self._findings.add(place, told, allowed, todo)

    def _check(self, kind: str, path: str, place: Loc) -> None:
        there, is_file = self._root / path, kind in WHOLE
        if not (there.is_file() if is_file else there.is_dir()):
            what = "file" if is_file else "folder"
            told = f"'{path}' is no {what} that exists"
            self._findings.add(place, told, f"allowed is a {what}", CORRECT)
