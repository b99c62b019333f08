"""Files of annotations in an output: written where something changed, and only ours replaced."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from stylebatch.annotations.findings import Problem
from stylebatch.annotations.report import Kind, Report
from stylebatch.ledger import AnnotationFile, Ledger
from stylebatch.output.layout import Dataset
from stylebatch.system import files, folders, listing
from stylebatch.system.crash_points import reached

_BLOCK = 256
_TODO = "which stylebatch did not make, or somebody has changed: it stays as it is; move it away"


class AnnotationFiles:
    """What an output has of annotations, while it is brought up to date."""

    def __init__(self, dataset: Dataset, ledger: Ledger, run_id: str, report: Report) -> None:
        self._dataset, self._report = dataset, report
        self._ledger, self._known = ledger, ledger.annotations
        self._folder = dataset.temporary_folder(run_id) / "annotations"
        self._waiting: dict[str, tuple[AnnotationFile, Path]] = {}
        self._seen: list[str] = []
        self._num_temporaries = 0
        self._known.begin()

    def up_to_date(self, path: str, key: str) -> Counter[str] | None:
        """Return what was counted of a file made from the same; None: it has to be made."""
        known = self._known.find(path)
        if known is None or known.key != key or not self._is_there(known):
            return None
        self._see(path)
        return Counter(json.loads(known.note))

    def put(self, kind: Kind, path: str, key: str, data: bytes, counts: Counter[str]) -> bool:
        """Let a file hold some bytes; return whether it does, or will: another's stays as it is."""
        return self._put(kind, path, key, files.digest_bytes(data), data, None, counts)

    def put_lines(self, kind: Kind, path: str, lines: Iterable[str]) -> bool:
        """Do so with lines, which are not held all at once."""
        temporary = self._temporary()
        files.write_lines_atomic(temporary, lines)
        digest = files.digest_file(temporary)
        return self._put(kind, path, "", digest, None, temporary, Counter())

    def see_all_of(self, kind: Kind) -> None:
        """Leave all files of a pair's kind as they are."""
        self._known.see_all_of(*kind)

    def see(self, path: str) -> None:
        """Leave one as it is."""
        self._see(path)

    def flush(self) -> None:
        """Write what waits: noted first, so that what a killed run leaves is known as ours."""
        self._known.see(self._seen)
        self._seen.clear()
        if not self._waiting:
            return
        self._known.note(row for row, _ in self._waiting.values())
        reached("annotations-noted")
        grown = set()
        for path, (_, temporary) in self._waiting.items():
            target = self._dataset.root / path
            files.make_folders_below(self._dataset.root, target.parent)
            files.rename(temporary, target)
            grown.add(target.parent)
        for folder in grown:
            files.sync_folder(folder)
        reached("annotations-placed")
        self._waiting.clear()

    def finish(self) -> None:
        """Write what waits, and remove what no longer belongs to the output."""
        self.flush()
        gone = self._known.unseen()
        for row in gone:
            path = self._dataset.root / row.path
            if files.stat_file(path) is None:
                continue
            if files.digest_file(path) in (row.digest, row.before):
                files.remove_file(path)
                folders.remove_empty_folders(path.parent, self._dataset.root)
            else:
                self._tell_foreign(Kind(row.pair, row.kind), row.path)
        self._known.forget(row.path for row in gone)

    def _put(
        self,
        kind: Kind,
        path: str,
        key: str,
        digest: str,
        data: bytes | None,
        temporary: Path | None,
        counts: Counter[str],
    ) -> bool:
        target, known = self._dataset.root / path, self._known.find(path)
        self._see(path)
        there = files.digest_file(target) if files.stat_file(target) is not None else ""
        is_ours = there in ("", digest) or (known and there in (known.digest, known.before))
        if not is_ours:
            self._tell_foreign(kind, path)
            return False
        size = len(data) if data is not None else _size(temporary)
        note = json.dumps(counts, sort_keys=True)
        row = AnnotationFile(path, *kind, key, digest, there, size, note)
        if there == digest:
            if known is None or known._replace(before=there) != row:
                self._known.note([row])
            return True
        if temporary is None:
            temporary = self._temporary()
            files.write_new(temporary, data or b"")
        self._waiting[path] = (row, temporary)
        if len(self._waiting) >= _BLOCK:
            self.flush()
        return True

    def _temporary(self) -> Path:
        files.make_folders_below(self._dataset.root, self._folder)
        self._num_temporaries += 1
        return self._folder / str(self._num_temporaries)

    def _see(self, path: str) -> None:
        self._seen.append(path)
        if len(self._seen) >= _BLOCK:
            self._known.see(self._seen)
            self._seen.clear()

    def _is_there(self, known: AnnotationFile) -> bool:
        stat = files.stat_file(self._dataset.root / known.path)
        return stat is not None and stat[0] == known.size

    def _tell_foreign(self, kind: Kind, path: str) -> None:
        where = str(self._dataset.root / path)
        self._report.tell(kind, where, [Problem(None, f"a file {_TODO}")], is_failure=True)


def are_there(dataset: Dataset, ledger: Ledger) -> bool:
    """Whether all files of annotations are in place, as long as they were."""
    for folder, rows in groupby(ledger.annotations.all(), lambda row: row.path.rpartition("/")[0]):
        sizes = listing.list_sizes(dataset.root / folder)
        if any(sizes.get(row.path.rpartition("/")[2]) != row.size for row in rows):
            return False
    return True


def _size(path: Path | None) -> int:
    stat = files.stat_file(path) if path else None
    return stat[0] if stat else 0
