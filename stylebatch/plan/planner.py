"""The manifest's jobs, streamed: a folder at a time, and no list of them all."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import chain, islice
from typing import NamedTuple

from stylebatch.errors import UserError
from stylebatch.manifest import Manifest, Pair
from stylebatch.output import naming
from stylebatch.output.shard import Shard
from stylebatch.pictures import images
from stylebatch.plan.fingerprint import (
    draw_noise_seed,
    draw_strength,
    fingerprint,
    fingerprint_prefix,
)
from stylebatch.plan.inputs import (
    NO_MASK,
    UNREADABLE,
    InputReader,
    KnownFile,
    KnownFiles,
    Mask,
)
from stylebatch.plan.style_table import StyleTable, Version, read_tables
from stylebatch.plan.summary import MAX_USUAL_PIXELS, PairSummary, PlanSummary
from stylebatch.plan.versions import Assigner
from stylebatch.records import Style
from stylebatch.system import files
from stylebatch.system.paths import below

_MAX_FILES_AT_ONCE = 4096
_MAX_JOBS_AT_ONCE = 4096
_MAX_ENLARGEMENT = 2


class PlanError(UserError):
    """A plan that can't be made, or that would harm what is there."""


class Planned(NamedTuple):
    """What tells one job of a `PlannedFolder` from the others; fields as in `records.Job`."""

    name: str
    fingerprint: str
    content: str
    content_digest: str
    style: str
    variant: int
    width: int
    height: int
    strength: float
    noise_seed: int | None
    mask: str = ""
    mask_digest: str = ""


@dataclass(frozen=True, slots=True)
class PlannedFolder:
    """Jobs of one pair into one output folder.

    Attributes:
        folder: POSIX path under `images/`, "" for that itself; `Planned.name` is in it.
        content_folder: POSIX path from the manifest's folder; `Planned.content` is in it.
        others: names of the pair's outputs in the folder that other shards make.
    """

    pair: str
    folder: str
    settings_id: str
    label: str | None
    content_folder: str
    jobs: list[Planned]
    others: list[str] = field(default_factory=list)


def plan_jobs(
    manifest: Manifest,
    known: KnownFiles,
    styles: Mapping[str, Style],
    summary: PlanSummary | None = None,
    shard: Shard | None = None,
) -> Iterator[PlannedFolder]:
    """Yield the manifest's jobs, some thousand at a time. Images that can't be read are jobs too.

    Args:
        summary: is filled on the way.
        shard: plan its jobs only, and read no image that none of them needs.

    Raises:
        PlanError, TableError, Problems: tables with errors, folders and names that can't be read.
    """
    summary = PlanSummary() if summary is None else summary
    tables = read_tables(manifest)
    for pair in manifest.pairs:
        pair_summary = summary.pairs.setdefault(pair.name, PairSummary())
        reader = InputReader(manifest.root, known, summary.read)
        table = tables.get(pair.name)
        planner = _PairPlanner(manifest, pair, styles, table, reader, pair_summary, shard)
        try:
            yield from planner.folders()
        except OSError as error:
            where = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
            raise PlanError(where, f"a folder can't be read ({error})") from error


