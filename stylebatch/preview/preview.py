"""A preview: a few jobs of a plan, made into a folder of their own, and one sheet of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from stylebatch.device.style_images import StyleImages
from stylebatch.errors import UserError
from stylebatch.ledger import Ledger
from stylebatch.manifest import Manifest, SweepPoint, base_name
from stylebatch.output.layout import Dataset
from stylebatch.output.lock import OutputLock
from stylebatch.pictures.contact_sheet import Cell, check_sheet_path, contact_sheet
from stylebatch.pictures.images import decode
from stylebatch.records import Event, Group, Job, JobDone, JobFailed, Shape, Style
from stylebatch.run import (
    Limits,
    Loop,
    Scheduler,
    StopRequest,
    Watcher,
    Work,
    make_executor,
    make_plan,
    new_run_id,
    prepare_all_weights,
    worker_specs,
)
from stylebatch.system import inputs
from stylebatch.system.files import write_atomic

CELL_PX = 320
NUM_CANDIDATES = 5000


class PreviewError(UserError):
    """A sheet that can't be where it is asked for."""


def preview(
    manifest: Manifest, count: int, sheet: Path, watcher: Watcher, stop: StopRequest
) -> tuple[int, list[tuple[str, str]]]:
    """Make `count` images spread over pairs, styles and shapes, and one contact sheet of them.

    The output is not touched and nothing is recorded as done.

    Returns:
        how many were made, and (output, reason) of those that failed.

    Raises:
        UserError: as in `pipeline.run`, and a sheet that would be inside the data set.
    """
    check_sheet_path(sheet)
    if manifest.output.resolve() in sheet.resolve().parents:
        todo = "choose a place beside it"
        raise PreviewError(str(sheet), "the sheet is inside the data set", "", todo)
    with Ledger.open(manifest.dataset().ledger, read_only=True) as ledger:
        planned, summary, styles = make_plan(manifest, ledger, redo=True)
        points = {pair.name: pair.point for pair in manifest.pairs if pair.point}
        jobs = choose(planned.spread(NUM_CANDIDATES), count, points)
        watcher.planned(planned.counts, summary, 0)
    if not jobs:
        return 0, []
    prepare_all_weights(manifest, watcher.event)
    with tempfile.TemporaryDirectory(prefix="stylebatch-preview-") as folder:
        dataset = Dataset(Path(folder))
        failures = _make(manifest, jobs, styles, dataset, watcher, stop)
        made = [job for job in jobs if dataset.image_path(job.output).exists()]
        if made:
            rows = [
                _row(manifest, row, styles[row[0].style], dataset, points)
                for row in sheet_rows(made, points)
            ]
            headings = ("content", "style", "result")
            write_atomic(sheet, contact_sheet(rows, headings, CELL_PX, sheet.suffix))
    return len(made), failures


def choose(
    candidates: Iterable[Job], count: int, points: Mapping[str, SweepPoint] | None = None
) -> list[Job]:
    """Take, again and again, a job whose pair, style, shape and content were taken least.

    Args:
        points: of sweeps by the pair's name: a job brings those of all its sweep's points along.

    Returns:
        the jobs by pair, content and style; of each sweep in the order of its points.
    """
    order = {name: number for number, name in enumerate(points or {})}
    uses: Counter[tuple[object, ...]] = Counter()
    chosen: list[Job] = []
    left = _together(candidates, order)
    while left and len(chosen) < count:
        jobs = min(left, key=lambda jobs: sum(uses[trait] for trait in _traits(jobs[0])))
        left.remove(jobs)
        uses.update(_traits(jobs[0]))
        chosen += jobs[: count - len(chosen)]
    return sorted(chosen, key=lambda job: (*_source(job), order.get(job.pair, 0)))


def _together(candidates: Iterable[Job], order: Mapping[str, int]) -> list[list[Job]]:
    """Put the jobs of a sweep together that differ only by their point, in its order."""
    jobs: dict[tuple[object, ...], list[Job]] = {}
    for job in candidates:
        jobs.setdefault(_source(job), []).append(job)
    return [sorted(group, key=lambda job: order.get(job.pair, 0)) for group in jobs.values()]


