"""The report from start to end: read, make thumbnails, write the page and what it loads."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylebatch.output.layout import Dataset
from stylebatch.output.lock import writing_report
from stylebatch.report import curves as loss_curves
from stylebatch.report import figures
from stylebatch.report.columns import Names, Shown, columns
from stylebatch.report.folder import ReportFolder
from stylebatch.report.links import base_of, links_of
from stylebatch.report.pictures import Pictures
from stylebatch.report.records import Records, Row, manifest_folder, name_of, read_records
from stylebatch.report.summary import page_context
from stylebatch.report.writing import page, script
from stylebatch.system import files

# Up to so many images all is in one file, thumbnails and curves too: it can be sent by mail.
MOST_IN_ONE = 300
# Beyond so many the images' columns are scripts of their own, of so many each.
IMAGES_PER_SCRIPT = 20_000
CURVES_PER_SCRIPT = 200

# Is told what is being done, how many of it are done, and of how many.
Tell = Callable[[str, int, int], object]


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was made.

    Attributes:
        path: the page.
        num_images: that it shows; of very many a part of `num_in_all`.
        num_missing: photographs and styles that were not found where the manifest says.
    """

    path: Path
    num_images: int
    num_in_all: int
    num_missing: int


def make_report(
    dataset: Dataset,
    tell: Tell = lambda doing, done, total: None,
    *,
    refresh_s: float | None = None,
) -> Report:
    """Write the report of an output: from its records, which have to be written before.

    Args:
        refresh_s: the page loads itself again so often, in seconds, as long as a run goes on: for
            whoever makes it again and again.

    Raises:
        ReportError: there is a folder `report` that stylebatch did not make.
        OutputHeldError: others have been making it for minutes.
        OSError: it can't be written.
    """
    with writing_report(dataset):
        folder = ReportFolder(dataset.report)
        folder.claim()
        made = _Making(dataset, folder, tell, refresh_s)
        made.write()
    shown, num_in_all = len(made.records.images), made.records.num_images
    return Report(folder.index, shown, num_in_all, made.pictures.num_missing)


class _Making:
    """One report while it is made."""

    def __init__(
        self, dataset: Dataset, folder: ReportFolder, tell: Tell, refresh_s: float | None
    ) -> None:
        self.dataset, self.folder, self.tell, self.refresh_s = dataset, folder, tell, refresh_s
        tell("reading the records", 0, 0)
        self.records: Records = read_records(dataset)
        self.inputs = manifest_folder(dataset, self.records)
        self.is_one = len(self.records.images) <= MOST_IN_ONE
        self.pictures = Pictures(dataset, self.inputs, links_itself=not self.is_one)
        self._scripts: set[str] = set()

    def write(self) -> None:
        """Write what the page loads, then the page, then remove what the last one had."""
        images, records = self.records.images, self.records
        self.tell("looking for images", 0, len(images))
        shown = [self.pictures.show(row) for row in images]
        styles = self.pictures.styles(images)
        self.pictures.make(
            self.folder,
            lambda done, total: self.tell("thumbnails", done, total),
            is_alone=not records.is_running,
        )
        shown = [self.pictures.checked(each) for each in shown]
        curves = loss_curves.read_curves(
            self.dataset, images, lambda done, total: self.tell("loss logs", done, total)
        )
        self.tell("writing", 0, 0)
        data = {
            "made_at": records.made_at,
            "refresh_s": self.refresh_s if records.is_running else None,
            **self._images(images, shown, curves),
            **self._curves(images, curves),
            "inputs": base_of(self.inputs, self.dataset.report),
            "style_thumbnails": {style: self.pictures.usable(key) for style, key in styles.items()},
            "links": links_of(self.inputs, images, self.dataset.report),
            "together": loss_curves.together(images, curves),
            "histograms": figures.histograms(images),
            "by_style": figures.by_style(images),
            "by_device": figures.by_device(images),
            "busy": figures.busy_shares(records.runs),
            "throughput": figures.throughput(_finished(images, shown)),
            "inline": self._inline(),
        }
        files.write_atomic(
            self.folder.index, page(page_context(self.dataset, records), data), make_folders=False
        )
        self.folder.sweep(self._scripts, self.pictures.keys)

    def _images(
        self, images: Sequence[Row], shown: Sequence[Shown], curves: dict[str, Any]
    ) -> dict[str, Any]:
        """Return the images' columns: in the page, or as the names of scripts that bring them."""
        names, logs = Names(), loss_curves.log_kinds(images, curves)
        parts = []
        for start in range(0, max(1, len(images)), IMAGES_PER_SCRIPT):
            part = slice(start, start + IMAGES_PER_SCRIPT)
            parts.append(columns(images[part], shown[part], names, logs[part]))
        if len(parts) == 1:
            return {"names": names.values(), "images": parts, "image_scripts": []}
        told = [self._script("images", number, part) for number, part in enumerate(parts)]
        return {"names": names.values(), "images": [], "image_scripts": told}

    def _curves(self, images: Sequence[Row], curves: dict[str, Any]) -> dict[str, Any]:
        """Return the curves, or the names of scripts that bring those of some images each."""
        if self.is_one:
            return {"curves": curves, "curve_scripts": [], "curves_each": 0}
        told = []
        for number, start in enumerate(range(0, len(images), CURVES_PER_SCRIPT)):
            part = images[start : start + CURVES_PER_SCRIPT]
            found = {name: curves[name] for row in part if (name := name_of(row)) in curves}
            told.append(self._script("curves", number, found) if found else None)
        return {"curves": {}, "curve_scripts": told, "curves_each": CURVES_PER_SCRIPT}

    def _script(self, kind: str, number: int, value: dict[str, Any]) -> str:
        name, data = script(kind, number, value)
        self.folder.write_data(name, data)
        self._scripts.add(name)
        return f"data/{name}"

    def _inline(self) -> dict[str, str]:
        """Return the thumbnails themselves, where the page is to stand alone."""
        if not self.is_one:
            return {}
        found = {}
        for key in sorted(self.pictures.keys):
            data = base64.b64encode(files.read_bytes(self.folder.thumbnail(key)))
            found[key] = f"data:image/webp;base64,{data.decode()}"
        return found


def _finished(images: Sequence[Row], shown: Sequence[Shown]) -> list[tuple[float, str]]:
    return [
        (each.finished, row["device"])
        for row, each in zip(images, shown, strict=True)
        if each.finished is not None and row.get("device")
    ]
