"""An output looked at as a whole, and what can be mended let be mended."""

from stylebatch.ledger import Ledger, copy_together
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import find_running
from stylebatch.run import (
    forget_annotations,
    hold,
    new_run_id,
    output_errors,
    write_records,
)
from stylebatch.verify.annotations import look_at_annotations
from stylebatch.verify.differences import OF_IMAGES, Found, Tell
from stylebatch.verify.images import look_at_images, look_for_others
from stylebatch.verify.records import look_at_records
from stylebatch.verify.splits import look_at_splits


def verify_output(dataset: Dataset, tell: Tell, *, is_quick: bool = False) -> Found:
    """Hold every file of an output against its ledger and its records; nothing is changed.

    While a run goes on the ledger is read as it was at the beginning, and what differs then is
    held against it once more at the end.

    Args:
        is_quick: images by their names and sizes, no bytes; no loss logs.

    Raises:
        UserError: no ledger that can be read.
    """
    found, is_running = Found(), _is_held(dataset)
    with copy_together(dataset) as ledger:
        _look_at_files(dataset, ledger, found, tell, is_quick=is_quick)
        if not is_running and not dataset.shards():
            look_at_records(dataset, ledger, found, tell)
        found.differences += look_at_splits(ledger)
    if found.differences and (is_running or _is_held(dataset)):
        _look_again(dataset, found, is_quick=is_quick)
    if is_running:
        found.notes.append("a run goes on: the records, which it writes, are left out")
    elif dataset.shards():
        found.notes.append("shards are not merged: there are no records yet (`stylebatch merge`)")
    return found


def repair_output(dataset: Dataset, tell: Tell, *, is_quick: bool = False) -> Found:
    """Verify an output, and let its next run make again what is not as it was written.

    What was changed or is damaged stays until its successor comes, and lies aside then.

    Raises:
        UserError: as `verify_output`; a run of it goes on (10); it can't be written (5).
    """
    with output_errors(dataset), hold(dataset, new_run_id()), Ledger.open(dataset.ledger) as ledger:
        found = Found()
        _look_at_files(dataset, ledger, found, tell, is_quick=is_quick)
        look_at_records(dataset, ledger, found, tell)
        found.differences += look_at_splits(ledger)
        missing, distrusted = found.outputs(("missing",)), found.outputs(OF_IMAGES)
        ledger.forget(missing)
        ledger.distrust(output for output in distrusted if output not in set(missing))
        found.to_make = len(distrusted)
        if found.outputs(("annotation",)):
            forget_annotations(ledger)
        if found.counts().get("records") or distrusted:
            ledger.put("written", None)
            found.has_written = write_records(dataset, ledger)
    return found


def _is_held(dataset: Dataset) -> bool:
    return any(map(find_running, (dataset, *dataset.shards())))


def _look_at_files(
    dataset: Dataset, ledger: Ledger, found: Found, tell: Tell, *, is_quick: bool
) -> None:
    look_at_images(dataset, ledger, found, tell, is_quick=is_quick)
    look_for_others(dataset, ledger, found, tell)
    look_at_annotations(dataset, ledger, found, tell, is_quick=is_quick)


def _look_again(dataset: Dataset, found: Found, *, is_quick: bool) -> None:
    """Keep the differences that are there by the ledger as it is now, too.

    What a run makes is in place a moment before it is recorded: that is no difference.
    """
    now = Found()
    with copy_together(dataset) as ledger:
        _look_at_files(dataset, ledger, now, lambda *_: None, is_quick=is_quick)
    still = set(now.differences)
    found.differences = [
        each
        for each in found.differences
        if each.kind == "split" or (each in still and each.kind != "unrecorded")
    ]
