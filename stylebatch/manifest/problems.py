"""Everything that is wrong with a manifest, collected, so that one reading reports it all."""

from collections.abc import Iterable
from difflib import get_close_matches

from stylebatch.errors import Problems, UserError
from stylebatch.manifest.yaml_lines import Document, Loc, ManifestError


class Findings:
    """Collects problems and remembers which parts they made unusable."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._found: dict[str, tuple[int, UserError]] = {}
        self._broken: set[Loc] = set()
        for line, problem in document.problems:
            self._keep(problem, line)

    def __len__(self) -> int:
        return len(self._found)

    def add(self, loc: Loc, found: str, allowed: str = "", todo: str = "") -> None:
        """Note a problem at a part of the document; the same one twice counts once."""
        where = self.document.where(loc)
        self._keep(ManifestError(where, found, allowed, todo), self.document.line(loc))

    def mark_broken(self, loc: Loc) -> None:
        """Note that a part was left out, as it is already reported."""
        self._broken.add(loc)

    def is_broken(self, *loc: str | int) -> bool:
        """Whether a part, one around it or one in it was left out: no ground for new findings."""
        return any(loc[: len(part)] == part or part[: len(loc)] == loc for part in self._broken)

    def raise_if_any(self) -> None:
        """Raise all that was found, by line.

        Raises:
            ManifestError: one problem.
            Problems: several.
        """
        problems = [problem for _, problem in sorted(self._found.values(), key=lambda x: x[0])]
        if len(problems) == 1:
            raise problems[0]
        if problems:
            raise Problems(problems)

    def _keep(self, problem: UserError, line: int) -> None:
        self._found.setdefault(str(problem), (line, problem))


def nearest(name: str, known: Iterable[str], otherwise: str, most: int = 1) -> str:
    """Return `did you mean '…'?` for a name close to known ones, of which `most` are named."""
    near = get_close_matches(name, list(known), n=most)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else otherwise
