"""`stylebatch report`, what `run.report` makes at a run's end, and what `status --html` renews."""

import sys
import time
import webbrowser
from collections.abc import Callable
from typing import Annotated

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, OutputPath, check_in_folder, find_output
from stylebatch.errors import UserError
from stylebatch.output.errors import LostOutputError
from stylebatch.output.layout import Dataset
from stylebatch.report import Report, make_report
from stylebatch.run import write_records_beside
from stylebatch.system.bars import passing_bar
from stylebatch.system.log import logger
from stylebatch.system.words import counted

# How often a report is made again that somebody watches, and for which share of the time at most.
FRESH_S, LARGEST_SHARE = 10.0, 0.1


def report(
    path: OutputPath = DEFAULT_MANIFEST,
    is_opened: Annotated[
        bool, typer.Option("--open", help="Show it in the browser when it is made.")
    ] = False,
) -> None:
    """Write report/index.html: all pictures, their losses, failures, speed, settings.

    Also while a run goes on: it shows what is there. What has not changed is not read again.
    """
    dataset = find_output(path)
    check_in_folder(dataset, "report")
    try:
        write_records_beside(dataset)
        made = _make(dataset)
    except OSError as error:
        raise LostOutputError.from_os_error(error, dataset.root) from error
    typer.echo(_line(made))
    if is_opened:
        webbrowser.open(made.path.absolute().as_uri())


def report_at_end(
    dataset: Dataset, *, is_quiet: bool, check: Callable[[], object] = lambda: None
) -> None:
    """Make the report when a run has ended; where that fails a warning says so, and no more.

    Args:
        check: is called again and again, and may raise KeyboardInterrupt: then there is none.
    """
    try:
        made = _make(dataset, is_shown=not is_quiet, check=check)
    except KeyboardInterrupt:
        reason = "stopped"
    except (UserError, OSError) as error:
        reason = str(error)
    except Exception as error:
        logger.exception("the report")
        reason = f"an error of stylebatch's own: {type(error).__name__}: {error}"
    else:
        if not is_quiet and sys.stdout.isatty():
            typer.echo(_line(made))
        return
    todo = f"`stylebatch report {dataset.root}` tries again"
    typer.echo(f"stylebatch: the report was not made: {reason}; {todo}", err=True)


class Fresh:
    """A report that is made again and again while somebody watches a run."""

    def __init__(self, dataset: Dataset) -> None:
        """Make none yet."""
        self._dataset, self._due_at, self._every_s = dataset, 0.0, FRESH_S
        self._told = ""

    def renew(self, *, is_running: bool) -> None:
        """Make it if it is time, or if the run has ended."""
        now = time.monotonic()
        if is_running and now < self._due_at:
            return
        try:
            write_records_beside(self._dataset)
            made = make_report(self._dataset, refresh_s=self._every_s)
        except (UserError, OSError) as error:
            self._tell(f"stylebatch: the report was not made: {error}")
        else:
            self._tell(f"{made.path.absolute().as_uri()}: made again every {self._every_s:.0f} s")
        took_s = time.monotonic() - now
        self._every_s = max(FRESH_S, took_s / LARGEST_SHARE)
        self._due_at = time.monotonic() + self._every_s

    def _tell(self, text: str) -> None:
        """Say it on stderr, the same thing once."""
        if text != self._told:
            typer.echo(text, err=True)
        self._told = text


def _line(made: Report) -> str:
    line = f"{made.path}: {counted(made.num_images, 'image')}"
    if made.num_in_all > made.num_images:
        line += f" of {made.num_in_all:,}"
    if made.num_missing:
        gone = counted(made.num_missing, "photograph or style", "was", "were")
        gone = gone.replace("photograph or styles", "photographs or styles")
        line += f"; {gone} not found where the manifest says"
    return line


def _make(
    dataset: Dataset, *, is_shown: bool = True, check: Callable[[], object] = lambda: None
) -> Report:
    """Make a report, with a bar on stderr."""
    with passing_bar(is_wanted=is_shown) as show:

        def tell(doing: str, done: int, total: int) -> None:
            show(doing, done, total or None)
            check()

        return make_report(dataset, tell)
