"""What a run is refused or ended for by its output."""

from pathlib import Path

from stylebatch.errors import RunError, UserError


class OutputHeldError(UserError):
    """Another run holds the output."""

    exit_code = 10


class NoLocksError(UserError):
    """The output's file system can't lock a file."""


class StoreRefusedError(UserError):
    """The output's object store can't be written."""


class LostOutputError(RunError):
    """The output can't be written, or is no longer this run's."""

    @classmethod
    def from_os_error(cls, error: OSError, root: Path) -> "LostOutputError":
        """Make one of what the system says; `root` where it names no file."""
        found = f"the output can't be written ({error.strerror})"
        return cls(
            str(error.filename or root), found, "", "mend it and run again: what is done is kept"
        )
