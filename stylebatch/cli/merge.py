"""`stylebatch merge`."""

from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, find_output
from stylebatch.output.layout import Dataset
from stylebatch.run import RunSummary, merge_output


def merge(
    path: Annotated[
        Path, typer.Argument(metavar="MANIFEST|OUT", help="The manifest, or the output folder.")
    ] = DEFAULT_MANIFEST,
) -> None:
    """Put together what runs with --shard have made, and write metadata.jsonl and its like."""
    dataset = find_output(path)
    summary = merge_output(dataset, str(path) if path.is_file() else "")
    typer.echo(_line(dataset, summary))
    raise typer.Exit(summary.exit_code)


def _line(dataset: Dataset, summary: RunSummary) -> str:
    plural = "" if len(summary.merged) == 1 else "s"
    parts = [
        f"{len(summary.merged)} shard{plural} merged",
        f"{summary.done_before} images are there",
    ]
    if summary.failed:
        parts.append(f"{summary.failed} failed; see {dataset.failures}")
    if summary.remaining:
        parts.append(f"{summary.remaining} are still to be made")
    return f"{dataset.images}: {', '.join(parts)}"