def _source(job: Job) -> tuple[str, str, str, int]:
    """What a job's points share."""
    return (base_name(job.pair), job.content, job.style, job.variant)


def _traits(job: Job) -> tuple[tuple[object, ...], ...]:
    pair, shape = base_name(job.pair), (job.width, job.height)
    return (("pair", pair), ("style", job.style), ("shape", *shape), ("file", job.content))


def sheet_rows(jobs: Iterable[Job], points: Mapping[str, SweepPoint]) -> list[list[Job]]:
    """Put jobs into rows: each in its own, but in one the points of a sweep's entry."""
    rows: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        entry = points[job.pair].entry if job.pair in points else None
        rows.setdefault((*_source(job), entry), []).append(job)
    return list(rows.values())


def _make(
    manifest: Manifest,
    jobs: list[Job],
    styles: dict[str, Style],
    dataset: Dataset,
    watcher: Watcher,
    stop: StopRequest,
) -> list[tuple[str, str]]:
    run_id = new_run_id()
    dataset.make_folders()
    book = _NoBook(watcher)
    with OutputLock(dataset, run_id):
        work = Work(len(jobs), max((job.width * job.height for job in jobs), default=0))
        specs = worker_specs(manifest, styles, dataset, run_id, work)
        # What is not worth enough is to be seen as well.
        specs = [replace(spec, acceptances={}) for spec in specs]
        executor = make_executor(manifest, specs)
        limits = Limits(most_evaluations=manifest.most_evaluations())
        Loop(executor, Scheduler(_Few(jobs)), book, book, stop=stop, limits=limits).run()
    return book.failures


def _row(
    manifest: Manifest,
    jobs: list[Job],
    style: Style,
    dataset: Dataset,
    points: Mapping[str, SweepPoint],
) -> list[Cell]:
    """Content, style (of a blend the first image) and result, or the result of each point."""
    content, swept = jobs[0].content, points.get(jobs[0].pair)
    shown = StyleImages(manifest.root, manifest.cache).read_small(style.images[0])
    results = [(dataset.image_path(job.output), _caption(job, points)) for job in jobs]
    return [
        _cell(inputs.at(manifest.root, content), f"{content}\n{swept.pair if swept else ''}"),
        Cell(shown, f"{style.name}\n"),
        *(_cell(path, caption) for path, caption in results),
    ]


def _cell(place: inputs.Place, caption: str) -> Cell:
    return Cell(decode(inputs.read(place), str(place)).rgb, caption)


def _caption(job: Job, points: Mapping[str, SweepPoint]) -> str:
    name = points[job.pair].label if job.pair in points else job.pair
    return f"{name}\n{job.width} x {job.height} px, strength {job.strength:g}"


class _Few:
    """A handful of jobs as the scheduler wants them."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = {
            group: list(members)
            for group, members in groupby(sorted(jobs, key=_shape_and_style), key=_shape)
        }

    def groups(self) -> list[Group]:
        return [Group(*shape, len(jobs)) for shape, jobs in self._jobs.items()]

    def middles(self) -> dict[Shape, float]:
        return {Shape(*shape): 0.5 for shape in self._jobs}

    def take(self, group: Group, limit: int, taken: int = 0) -> Sequence[Job]:
        return self._jobs[group.shape][taken : taken + limit]


def _shape(job: Job) -> tuple[str, int, int]:
    return (job.settings_id, job.width, job.height)


def _shape_and_style(job: Job) -> tuple[object, ...]:
    return (*_shape(job), job.style, job.output)


class _NoBook:
    """Writes nothing down but what failed, and passes events on."""

    def __init__(self, watcher: Watcher) -> None:
        self.failures: list[tuple[str, str]] = []
        self._watcher = watcher
        self._deaths: dict[str, int] = {}
        self.tick = watcher.tick

    def claim(self, jobs: Iterable[Job]) -> None:
        pass

    def record(self, events: Iterable[JobDone | JobFailed]) -> None:
        pass

    def add_death(self, output: str) -> int:
        self._deaths[output] = self._deaths.get(output, 0) + 1
        return self._deaths[output]

    def event(self, event: Event) -> None:
        if isinstance(event, JobFailed):
            self.failures.append((event.output, event.reason))
        else:
            self._watcher.event(event)
