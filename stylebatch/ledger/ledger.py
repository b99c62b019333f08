"""The ledger: which job is in which state, and what the inputs were. SQLite, one writer."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from stylebatch.errors import RunError
from stylebatch.ledger import outcomes
from stylebatch.ledger.absorb import absorb, count_replaced, find_jobs
from stylebatch.ledger.adopt import AdoptedImage, adopt, known_images
from stylebatch.ledger.annotations import LedgerAnnotations
from stylebatch.ledger.aside import LedgerAside
from stylebatch.ledger.columns import kept_row
from stylebatch.ledger.database import Database
from stylebatch.ledger.input_files import InputFiles
from stylebatch.ledger.outcomes import Done, Failed
from stylebatch.ledger.planned_jobs import PlannedJobs
from stylebatch.ledger.sizes import LedgerSizes
from stylebatch.ledger.verdicts import LedgerVerdicts, count_failures, with_verdicts
from stylebatch.manifest import Manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import Job, JobDone, JobFailed, Style
from stylebatch.system.crash_points import reached
from stylebatch.system.paths import below

_ONLY_IF_ANY = ("mask", "mask_digest")
# A photograph that is carried over has no style.
_KIND = "iif(style = '', 'original', 'stylised') AS kind"


class Ledger(InputFiles):
    """What stylebatch remembers of an output, in one file; paths in it are relative.

    Attributes:
        replaced: images whose successors this connection has recorded.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._style_digests: dict[str, str] = {}
        self._run_id = ""
        self.replaced = 0

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False, beneath: Path | None = None) -> "Ledger":
        """Open a ledger; one that is not there is made, or with `read_only` thought of as empty.

        Args:
            beneath: a ledger that is read too, where this one knows nothing: a shard's ledger
                stands on the whole output's.

        Raises:
            LedgerError: no ledger, or one that a newer stylebatch wrote.
        """
        database = Database.open(path, read_only=read_only)
        try:
            if beneath:
                database.beneath.append(Database.open(beneath, read_only=True))
            return cls(database)
        except BaseException:
            database.close()
            raise

    @classmethod
    def open_copy(cls, path: Path) -> "Ledger":
        """Open a private copy of a ledger: what it absorbs is gone when it is closed."""
        return cls(Database.open_copy(path))

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        # What was read is worth keeping whatever went wrong, but a full disk speaks only once.
        with suppress(RunError) if error else nullcontext():
            self.keep_files()
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # A run

    def check_in_place(self) -> None:
        """Stop where the file has been removed or replaced: nothing is recorded any more.

        Raises:
            RunError: that is so.
        """
        if not self._database.is_in_place():
            found = "was removed or replaced while a run goes on"
            todo = "put it back, or let `stylebatch adopt` of the output make one; then run again"
            raise RunError(str(self._database.path), found, "", todo)

    def begin_plan(
        self,
        manifest: Manifest,
        styles: Mapping[str, Style],
        dataset: Dataset,
        **options: bool,
    ) -> PlannedJobs:
        """Begin a plan of this connection, with `options` of it; `add` folders, then `finish`."""
        self._style_digests = {key: style.digest for key, style in styles.items()}
        return PlannedJobs(self._database, manifest, dataset, **options)

    def begin_run(self, run_id: str) -> None:
        """Say which run claims from now on: what it replaces lies in its stale folder."""
        self._run_id = run_id

    def claim(self, jobs: Iterable[Job]) -> None:
        """Note jobs as under way, before any worker has them.

        So a file whose event was lost in a crash is known as ours. Deaths count on, unless the
        fingerprint is another or the job had failed.
        """
        rows = [kept_row(job, self._style_digests.get(job.style, "")) for job in jobs]
        with self._database.transaction():
            self.keep_files()
            outcomes.claim(self._database, rows, self._run_id)

    def record(self, events: Iterable[JobDone | JobFailed]) -> None:
        """Take what came of jobs, in one transaction; what was replaced lies aside from then on.

        A `content_digest` among an event's facts is that of the bytes which were decoded: it
        replaces the planned one.
        """
        done, failed, unexpected = [], [], set()
        for event in events:
            at = event.output.rpartition("/")[::2]
            if isinstance(event, JobFailed):
                # What failed by its input alone is pending for the next plan, whatever that finds.
                key = "" if event.unexpected_input else event.fingerprint
                failed.append(Failed(*at, key, event.reason))
                if event.unexpected_input:
                    unexpected.add(event.unexpected_input.rpartition("/")[::2])
                continue
            rest = dict(event.facts)
            digest = rest.pop("content_digest", None)
            done.append(Done(*at, event.fingerprint, event.size, digest, _to_json(rest)))
        if not done and not failed:
            return
        with self._database.transaction():
            replaced = outcomes.record(self._database, done, failed)
            outcomes.forget_files(self._database, unexpected)
            self._database.count_change()
            reached("recording")
        self.replaced += replaced
        reached("recorded")

    def add_death(self, output: str) -> int:
        """Count a worker's death in which a job was alone; return how many there are now."""
        at = output.rpartition("/")[::2]
        with self._database.transaction():
            return outcomes.add_death(self._database, at)

    def forget(self, outputs: Iterable[str]) -> None:
        """Drop outputs that are no longer in the output's tree."""
        at = [output.rpartition("/")[::2] for output in outputs]
        with self._database.transaction():
            outcomes.forget(self._database, at)
            self._database.count_change()

    def distrust(self, outputs: Iterable[str]) -> None:
        """Note that images which stand are not as they were written: the next plan wants others."""
        with self._database.transaction():
            outcomes.distrust(self._database, [output.rpartition("/")[::2] for output in outputs])
            self._database.count_change()

    def adopt(self, images: Iterable[AdoptedImage]) -> None:
        """Take images in that it does not know, in one transaction."""
        adopt(self._database, images)

    @property
    def is_read_only(self) -> bool:
        """Whether nothing of it is kept."""
        return self._database.is_read_only

    def known_images(self, outputs: Iterable[str]) -> dict[str, tuple[int, str]]:
        """Return size and fingerprint of those of some outputs of which an image stands."""
        return known_images(self._database, outputs)

    # Shards

    def absorb(self, shard: "Ledger") -> None:
        """Take all that a shard's ledger holds, in one transaction; doing it again is no harm.

        Its rows replace those that are here.
        """
        absorb(self._database, shard._database)

    def count_replaced(self, shard: "Ledger") -> dict[str, dict[str, int]]:
        """Return `counts` of the jobs only that a shard's ledger has too: its own are newer."""
        return count_replaced(self._database, shard._database)

    def has_jobs(self, outputs: Iterable[str]) -> set[str]:
        """Return those of some outputs that this ledger knows, whatever their state."""
        keys = [output.rpartition("/")[::2] for output in outputs]
        return {below(folder, name) for folder, name in find_jobs(self._database, keys)}

    # What to tell of it

    def done(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each image that stands, ordered by folder and name.

        Those that are out of date are told of as they are. Without the mask's keys where there is
        no mask.
        """
        rows = self._rows(
            f"SELECT j.folder, j.name, pair, label, split, {_KIND}, content, content_digest, "
            "nullif(style, '') AS style, nullif(style_digest, '') AS style_digest, "
            "iif(style = '', NULL, variant) AS variant, strength, noise_seed AS seed, settings_id, "
            "fingerprint, "
            "nullif(mask, '') AS mask, nullif(mask_digest, '') AS mask_digest, f.json AS facts "
            "FROM jobs j LEFT JOIN facts f USING (folder, name) "
            f"WHERE state IN {outcomes.STANDING} ORDER BY j.folder, j.name"
        )
        return with_verdicts(rows, self.get("acceptances") or {})

    def splits(self) -> dict[str | None, dict[str, int]]:
        """Return of each split how many images of each kind stand; None for those in no split."""
        query = f"SELECT split, {_KIND}, count(*) FROM jobs WHERE state IN {outcomes.STANDING}"
        found: dict[str | None, dict[str, int]] = {}
        for split, kind, count in self._connection.execute(f"{query} GROUP BY 1, 2"):
            found.setdefault(split, {})[kind] = count
        return found

    def in_several_splits(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Yield the digest of each photograph with images in several splits, with splits and paths.

        A photograph that is there under two names has two paths.
        """
        standing = f"FROM jobs WHERE state IN {outcomes.STANDING} AND split IS NOT NULL"
        query = f"SELECT content_digest {standing} GROUP BY 1 HAVING count(DISTINCT split) > 1"
        places = f"SELECT DISTINCT split, content {standing} AND content_digest = ? ORDER BY 1, 2"
        for (digest,) in self._connection.execute(query).fetchall():
            yield digest, self._connection.execute(places, (digest,)).fetchall()

    def failures(self) -> Iterator[dict[str, Any]]:
        """Yield what is known of each job that failed, ordered by folder and name."""
        of_each = (
            f"SELECT folder, name, pair, label, split, {_KIND}, content, "
            "nullif(style, '') AS style, iif(style = '', NULL, variant) AS variant, reason, "
            "deaths FROM"
        )
        yield from self._rows(f"{_of_failed(of_each)} ORDER BY folder, name")

    def reasons(self) -> dict[str, str]:
        """Return why outputs failed, the content's own name left out, by folder and name."""
        of_each = (
            "SELECT folder, name, iif(substr(reason, 1, length(content) + 2) = content || ': ', "
            "substr(reason, length(content) + 3), reason) FROM"
        )
        rows = self._connection.execute(f"{_of_failed(of_each)} ORDER BY folder, name")
        return {below(folder, name): reason for folder, name, reason in rows}

    def _rows(self, query: str) -> Iterator[dict[str, Any]]:
        cursor = self._connection.execute(query)
        columns = [column[0] for column in cursor.description]
        for row in cursor:
            fields = dict(zip(columns, row, strict=True))
            output = below(fields.pop("folder"), fields.pop("name"))
            if "facts" in fields:
                fields["facts"] = json.loads(fields["facts"] or "{}")
            for key in _ONLY_IF_ANY:
                if fields.get(key, "") is None:
                    del fields[key]
            yield {"output": output, **fields}

    def counts(self) -> dict[str, dict[str, int]]:
        """Return how many jobs are in which state, by pair.

        Done, pending (under way), failed, rejected, outdated (an image stands that the plan wants
        otherwise, or no longer); of these, those whose successor failed count as that as well.
        """
        counts: dict[str, dict[str, int]] = {}
        for pair, state, count in self._connection.execute(
            "SELECT pair, state, jobs FROM counts WHERE jobs > 0 ORDER BY pair, state"
        ):
            counts.setdefault(pair, {})[state] = count
        count_failures(self._database, counts)
        return counts

    @property
    def sizes(self) -> LedgerSizes:
        """What it knows of sizes; a plan that was begun is the last one's."""
        return LedgerSizes(self._connection)

    @property
    def aside(self) -> LedgerAside:
        """What it knows of what lies aside."""
        return LedgerAside(self._database)

    @property
    def verdicts(self) -> LedgerVerdicts:
        """What it knows of what images are worth."""
        return LedgerVerdicts(self._database)

    @property
    def annotations(self) -> LedgerAnnotations:
        """What it knows of annotations that were written."""
        return LedgerAnnotations(self._database)

    def remember_settings(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep the resolved settings by their id."""
        rows = [(key, _to_json(value)) for key, value in settings.items()]
        with self._database.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", rows)

    def settings(self) -> dict[str, dict[str, Any]]:
        """Return all settings that were remembered, by their id."""
        rows = self._connection.execute("SELECT id, json FROM settings ORDER BY id")
        return {key: json.loads(text) for key, text in rows}

    def put(self, key: str, value: Any) -> None:
        """Keep a value of JSON under a name."""
        with self._database.transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, _to_json(value))
            )

    def get(self, key: str) -> Any:
        """Return what `put` kept, here or else beneath; None if nothing."""
        query = "SELECT value FROM main.meta WHERE key = ?"
        rows = list(self._database.select(query, (key,)))
        return json.loads(rows[-1][0]) if rows else None

    @property
    def changes(self) -> int:
        """How often anything that the metadata tells has changed."""
        return int(self.get("changes") or 0)


def _of_failed(select: str) -> str:
    """Let a query of jobs ask for those that failed, whether an older image stands or not."""
    return " UNION ALL ".join(
        f"{select} {table} WHERE state = 'failed'" for table in ("jobs", "successors")
    )


def _to_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
