"""The manifest's jobs, streamed: a folder at a time, and no list of them all."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import blake2b
from itertools import chain, islice
from typing import NamedTuple

from stylebatch.manifest import Manifest, Pair
from stylebatch.output import naming
from stylebatch.output.shard import Shard
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
    PlanError,
)
from stylebatch.plan.originals import Carrier, find_carriers
from stylebatch.plan.shares import ShareDraws
from stylebatch.plan.splits import PairImages, Part
from stylebatch.plan.style_table import StyleTable, Version, read_tables
from stylebatch.plan.summary import MAX_USUAL_PIXELS, PairSummary, PlanSummary
from stylebatch.plan.transparency import TransparencyCheck
from stylebatch.plan.versions import Assigner
from stylebatch.records import Style
from stylebatch.system import inputs, listing
from stylebatch.system.paths import below

_MAX_FILES_AT_ONCE = 4096
_MAX_JOBS_AT_ONCE = 4096
_MAX_ENLARGEMENT = 2


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
        split: that they are in, None where the pair has no splits.
    """

    pair: str
    folder: str
    settings_id: str
    label: str | None
    content_folder: str
    jobs: list[Planned]
    others: list[str] = field(default_factory=list)
    split: str | None = None

    def names(self) -> Iterator[str]:
        """Yield the names of all outputs, other shards' included."""
        return chain((job.name for job in self.jobs), self.others)


