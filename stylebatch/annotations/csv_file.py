"""One table for all images: read, looked through, its rows multiplied for all results."""

from collections.abc import Iterable, Iterator

from stylebatch.annotations import csv_table
from stylebatch.annotations.findings import MalformedError, Problem
from stylebatch.annotations.geometry import GeometryError
from stylebatch.annotations.parts import Part, Strangers, names_of
from stylebatch.annotations.report import Report
from stylebatch.annotations.results import Result

# The rows of each photograph, each with its line.
Rows = dict[str, list[tuple[int, csv_table.Row]]]


class CsvFile:
    """One table from those of several pairs."""

    def __init__(self, parts: Iterable[Part], report: Report) -> None:
        self._report = report
        self._parts: list[tuple[Part, csv_table.Table, Rows]]
        self._parts = [each for part in parts if (each := self._read(part))]

    def _read(self, part: Part) -> tuple[Part, csv_table.Table, Rows] | None:
        told = part.sources.told
        table = part.read(
            self._report, lambda data: csv_table.read(data, told.csv_image, told.csv_box)
        )
        if table is None:
            return None
        names, strangers = names_of(part), Strangers()
        rows: Rows = {}
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
