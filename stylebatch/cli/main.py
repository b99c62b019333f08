"""The application, and the one boundary that maps errors to exit codes."""

import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stylebatch import __version__
from stylebatch.cli.streams import keep_streams
from stylebatch.errors import INTERRUPTED, RunError, UserError
from stylebatch.system.cores import let_threads_sleep
from stylebatch.system.log import LOG_NOTE
from stylebatch.system.object_stores import is_remote
from stylebatch.system.paths import expand_home

# What Typer makes of Ctrl-C, and what no command of ours ends with.
TYPER_INTERRUPTED = 130
_HOME = re.compile(r"((?:--?[a-z][a-z-]*=?)?)(~[^/=]*/.*)", re.DOTALL)

# Where a command is, below `cli`, and the first line of its help.
COMMANDS = {
    "run": ("run:run", "Make every image of a manifest that is not there yet."),
    "plan": ("plan:plan", "Show what a run would do."),
    "status": (
        "status:status",
        "Show how far an output is. Reads the ledger only: also while a run goes on.",
    ),
    "merge": (
        "merge:merge",
        "Put together what runs with --shard have made, and write metadata.jsonl and its like.",
    ),
    "metadata": (
        "records:metadata",
        "Write metadata.jsonl and its like from what is there: also while a run goes on.",
    ),
    "report": (
        "report:report",
        "Write report/index.html: all pictures, their losses, failures, speed, settings.",
    ),
    "judge": (
        "judge:judge",
        "Measure every image from its file: how much style, structure, colour and speckle it has.",
    ),
    "export": (
        "export:app",
        "Write an output as other programs read it: WebDataset, Parquet, YOLO, COCO.",
    ),
    "adopt": (
        "adopt:adopt",
        "Let an output's images be known again whose ledger is damaged, lost or behind.",
    ),
    "verify": (
        "verify:verify",
        "Hold every file of an output against its ledger and records.",
    ),
    "restore": (
        "aside:restore",
        "Put images that were set aside back where none stands now, of each the last one.",
    ),
    "clean": (
        "aside:clean",
        "List what was set aside, or remove it for good: no run can take it back then.",
    ),
    "init": (
        "init:init",
        "Write a commented manifest for folders that are there, with sizes chosen for them.",
    ),
    "stylize": ("single:stylize", "Stylise one image or a few, without a manifest."),
    "demo": ("single:demo", "Write photographs, styles and a manifest to try things on."),
    "recipes": ("recipes:recipes", "List the recipes, show some whole, or compare what they make."),
    "schema": ("inform:schema", "Print the manifest's JSON Schema, for editors."),
    "doctor": ("inform:doctor", "Check this machine: packages, devices, weights, folders."),
    "styles": (
        "styles:app",
        "Compute style targets ahead of a run; keep, share and switch styles by name.",
    ),
    "weights": ("weights:app", "List, download and convert weights."),
}


# What is said after Ctrl-C; a run writes as it goes.
_GO_ON = "stopped; run it again to go on"
STOPPED = {"run": _GO_ON, "merge": _GO_ON, "restore": _GO_ON, "clean": _GO_ON}
STOPPED["verify"] = "stopped; nothing was changed"
STOPPED["stylize"] = "stopped; nothing is kept of what was begun"


class _Commands(TyperGroup):
    """The commands, of which only the one that is asked for is imported.

    NumPy, Pydantic and the recipes are half a second that `--help` and `--version` have no use for.
    """

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            self.commands[args[0]] = load_command(args[0])
        return super().resolve_command(ctx, args)


def load_command(name: str) -> Any:
    """Import a command, or a group of them, of `COMMANDS`."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(f"stylebatch.cli.{module}"), attribute)
    holder = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command(name)(found)
    return typer.main.get_group(holder).commands[name]


app = typer.Typer(
    name="stylebatch",
    cls=_Commands,
    help="Turn folders of photographs into stylised training sets.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, (_, _help) in COMMANDS.items():
    # For the list of them; what is called stands in for it when it is.
    app.command(_name, help=_help)(lambda: None)


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
    """Run the command line; every way out is one of the exit codes of docs/running.md."""
    if sys.platform == "win32":
        sys.exit("stylebatch: Windows is not supported: it needs POSIX renames, locks and signals")
    keep_streams()
    let_threads_sleep()
    try:
        _run_command()
    except UserError as error:
        _say(str(error))
        sys.exit(error.exit_code)
    except SystemExit as ending:
        if ending.code != TYPER_INTERRUPTED:
            raise
        _say(STOPPED.get(sys.argv[1], "stopped"))
        sys.exit(INTERRUPTED)
    except Exception as error:
        if damaged := _damaged_ledger(error):
            _say(damaged)
            sys.exit(RunError.exit_code)
        if silent := _silent_store(error):
            _say(silent)
            sys.exit(UserError.exit_code)
        _report_crash(error)
        sys.exit(1)


def _damaged_ledger(error: Exception) -> str:
    """Return what to say of an error of SQLite's that tells of a damaged file, else ""."""
    import sqlite3

    from stylebatch.ledger import REMEDY, is_damage

    if not (isinstance(error, sqlite3.DatabaseError) and is_damage(error)):
        return ""
    return f"the output's ledger is damaged ({error}); {REMEDY}"


def _silent_store(error: Exception) -> str:
    """Return what to say of a store that a command can't read, else ""."""
    if not (isinstance(error, OSError) and is_remote(str(error.filename or ""))):
        return ""
    todo = "look at its name and at the credentials in the environment, then again"
    return f"{error.filename}: can't be read ({error.strerror}); {todo}"


def _run_command() -> None:
    try:
        app(list(map(_expanded, sys.argv[1:])))
    finally:
        # While it can still be told that nothing was.
        sys.stdout.flush()


def _expanded(argument: str) -> str:
    """Expand the `~` that begins a path: shells leave it behind `--output=`, programs everywhere.

    One that stands for itself (`--set second_pass=~`, nothing in YAML) is followed by no slash.
    """
    if found := _HOME.fullmatch(argument):
        option, path = found.groups()
        return f"{option}{expand_home(path)}"
    return argument


def _say(text: str) -> None:
    for line in text.splitlines():
        print(f"stylebatch: {line}", file=sys.stderr)


def _report_crash(error: Exception) -> None:
    """Print where the traceback is: in the run's log, or in a file made for it."""
    # Looked up, not imported: importing it may be what failed; without it there was no worker.
    run = sys.modules.get("stylebatch.run")
    is_of_worker = run is not None and isinstance(error, run.WorkerError)
    text = str(error) if is_of_worker else traceback.format_exc()
    notes = [note for note in getattr(error, "__notes__", []) if note.startswith(LOG_NOTE)]
    where = notes[-1].removeprefix(LOG_NOTE) if notes else _keep(text)
    # Not the last line of the traceback: notes stand there.
    lines = text if is_of_worker else "".join(_without_notes(error))
    last = lines.strip().splitlines()[-1]
    _say(f"an error of stylebatch's own: {last}\nthe traceback is in {where}")


def _without_notes(error: Exception) -> Iterator[str]:
    told = traceback.TracebackException.from_exception(error)
    told.__notes__ = None
    return told.format_exception_only()


def _keep(text: str) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="stylebatch-crash-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.write(text)
    return file.name
