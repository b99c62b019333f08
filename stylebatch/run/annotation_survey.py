"""Before a run: what its annotations are, and what is wrong with them."""

from collections.abc import Iterator
from functools import partial
from itertools import groupby

from stylebatch.annotations.coco_file import CocoFile
from stylebatch.annotations.csv_file import CsvFile
from stylebatch.annotations.geometry import Geometry, GeometryError, Size
from stylebatch.annotations.parts import Part
from stylebatch.annotations.per_image import PerImage, tell_strays
from stylebatch.annotations.report import Kind, Report
from stylebatch.annotations.results import Result
from stylebatch.annotations.sources import WHOLE, Annotations, Sources
from stylebatch.ledger import Ledger
from stylebatch.manifest import Manifest, base_name
from stylebatch.pictures.errors import ImageError
from stylebatch.pictures.images import exif_orientation
from stylebatch.system import files
from stylebatch.system.paths import below

_UNSEEN: Size = (0, 0)


def survey_annotations(manifest: Manifest, ledger: Ledger) -> Report:
    """Look through the annotations of all photographs, as if each were a result of its own.

    Args:
        ledger: with which the manifest was planned: it knows the photographs' sizes.
    """
    report = Report()
    seen: set[tuple[str, Annotations]] = set()
    for pair in manifest.pairs:
        told = pair.annotations
        if told is not None and (pair.content, told) not in seen:
            seen.add((pair.content, told))
            sources = Sources(manifest.root, pair.content, told)
            _survey(base_name(pair.name), sources, list(_photographs(sources, ledger)), report)
    return report


def _survey(pair: str, sources: Sources, photographs: list[Result], report: Report) -> None:
    per_image = PerImage(sources)
    for name in sources.told.kinds():
        kind = Kind(pair, name)
        if name in WHOLE:
            continue
        for photograph in photographs:
            for suffix in sources.suffixes(name):
                _look(kind, per_image, photograph, suffix, report)
        tell_strays(report, kind, sources, {each.path for each in photographs})
    if sources.told.yolo:
        per_image.beside(set(), report, pair)
    for name in WHOLE:
        if name in sources.told.kinds():
            part = Part(Kind(pair, name), sources, photographs)
            made = CocoFile([part], report) if name == "coco" else CsvFile([part], report)
            for _ in made.lines():
                pass


def _look(kind: Kind, per_image: PerImage, photograph: Result, suffix: str, report: Report) -> None:
    if (file := per_image.source(kind, photograph, suffix, report)) is None:
        return
    found = per_image.convert(kind.name, file, photograph)
    strict = per_image.sources.is_strict
    report.tell(kind, file.path, found.problems, content=photograph.content, is_failure=strict)
    counts = report.of(kind)
    counts["results"] += 1
    counts.update(found.counts)


def _photographs(sources: Sources, ledger: Ledger) -> Iterator[Result]:
    """Yield all photographs, each standing for a result of its own size."""
    for folder, group in groupby(sources.photographs, lambda path: path.rpartition("/")[0]):
        paths = list(group)
        names = [path.rpartition("/")[2] for path in paths]
        known = ledger.known_files(below(sources.content, folder), min(names), max(names))
        for path, name in zip(paths, names, strict=True):
            size = (known[name].width, known[name].height) if name in known else _UNSEEN
            content = below(sources.content, path)
            yield Result(path, content, path, partial(_as_it_is, sources, content, size))


def _as_it_is(sources: Sources, content: str, size: Size) -> Geometry:
    if size == _UNSEEN:
        raise GeometryError(f"{content} can't be read")

    def orientation() -> int:
        try:
            return exif_orientation(files.read_bytes(sources.root / content), content)
        except (OSError, ImageError):
            return 1

    return Geometry(*size, size, False, orientation)
