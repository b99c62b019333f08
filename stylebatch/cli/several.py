"""Several manifests in one command: read together, then taken one after another."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, ArgumentError
from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest, load_manifest

Manifests = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[MANIFEST]...",
        help=f"The manifest, or several, one after another; else {DEFAULT_MANIFEST}.",
        show_default=False,
    ),
]
# Where several exit codes apply, the first of these.
MOST_SERIOUS = (10, 2, 1, 5, 4, 3, 0)


def load_all(paths: Sequence[Path] | None, changes: Sequence[str] | None) -> list[Manifest]:
    """Read manifests, each with the same changes; none is the usual one.

    Raises:
        ManifestError, Problems: all that is wrong in any of them.
        ArgumentError: two of them have one output: each would set aside what the other makes.
    """
    loaded: list[Manifest] = []
    problems: list[UserError] = []
    for path in paths or [DEFAULT_MANIFEST]:
        try:
            loaded.append(load_manifest(path, changes=changes or ()))
        except UserError as error:
            problems.append(error)
    raise_all(problems)
    seen: dict[Path, Manifest] = {}
    for each in loaded:
        other = seen.setdefault(each.output.resolve(), each)
        if other is not each:
            found = f"its output, {each.output}, is that of {other.path} too"
            todo = "give one another output, or put their pairs into one manifest"
            raise ArgumentError(str(each.path), found, "allowed is one manifest for each", todo)
    return loaded


def most_serious(codes: Iterable[int]) -> int:
    """Return the one exit code that stands for several."""
    return min(codes, key=MOST_SERIOUS.index, default=0)
