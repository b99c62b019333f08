"""Images that the ledger does not know, known again by what `metadata.jsonl` says of them."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stylebatch.errors import UserError
from stylebatch.ledger import AdoptedImage, Ledger, LedgerError, is_damage, open_together
from stylebatch.output.foreign import check_records
from stylebatch.output.json_lines import read_mapping
from stylebatch.output.layout import Dataset
from stylebatch.output.loss_log import is_log
from stylebatch.output.metadata_lines import MetadataLines
from stylebatch.output.publishing import fetch_records
from stylebatch.output.store import check_state
from stylebatch.pictures.images import IMAGE_SUFFIXES
from stylebatch.run.metadata import write_records
from stylebatch.run.session import hold, new_run_id, output_errors, reading_output
from stylebatch.system import files
from stylebatch.system.listing import FileStat

_BLOCK, _EVERY = 1000, 100
# Kept while images are taken in: whoever was killed meanwhile goes on.
_ADOPTING = "adopting"


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


def adopt_output(dataset: Dataset, check: Callable[[int], object] = lambda count: None) -> Adoption:
    """Take what an output holds into its ledger; one that is damaged is kept beside a new one.

    Args:
        check: is told now and then how many images were looked at, and may raise.

    Raises:
        UserError: a run of it goes on (10); it can't be written (5); a newer ledger (2).
    """
    with reading_output(dataset):
        check_records(dataset)
    with output_errors(dataset):
        dataset.make_folders()
    with output_errors(dataset), hold(dataset, new_run_id()):
        fetch_records(dataset)
        damaged = _move_damaged(dataset.ledger)
        with Ledger.open(dataset.ledger) as ledger:
            found = _adopt(dataset, ledger, check, takes_unproven=True)
            if found.known or found.proven or found.unproven:
                write_records(dataset, ledger)
        found.damaged = damaged
    return found


def adopt_lost(
    dataset: Dataset, ledger: Ledger, check: Callable[[int], object] = lambda count: None
) -> int:
    """Take what is proven to be ours into a ledger that knows nothing; return how many images.

    So an output that was copied without its `.stylebatch` goes on. A ledger that is only read has
    to be a copy of its own.

    Args:
        check: is told now and then how many images were looked at, and may raise.
    """
    if files.stat_file(dataset.metadata) is None:
        return 0
    # One that was killed meanwhile has taken some in.
    if ledger.counts() and not ledger.get(_ADOPTING):
        return 0
    if is_whole := not ledger.is_read_only:
        ledger.put(_ADOPTING, True)
    proven = _adopt(dataset, ledger, check, takes_unproven=False).proven
    if is_whole:
        ledger.put(_ADOPTING, False)
    return proven


def note_behind(ledger: Ledger) -> None:
    """Let `adopt_lost` take in what the metadata tell of, though the ledger knows much already."""
    ledger.put(_ADOPTING, True)


def open_to_plan(dataset: Dataset) -> Ledger:
    """Open an output's ledgers to read, as a run would begin with them.

    Raises:
        UserError: an output that a run would be refused for.
    """
    if files.stat_file(dataset.home) is None:
        with reading_output(dataset):
            check_records(dataset)
            _check_state(dataset)
    elif dataset.store:
        check_state(dataset.state, dataset.store)
    ledger = open_together(dataset)
    if files.stat_file(dataset.ledger) is None and not dataset.shards():
        adopt_lost(dataset, ledger)
    return ledger


def _check_state(dataset: Dataset) -> None:
    """Refuse to plan an output in a store whose records are there and not here.

    Raises:
        UserError: with what to do.
    """
    if dataset.stored and dataset.tree.stands(dataset.metadata):
        found = f"holds images, and what this machine knows of it is not in {dataset.root}"
        todo = "`stylebatch run` takes them in by metadata.jsonl; or name its folder as `run.state`"
        raise UserError(dataset.place, found, "", todo)


def _adopt(
    dataset: Dataset, ledger: Ledger, check: Callable[[int], object], *, takes_unproven: bool
) -> Adoption:
    found, waiting = Adoption(), list[AdoptedImage]()
    with MetadataLines(dataset.metadata) as told:
        for image in _looked_at(dataset, ledger, told, found, check):
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
    dataset: Dataset,
    ledger: Ledger,
    told: MetadataLines,
    found: Adoption,
    check: Callable[[int], object],
) -> Iterator[AdoptedImage]:
    looked = 0
    for _, stats in dataset.tree.walk(dataset.images, IMAGE_SUFFIXES):
        for block in (stats[at : at + _EVERY] for at in range(0, len(stats), _EVERY)):
            check(looked)
            looked += len(block)
            yield from _unknown(dataset, ledger, told, found, block)


def _unknown(
    dataset: Dataset,
    ledger: Ledger,
    told: MetadataLines,
    found: Adoption,
    stats: Sequence[FileStat],
) -> Iterator[AdoptedImage]:
    """Yield those of some images that a ledger does not know, and that are ours."""
    known = ledger.known_images(stat.path for stat in stats)
    proven = _proven(dataset, told, known, stats)
    for stat in stats:
        line = told.line_of(stat.path)
        if _is_known(known, stat, line):
            found.known += 1
        elif stat.size < 0 or not (line or stat.path in known or _is_of_a_run(dataset, stat.path)):
            found.foreign += 1
        elif stat.path in known and stat.path not in proven:
            found.known += 1  # it is made again where that is wrong
        else:
            yield AdoptedImage(stat.path, line, stat.size, stat.path in proven)


def _is_known(
    known: Mapping[str, tuple[int, str]], stat: FileStat, line: Mapping[str, Any]
) -> bool:
    return known.get(stat.path) in ((stat.size, line.get("fingerprint")), (stat.size, ""))


def _is_of_a_run(dataset: Dataset, output: str) -> bool:
    """Whether a file shows that a run has made an image, though not byte for byte."""
    tree = dataset.tree
    return is_log(tree, dataset.log_path(output)) or tree.is_made(dataset.image_path(output))


def _proven(
    dataset: Dataset,
    told: MetadataLines,
    known: Mapping[str, tuple[int, str]],
    stats: Sequence[FileStat],
) -> set[str]:
    """Return those of some images that are, byte for byte, the ones of which the metadata tell."""
    digests = {}
    for stat in stats:
        line = told.line_of(stat.path)
        is_told = line.get("fingerprint") and line.get("digest")
        if is_told and stat.size >= 0 and not _is_known(known, stat, line):
            digests[stat.path] = line["digest"]
    found = dataset.tree.map(partial(_digest, dataset), digests)
    both = zip(digests.items(), found, strict=True)
    return {output for (output, digest), of_file in both if of_file == digest}


def _digest(dataset: Dataset, output: str) -> str:
    try:
        return files.digest_bytes(dataset.tree.read(dataset.image_path(output)))
    except OSError:
        return ""


def _settings(path: Path) -> dict[str, dict[str, Any]]:
    return {key: value for key, value in read_mapping(path).items() if isinstance(value, dict)}


def _move_damaged(path: Path) -> Path | None:
    """Rename a ledger that can't be read as a whole; return where it is then."""
    if files.stat_file(path) is None or _is_sound(path):
        return None
    numbers = (path.with_name(f"{path.name}.damaged-{number}") for number in range(1, 1000))
    target = next(each for each in numbers if files.stat_file(each) is None)
    files.rename(path, target)
    # It would be rolled back into the new one; beside the old it may still mend that.
    journal = path.with_name(f"{path.name}-journal")
    if files.stat_file(journal) is not None:
        files.rename(journal, target.with_name(f"{target.name}-journal"))
    return target


def _is_sound(path: Path) -> bool:
    try:
        with Ledger.open(path):
            pass
        with closing(sqlite3.connect(path)) as connection:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone() == ("ok",))
    except LedgerError as error:
        if isinstance(error.__cause__, sqlite3.DatabaseError) and is_damage(error.__cause__):
            return False
        raise
    except sqlite3.DatabaseError as error:
        if is_damage(error):
            return False
        raise
