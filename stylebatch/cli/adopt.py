"""`stylebatch adopt`."""

from pathlib import Path

import typer

from stylebatch.cli.arguments import (
    DEFAULT_MANIFEST,
    ArgumentError,
    OutputPath,
    check_merged,
    open_output,
)
from stylebatch.output.layout import Dataset
from stylebatch.run import adopt_output
from stylebatch.system.bars import passing_bar
from stylebatch.system.words import counted


def adopt(path: OutputPath = DEFAULT_MANIFEST) -> None:
    """Let an output's images be known again whose ledger is damaged, lost or behind.

    What metadata.jsonl tells of byte for byte is done again; what only a loss log shows to be made
    by a run is made again, and the old set aside. Nothing is removed.
    """
    dataset = _output(path)
    with passing_bar() as tell:
        found = adopt_output(dataset, lambda count: tell("looking at images", count, None))
    if found.damaged:
        typer.echo(f"{dataset.ledger} is damaged: it is {found.damaged.name} now")
    told = [f"{counted(found.proven, 'image')} adopted"]
    if found.unproven:
        told.append(f"{found.unproven} to be made again, as they are not told of byte for byte")
    if found.known:
        told.append(f"{found.known} known already")
    if found.foreign:
        told.append(f"{counted(found.foreign, 'file')} left that no run is known to have made")
    typer.echo(f"{dataset.tell(dataset.images)}: {', '.join(told)}")


def _output(path: Path) -> Dataset:
    dataset = open_output(path)
    if not dataset.tree.has_folder(dataset.images):
        todo = "the argument is a manifest or an output folder"
        raise ArgumentError(dataset.place, "no images are there", "", todo)
    check_merged(dataset)
    return dataset