class _PairPlanner:
    """Plans one pair; what its jobs share is worked out once."""

    def __init__(
        self,
        manifest: Manifest,
        pair: Pair,
        styles: Mapping[str, Style],
        table: StyleTable | None,
        reader: InputReader,
        summary: PairSummary,
        shard: Shard | None,
    ) -> None:
        self.pair, self.seed, self.summary, self.reader = pair, manifest.seed, summary, reader
        self.root = manifest.root / pair.content
        self.table, self.shard = table, shard
        self.keys = [source.key for source in pair.styles]
        self.assigner = Assigner(manifest.seed, pair, table)
        self.suffix = pair.point.suffix if pair.point else ""
        self.style_names = [naming.safe_part(source.name) for source in pair.styles]
        recipe = pair.settings.recipe
        self.uses_noise = recipe.uses_noise
        self.prefix = cache(self._prefix_of([styles[key].digest for key in self.keys]))
        self.sizes = cache(self._sizes)
        self.twins = cache(self._twins)

    def folders(self) -> Iterator[PlannedFolder]:
        if self.assigner.needs_all:
            walk = self._walk(Counter())
            paths = ((folder, [stat.path for stat in stats]) for folder, stats in walk)
            self.assigner.show((_label(folder), each) for folder, each in paths)
        for folder, stats in self._walk(self.summary.passed_over):
            yield from self._plan_folder(folder, stats)
        if self.table is not None and self.pair.assign.is_whole:
            self.table.check_whole()
        elif self.table is not None:
            self.summary.unknown_rows = self.table.unknown()

    def _walk(self, passed_over: Counter[str]) -> Iterator[tuple[str, list[files.FileStat]]]:
        for folder, stats in files.walk_files(self.root, images.IMAGE_SUFFIXES, passed_over):
            _check_names(self.pair, stats)
            yield folder, stats

    def _plan_folder(self, folder: str, stats: list[files.FileStat]) -> Iterator[PlannedFolder]:
        content_folder = below(self.pair.content, folder)
        paths = [stat.path for stat in stats]
        assigned = self.assigner.versions_of(_label(folder), paths)
        names = list(self._names(folder, paths, assigned))
        others: frozenset[str] = frozenset()
        if self.shard:
            others = self.shard.find_others(below(self.pair.into, folder), names)
            stats, assigned, names = self._own(stats, assigned, names, others)
        paths = [stat.path for stat in stats]
        masks = self._masks(folder, paths)
        left, chunk = iter(names), self._chunk(folder, content_folder, list(others))
        for start in range(0, len(stats), _MAX_FILES_AT_ONCE):
            block = slice(start, start + _MAX_FILES_AT_ONCE)
            read = self.reader.files_of(content_folder, stats[block])
            found = [file or UNREADABLE for file in read]
            planned = list(zip(paths[block], found, assigned[block], masks[block], strict=True))
            self._count(planned)
            for path, file, chosen, mask in planned:
                jobs = self._plan_image(path, file, chosen, mask, left)
                chunk.jobs.extend(job for job in jobs if job.name not in others)
                if len(chunk.jobs) >= _MAX_JOBS_AT_ONCE:
                    yield chunk
                    chunk = self._chunk(folder, content_folder, [])
        if chunk.jobs or chunk.others:
            yield chunk

    def _own(
        self,
        stats: list[files.FileStat],
        assigned: list[list[Version]],
        names: list[str],
        others: frozenset[str],
    ) -> tuple[list[files.FileStat], list[list[Version]], list[str]]:
        """Return the images, with versions and names, that have an output of this shard."""
        left = iter(names)
        of_each = [list(islice(left, len(chosen))) for chosen in assigned]
        own = [number for number, each in enumerate(of_each) if not others.issuperset(each)]
        kept = list(chain.from_iterable(of_each[number] for number in own))
        return [stats[number] for number in own], [assigned[number] for number in own], kept

    def _chunk(self, folder: str, content_folder: str, others: list[str]) -> PlannedFolder:
        label = _label(folder)
        output = below(self.pair.into, folder)
        settings_id = self.pair.settings.id
        return PlannedFolder(self.pair.name, output, settings_id, label, content_folder, [], others)

    def _masks(self, folder: str, paths: list[str]) -> list[Mask]:
        if not self.pair.masks:
            return [NO_MASK] * len(paths)
        return self.reader.masks_of(below(self.pair.masks, folder), paths)

    def _names(self, folder: str, paths: list[str], assigned: list[list[Version]]) -> list[str]:
        parts = _FolderParts(self, paths, assigned)
        return naming.unique_names(parts, hash_all=self._is_twin(folder))

    def _plan_image(
        self, path: str, file: KnownFile, chosen: list[Version], mask: Mask, names: Iterator[str]
    ) -> list[Planned]:
        content, digest = path.rpartition("/")[2], file.digest
        width, height, _ = self.sizes(file.width, file.height)
        # Without its mask a job fails: that must not pass for the job of a pair without masks.
        masked = mask.digest or (mask.path and f"none: {mask.path}")
        jobs = []
        for index, variant in chosen:
            key, prefix = self.keys[index], self.prefix(index)
            strength = draw_strength(self.pair.strength, self.seed, path, key, variant)
            noise = draw_noise_seed(self.seed, path, key, variant) if self.uses_noise else None
            decides = fingerprint(prefix, digest, strength, noise, masked)
            job = Planned(
                name=next(names),
                fingerprint=decides,
                content=content,
                content_digest=digest,
                style=key,
                variant=variant,
                width=width,
                height=height,
                strength=strength,
                noise_seed=noise,
                mask=mask.path,
                mask_digest=mask.digest,
            )
            jobs.append(job)
        return jobs

    def _count(self, planned: Iterable[tuple[str, KnownFile, list[Version], Mask]]) -> None:
        for path, file, chosen, mask in planned:
            self.summary.images += 1
            if not file.width:
                self.summary.note_unreadable(path)
            width, height, is_enlarged = self.sizes(file.width, file.height)
            if chosen and is_enlarged:
                self.summary.enlarged += 1
                self.summary.enlarged_example = self.summary.enlarged_example or path
            if chosen and width * height > MAX_USUAL_PIXELS:
                self.summary.huge += 1
                self.summary.huge_example = self.summary.huge_example or path
            if chosen and mask.path and not mask.digest:
                self.summary.unmasked += 1
                self.summary.unmasked_example = self.summary.unmasked_example or path

    def _sizes(self, width: int, height: int) -> tuple[int, int, bool]:
        """Return the work size, and whether the output is enlarged more than twice from it."""
        if not width:
            return 0, 0, False
        settings = self.pair.settings
        recipe, work = settings.recipe, settings.work_size(width, height)
        # Each edge of its own: an image that is stretched may be enlarged along one of them only.
        file = recipe.file_size(width, height, work)
        enlargement = max(file[0] / work[0], file[1] / work[1])
        return *work, enlargement > _MAX_ENLARGEMENT

    def _prefix_of(self, digests: list[str]) -> Callable[[int], blake2b]:
        settings = self.pair.settings
        return lambda index: fingerprint_prefix(settings, digests[index])

    def _is_twin(self, folder: str) -> bool:
        """Whether a folder, or one above it, has a sibling of the same name but for its case."""
        above = ""
        for name in folder.split("/") if folder else []:
            if naming.folded(name) in self.twins(above):
                return True
            above = below(above, name)
        return False

    def _twins(self, folder: str) -> frozenset[str]:
        folders: Iterable[str] = files.list_folders(self.root / folder)
        if self.table is not None and self.pair.assign.is_whole:
            # What has come since must not rename what was planned.
            folders = self.table.folders(folder).intersection(folders)
        names = Counter(map(naming.folded, folders))
        return frozenset(name for name, count in names.items() if count > 1)


