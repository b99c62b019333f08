"""The application, and the one boundary that maps errors to exit codes."""

import os
import sys
import tempfile
import traceback
from typing import Annotated

import typer

from stylebatch import __version__
from stylebatch.cli import inform, merge, recipes, run, single, weights
from stylebatch.errors import UserError
from stylebatch.run import WorkerError
from stylebatch.system.log import LOG_NOTE

INTERRUPTED = 4
# What Typer makes of Ctrl-C, and what no command of ours ends with.
TYPER_INTERRUPTED = 130

app = typer.Typer(
    name="stylebatch",
    help="Turn folders of photographs into stylised training sets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("plan")(inform.plan)
app.command("status")(inform.status)
app.command("merge")(merge.merge)
app.command("stylize")(single.stylize)
app.command("demo")(single.demo)
app.command("recipes")(recipes.recipes)
app.command("schema")(inform.schema)
app.command("doctor")(inform.doctor)
app.add_typer(weights.app, name="weights")


def _show_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"stylebatch {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; every way out is one of the exit codes of the README."""
    if sys.platform == "win32":
        sys.exit("stylebatch: Windows is not supported: it needs POSIX renames, locks and signals")
    try:
        app()
    except UserError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if ending.code != TYPER_INTERRUPTED:
            raise
        _say("stopped; run it again to go on")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python would complain again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        _report_crash(error)
        sys.exit(1)


def _say(text: str) -> None:
    for line in text.splitlines():
        print(f"stylebatch: {line}", file=sys.stderr)


def _report_crash(error: Exception) -> None:
    """Print where the traceback is: in the run's log, or in a file made for it."""
    text = str(error) if isinstance(error, WorkerError) else traceback.format_exc()
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(LOG_NOTE)]
    where = notes[-1].removeprefix(LOG_NOTE) if notes else _keep(text)
    last = text.strip().splitlines()[-1]
    _say(f"an error of stylebatch's own: {last}\nthe traceback is in {where}")


def _keep(text: str) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="stylebatch-crash-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return file.name
