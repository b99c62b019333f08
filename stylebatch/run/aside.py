"""Images between their place and `stale/`: replaced, taken back, put back, set aside."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stylebatch.ledger import AsideImage, Ledger, PlannedJobs
from stylebatch.output import aside
from stylebatch.output.layout import Dataset
from stylebatch.system import files
from stylebatch.system.crash_points import reached


class Move(NamedTuple):
    """An image that lies aside, and the output (path below `images/`) that it is to be again."""

    image: AsideImage
    output: str
    is_replacement: bool


def settle(dataset: Dataset, ledger: Ledger) -> None:
    """Put the images back of which the ledger tells, where others are in their place.

    A worker had replaced them, and what it said of it was lost: with its run, or with itself.
    """
    unsettled = ledger.aside.unsettled()
    for output, run_id in unsettled:
        aside.put_back(dataset, output, run_id)
        reached("put-back")
    if unsettled:
        ledger.aside.settle()


def settle_output(dataset: Dataset) -> None:
    """Do so for an output, or a shard of it, whose ledger may not be there yet."""
    if files.stat_file(dataset.ledger) is not None:
        with Ledger.open(dataset.ledger) as ledger:
            settle(dataset, ledger)


def take_back(dataset: Dataset, ledger: Ledger, planned: PlannedJobs, run_id: str) -> int:
    """Put into place what a plan wants and lies aside already; return how many images."""
    count = 0
    for block in planned.returning():
        ledger.claim(job for job, _ in block)
        place(
            dataset,
            ledger,
            [Move(image, job.output, job.is_replacement) for job, image in block],
            run_id,
        )
        count += len(block)
    return count


def place(dataset: Dataset, ledger: Ledger, moves: Iterable[Move], run_id: str) -> None:
    """Put images that lie aside in place, as the ledger has claimed them; what stood there is kept.

    They lie aside until the ledger has them in their places.
    """
    moves = list(moves)
    tree = dataset.tree

    def keep(move: Move) -> set[Path]:
        return aside.keep_aside(dataset, move.output, run_id) if move.is_replacement else set()

    def take(move: Move) -> set[Path]:
        image = move.image
        return aside.take_back(dataset, image.run_id, image.output, move.output, run_id)

    def remove(move: Move) -> None:
        aside.remove_aside(dataset, move.image.run_id, [move.image.output])

    tree.settle(set[Path]().union(*tree.map(keep, moves)))
    tree.settle(set[Path]().union(*tree.map(take, moves)))
    reached("taken-back")
    ledger.record(image.done_as(output) for image, output, _ in moves)
    tree.map(remove, moves)
    reached("aside-removed")
    ledger.aside.drop(image for image, _, _ in moves)


def set_aside(dataset: Dataset, ledger: Ledger, blocks: Iterable[list[str]], run_id: str) -> int:
    """Move outputs that have no place any more to the run's stale folder; return how many images.

    The ledger notes first what will lie there: a row whose file is not there means nothing.
    """
    moved = 0
    for outputs in blocks:
        ledger.aside.note(outputs, run_id)
        reached("stale-noted")
        moved += aside.set_aside(dataset, outputs, run_id)
        reached("stale-moved")
        ledger.forget(outputs)
        reached("stale-forgotten")
    return moved
