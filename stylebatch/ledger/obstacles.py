"""What is in a plan's way: pairs that would write one path, files that stylebatch did not make."""

from collections import Counter
from collections.abc import Iterator

from stylebatch.errors import UserError
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.plan import PlanError
from stylebatch.system.words import counted

# Two pairs that collide are one kind of obstacle; a file that is not ours is another.
FOREIGN, FOREIGN_LOG = ("", ""), ("", "log")


class Obstacles:
    """Counts them by kind, with an example of each."""

    def __init__(self, manifest: Manifest, dataset: Dataset) -> None:
        self._manifest, self._dataset = manifest, dataset
        self._counts: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], str] = {}

    def note(self, kind: tuple[str, str], output: str) -> None:
        """Take one: `FOREIGN`, `FOREIGN_LOG`, or the names of two pairs; at an output."""
        self._counts[kind] += 1
        self._examples.setdefault(kind, output)

    def errors(self, *, allows_foreign: bool) -> Iterator[UserError]:
        """Say what is in the way, each kind once.

        Args:
            allows_foreign: nothing is to be written: images of others may stand there.
        """
        lines = {pair.name: pair.line for pair in self._manifest.pairs}
        for kind, count in self._counts.items():
            example, (one, other) = self._examples[kind], kind
            more = f" (and {count - 1} more)" if count > 1 else ""
            if kind == FOREIGN_LOG:
                found = f"is in the place of a loss log, and stylebatch did not make it{more}"
                where = self._dataset.tell(self._dataset.log_path(example))
                yield PlanError(where, found, "", "move it away")
            elif kind != FOREIGN:
                where = f"{self._manifest.path.name}:{lines[other]}: pair '{other}'"
                found = (
                    f"{counted(count, 'output')} would also be those of '{one}', such as {example}"
                )
                todo = "give one of the two an `into:` folder of its own"
                yield PlanError(where, found, "one path, one job (case ignored)", todo)
            elif not allows_foreign:
                found = f"exists, but stylebatch did not make it{more}"
                todo = "move it away, choose another output, or, if a run made it whose ledger is "
                todo += "lost, `stylebatch adopt` the output"
                where = self._dataset.tell(self._dataset.image_path(example))
                yield PlanError(where, found, "", todo)
