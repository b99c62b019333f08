"""A plan as a table: written once, replayed exactly, whatever has come to its folders since."""

import csv
import io
from dataclasses import replace
from pathlib import Path

from stylebatch.manifest import Assign, Manifest, base_name
from stylebatch.plan.planner import PlannedFolder
from stylebatch.plan.style_table import COLUMNS, MORE_COLUMNS, TableError
from stylebatch.system.files import write_atomic
from stylebatch.system.paths import below


class PlanFile:
    """Takes a plan as it is made, and writes which image gets which style."""

    def __init__(self, manifest: Manifest) -> None:
        self._contents: dict[str, str] = {}
        # The points of a sweep have the same images and styles.
        for pair in manifest.pairs:
            name = base_name(pair.name)
            if name not in (base_name(other) for other in self._contents):
                self._contents[pair.name] = pair.content
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")
        self._writer.writerow((*COLUMNS, *MORE_COLUMNS))

    def note(self, planned: PlannedFolder) -> None:
        """Take some jobs of a whole plan."""
        above = self._contents.get(planned.pair)
        if above is None:
            return
        inside = planned.content_folder.removeprefix(above).strip("/")
        pair = base_name(planned.pair)
        rows = ((below(inside, job.content), job.style, job.variant, pair) for job in planned.jobs)
        self._writer.writerows(rows)

    def write(self, path: Path) -> None:
        """Write what was taken, whole or not at all.

        Raises:
            TableError: the place can't be written.
        """
        try:
            write_atomic(path, self._text.getvalue().encode())
        except OSError as error:
            raise TableError.unwritable(str(path), error.strerror or str(error)) from error


def replay(manifest: Manifest, path: Path) -> Manifest:
    """Return a manifest whose images get what a plan that was written says, and nothing else.

    Raises:
        TableError: there is no such file.
    """
    if not path.is_file():
        todo = "`stylebatch plan --write FILE` writes one"
        raise TableError(str(path), "is no file that exists", "allowed is a plan", todo)
    assign = Assign("map", table=str(path.absolute()), is_whole=True)
    return replace(manifest, pairs=tuple(replace(each, assign=assign) for each in manifest.pairs))
