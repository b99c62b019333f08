"""Annotations with a file for each image, and what belongs beside all of them."""

from functools import cached_property

from stylebatch.annotations import segmentation, voc, yolo
from stylebatch.annotations.findings import (
    Converted,
    MalformedError,
    Problem,
    converted,
    decode_text,
)
from stylebatch.annotations.report import Kind, Report
from stylebatch.annotations.results import Result
from stylebatch.annotations.sources import FOLDERS, FoundFile, Sources
from stylebatch.system import files
from stylebatch.system.words import counted

# Of a kind's file beside a result; side files keep their own.
_SUFFIXES = {"yolo": yolo.SUFFIX, "voc": voc.SUFFIX, "segmentation": segmentation.SUFFIX}
# What an image without one means: of YOLO's, one without objects.
MAY_LACK = {"yolo"}


def target(kind: str, output: str, suffix: str) -> str:
    """Return where a result's file is, from the output."""
    return f"{FOLDERS[kind]}/{output.rpartition('.')[0]}{_SUFFIXES.get(kind, suffix)}"


def tell_strays(report: Report, kind: Kind, sources: Sources, paths: set[str]) -> None:
    """Tell of files that belong to none of all photographs; of side files nobody can say."""
    if kind.name not in _SUFFIXES:
        return
    if strays := list(sources.strays(kind.name, paths)):
        told = counted(len(strays), "file")
        problem = Problem(None, f"{told} of no image in {sources.content} (such as {strays[0]})")
        place = sources.place(kind.name)
        report.tell(kind, place, [problem], is_failure=sources.is_strict)


class PerImage:
    """Converts the files of one pair's photographs for their results."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources

    def source(self, kind: Kind, result: Result, suffix: str, report: Report) -> FoundFile | None:
        """Return the file that belongs to a result; where there is none, that is told."""
        found = self.sources.find(kind.name, result.path, suffix)
        if len(found) == 1:
            return found[0]
        report.of(kind)["without"] += 1
        if not found and kind.name in MAY_LACK:
            return None
        what = " and ".join(each.path for each in found)
        reason = f"{what} both belong to it" if found else f"has no {suffix or kind.name} file"
        problem = Problem(None, reason)
        strict = self.sources.is_strict
        report.tell(kind, result.content, [problem], content=result.content, is_failure=strict)
        return None

    def convert(self, kind: str, file: FoundFile, result: Result) -> Converted:
        """Return a photograph's file for one of its results; what is wrong is told in it."""
        return converted(lambda: self._convert(kind, file, result))

    def _convert(self, kind: str, file: FoundFile, result: Result) -> Converted:
        data = self._bytes(file)
        if kind == "yolo":
            return yolo.convert(data, result.geometry(), self.told_of_labels)
        if kind == "voc":
            return voc.convert(data, result.geometry(), f"images/{result.output}")
        if kind == "segmentation":
            return segmentation.convert(data, result.geometry())
        return Converted(data)

    @cached_property
    def told_of_labels(self) -> yolo.Told:
        """What data.yaml tells of them; one that can't be read is told of by `beside`."""
        try:
            found = self.sources.beside_labels(yolo.DATA)
            return yolo.told_of(self._data(found)) if found else yolo.Told()
        except MalformedError:
            return yolo.Told()

    def beside(self, folders: set[str], report: Report, pair: str) -> dict[str, bytes]:
        """Return data.yaml and classes.txt for an output whose images are in some folders."""
        told: dict[str, bytes] = {}
        kind = Kind(pair, "yolo")
        for names in (yolo.DATA, (yolo.CLASSES,)):
            if (found := self.sources.beside_labels(names)) is None:
                continue
            try:
                if names == yolo.DATA:
                    data = self._data(found)
                    yolo.told_of(data)
                    told[yolo.DATA[0]] = yolo.data_of(data, folders)
                else:
                    classes = self._bytes(found)
                    decode_text(classes)
                    told[f"{FOLDERS['yolo']}/{yolo.CLASSES}"] = classes
            except MalformedError as error:
                strict = self.sources.is_strict
                report.tell(kind, found.path, [error.problem], is_failure=strict)
        return told

    def _data(self, found: FoundFile) -> dict[str, object]:
        return yolo.read_data(self._bytes(found))

    def _bytes(self, found: FoundFile) -> bytes:
        try:
            return files.read_bytes(self.sources.root / found.path)
        except OSError as error:
            raise MalformedError(f"can't be read ({error.strerror})") from None
