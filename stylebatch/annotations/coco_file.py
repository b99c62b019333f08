"""COCO's one JSON file for all images: read, looked through, multiplied for all results."""

import json
from collections.abc import Iterable, Iterator

from stylebatch.annotations import coco
from stylebatch.annotations.findings import Problem
from stylebatch.annotations.geometry import GeometryError, Placement
from stylebatch.annotations.parts import Part, Strangers, names_of
from stylebatch.annotations.report import Report
from stylebatch.annotations.results import Result

# Sections of COCO that are not one entry for each image or object.
_OF_COCO = ("images", "annotations", "categories", "licenses")


class CocoFile:
    """One JSON file from those of several pairs."""

    def __init__(self, parts: Iterable[Part], report: Report) -> None:
        self._report = report
        self._categories, self._licenses = coco.Named(), coco.Named()
        self._rest: dict[str, object] = {}
        self._documents: dict[str, coco.Document] = {}
        self._parts = [each for part in parts if (each := self._read(part))]

    def _read(self, part: Part) -> "_CocoPart | None":
        document = self._documents.get(part.file) or part.read(self._report, coco.read)
        if document is None:
            return None
        self._documents[part.file] = document
        for key, value in document.data.items():
            if key not in _OF_COCO:
                self._rest.setdefault(key, value)
        categories = self._categories.add(document.data.get("categories") or [])
        licenses = self._licenses.add(document.data.get("licenses") or [])
        return _CocoPart(part, document, categories, licenses, self._report)

    @property
    def is_readable(self) -> bool:
        """Whether any of the files could be read: else no file is better than an empty one."""
        return bool(self._parts)

    def lines(self) -> Iterator[str]:
        """Yield the file's lines, without their ends."""
        self._number_images()
        head = self._rest | ({"licenses": self._licenses.entries} if self._licenses.entries else {})
        yield "{"
        for key, value in head.items():
            yield f"{_json(key)}: {_json(value)},"
        yield '"images": ['
        yield from _separated(each for part in self._parts for each in part.images())
        yield "],"
        yield '"annotations": ['
        yield from _separated(self._annotations())
        yield "],"
        yield f'"categories": {_json(self._categories.entries)}'
        yield "}"

    def _annotations(self) -> Iterator[coco.Entry]:
        number = 0
        for part in self._parts:
            for entry in part.annotations():
                number += 1
                yield {**entry, "id": number}

    def _number_images(self) -> None:
        """Give every image that comes its id."""
        number = 0
        for part in self._parts:
            number = part.number_images(number)


class _CocoPart:
    """What one pair adds."""

    def __init__(
        self,
        part: Part,
        document: coco.Document,
        categories: dict[object, object],
        licenses: dict[object, object],
        report: Report,
    ) -> None:
        self.part, self.document, self.report = part, document, report
        self.categories, self.licenses = categories, licenses
        self._lines: dict[str, list[int]] = {}
        self.entries, unsound = self._match()
        self._numbered: list[tuple[int, Result, coco.Entry, Placement]] = []
        # Equal ones, as most are, are kept once.
        self._placements: dict[Placement, Placement] = {}
        is_strict = part.sources.is_strict
        self.left_out = unsound if is_strict else set()

    def _match(self) -> tuple[dict[str, coco.Entry], set[str]]:
        """Return the entries of photographs, and the photographs with something malformed."""
        names, strangers = names_of(self.part), Strangers()
        entries: dict[str, coco.Entry] = {}
        problems = list(self.document.problems)
        for index, entry in self.document.images.items():
            found = names.find(entry["file_name"])
            if len(found) == 1 and found[0] not in entries:
                entries[found[0]] = entry
            elif len(found) == 1:
                problems.append(("images", index, f"another entry of {found[0]}"))
            elif found:
                line = self._line("images", index)
                strangers.ambiguous.append((line, entry["file_name"]))
            else:
                strangers.unknown.append(entry["file_name"])
        self.part.tell(self.report, strangers.problems(self.part.sources.content))
        paths = {entry["id"]: path for path, entry in entries.items()}
        return entries, set(self._tell(problems, paths))

    def _tell(
        self, problems: Iterable[tuple[str, int, str]], paths: dict[object, str]
    ) -> Iterator[str]:
        """Tell of malformed entries; yield the photographs that they are about."""
        for section, index, reason in problems:
            entry = self.document.data[section][index]
            about = entry.get("image_id" if section == "annotations" else "id", None)
            path = paths.get(about) if isinstance(about, int | str) else None
            line = self._line(section, index)
            content = None if path is None else f"{self.part.sources.content}/{path}"
            told = f"{section}[{index}]: {reason}"
            self.part.tell(self.report, [Problem(line, told)], content)
            if path is not None:
                yield path

    def _line(self, section: str, index: int) -> int:
        if section not in self._lines:
            self._lines[section] = coco.lines_of(self.document.text, section)
        return self._lines[section][index]

    def number_images(self, last: int) -> int:
        """Give results ids from `last` + 1 on; return the last one."""
        counts = self.report.of(self.part.kind)
        for result in self.part.results:
            entry = self.entries.get(result.path)
            if entry is None:
                counts["without"] += 1
                problem = Problem(None, f"has no entry for {result.content}")
                self.part.tell(self.report, [problem], result.content)
            elif result.path not in self.left_out and (at := self._placement(result, entry)):
                last += 1
                counts["results"] += 1
                at = self._placements.setdefault(at, at)
                self._numbered.append((last, result, entry, at))
        return last

    def _placement(self, result: Result, entry: coco.Entry) -> Placement | None:
        try:
            return result.geometry().placement((entry["width"], entry["height"]))
        except GeometryError as error:
            self.part.tell(self.report, [Problem(None, str(error))], result.content)
            return None

    def images(self) -> Iterator[coco.Entry]:
        for number, result, entry, placement in self._numbered:
            size = {"width": placement.width, "height": placement.height}
            told = {**entry, **size, "id": number, "file_name": result.output}
            if isinstance(known := told.get("license"), int | str):
                told["license"] = self.licenses.get(known, known)
            yield told

    def annotations(self) -> Iterator[coco.Entry]:
        counts = self.report.of(self.part.kind)
        for number, _, entry, placement in self._numbered:
            for each in self.document.annotations.get(entry["id"], ()):
                placed, is_cut = coco.place(each, placement)
                counts["objects"] += 1
                counts["clipped" if placed else "dropped"] += is_cut
                if placed is None:
                    continue
                placed["image_id"] = number
                if "category_id" in placed:
                    placed["category_id"] = self.categories[placed["category_id"]]
                yield placed


def _separated(entries: Iterable[coco.Entry]) -> Iterator[str]:
    before: str | None = None
    for entry in entries:
        if before is not None:
            yield f"{before},"
        before = _json(entry)
    if before is not None:
        yield before


def _json(value: object) -> str:
    return json.dumps(value)
