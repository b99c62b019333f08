"""Whole projects of photographs, and the times of their runs."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.setting.inputs import STYLE, STYLES, WEIGHTS, photograph_paths
from stylebatch.ledger import PairCounts
from stylebatch.plan import PlanSummary
from stylebatch.records import Event, JobDone, WorkerJoined
from stylebatch.run import Tally


def make_project(
    folder: Path,
    shared: Path,
    num_images: int,
    *,
    styles: Sequence[str] = (STYLE,),
    size_px: int = 128,
    steps: int = 50,
    override: Mapping[str, Any] | None = None,
    **options: Any,
) -> Path:
    """Make a project of linked photographs, each with one of the styles; return its manifest.

    Args:
        override: of the recipe, next to a tolerance of 0: every image takes all its steps.
        options: of `run:`.
    """
    for path in photograph_paths(shared, num_images):
        link = folder / "photos" / path.parent.name / path.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)
    pair = {
        "name": "photographs",
        "content": "photos",
        "styles": [str(shared / STYLES / f"{style}.jpg") for style in styles],
        "assign": {"sample": 1},
        "size_px": size_px,
        "steps": steps,
        "override": {"tolerance": 0, **(override or {})},
    }
    manifest = {
        "version": 1,
        "output": "out",
        "extractor": {"arch": "vgg19", "weights": str(shared / WEIGHTS)},
        "pairs": [pair],
        "run": {"cache": "cache", **options},
    }
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(manifest))
    return path


class RunClock:
    """A run's watcher that notes when its first worker was there and when its last image was."""

    def __init__(self) -> None:
        self.planned_s = self.last_done_s = time.perf_counter()
        self.joined_s: float | None = None

    def doing(self, text: str) -> None:
        pass

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        self.planned_s = time.perf_counter()

    def event(self, event: Event) -> None:
        if isinstance(event, WorkerJoined):
            self.joined_s = self.joined_s or time.perf_counter()
        elif isinstance(event, JobDone):
            self.last_done_s = time.perf_counter()

    def tick(self, tally: Tally) -> None:
        pass
