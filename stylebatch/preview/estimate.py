"""What a run will take: evaluations, disk space and time, by earlier runs or by a probe."""

import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from stylebatch.extractors.weights import find_download
from stylebatch.ledger import Ledger, PlannedJobs, Waiting
from stylebatch.manifest import Manifest
from stylebatch.preview.color_probe import probe_colors
from stylebatch.preview.disk_space import DiskSpace, free_bytes, mean_pixels
from stylebatch.preview.probed import Probe
from stylebatch.preview.samples import candidates
from stylebatch.recipes import Settings
from stylebatch.records import Group, Job, Style, device_kind
from stylebatch.run import Pace, Work, cost_of, worker_specs
from stylebatch.worker.spec import WorkerSpec, pace_keys

# Images of each settings that are tried, to see when they end.
MOST_REHEARSED = 8


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take.

    Attributes:
        images: that it will stylise.
        evaluations: of them all; `is_at_most`: the number and the time are what they can be at
            most, as images that converge earlier take fewer.
        most_evaluations: that it can be, whatever is expected.
        output_bytes: None where nothing is known of it.
        free_bytes: where the output is, or will be.
        devices: one for each worker.
        seconds: (low, high); None where `trouble` says why it is not known.
        load: processes that wanted a core, in the mean of the minute before.
        num_probed: images that were measured now; 0: it is known from earlier runs.
        carried: photographs that it will carry over.
    """

    images: int
    evaluations: int
    most_evaluations: int
    is_at_most: bool
    output_bytes: int | None
    free_bytes: int
    devices: tuple[str, ...]
    seconds: tuple[float, float] | None
    num_probed: int
    trouble: str = ""
    carried: int = 0
    load: float = 0.0


def estimate(
    manifest: Manifest,
    planned: PlannedJobs,
    ledger: Ledger,
    styles: Mapping[str, Style],
    *,
    space: DiskSpace,
    waiting: Sequence[Waiting],
    limit: int | None = None,
    stands_for: int | None = None,
    tell: Callable[[str], object] = lambda text: None,
) -> Estimate:
    """Estimate what is left of a plan; nothing is written but in a temporary folder.

    Args:
        space: what it knows of the sizes of files.
        waiting: what the plan has to make, of each pair.
        limit: make so many images at most.
        stands_for: the plan is a sample of so many images, and these are estimated.
        tell: is told what takes a while.

    Raises:
        UserError: weights or devices that a run could not start with either.
    """
    load = os.getloadavg()[0]
    settings = manifest.all_settings()
    groups = first_groups(planned.groups(), settings, limit)
    if stands_for is not None:
        groups = enlarge(groups, stands_for)
    earlier = {kind: Pace.from_json(rows) for kind, rows in (ledger.get("pace") or {}).items()}
    evaluations, unknown = expected_evaluations(settings, groups, earlier.values())
    clock = _Clock(manifest, planned, styles, groups, evaluations)
    if not clock.take_earlier(earlier) and not clock.lacks_weights():
        if unknown:
            tell("trying when images end …")
            unknown = clock.rehearse(unknown)
        tell("measuring a few evaluations …")
        clock.probe()
    images = sum(group.num_jobs for group in groups)
    carrying = manifest.carrying_settings() if limit is None else ()
    carried = [group for group in planned.groups() if group.settings_id in carrying]
    most = manifest.most_evaluations()
    return Estimate(
        images=images,
        evaluations=round(sum(each.num_jobs * evaluations[each.settings_id] for each in groups)),
        most_evaluations=sum(each.num_jobs * most[each.settings_id] for each in groups),
        is_at_most=bool(unknown),
        output_bytes=space.bytes_of([*groups, *carried], mean_pixels(waiting)),
        free_bytes=free_bytes(manifest.output),
        devices=tuple(spec.device for spec in clock.specs),
        seconds=clock.seconds(),
        num_probed=clock.num_probed,
        trouble=clock.trouble,
        carried=sum(group.num_jobs for group in carried),
        load=load,
    )


def first_groups(
    groups: Iterable[Group], settings: Mapping[str, Settings], limit: int | None
) -> list[Group]:
    """Return what a run makes of groups, of each its share, without what takes no evaluation.

    That are photographs that are carried over, and images that can't be read.
    """
    cost = partial(cost_of, settings, is_limited=limit is not None)
    ordered = sorted(groups, key=lambda group: (-cost(group), group))
    ordered = [group for group in ordered if group.width]
    if limit is not None and limit < sum(group.num_jobs for group in ordered):
        ordered = enlarge(ordered, limit)
    return [group for group in ordered if group.num_jobs]


def enlarge(groups: Sequence[Group], images: int) -> list[Group]:
    """Return groups with so many images in all, more or fewer, in nearly the same proportions."""
    left, of_left, enlarged = images, sum(group.num_jobs for group in groups), list[Group]()
    for group in groups:
        share = round(left * group.num_jobs / of_left)
        left, of_left = left - share, of_left - group.num_jobs
        enlarged.append(group._replace(num_jobs=share))
    return enlarged


def expected_evaluations(
    settings: Mapping[str, Settings], groups: Iterable[Group], paces: Iterable[Pace]
) -> tuple[dict[str, float], set[str]]:
    """Return evaluations of an image by settings, and those of which they are at most so many.

    In the mean of earlier runs, on whatever device, where there were any.
    """
    paces, wanted = list(paces), {group.settings_id for group in groups}
    evaluations, unknown = {}, set()
    for settings_id, each in settings.items():
        known = [pace.evaluations_per_image(settings_id, 0) for pace in paces]
        evaluations[settings_id] = max([*known, 0]) or each.recipe.max_evaluations
        if not any(known) and each.recipe.ends_early and settings_id in wanted:
            unknown.add(settings_id)
    return evaluations, unknown


def _probe(spec: WorkerSpec, candidates: Iterable[tuple[list[Job], int]]) -> Probe:
    if not spec.needs_network:
        return probe_colors(spec, candidates)
    # Here and not above: it brings torch.
    from stylebatch.preview.speed_probe import probe

    return probe(spec, candidates)


class _Clock:
    """How long the workers of a run take for groups of images."""

    def __init__(
        self,
        manifest: Manifest,
        planned: PlannedJobs,
        styles: Mapping[str, Style],
        groups: Sequence[Group],
        evaluations: dict[str, float],
    ) -> None:
        self._manifest, self._planned, self._groups = manifest, planned, groups
        self._evaluations = evaluations
        started = time.monotonic()
        work = Work.of_groups(groups, manifest.all_settings())
        self.specs = worker_specs(manifest, styles, manifest.dataset(), "estimate", work)
        # Which brings torch, as it does in a run, and there in each worker's process as well.
        import_s = time.monotonic() - started
        self._set_up_s = import_s * (1 if manifest.run.executor == "inline" else 2)
        self._kinds = Counter(device_kind(spec.device) for spec in self.specs)
        self._keys = pace_keys(self.specs)
        self._paces: dict[str, tuple[Pace, Pace]] = {}
        self.num_probed, self.trouble = 0, ""

    def take_earlier(self, paces: Mapping[str, Pace]) -> bool:
        """Go by earlier runs if they had all of these settings on all of these devices."""
        wanted = {group.settings_id for group in self._groups}
        for key in self._keys.values():
            known = {row[0] for row in paces[key].to_json() if row[3]} if key in paces else set()
            if not wanted <= known:
                return False
        self._paces = {kind: (paces[key], paces[key]) for kind, key in self._keys.items()}
        return True

    def lacks_weights(self) -> bool:
        """Whether weights would have to be downloaded for a measurement."""
        for pair in self._manifest.pairs:
            weights = pair.settings.network
            if weights and find_download(weights):
                fetch = f"stylebatch weights fetch {weights.arch}/{weights.source}"
                self.trouble = f"its weights are not here: `{fetch}`"
                return True
        return False

    def rehearse(self, unknown: Collection[str]) -> set[str]:
        """Try when images of some settings end; return those of which it is not known yet."""
        # Here and not above: it brings torch.
        from stylebatch.preview.speed_probe import rehearse

        jobs = [
            job
            for job in self._planned.spread(MOST_REHEARSED * len(self._evaluations))
            if job.settings_id in unknown and job.width
        ]
        of_each: dict[str, list[Job]] = {}
        for job in jobs:
            of_each.setdefault(job.settings_id, []).append(job)
        chosen = [job for same in of_each.values() for job in same[:MOST_REHEARSED]]
        found = rehearse(self.specs[0], chosen)
        means = {key: mean for key, each in found.items() if (mean := each.mean())}
        self._evaluations.update(means)
        return set(unknown) - means.keys()

    def probe(self) -> None:
        """Measure."""
        for kind in self._kinds:
            spec = next(spec for spec in self.specs if device_kind(spec.device) == kind)
            found = _probe(spec, self._candidates())
            if not found.shapes:
                self.trouble = found.trouble
                return
            self._take(kind, spec, found)

    def _candidates(self) -> Iterator[tuple[list[Job], int]]:
        for group, jobs in candidates(self._planned, self._groups):
            yield jobs, -(-group.num_jobs // len(self.specs))

    def _take(self, kind: str, spec: WorkerSpec, found: "Probe") -> None:
        fast, slow = Pace(), Pace()
        for each in found.shapes:
            evaluations = self._evaluations[each.shape.settings_id]
            # Files are read and written on the same cores, at best on all of them at once.
            file_s = each.file_s / evaluations if kind == "cpu" else 0.0
            fast.add(each.shape, 1, each.fast_s + file_s / (spec.threads or 1))
            slow.add(each.shape, 1, each.slow_s + file_s)
        self._paces[kind] = (fast, slow)
        self._set_up_s += found.ready_s
        self.num_probed = max(self.num_probed, len(found.shapes))

    def seconds(self) -> tuple[float, float] | None:
        """Return the time that it takes, (low, high); None if nothing was measured."""
        if not self._paces:
            return None
        fast, slow = (
            self._together({kind: pair[index] for kind, pair in self._paces.items()})
            for index in (0, 1)
        )
        return fast + self._set_up_s, slow + self._set_up_s

    def _together(self, paces: Mapping[str, Pace]) -> float:
        """Return the seconds of all workers together, of which none has less than an image."""
        alone = {
            kind: pace.seconds_of(self._groups, self._evaluations) or 0.0
            for kind, pace in paces.items()
        }
        if not all(alone.values()):
            return 0.0
        images = sum(group.num_jobs for group in self._groups)
        busy = min(1.0, images / len(self.specs))
        return 1 / sum(busy * number / alone[kind] for kind, number in self._kinds.items())
