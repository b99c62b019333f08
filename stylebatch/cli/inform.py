"""The commands that only tell: schema, doctor."""

import json

import typer
from rich.console import Console
from rich.text import Text

from stylebatch.cli import checks
from stylebatch.cli.tables import say
from stylebatch.manifest import json_schema


def schema() -> None:
    """Print the manifest's JSON Schema, for editors."""
    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def doctor() -> None:
    """Check this machine: packages, devices, weights, folders."""
    console = Console(highlight=False)
    results = checks.examine()
    width = max(len(check.name) for check in results)
    for check in results:
        mark, style = ("ok", "green") if check.is_good else ("!!", "yellow")
        if check.is_fatal and not check.is_good:
            style = "red"
        say(console, Text.assemble((mark, style), f"  {check.name.ljust(width)}  {check.text}"))
    if any(check.is_fatal and not check.is_good for check in results):
        raise typer.Exit(2)
