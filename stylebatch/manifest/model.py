"""A manifest that was read and checked: what the plan works from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stylebatch.recipes import Settings


@dataclass(frozen=True, slots=True)
class StyleSource:
    """A style entry before its files are hashed.

    Attributes:
        key: the image's path relative to the manifest, or `blend:NAME`; unique in a manifest.
        name: the file's stem, or the blend's name; not yet fit for a file name.
        images: paths (POSIX, from the manifest's folder or absolute), with weights that sum to 1.
    """

    key: str
    name: str
    images: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Assign:
    """Which styles each image gets: all, `count` drawn ones, or those of a CSV `table`."""

    kind: Literal["all", "sample", "map"] = "all"
    count: int = 0
    table: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """A content folder and the styles that it gets, with everything resolved.

    Attributes:
        content: folder (POSIX, from the manifest's folder or absolute).
        strength: low and high; equal where nothing is drawn.
        into: folder under images/ (POSIX), "" for images/ itself.
        line: of the manifest, for messages.
    """

    name: str
    content: str
    styles: tuple[StyleSource, ...]
    assign: Assign
    strength: tuple[float, float]
    variants: int
    into: str
    settings: Settings
    line: int


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How and where it runs.

    Attributes:
        devices: `auto`, or names such as `cuda:0`, `mps`, `cpu`.
        cache: folder for style targets, None for the usual one.
    """

    executor: str = "local"
    devices: Literal["auto"] | tuple[str, ...] = "auto"
    cpu_workers: Literal["auto"] | int = "auto"
    precision: str = "auto"
    deadline_s: float | None = None
    cache: Path | None = None
    report: bool = False
    max_deaths: int = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest: every path in it was looked up from `root`, the folder that it stands in."""

    path: Path
    root: Path
    output: Path
    seed: int
    pairs: tuple[Pair, ...]
    run: RunOptions