class _FolderParts:
    """The parts of a folder's names, each made when it is asked for: there may be a million."""

    def __init__(
        self, planner: _PairPlanner, paths: list[str], assigned: list[list[Version]]
    ) -> None:
        self._planner, self._paths, self._assigned = planner, paths, assigned

    def __iter__(self) -> Iterator[naming.NameParts]:
        names, keys, suffix = self._planner.style_names, self._planner.keys, self._planner.suffix
        for path, chosen in zip(self._paths, self._assigned, strict=True):
            stem = naming.safe_part(path.rpartition("/")[2].rpartition(".")[0])
            for index, variant in chosen:
                yield naming.NameParts(stem, names[index], variant, path, keys[index], suffix)


def _label(folder: str) -> str | None:
    """Return the class of a content folder's images: the first folder on the way."""
    return folder.partition("/")[0] or None


def _check_names(pair: Pair, stats: list[files.FileStat]) -> None:
    """Refuse names that are not UTF-8: neither the ledger nor JSON can hold them."""
    for stat in stats:
        if stat.path.isascii():
            continue
        try:
            stat.path.encode()
        except UnicodeEncodeError:
            where = below(pair.content, stat.path).encode(errors="backslashreplace").decode()
            raise PlanError(where, "its name is not UTF-8", "", "rename it") from None
