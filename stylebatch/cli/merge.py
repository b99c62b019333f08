"""`stylebatch merge`."""

import typer

from stylebatch.cli.annotations import annotation_parts
from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, check_in_folder, find_output
from stylebatch.cli.report import report_at_end
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.run import RunSummary, merge_output
from stylebatch.system.words import counted


def merge(
    path: OutputPath = DEFAULT_MANIFEST,
) -> None:
    """Put together what runs with --shard have made, and write metadata.jsonl and its like."""
    dataset = find_output(path)
    check_in_folder(dataset, "merge")
    summary = merge_output(dataset, str(path) if path.is_file() else "")
    typer.echo(_line(dataset, summary))
    if path.is_file() and load_manifest(path).run.report:
        report_at_end(dataset, is_quiet=False)
    raise typer.Exit(summary.exit_code)


def _line(dataset: Dataset, summary: RunSummary) -> str:
    parts = [
        f"{counted(len(summary.merged), 'shard')} merged",
        counted(summary.done_before, "image", "is there", "are there"),
    ]
    if summary.failed:
        parts.append(f"{summary.failed} failed; see {dataset.failures}")
    if summary.rejected:
        parts.append(f"{summary.rejected} rejected")
    parts += annotation_parts(summary)
    if summary.remaining:
        parts.append(
            f"{summary.remaining} {'is' if summary.remaining == 1 else 'are'} still to be made"
        )
    return f"{dataset.tell(dataset.images)}: {', '.join(parts)}"
