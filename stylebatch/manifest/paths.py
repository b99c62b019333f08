"""Which names and paths a manifest may use for what it makes."""

import os
from pathlib import Path

from stylebatch.system.inputs import Place, normalised
from stylebatch.system.object_stores import is_remote

MAX_NAME_BYTES = 80
NAME_RULE = f"allowed is a name without /, with no leading dot, up to {MAX_NAME_BYTES} bytes"
CORRECT = "correct the path (relative to the manifest)"


def path_problem(name: str) -> str:
    """Return what keeps a name from being one component of a path, "" where nothing does."""
    if not name.strip() or name != name.strip():
        return "is empty or has spaces at an end"
    if "/" in name or "\\" in name:
        return "holds a / or \\"
    if name.startswith("."):
        return "starts with a dot"
    if not name.isprintable():
        return "holds a control character"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    return ""


def folder_problem(path: str) -> str:
    """Return what keeps a path from being a folder below another, "" where nothing does."""
    if path.startswith("/"):
        return "is absolute"
    problems = (path_problem(part) for part in path.strip("/").split("/"))
    return next((problem for problem in problems if problem), "")


def is_inside(path: Place, folder: Place) -> bool:
    """Whether a path is a folder or below it, links followed."""
    if not (isinstance(path, Path) and isinstance(folder, Path)):
        return f"{path}/".startswith(f"{folder}/")
    # Unlike `Path.resolve`, this stands a link to itself.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def relative_to(root: Path, path: str) -> str:
    """Return a path, relative to `root` or absolute, as one relative to `root`; a URL as it is."""
    if is_remote(path):
        return normalised(path)
    return Path(os.path.relpath(root / path, root)).as_posix()
