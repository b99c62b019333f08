"""Input files as they were planned with: read, and refused where they have changed since."""

from pathlib import Path

from stylebatch.errors import UserError
from stylebatch.system import inputs
from stylebatch.system.files import digest_bytes
from stylebatch.system.read_ahead import is_transient


def read_planned(
    root: Path, path: str, digest: str, what: str, error_class: type[UserError]
) -> bytes:
    """Return a file's bytes.

    Args:
        path: from `root`; also what the message names.
        digest: of the bytes that were planned with.
        what: the kind of file, for the message.

    Raises:
        UserError: of `error_class`: it can't be read, which may pass, or has changed.
    """
    try:
        data = inputs.read(inputs.at(root, path))
    except OSError as error:
        problem = error_class(path, f"can't be read ({error.strerror})")
        problem.is_transient = is_transient(error)
        problem.unexpected_input = path
        raise problem from error
    if digest_bytes(data) != digest:
        todo = "run again: the plan then sees the new file"
        problem = error_class(path, f"this {what} has changed since planning", "", todo)
        problem.unexpected_input = path
        raise problem
    return data
