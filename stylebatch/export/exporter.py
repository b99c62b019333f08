"""From an output to a folder that a loader or a trainer reads: listed, written, checked."""

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from stylebatch.export import yolo
from stylebatch.export.columns import metadata_of
from stylebatch.export.contents import Contents, Tell
from stylebatch.export.listing import Image, Listing
from stylebatch.export.parquet import check_pyarrow
from stylebatch.export.places import split_name
from stylebatch.export.request import ExportError, ExportStoppedError, Request
from stylebatch.export.shards import Shards
from stylebatch.export.target import SUMMARY, Target, check_target
from stylebatch.export.trees import Classify, Coco, Detect
from stylebatch.ledger import copy_together
from stylebatch.output.json_lines import json_line
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.system import files
from stylebatch.system.words import counted

_TELL_EVERY, _MOST_NAMED = 1000, 3


class Layout(Protocol):
    """How a format lays images out.

    Attributes:
        is_sharded: whether images are in files with others.
        is_yolo: whether splits are called as ultralytics calls them.
        notes: what the user may not have meant; once it is written.
    """

    @property
    def is_sharded(self) -> bool: ...

    @property
    def is_yolo(self) -> bool: ...

    @property
    def notes(self) -> list[str]: ...

    def takes(self, file_name: str) -> bool:
        """Whether an image is part of it."""

    def place(self, row: dict[str, Any], split: str) -> tuple[str, bytes]:
        """Return what an image is called, without its suffix, and its rank in the order."""

    def check(self, contents: Contents) -> None:
        """Refuse what it can't hold, before anything is written.

        Raises:
            ExportError: with what that is.
        """

    def write(self, target: Target, contents: Contents, tell: Tell) -> None:
        """Write all of it."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has come to.

    Attributes:
        num_files: that were written, `export.json` aside.
        splits: images of each split, as the export names it.
        num_left: files that should have been removed, but that somebody has changed.
        notes: what the user may not have meant.
    """

    num_images: int
    num_files: int
    splits: dict[str, int]
    classes: tuple[str, ...]
    num_left: int
    notes: tuple[str, ...]


def export(
    dataset: Dataset, root: Path, request: Request, tell: Tell = lambda *_: None
) -> Exported:
    """Export what an output's ledgers hold as done, at this moment: also while a run goes on.

    What is there of the same export is kept where it is still right, and the rest written anew.

    Args:
        root: a new or empty folder, or one that the same request has written.

    Raises:
        ExportError: nothing was begun.
        ExportHeldError: another export is writing there.
        ExportStoppedError: stopped; the same call goes on.
        LedgerError: no ledger, or one that a newer stylebatch wrote.
    """
    _check_apart(dataset.root.resolve(), root.resolve())
    if request.format == "yolo" and request.task is None:
        request = request.with_task("detect" if yolo.has_labels(dataset.root) else "classify")
    told = {"output": str(dataset.root.resolve()), **request.told()}
    check_target(root, told)
    layout = _layout(dataset.root, request)
    with Listing() as listing:
        classes = _Selection(dataset, request, layout, tell).list_into(listing)
        contents = Contents(dataset, listing, classes)
        layout.check(contents)
        try:
            with Target(root, told) as target:
                layout.write(target, contents, tell)
                num_left = target.finish()
                _check(target, contents, tell, is_sharded=layout.is_sharded)
                command = _command(dataset.root, root, request)
                target.put_json(SUMMARY, _summary(target, contents, {"command": command, **told}))
                num_files = sum(1 for _ in target.known())
        except OSError as error:
            reason = f"can't be read or written ({error.strerror or error})"
            todo = "mend it and run it again: what is done is kept"
            where = str(error.filename or root)
            raise ExportStoppedError(where, reason, "", todo) from error
        splits = {str(name): count for name, count in listing.counts("split").items()}
        notes = tuple(layout.notes)
        return Exported(listing.num_images, num_files, splits, classes, num_left, notes)


def _check_apart(output: Path, root: Path) -> None:
    if output == root or output in root.parents:
        found = f"is in the output {output}, where loaders would find all images twice"
        raise ExportError(str(root), found, "", "choose a place beside it")


def _layout(root: Path, request: Request) -> Layout:
    if request.format == "coco":
        return Coco(root)
    if request.format == "yolo":
        return Detect(root) if request.task == "detect" else Classify()
    if request.format == "parquet":
        check_pyarrow()
    return Shards(request)


