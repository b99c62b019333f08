"""Small projects in a temporary folder: photographs, styles and a manifest over them."""

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from support.paths import remove_with_folder

from stylebatch.extractors.weights import find_weights
from stylebatch.ledger import Ledger, PlannedJobs
from stylebatch.manifest import Assign, Manifest, Pair, RunOptions, StyleSource
from stylebatch.output.aside import keep_aside
from stylebatch.output.layout import Dataset
from stylebatch.plan import PlanSummary, plan_jobs, resolve_styles
from stylebatch.recipes import Settings, recipe_fields, recipe_on
from stylebatch.records import Job, JobDone
from stylebatch.run.aside import set_aside, take_back
from stylebatch.run.metadata import write_records
from stylebatch.system.files import write_synced

OUTPUT = b"stands for an image"


def png(number: int = 0, width: int = 48, height: int = 32) -> bytes:
    """Encode a plain picture; another `number` gives other bytes."""
    buffer = io.BytesIO()
    colour = (number % 256, number // 256 % 256, 128)
    Image.new("RGB", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


class Project:
    """A manifest's folder with its output."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dataset = Dataset(root / "out")
        self.run_id = "run"

    def photo(self, path: str, number: int = 0, width: int = 48, height: int = 32) -> None:
        """Write an image below `photos`."""
        write_synced(self.root / "photos" / path, png(number, width, height))

    def remove_photo(self, path: str) -> None:
        """Remove an image below `photos`, and its folder with the last one."""
        remove_with_folder(self.root / "photos" / path)

    def style(self, name: str, number: int = 0) -> StyleSource:
        """Write a style image and return its entry."""
        path = f"styles/{name}"
        write_synced(self.root / path, png(number, 64, 64))
        return StyleSource(path, Path(name).stem, ((path, 1.0),))

    def settings(self, **fields: Any) -> Settings:
        """Return the settings of the balanced recipe with some fields changed."""
        known = {
            name: fields.pop(name) for name in ("layers_digest", "precision") if name in fields
        }
        recipe = recipe_on("vgg19", recipe_fields("balanced") | fields)
        settings = Settings(
            "settings", recipe, find_weights("vgg19", "random", self.root), "digest", "auto"
        )
        return replace(settings, **known)

    def pair(self, styles: Iterable[StyleSource], **fields: Any) -> Pair:
        """Return a pair of `photos` and some styles; `fields` replaces any of its fields."""
        defaults = Pair(
            "all", "photos", tuple(styles), Assign(), (1.0, 1.0), 1, "", self.settings(), 1
        )
        return replace(defaults, **fields)

    def manifest(self, *pairs: Pair, seed: int = 0) -> Manifest:
        """Return a manifest over pairs."""
        path = self.root / "pipeline.yaml"
        # Of so few images one photograph's are more than the usual share.
        options = RunOptions(max_removals="100%")
        return Manifest(path, self.root, self.dataset.root, seed, pairs, options)

    def ledger(self, *, read_only: bool = False) -> Ledger:
        """Open the output's ledger."""
        return Ledger.open(self.dataset.ledger, read_only=read_only)

    def plan(
        self, ledger: Ledger, *pairs: Pair, seed: int = 0, summary: PlanSummary | None = None,
        **options: bool,
    ) -> PlannedJobs:  # fmt: skip
        """Plan pairs against a ledger, as a run does."""
        manifest = self.manifest(*pairs, seed=seed)
        styles = resolve_styles(manifest, ledger)
        planned = ledger.begin_plan(manifest, styles, self.dataset, **options)
        for folder in plan_jobs(manifest, ledger, styles, summary):
            planned.add(folder)
        planned.finish()
        return planned

    def jobs(self, *pairs: Pair, seed: int = 0) -> dict[str, Job]:
        """Return all jobs of pairs by output, whatever was done before; nothing is written."""
        with self.ledger(read_only=True) as ledger:
            return {
                job.output: job for job in waiting(self.plan(ledger, *pairs, seed=seed, redo=True))
            }

    def run(self, *pairs: Pair, seed: int = 0) -> tuple[set[str], set[str]]:
        """Do what a run does but for the images; return which came and which moved aside.

        What comes is made, or taken back.
        """
        self.run_id = f"run{len(list(self.dataset.stale.glob('*')))}"
        with self.ledger() as ledger:
            ledger.begin_run(self.run_id)
            planned = self.plan(ledger, *pairs, seed=seed)
            planned.find_stale()
            jobs = waiting(planned)
            returning = [job for block in planned.returning() for job, _ in block]
            take_back(self.dataset, ledger, planned, self.run_id)
            ledger.claim(jobs)
            self.finish(ledger, jobs)
            stale = [output for block in planned.stale() for output in block]
            set_aside(self.dataset, ledger, planned.stale(), self.run_id)
            write_records(self.dataset, ledger)
        came = jobs + returning
        replaced = {job.output for job in came if job.is_replacement}
        return {job.output for job in came}, replaced | set(stale)

    def finish(self, ledger: Ledger, jobs: Iterable[Job]) -> None:
        """Put a file where each job's image belongs, and record it."""
        done = []
        for job in jobs:
            if job.is_replacement:
                keep_aside(self.dataset, job.output, self.run_id)
                self.dataset.image_path(job.output).unlink(missing_ok=True)
            write_synced(self.dataset.image_path(job.output), OUTPUT)
            write_synced(self.dataset.log_path(job.output), b"evaluation\n")
            facts = {"evaluations": 3, "status": "converged"}
            done.append(JobDone(0, job.output, job.fingerprint, len(OUTPUT), facts))
        ledger.record(done)


def waiting(planned: PlannedJobs) -> list[Job]:
    """Return all jobs of a plan that are to be done."""
    jobs: list[Job] = []
    for group in planned.groups():
        taken = 0
        while block := planned.take(group, 2, taken):
            jobs += block
            taken += len(block)
    return jobs


def project_of_three(root: Path) -> Project:
    """Make a project of two classes and a photograph outside of them."""
    project = Project(root)
    for number, path in enumerate(["a.png", "cats/b.png", "dogs/c.png"]):
        project.photo(path, number)
    return project
