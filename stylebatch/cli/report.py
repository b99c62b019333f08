"""`stylebatch report`."""

import sys
import webbrowser
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, find_output
from stylebatch.output.layout import Dataset
from stylebatch.report import Report, make_report
from stylebatch.run import write_records_beside
from stylebatch.system.words import counted


def report(
    path: OutputPath = DEFAULT_MANIFEST,
    is_opened: Annotated[
        bool, typer.Option("--open", help="Show it in the browser when it is made.")
    ] = False,
) -> None:
    """Write report/index.html: all pictures, their losses, failures, speed, settings.

    Also while a run goes on: it shows what is there.
    """
    dataset = find_output(path)
    write_records_beside(dataset)
    made = make_with_bar(dataset, is_shown=sys.stderr.isatty())
    typer.echo(report_line(made))
    if is_opened:
        webbrowser.open(made.path.absolute().as_uri())


def report_line(made: Report) -> str:
    """Say where a report is, and what of it is not there."""
    line = f"{made.path}: {counted(made.num_images, 'image')}"
    if made.num_in_all > made.num_images:
        line += f" of {made.num_in_all:,}"
    if made.num_missing:
        gone = counted(made.num_missing, "photograph or style", "was", "were")
        line += f"; {gone} not found where the manifest says"
    return line


def make_with_bar(dataset: Dataset, *, is_shown: bool) -> Report:
    """Make a report, with a bar on stderr."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("report", total=None)

        def tell(doing: str, done: int, total: int) -> None:
            bar.update(task, description=doing, completed=done, total=total or None)

        return make_report(dataset, tell)
