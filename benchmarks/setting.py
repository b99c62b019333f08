"""The photographs, settings and projects that the benchmarks work on."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import yaml
from machine import PHOTOGRAPHS, STYLES, WEIGHTS

from stylebatch.device.device import Device
from stylebatch.extractors.weights import find_weights, layers_digest
from stylebatch.ledger import PairCounts
from stylebatch.pictures.images import Pixels, decode, resize
from stylebatch.plan import PlanSummary
from stylebatch.recipes import Settings, recipe_fields, recipe_on
from stylebatch.records import Event, JobDone, Style, StyleImage, WorkerJoined
from stylebatch.run import Tally
from stylebatch.system.files import digest_file, list_folders
from stylebatch.transfer.engine import Engine
from stylebatch.transfer.problem import Problem

STYLE = "hokusai_wave"


def settings_of(shared: Path, **changes: Any) -> Settings:
    """Return `balanced` with other fields, on the real weights."""
    recipe = recipe_on("vgg19", {**recipe_fields("balanced"), **changes})
    weights = find_weights("vgg19", str(shared / WEIGHTS), shared)
    digest = layers_digest(weights, recipe.layers)
    return Settings("benchmark", recipe, weights, digest, "auto")


def style_of(shared: Path, name: str) -> Style:
    """Return a style entry of one image."""
    path = shared / STYLES / f"{name}.jpg"
    digest = digest_file(path)
    return Style(str(path), name, (StyleImage(str(path), 1.0, digest),), digest)


def photograph_paths(shared: Path, count: int) -> list[Path]:
    """Return photographs by turns from every class, each class by name."""
    folder = shared / PHOTOGRAPHS
    classes = [sorted((folder / name).iterdir()) for name in sorted(list_folders(folder))]
    by_turns = (path for row in zip_longest(*classes) for path in row if path is not None)
    return list(islice(by_turns, count))


def square(path: Path, edge: int) -> Pixels:
    """Read an image, scale its shortest edge to `edge` pixels and crop the centre."""
    rgb = decode(path.read_bytes(), str(path)).rgb
    height, width = rgb.shape[:2]
    scale = edge / min(height, width)
    width, height = max(edge, round(width * scale)), max(edge, round(height * scale))
    left, top = (width - edge) // 2, (height - edge) // 2
    return resize(rgb, width, height)[top : top + edge, left : left + edge]


def problems_of(
    device: Device, settings: Settings, engine: Engine, images: Sequence[Pixels], style: Style
) -> list[Problem]:
    """Return a problem for each image, with the style's targets as a worker makes them."""
    return [
        device.problem(
            str(key), settings, engine, pixels=pixels, style=style, strength=1.0, noise_seed=None
        )
        for key, pixels in enumerate(images)
    ]


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


class Clock:
    """A run's watcher that notes when its first worker was there and when its last image was."""

    def __init__(self) -> None:
        self.planned_s = self.last_done_s = time.perf_counter()
        self.joined_s: float | None = None

    def planned(self, counts: Mapping[str, PairCounts], summary: PlanSummary, stale: int) -> None:
        self.planned_s = time.perf_counter()

    def event(self, event: Event) -> None:
        if isinstance(event, WorkerJoined):
            self.joined_s = self.joined_s or time.perf_counter()
        elif isinstance(event, JobDone):
            self.last_done_s = time.perf_counter()

    def tick(self, tally: Tally) -> None:
        pass
