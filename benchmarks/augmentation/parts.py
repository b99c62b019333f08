"""Which images train, which test, and which are for tuning: pinned in a file."""

import json
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PINNED = Path(__file__).with_name("pacs.json")
SOURCE = "photo"
# Images of a class: of the photographs, and of every other domain.
COUNTS = {
    "report": {"train": 70, "test": 40, "domains": 80},
    "development": {"train": 50, "test": 22, "domains": 40},
}

Pixels = NDArray[np.uint8]


class Labelled(NamedTuple):
    """Images and their classes.

    Attributes:
        images: uint8 (N, edge, edge, 3).
        labels: int64 (N,).
    """

    images: Pixels
    labels: NDArray[np.int64]


class Part(NamedTuple):
    """A part of the data: what trains, and what it is tested on.

    Attributes:
        paths: of the photographs that train, below the data's folder, in the order of `train`.
        domains: the tests of other domains, by name.
    """

    classes: tuple[str, ...]
    paths: tuple[str, ...]
    train: Labelled
    test: Labelled
    domains: dict[str, Labelled]


def draw(data: Path) -> dict[str, dict[str, list[str]]]:
    """Part a folder of domains × classes: no image is in two parts.

    Returns:
        Of "report" and "development" each the paths of "train", "test" (photographs) and of every
        other domain.
    """
    drawn: dict[str, dict[str, list[str]]] = {part: {} for part in COUNTS}
    for folder in sorted(path for path in data.glob("*/*") if path.is_dir()):
        domain = folder.parent.name
        names = sorted(path.relative_to(data).as_posix() for path in folder.iterdir())
        Random(f"{domain}/{folder.name}").shuffle(names)
        roles = ("train", "test") if domain == SOURCE else ("domains",)
        wanted = [(part, role) for part in COUNTS for role in roles]
        total = sum(COUNTS[part][role] for part, role in wanted)
        rest = iter(names)
        for part, role in wanted:
            share = COUNTS[part][role] * min(total, len(names)) // total
            key = role if domain == SOURCE else domain
            drawn[part].setdefault(key, []).extend(islice(rest, share))
    return drawn


def split_of(data: Path, file: Path | None = None) -> dict[str, dict[str, list[str]]]:
    """Return a file's split; without one the pinned one if it is of this data, else a new one."""
    pinned: dict[str, dict[str, list[str]]] = json.loads((file or PINNED).read_text("utf-8"))
    first = next(iter(pinned["report"].values()))[0]
    return pinned if file or (data / first).exists() else draw(data)


def load(data: Path, paths: Mapping[str, list[str]], edge: int) -> Part:
    """Read a part of a split, all images at `edge` × `edge` pixels."""
    classes = tuple(sorted({path.split("/")[1] for path in paths["train"]}))
    read = {role: _read(data, names, classes, edge) for role, names in paths.items()}
    train, test = read.pop("train"), read.pop("test")
    return Part(classes, tuple(paths["train"]), train, test, read)


def _read(data: Path, names: list[str], classes: tuple[str, ...], edge: int) -> Labelled:
    labels = [classes.index(name.split("/")[1]) for name in names]
    return Labelled(read_images([data / name for name in names], edge), np.array(labels))


def read_images(paths: list[Path], edge: int) -> Pixels:
    """Read images at `edge` × `edge` pixels, uint8 (N, edge, edge, 3)."""
    return np.stack([_square(Image.open(path), edge) for path in paths])


def _square(image: Image.Image, edge: int) -> Pixels:
    resized = image.convert("RGB").resize((edge, edge), Image.Resampling.LANCZOS)
    return np.asarray(resized, dtype=np.uint8)
