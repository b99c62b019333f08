"""The annotations of an output: derived from what is done, whenever records are written."""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from stylebatch.annotations.coco_file import CocoFile
from stylebatch.annotations.csv_file import CsvFile
from stylebatch.annotations.findings import Problem
from stylebatch.annotations.geometry import Fit
from stylebatch.annotations.parts import Part
from stylebatch.annotations.per_image import PerImage, target, tell_strays
from stylebatch.annotations.report import Kind, Report
from stylebatch.annotations.results import Geometries, Result
from stylebatch.annotations.sources import WHOLE, Annotations, SourceError, Sources
from stylebatch.ledger import Ledger
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.run.annotation_files import AnnotationFiles, are_there
from stylebatch.run.session import RunSummary
from stylebatch.system import files
from stylebatch.system.log import logger

# What is written for the same sources has changed: all is made again.
_FORMAT = 1
_SOURCES, _STATE, _REPORT = "annotations", "annotations_state", "annotations_report"


def note_sources(ledger: Ledger, manifest: Manifest) -> None:
    """Remember where the annotations of each pair are: a merge has no manifest.

    What an earlier manifest said of pairs that are no longer there stays: their images may.
    """
    known = ledger.get(_SOURCES) or {"pairs": {}}
    pairs = {
        pair.name: {"content": pair.content, "told": pair.annotations.to_json()}
        for pair in manifest.pairs
        if pair.annotations is not None
    }
    if not pairs and not known["pairs"]:
        return
    named = {pair.name for pair in manifest.pairs}
    kept = {name: told for name, told in known["pairs"].items() if name not in named}
    root = os.path.relpath(manifest.root.resolve(), manifest.output.resolve())
    now = {"root": root, "pairs": kept | pairs}
    if now != known:
        ledger.put(_SOURCES, now)


def annotate(dataset: Dataset, ledger: Ledger, summary: RunSummary) -> None:
    """Bring an output's annotations up to date, and note in a run's summary what came of it."""
    report = write_annotations(dataset, ledger, summary.run_id)
    summary.annotations = report.summary()
    warnings = report.warnings()
    summary.warnings = [*summary.warnings, *warnings]
    for text in warnings:
        logger.warning("%s", text)
    if report.failures and summary.exit_code == 0:
        summary.exit_code = 3
    summary.failed_annotations = len(report.failures)


def write_annotations(dataset: Dataset, ledger: Ledger, run_id: str) -> Report:
    """Write the annotations of all images that are done, where anything has changed.

    What belongs to images that are no longer there is removed. `failures.jsonl` has what is
    malformed the next time that records are written.
    """
    told = ledger.get(_SOURCES)
    if not told:
        return Report()
    sources = find_sources(dataset, told)
    report, state = Report(), None
    try:
        state = _state(ledger, told, sources)
        if ledger.get(_STATE) == state and are_there(dataset, ledger):
            return Report.from_json(ledger.get(_REPORT))
        _Writing(dataset, ledger, run_id, sources, report).write()
    except SourceError as error:
        # What is there stays, until they can be read again.
        state = None
        report.tell(Kind("", ""), error.where, [Problem(None, error.found)], is_failure=True)
    ledger.put(_REPORT, report.to_json())
    ledger.put(_STATE, state)
    # So that failures.jsonl is written anew.
    ledger.put("written", None)
    return report


def forget_annotations(ledger: Ledger) -> None:
    """Let all annotations be looked at again by the next run, whatever has changed."""
    ledger.put(_STATE, None)