class _Selection:
    """Finds the images that were asked for."""

    def __init__(self, dataset: Dataset, request: Request, layout: Layout, tell: Tell) -> None:
        self._dataset, self._request, self._layout = dataset, request, layout
        self._tell, self._labels = tell, set[str]()
        self._names: dict[str | None, str] = {}
        self._missing: list[str] = []
        self._num_missing = 0

    def list_into(self, listing: Listing) -> tuple[str, ...]:
        """List them; return the classes of the whole output.

        Raises:
            ExportError: with what is in the way.
        """
        with copy_together(self._dataset) as ledger:
            listing.fill(self._images(ledger.done()))
        where = str(self._dataset.root)
        if self._num_missing:
            few = ", ".join(self._missing)
            found = f"{counted(self._num_missing, 'image', 'is', 'are')} not there ({few})"
            raise ExportError(where, found, "", "`stylebatch run` makes them again")
        known = {*filter(None, self._names), *self._names.values()}
        for split in self._request.splits:
            if split not in known:
                allowed = f"there are {', '.join(sorted(known)) or 'none'}"
                raise ExportError("--split", f"no image is in '{split}'", allowed)
        if not listing.num_images:
            found, todo = "has none of the images that were asked for", "run it, or ask for others"
            raise ExportError(where, found, "", todo)
        return tuple(sorted(self._labels))

    def _images(self, done: Iterable[dict[str, Any]]) -> Iterator[Image]:
        for number, fields in enumerate(done, 1):
            if number % _TELL_EVERY == 0:
                self._tell("listing", number, 0)
            row = metadata_of(fields)
            name, label = row["file_name"], row["label"]
            if label is not None:
                self._labels.add(label)
            split = self._split(row["split"])
            if not self._is_wanted(row, split):
                continue
            stat = files.stat_file(self._dataset.image_path(name))
            if stat is None:
                self._num_missing += 1
                self._missing += [name] if len(self._missing) < _MOST_NAMED else []
                continue
            place, rank = self._layout.place(row, split)
            # As `metadata.jsonl` has it, from the output's folder.
            line = json_line({**row, "file_name": f"{IMAGES}/{name}"})
            yield Image(split, label, row["kind"], place, rank, *stat, name, line)

    def _is_wanted(self, row: dict[str, Any], split: str) -> bool:
        wanted = self._request.splits
        return (
            (not wanted or row["split"] in wanted or split in wanted)
            and self._request.kind in (None, row["kind"])
            and self._layout.takes(row["file_name"])
        )

    def _split(self, split: str | None) -> str:
        if split not in self._names:
            name = split_name(split, is_yolo=self._layout.is_yolo)
            same = [each for each, known in self._names.items() if known == name and each]
            if same and split:
                found = f"the splits '{same[0]}' and '{split}' would both be called {name}"
                raise ExportError(str(self._dataset.root), found, "", "rename one of them")
            self._names[split] = name
        return self._names[split]


def _check(target: Target, contents: Contents, tell: Tell, *, is_sharded: bool) -> None:
    """Read back what was written, and count its images.

    Raises:
        ExportStoppedError: something is missing, or not as it was written.
    """
    num_files = sum(1 for _ in target.known())
    for number, _ in enumerate(target.check(), 1):
        tell("checking", number, num_files)
    # Of a tree, the files that are listed tell of images that have files of their own.
    found = sum(each.num_images for each in target.known() if each.is_listed == is_sharded)
    if found != contents.listing.num_images:
        is_there = counted(found, "image", "is", "are")
        told = f"{is_there} there of {contents.listing.num_images:,}"
        raise ExportStoppedError(str(target.root), told, "", "run it again")


def _summary(target: Target, contents: Contents, told: dict[str, Any]) -> dict[str, Any]:
    listing, listed = contents.listing, []
    size = linked = copied = 0
    for known in target.known():
        size += known.size
        if known.is_listed:
            listed.append(
                {
                    "file": known.path,
                    "images": known.num_images,
                    "bytes": known.size,
                    "sha256": known.digest,
                }
            )
        else:
            linked, copied = linked + (not known.digest), copied + bool(known.digest)
    return {
        "stylebatch": version("stylebatch"),
        **told,
        "images": listing.num_images,
        "by_split": listing.counts("split"),
        "by_kind": listing.counts("kind"),
        "classes": list(contents.classes),
        "bytes": size,
        "linked": linked,
        "copied": copied,
        "files": listed,
    }


def _command(output: Path, root: Path, request: Request) -> str:
    words = ["stylebatch", "export", request.format, str(output), str(root)]
    words += [word for split in request.splits for word in ("--split", split)]
    words += ["--kind", request.kind] if request.kind else []
    if request.format in ("webdataset", "parquet"):
        words += ["--shard-size", str(request.shard_size), "--seed", str(request.seed)]
    words += ["--task", request.task] if request.task else []
    return shlex.join(words)
