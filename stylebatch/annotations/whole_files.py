"""Annotations with one file for all images: read, looked through, multiplied for all results."""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from stylebatch.annotations import coco, csv_table
from stylebatch.annotations.findings import MalformedError, Problem
from stylebatch.annotations.geometry import GeometryError, Placement
from stylebatch.annotations.report import Kind, Report
from stylebatch.annotations.results import Result
from stylebatch.annotations.sources import ImageNames, Sources
from stylebatch.system import files
from stylebatch.system.words import counted

# Sections of COCO that are not one entry for each image or object.
_OF_COCO = ("images", "annotations", "categories", "licenses")


class Part(NamedTuple):
    """A pair's results, with where their annotations come from."""

    kind: Kind
    sources: Sources
    results: list[Result]

    @property
    def file(self) -> str:
        """The file that they stand in."""
        return self.sources.place(self.kind.name)

    def tell(self, report: Report, problems: Iterable[Problem], content: str | None = None) -> None:
        """Note what is wrong with it."""
        strict = self.sources.is_strict
        report.tell(self.kind, self.file, problems, content=content, is_failure=strict)


def _names(part: Part) -> ImageNames:
    done = (result.path for result in part.results)
    return ImageNames(part.sources.content, {*part.sources.photographs(), *done})


class _Strangers:
    """Names in a file that mean no photograph, or several."""

    def __init__(self) -> None:
        self.unknown: list[str] = []
        self.ambiguous: list[tuple[int, str]] = []

    def problems(self, content: str) -> Iterator[Problem]:
        if self.unknown:
            names = counted(len(self.unknown), "name")
            reason = f"{names} of no image in {content} (such as {self.unknown[0]})"
            yield Problem(None, reason)
        for line, name in self.ambiguous:
            yield Problem(line, f"'{name}' may be several images; write the path below {content}")


class CocoFile:
    """One JSON file from those of several pairs."""

    def __init__(self, parts: Iterable[Part], report: Report) -> None:
        self._report = report
        self._categories, self._licenses = coco.Named(), coco.Named()
        self._rest: dict[str, object] = {}
        self._documents: dict[str, coco.Document] = {}
        self._parts = [each for part in parts if (each := self._read(part))]

    def _read(self, part: Part) -> "_CocoPart | None":
        try:
            if part.file not in self._documents:
                data = files.read_bytes(part.sources.root / part.file)
                self._documents[part.file] = coco.read(data)
            document = self._documents[part.file]
        except OSError as error:
            part.tell(self._report, [Problem(None, f"can't be read ({error.strerror})")])
            return None
        except MalformedError as error:
            part.tell(self._report, [error.problem])
            return None
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
        names, strangers = _names(self.part), _Strangers()
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


class CsvFile:
    """One table from those of several pairs."""

    def __init__(self, parts: Iterable[Part], report: Report) -> None:
        self._report = report
        self._parts: list[tuple[Part, csv_table.Table, dict[str, list[tuple[int, csv_table.Row]]]]]
        self._parts = [each for part in parts if (each := self._read(part))]

    def _read(
        self, part: Part
    ) -> tuple[Part, csv_table.Table, dict[str, list[tuple[int, csv_table.Row]]]] | None:
        told = part.sources.told
        try:
            data = files.read_bytes(part.sources.root / part.file)
            table = csv_table.read(data, told.csv_image, told.csv_box)
        except OSError as error:
            part.tell(self._report, [Problem(None, f"can't be read ({error.strerror})")])
            return None
        except MalformedError as error:
            part.tell(self._report, [error.problem])
            return None
        names, strangers = _names(part), _Strangers()
        rows: dict[str, list[tuple[int, csv_table.Row]]] = {}
        for line, row in table.rows:
            found = names.find(row[table.image])
            if len(found) == 1:
                rows.setdefault(found[0], []).append((line, row))
            elif found:
                strangers.ambiguous.append((line, row[table.image]))
            else:
                strangers.unknown.append(row[table.image])
        part.tell(self._report, strangers.problems(part.sources.content))
        return part, table, rows

    @property
    def is_readable(self) -> bool:
        """Whether any of the files could be read: else no file is better than an empty one."""
        return bool(self._parts)

    def lines(self) -> Iterator[str]:
        """Yield the file's lines, without their ends."""
        tables = [table for _, table, _ in self._parts]
        columns = list(dict.fromkeys(name for table in tables for name in table.columns))
        delimiter = tables[0].delimiter if tables else ","
        return csv_table.lines(columns, self._rows(), delimiter)

    def _rows(self) -> Iterator[csv_table.Row]:
        for part, table, rows in self._parts:
            counts = self._report.of(part.kind)
            for result in part.results:
                found = rows.get(result.path, [])
                counts["results" if found else "without"] += 1
                yield from self._rows_of(part, table, result, found)

    def _rows_of(
        self,
        part: Part,
        table: csv_table.Table,
        result: Result,
        rows: list[tuple[int, csv_table.Row]],
    ) -> Iterator[csv_table.Row]:
        """Yield the rows of a result; none where one is malformed and the pair is strict."""
        counts, placed, problems = (
            self._report.of(part.kind),
            list[csv_table.Row](),
            list[Problem](),
        )
        for line, row in rows:
            try:
                size = csv_table.told_size(table, row)
                geometry = result.geometry()
                of_row = size or (geometry.width, geometry.height)
                new, is_cut = csv_table.place(table, row, of_row, geometry.placement(size))
            except (MalformedError, GeometryError) as error:
                problems.append(Problem(line, str(error)))
                continue
            counts["objects"] += 1
            counts["clipped" if new else "dropped"] += is_cut
            if new is not None:
                placed.append({**new, table.image: result.output})
        part.tell(self._report, problems, result.content)
        if not (problems and part.sources.is_strict):
            yield from placed
