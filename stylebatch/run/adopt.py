"""Images that the ledger does not know, known again by what `metadata.jsonl` says of them."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylebatch.ledger import AdoptedImage, Ledger, LedgerError, open_together
from stylebatch.output.foreign import check_records
from stylebatch.output.layout import IMAGES, Dataset
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.run.metadata import write_records
from stylebatch.run.session import hold, new_run_id, output_errors
from stylebatch.system import files, listing

_BLOCK = 1000
# Before an image's path in a line of the metadata.
_ABOVE = f"{IMAGES}/"


@dataclass(slots=True)
class Adoption:
    """What came of it.

    Attributes:
        known: images that the ledger had already.
        proven: images whose files are the very ones that the metadata tell of.
        unproven: images that a run has made, as their line or their loss log shows, but whose files
            are not known byte for byte: the next run makes them again.
        foreign: files of which nothing shows that a run has made them.
        damaged: where a ledger that could not be read is now.
    """

    known: int = 0
    proven: int = 0
    unproven: int = 0
    foreign: int = 0
    damaged: Path | None = None


def adopt_output(dataset: Dataset) -> Adoption:
    """Take what an output holds into its ledger; one that is damaged is kept beside a new one.

    Raises:
        UserError: a run of it goes on (10); it can't be written (5); a newer ledger (2).
    """
    with output_errors(dataset):
        dataset.make_folders()
    with output_errors(dataset), hold(dataset, new_run_id()):
        damaged = _move_damaged(dataset.ledger)
        with Ledger.open(dataset.ledger) as ledger:
            found = _adopt(dataset, ledger, takes_unproven=True)
            write_records(dataset, ledger)
        found.damaged = damaged
    return found


def adopt_lost(dataset: Dataset, ledger: Ledger) -> int:
    """Take what is proven to be ours into a ledger that knows nothing; return how many images.

    So an output that was copied without its `.stylebatch` goes on. A ledger that is only read has
    to be a copy of its own.
    """
    if ledger.counts() or files.stat_file(dataset.metadata) is None:
        return 0
    return _adopt(dataset, ledger, takes_unproven=False).proven


def open_to_plan(dataset: Dataset) -> Ledger:
    """Open an output's ledgers to read, as a run would begin with them.

    Raises:
        UserError: an output that a run would be refused for.
    """
    if files.stat_file(dataset.home) is None:
        check_records(dataset)
    ledger = open_together(dataset)
    if files.stat_file(dataset.ledger) is None and not dataset.shards():
        adopt_lost(dataset, ledger)
    return ledger


def _adopt(dataset: Dataset, ledger: Ledger, *, takes_unproven: bool) -> Adoption:
    found, waiting = Adoption(), list[AdoptedImage]()
    with _Told(dataset.metadata) as told:
        for image in _looked_at(dataset, ledger, told, found):
            if image.is_proven:
                found.proven += 1
            elif takes_unproven:
                found.unproven += 1
            else:
                continue
            waiting.append(image)
            if len(waiting) >= _BLOCK:
                ledger.adopt(waiting)
                waiting.clear()
    ledger.adopt(waiting)
    if found.proven or found.unproven:
        ledger.remember_settings(_settings(dataset.settings))
    return found


def _looked_at(
    dataset: Dataset, ledger: Ledger, told: "_Told", found: Adoption
) -> Iterator[AdoptedImage]:
    for _, stats in listing.walk_files(dataset.images, IMAGE_SUFFIXES):
        known = ledger.known_images(stat.path for stat in stats)
        found.known += len(known)
        for stat in stats:
            if stat.path in known:
                continue
            line = told.line_of(stat.path)
            has_log = files.stat_file(dataset.log_path(stat.path)) is not None
            if not line and not has_log:
                found.foreign += 1
                continue
            digest = line.get("digest")
            is_proven = bool(digest) and bool(line.get("fingerprint")) and (
                files.digest_file(dataset.image_path(stat.path)) == digest
            )  # fmt: skip
            yield AdoptedImage(stat.path, line, stat.size, is_proven)


class _Told:
    """The lines of `metadata.jsonl` by image; where each begins is kept, not the lines."""

    def __init__(self, path: Path) -> None:
        self._places: dict[str, int] = {}
        self._file = path.open("rb") if files.stat_file(path) is not None else None
        while self._file is not None and (text := self._file.readline()):
            name = _parsed(text).get("file_name")
            if isinstance(name, str) and name.startswith(_ABOVE):
                self._places[name.removeprefix(_ABOVE)] = self._file.tell() - len(text)

    def __enter__(self) -> "_Told":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def line_of(self, output: str) -> dict[str, Any]:
        """Return an image's line, {} where there is none."""
        place = self._places.get(output)
        if self._file is None or place is None:
            return {}
        self._file.seek(place)
        return _parsed(self._file.readline())


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _settings(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = _parsed(files.read_bytes(path))
    except OSError:
        return {}
    return {key: value for key, value in found.items() if isinstance(value, dict)}


def _move_damaged(path: Path) -> Path | None:
    """Rename a ledger that can't be read as a whole; return where it is then."""
    if files.stat_file(path) is None or _is_sound(path):
        return None
    numbers = (path.with_name(f"{path.name}.damaged-{number}") for number in range(1, 1000))
    target = next(each for each in numbers if files.stat_file(each) is None)
    files.rename(path, target)
    # It would be rolled back into the new one.
    files.remove_file(path.with_name(f"{path.name}-journal"))
    return target


def _is_sound(path: Path) -> bool:
    try:
        with Ledger.open(path):
            pass
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except LedgerError as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError):
            return False
        raise
    except sqlite3.DatabaseError:
        return False
