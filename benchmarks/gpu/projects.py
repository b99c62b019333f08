"""Projects of drawn photographs for whole runs on a device, and what such a run tells."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.setting.inputs import random_square
from benchmarks.setting.projects import RunClock
from stylebatch.manifest import load_manifest
from stylebatch.output.layout import Dataset
from stylebatch.records import Event, JobDone, JobFailed, Notice, Progress, SlotsReduced, WorkerLost
from stylebatch.run import RunRequest, StopRequest, pipeline


@dataclass(frozen=True, slots=True)
class Project:
    """What is made of drawn photographs and styles.

    Attributes:
        photo_px: edge of the photographs, and of what comes out.
        override: of the recipe.
        max_retries: of an image that fails for a reason that may pass, with pauses.
    """

    device: str
    photos: int
    styles: int
    size_px: int
    photo_px: int
    arch: str = "vgg19"
    weights: str = "random"
    recipe: str = "balanced"
    steps: int | None = None
    executor: str = "local"
    precision: str = "auto"
    max_retries: int = 5
    override: Mapping[str, Any] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """How many come out."""
        return self.photos * self.styles

    def write(self, folder: Path) -> Path:
        """Draw it into a folder; return the manifest."""
        for part, count in (("photos/a", self.photos), ("styles", self.styles)):
            (folder / part).mkdir(parents=True)
            for number in range(count):
                drawn = Image.fromarray(random_square(hash_of(part, number), self.photo_px))
                drawn.save(folder / part / f"{number:04}.jpg", quality=90)
        pair: dict[str, Any] = {
            "name": "drawn",
            "content": "photos",
            "styles": ["styles"],
            "recipe": self.recipe,
            "size_px": self.size_px,
            "override": dict(self.override),
        }
        if self.steps is not None:
            pair["steps"] = self.steps
        manifest = {
            "version": 1,
            "output": "out",
            "extractor": {"arch": self.arch, "weights": self.weights},
            "pairs": [pair],
            "run": {
                "cache": "cache",
                "executor": self.executor,
                "devices": [self.device],
                "precision": self.precision,
                "max_retries": self.max_retries,
            },
        }
        path = folder / "pipeline.yaml"
        path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
        return path


def hash_of(part: str, number: int) -> int:
    """Return a seed of its own for each file."""
    return 10_000 * len(part) + number


class Watch(RunClock):
    """Keeps what a run tells; `act` is called once, when its images are in slots."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._act, self._has_acted = act, False
        self.done = 0
        self.lost: list[str] = []
        self.failed: list[str] = []
        self.notices: list[str] = []
        self.reduced: list[int] = []

    def event(self, event: Event) -> None:
        super().event(event)
        if isinstance(event, JobDone):
            self.done += 1
        elif isinstance(event, WorkerLost):
            self.lost.append(event.reason)
        elif isinstance(event, JobFailed):
            self.failed.append(event.reason)
        elif isinstance(event, Notice):
            self.notices.append(event.text)
        elif isinstance(event, SlotsReduced):
            self.reduced.append(event.slots)
        elif isinstance(event, Progress) and event.running and not self._has_acted:
            self._has_acted = True
            self._act()

    @property
    def seconds(self) -> float:
        """From when the first worker was there to when the last image was."""
        return self.last_done_s - (self.joined_s or self.last_done_s)


def run_project(path: Path, watch: Watch, stop: StopRequest | None = None) -> dict[str, Any]:
    """Run a project; return its `run.json`."""
    manifest = load_manifest(path)
    pipeline.run(manifest, RunRequest(), watch, stop or StopRequest())
    told: dict[str, Any] = json.loads(Dataset(manifest.output).summary.read_bytes())
    return told