def plan_jobs(
    manifest: Manifest,
    known: KnownFiles,
    styles: Mapping[str, Style],
    summary: PlanSummary | None = None,
    shard: Shard | None = None,
    tick: Callable[[], object] = lambda: None,
) -> Iterator[PlannedFolder]:
    """Yield the manifest's jobs, some thousand at a time. Images that can't be read are jobs too.

    Args:
        summary: is filled on the way.
        shard: plan its jobs only, and read no image that neither they nor shares need.
        tick: is called where nothing is yielded for long, and may raise.

    Raises:
        PlanError, TableError, ListError, Problems: tables and lists with errors, folders and names
            that can't be read, splits with nothing to stylise.
    """
    summary = PlanSummary() if summary is None else summary
    summary.output = manifest.dataset().name
    tables, carriers = read_tables(manifest), find_carriers(manifest)
    draws = ShareDraws(manifest, known, summary.read, tick)
    for pair in manifest.pairs:
        pair_summary = summary.of_pair(pair.name, pair.content)
        reader = InputReader(manifest.root, known, summary.read, tick=tick)
        table = tables.get(pair.name)
        found = PairImages(manifest, pair, draws, pair_summary.selected)
        carrier = Carrier(pair, manifest.seed, carriers.get(pair.name))
        planner = _PairPlanner(manifest, pair, styles, table, reader, pair_summary, shard, carrier)
        try:
            for folder in planner.folders(found):
                summary.by_names.tell(folder.folder, folder.names(), folder.split)
                yield folder
            found.check_stylised()
        except OSError as error:
            where = f"{manifest.path.name}:{pair.line}: pair '{pair.name}'"
            todo = "mount it, or let yourself read it"
            raise PlanError(where, f"a folder can't be read ({error})", "", todo) from error


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
        carrier: Carrier,
    ) -> None:
        self.carrier = carrier
        self.pair, self.seed, self.summary, self.reader = pair, manifest.seed, summary, reader
        self.root = inputs.at(manifest.root, pair.content)
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
        self.transparency = TransparencyCheck(self.root, pair.settings.file_format)

    def folders(self, found: PairImages) -> Iterator[PlannedFolder]:
        if self.assigner.needs_all:
            parts = (part for part in found.again().parts(listing.Walked()) if part.is_stylised)
            self.assigner.show((part.label, [stat.path for stat in part.stats]) for part in parts)
        for part in found.parts(self.summary.walked):
            # What is not stylised may be carried over.
            if part.is_stylised or self.carrier.settings is not None:
                yield from self._plan_part(part)
        if self.table is not None and self.pair.assign.is_whole:
            self.table.check_whole()
        elif self.table is not None:
            self.summary.unknown_rows = self.table.unknown()

    def _plan_part(self, part: Part) -> Iterator[PlannedFolder]:
        folder, stats = part.folder, part.stats
        content_folder = below(self.pair.content, folder)
        assigned = self._assign(part)
        names = list(self._names(part, assigned))
        carried = self.carrier.name_all(part, names, hash_all=self._is_twin(folder))
        others: frozenset[str] = frozenset()
        if self.shard:
            every = [*names, *carried.values()]
            others = self.shard.find_others(below(self.pair.into, part.output), every)
            stats, assigned, names = self._own(stats, assigned, names, others, carried)
        paths = [stat.path for stat in stats]
        masks = self._masks(part, paths)
        left, chunk = iter(names), self._chunk(part, content_folder, list(others))
        originals = self._originals_chunk(chunk)
        for start in range(0, len(stats), _MAX_FILES_AT_ONCE):
            block = slice(start, start + _MAX_FILES_AT_ONCE)
            read = self.reader.files_of(content_folder, stats[block])
            found = [file or UNREADABLE for file in read]
            planned = list(zip(paths[block], found, assigned[block], masks[block], strict=True))
            if part.is_stylised:
                self._count(planned)
            for path, file, chosen, mask in planned:
                jobs = self._plan_image(path, file, chosen, mask, left)
                chunk.jobs.extend(job for job in jobs if job.name not in others)
                if path in carried and carried[path] not in others:
                    originals.jobs.append(self._original(path, file, carried[path]))
                if len(chunk.jobs) >= _MAX_JOBS_AT_ONCE:
                    yield chunk
                    chunk = self._chunk(part, content_folder, [])
        if chunk.jobs or chunk.others:
            yield chunk
        if originals.jobs:
            yield originals

    def _originals_chunk(self, like: PlannedFolder) -> PlannedFolder:
        """Return what takes a folder's originals: they have settings of their own."""
        settings = self.carrier.settings or self.pair.settings
        return replace(like, settings_id=settings.id, jobs=[], others=[])

    def _original(self, path: str, file: KnownFile, name: str) -> Planned:
        self.summary.originals += 1
        content, decides = path.rpartition("/")[2], self.carrier.fingerprint(file)
        return Planned(name, decides, content, file.digest, "", 1, 0, 0, 0.0, None)

    def _own(
        self,
        stats: list[listing.FileStat],
        assigned: list[list[Version]],
        names: list[str],
        others: frozenset[str],
        carried: Mapping[str, str],
    ) -> tuple[list[listing.FileStat], list[list[Version]], list[str]]:
        """Return the images, with versions and names, that have an output of this shard."""
        left = iter(names)
        of_each = [list(islice(left, len(chosen))) for chosen in assigned]
        originals = [carried.get(stat.path) for stat in stats]
        own = [
            number
            for number, (each, original) in enumerate(zip(of_each, originals, strict=True))
            if not others.issuperset(each) or (original and original not in others)
        ]
        kept = list(chain.from_iterable(of_each[number] for number in own))
        return [stats[number] for number in own], [assigned[number] for number in own], kept

    def _chunk(self, part: Part, content_folder: str, others: list[str]) -> PlannedFolder:
        pair, output = self.pair, below(self.pair.into, part.output)
        of_all = (pair.name, output, pair.settings.id, part.label, content_folder)
        return PlannedFolder(*of_all, [], others, part.split)

    def _masks(self, part: Part, paths: list[str]) -> list[Mask]:
        if not self.pair.masks or not part.is_stylised:
            return [NO_MASK] * len(paths)
        return self.reader.masks_of(below(self.pair.masks, part.folder), paths)

    def _assign(self, part: Part) -> list[list[Version]]:
        if not part.is_stylised:
            return [[]] * len(part.stats)
        return self.assigner.versions_of(part.label, [stat.path for stat in part.stats])

    def _names(self, part: Part, assigned: list[list[Version]]) -> list[str]:
        parts = _FolderParts(self, [stat.path for stat in part.stats], assigned)
        suffix = self.pair.settings.file_format.suffix
        return naming.unique_names(parts, hash_all=self._is_twin(part.folder), suffix=suffix)

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
            if self.transparency.finds(path):
                self.summary.transparent = path
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
        # Colours are transferred at the file's own size.
        return *work, recipe.needs_network and enlargement > _MAX_ENLARGEMENT

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
        folders: Iterable[str] = inputs.list_folders(self.root / folder)
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
