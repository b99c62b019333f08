"""A preview: a few jobs of a plan, made into a folder of their own, and one sheet of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from stylebatch.dataset import Dataset
from stylebatch.errors import UserError
from stylebatch.feed import Feed, StopRequest
from stylebatch.files import read_bytes, write_atomic
from stylebatch.images import decode
from stylebatch.launch import make_executor, prepare_all_weights, worker_specs
from stylebatch.ledger import Ledger
from stylebatch.lock import OutputLock
from stylebatch.manifest import Manifest
from stylebatch.pipeline import Watcher, make_plan, new_run_id
from stylebatch.records import Event, Group, Job, JobDone, JobFailed, Style
from stylebatch.scheduler import Scheduler
from stylebatch.sheets import Cell, contact_sheet

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
    if manifest.output.resolve() in sheet.resolve().parents:
        todo = "choose a place beside it"
        raise PreviewError(str(sheet), "the sheet is inside the data set", "", todo)
    with Ledger.open(Dataset(manifest.output).ledger, read_only=True) as ledger:
        planned, summary, styles = make_plan(manifest, ledger, redo=True)
        jobs = choose(planned.spread(NUM_CANDIDATES), count)
        watcher.planned(planned.counts, summary, 0)
    if not jobs:
        return 0, []
    prepare_all_weights(manifest, watcher)
    with tempfile.TemporaryDirectory(prefix="stylebatch-preview-") as folder:
        dataset = Dataset(Path(folder))
        failures = _make(manifest, jobs, styles, dataset, watcher, stop)
        made = [job for job in jobs if dataset.image_path(job.output).exists()]
        if made:
            cells = [_row(manifest, job, styles[job.style], dataset) for job in made]
            headings = ("content", "style", "result")
            write_atomic(sheet, contact_sheet(cells, headings, CELL_PX))
    return len(made), failures


def choose(candidates: Iterable[Job], count: int) -> list[Job]:
    """Take, again and again, a job whose pair, style, shape and content were taken least."""
    uses: Counter[tuple[object, ...]] = Counter()
    chosen: list[Job] = []
    left = list(candidates)
    while left and len(chosen) < count:
        job = min(left, key=lambda job: sum(uses[trait] for trait in _traits(job)))
        left.remove(job)
        uses.update(_traits(job))
        chosen.append(job)
    return sorted(chosen, key=lambda job: (job.pair, job.content, job.style, job.variant))


def _traits(job: Job) -> tuple[tuple[object, ...], ...]:
    shape = (job.width, job.height)
    return (("pair", job.pair), ("style", job.style), ("shape", *shape), ("file", job.content))


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
        specs = worker_specs(manifest, styles, dataset.root, run_id)
        executor = make_executor(manifest, specs)
        Feed(executor, Scheduler(_Few(jobs)), book, book, stop=stop).run()
    return book.failures


def _row(manifest: Manifest, job: Job, style: Style, dataset: Dataset) -> list[Cell]:
    """Content, style (of a blend the first image) and result."""
    first = style.images[0].path
    paths = [manifest.root / job.content, manifest.root / first, dataset.image_path(job.output)]
    pictures = [decode(read_bytes(path), str(path)).rgb for path in paths]
    result = f"{job.pair}\n{job.width} x {job.height} px, strength {job.strength:g}"
    captions = [f"{job.content}\n", f"{style.name}\n", result]
    return [Cell(rgb, caption) for rgb, caption in zip(pictures, captions, strict=True)]


class _Few:
    """A handful of jobs as the scheduler wants them."""

    def __init__(self, jobs: list[Job]) -> None:
        self._jobs = {
            group: list(members)
            for group, members in groupby(sorted(jobs, key=_shape_and_style), key=_shape)
        }

    def groups(self) -> list[Group]:
        return [Group(*shape, len(jobs)) for shape, jobs in self._jobs.items()]

    def take(self, group: Group, limit: int, after: Job | None = None) -> Sequence[Job]:
        jobs = self._jobs[group.settings_id, group.width, group.height]
        start = jobs.index(after) + 1 if after else 0
        return jobs[start : start + limit]


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
