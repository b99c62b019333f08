"""`stylebatch metadata`."""

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, find_output
from stylebatch.run import write_records_beside
from stylebatch.system.words import counted


def metadata(
    path: OutputPath = DEFAULT_MANIFEST,
) -> None:
    """Write metadata.jsonl and its like from what is there: also while a run goes on.

    So training can start on it. A run writes them at its end, and, of a set that is not too large,
    every minute.
    """
    dataset = find_output(path)
    count = write_records_beside(dataset)
    typer.echo(f"{dataset.tell(dataset.metadata)}: {counted(count, 'image')}")
