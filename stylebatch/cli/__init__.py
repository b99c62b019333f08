"""The commands. Here alone things are printed, and errors become exit codes."""

from stylebatch.cli.main import main

__all__ = ["main"]
