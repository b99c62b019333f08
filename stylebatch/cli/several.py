"""Several manifests in one command: read together, then taken one after another."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from stylebatch.cli.arguments import DEFAULT_MANIFEST, ArgumentError
from stylebatch.errors import UserError, raise_all
from stylebatch.manifest import Manifest, load_manifest
from stylebatch.plan import replay

Manifests = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[MANIFEST]...",
        help=f"The manifest, or several, one after another; else {DEFAULT_MANIFEST}.",
        show_default=False,
    ),
]
WrittenPlan = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Which image gets which style, as `stylebatch plan --write FILE` wrote it: nothing "
        "else, whatever has come to the folders since.",
    ),
]
# Where several exit codes apply, the first of these.
MOST_SERIOUS = (10, 2, 1, 5, 4, 3, 0)


def load_all(
    paths: Sequence[Path] | None, changes: Sequence[str] | None, plan: Path | None = None
) -> list[Manifest]:
    """Read manifests, each with the same changes; none is the usual one.

    Args:
        plan: one that was written of the only manifest, to be replayed.

    Raises:
        ManifestError, Problems: all that is wrong in any of them.
        TableError: no such plan.
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
    if plan is not None:
        check_alone(paths, "--plan")
        loaded = [replay(each, plan) for each in loaded]
    seen: dict[object, Manifest] = {}
    for each in loaded:
        other = seen.setdefault(each.store.url if each.store else each.output.resolve(), each)
        if other is not each:
            found = f"its output, {each.dataset().place}, is that of {other.path} too"
            todo = "give one another output, or put their pairs into one manifest"
            raise ArgumentError(str(each.path), found, "allowed is one manifest for each", todo)
    return loaded


def check_alone(paths: Sequence[Path] | None, option: str) -> None:
    """Refuse an option that is of one manifest where there are several."""
    if len(paths or ()) > 1:
        raise typer.BadParameter("is of one manifest: name one", param_hint=option)


def most_serious(codes: Iterable[int]) -> int:
    """Return the one exit code that stands for several."""
    return min(codes, key=MOST_SERIOUS.index, default=0)
