"""The commands. Here alone things are printed, and errors become exit codes."""

from stylebatch.cli.signals import hear_early

# Before the rest is imported, which takes a moment.
hear_early()

from stylebatch.cli.main import main  # noqa: E402

__all__ = ["main"]