def annotation_failures(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield what `failures.jsonl` has to say of annotations."""
    if found := ledger.get(_REPORT):
        yield from (each.row() for each in Report.from_json(found).failures)


def find_sources(dataset: Dataset, told: dict[str, Any]) -> dict[str, Sources]:
    """Return where each pair's annotations are."""
    root = Path(os.path.normpath(dataset.root.resolve() / told["root"]))

    @cache
    def of(content: str, told: Annotations) -> Sources:  # points of a sweep share theirs
        return Sources(root, content, told)

    return {
        name: of(each["content"], Annotations.from_json(each["told"]))
        for name, each in told["pairs"].items()
    }


def _state(ledger: Ledger, told: dict[str, Any], sources: dict[str, Sources]) -> str:
    """Return a hash of all that annotations are made from."""
    parts = [json.dumps([_FORMAT, ledger.changes, told], sort_keys=True)]
    for each in dict.fromkeys(sources.values()):
        parts += (f"{path} {size} {mtime}" for path, size, mtime in each.stats())
    return files.digest_bytes("\n".join(parts).encode())


def _fit(told: Mapping[str, Any]) -> Fit | None:
    """Return how what settings make comes of photographs, by what was remembered of them."""
    if told.get("originals") == "link":
        return "same"
    # Those of photographs that are copied have no recipe, and what else decides their size.
    recipe = {"fit": None, **told} if "originals" in told else told.get("recipe")
    if not recipe:
        return None
    if recipe["output_size"] == "content":
        return "same"
    # What an earlier manifest made may still stand, of recipes too that annotations refuse.
    is_cut = isinstance(recipe["output_size"], list) or recipe["fit"] == "crop"
    return "cut" if is_cut else "scaled"


class _Writing:
    """One time that annotations are brought up to date."""

    def __init__(
        self,
        dataset: Dataset,
        ledger: Ledger,
        run_id: str,
        sources: dict[str, Sources],
        report: Report,
    ) -> None:
        self.ledger, self.report, self.sources = ledger, report, sources
        self.files = AnnotationFiles(dataset, ledger, run_id, report)
        self.per_image = {pair: PerImage(each) for pair, each in sources.items()}
        self.fits = {key: _fit(told) for key, told in ledger.settings().items()}
        roots = {each.root for each in sources.values()} or {dataset.root}
        self.geometries = Geometries(roots.pop(), dataset.open_image)
        self.whole: dict[str, dict[str, list[Result]]] = {kind: {} for kind in WHOLE}
        self.folders: dict[str, set[str]] = {pair: set() for pair in sources}
        self.paths: dict[str, set[str]] = {pair: set() for pair in sources}
        self.missing = {
            Kind(pair, kind)
            for pair, each in sources.items()
            for kind in each.told.kinds()
            if not each.is_there(kind)
        }

    def write(self) -> None:
        for kind in sorted(self.missing):
            place = self.sources[kind.pair].place(kind.name)
            problem = Problem(None, "is not there; what was written from it before stays as it is")
            self.report.tell(kind, place, [problem], is_failure=True)
            self.files.see_all_of(kind)
        for pair, rows in groupby(self.ledger.done(), lambda row: row["pair"]):
            if pair in self.sources:
                for row in rows:
                    self._image(pair, row)
        for pair in self.sources:
            self._find_strays(pair)
        self._beside_labels()
        for name in WHOLE:
            self._whole_file(name)
        self.files.finish()

    def _image(self, pair: str, row: dict[str, Any]) -> None:
        sources, output, content = self.sources[pair], row["output"], row["content"]
        fit = self.fits.get(row["settings_id"])
        digest = row["content_digest"]

        def geometry() -> Any:
            return self.geometries.find(output, content, digest, fit)

        result = Result(output, content, sources.path_of(content), geometry)
        self.folders[pair].add(output.partition("/")[0])
        self.paths[pair].add(result.path)
        for name in sources.told.kinds():
            kind = Kind(pair, name)
            if kind in self.missing:
                continue
            if name in WHOLE:
                self.whole[name].setdefault(pair, []).append(result)
                continue
            if name == "files" and fit not in (None, "same"):
                suffixes = ", ".join(sources.told.files)
                self.report.note(
                    f"{pair}: side files ({suffixes}) are copied as they are, but results have "
                    "another size: places in them are those of the photograph"
                )
            for suffix in sources.suffixes(name):
                self._file(kind, result, suffix, f"{digest} {row['settings_id']}")

    def _file(self, kind: Kind, result: Result, suffix: str, made_of: str) -> None:
        """Write one image's file of one kind, if it has one."""
        per_image, counts = self.per_image[kind.pair], self.report.of(kind)
        file = per_image.source(kind, result, suffix, self.report)
        if file is None:
            return
        told = per_image.told_of_labels if kind.name == "yolo" else None
        key = files.digest_bytes(f"{_FORMAT} {kind.name} {file} {told} {made_of}".encode())
        path = target(kind.name, result.output, suffix)
        known = self.files.up_to_date(path, key)
        if known is not None:
            counts.update(known)
            return
        made = per_image.convert(kind.name, file, result)
        is_strict = self.sources[kind.pair].is_strict
        self.report.tell(
            kind, file.path, made.problems, content=result.content, is_failure=is_strict
        )
        if made.problems and (is_strict or not made.data):
            return
        # What has problems is looked through each time, so that they are told each time.
        made.counts["results"] = 1
        key = "" if made.problems else key
        if self.files.put(kind, path, key, made.data, made.counts):
            counts.update(made.counts)

    def _find_strays(self, pair: str) -> None:
        """Tell of files that belong to no photograph."""
        sources = self.sources[pair]
        paths = {*self.paths[pair], *sources.photographs}
        for kind in (Kind(pair, name) for name in sources.told.kinds()):
            if kind not in self.missing:
                tell_strays(self.report, kind, sources, paths)

    def _beside_labels(self) -> None:
        """Carry class names along; of pairs with others, the first one's."""
        every = set().union(*self.folders.values())
        written: dict[str, bytes] = {}
        for pair, per_image in self.per_image.items():
            if not per_image.sources.told.yolo or not self.folders[pair]:
                continue
            for path, data in per_image.beside(every, self.report, pair).items():
                if written.setdefault(path, data) != data:
                    place = per_image.sources.place("yolo")
                    problem = Problem(None, f"its classes are others than those of {path} already")
                    self.report.tell(Kind(pair, "yolo"), place, [problem], is_failure=True)
        for path, data in written.items():
            self.files.put(Kind("", "yolo"), path, "", data, Counter())

    def _whole_file(self, name: str) -> None:
        path = WHOLE[name]
        if any(kind.name == name for kind in self.missing):
            self.files.see(path)
            return
        parts = [
            Part(Kind(pair, name), self.sources[pair], results)
            for pair, results in sorted(self.whole[name].items())
        ]
        if not parts:
            return
        made: CocoFile | CsvFile
        made = CocoFile(parts, self.report) if name == "coco" else CsvFile(parts, self.report)
        if made.is_readable:
            self.files.put_lines(Kind("", name), path, made.lines())
