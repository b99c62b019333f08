"""Stylised versions of the training photographs: by stylebatch's recipes, and by others' means.

All take the same photographs and styles, by one table of who gets which; each is made in a process
of its own, whose CPU time is taken, start and end included.
"""

import csv
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from PIL import Image

from benchmarks.augmentation.parts import Pixels, read_images
from stylebatch.output.acceptance import SCORES

CONTENT = "content"
PAIRS = "pairs.csv"
# As stylebatch reads it: styles by name.
MAP = "map.csv"


class Work(NamedTuple):
    """Where sets are made, and of what.

    Attributes:
        folder: of the sets and of what they are made from.
        styles: image files.
        pairs: (photograph below `content/`, style) of every result, version by version.
        copies: versions of each photograph.
    """

    folder: Path
    styles: tuple[Path, ...]
    pairs: tuple[tuple[str, Path], ...]
    copies: int
    edge: int


def _write(path: Path, pairs: Sequence[tuple[str, str | Path]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("content", "style"), *pairs])


class Made(NamedTuple):
    """A set: uint8 (copies, N, edge, edge, 3), and the CPU seconds that it took."""

    images: Pixels
    cpu_s: float


def prepare(
    folder: Path, data: Path, paths: Sequence[str], styles: Sequence[Path], copies: int, edge: int
) -> Work:
    """Link the photographs into a folder of classes, and draw each one's styles.

    Styles are dealt like cards: every one as often as any other, by turns within a class.
    """
    pairs = []
    for version in range(copies):
        for index, path in enumerate(paths):
            _, label, name = path.split("/")
            link = folder / CONTENT / label / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to((data / path).resolve())
            # Distinct for a photograph; in another order in each round through the styles.
            start = index + version + index // len(styles)
            pairs.append((f"{label}/{name}", styles[start % len(styles)].resolve()))
    _write(folder / PAIRS, pairs)
    _write(folder / MAP, [(content, style.stem) for content, style in pairs])
    return Work(folder, tuple(styles), tuple(pairs), copies, edge)


def by_stylebatch(work: Work, name: str, pair: Mapping[str, Any], arch: str = "slim") -> Made:
    """Make a set by `stylebatch run`, at the size of training.

    Args:
        pair: fields of the manifest's pair: recipe, strength, override and others.
    """
    out = work.folder / name
    manifest = {
        "version": 1,
        "output": str(out),
        "extractor": {"arch": arch},
        "pairs": [
            {
                **{"name": "set", "content": CONTENT, "size_px": work.edge, "output_size": "work"},
                **{"styles": [str(path.resolve()) for path in work.styles], "assign": {"map": MAP}},
                **pair,
            }
        ],
        "run": {"devices": ["cpu"], "cpu_workers": 1},
    }
    path = work.folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(manifest, sort_keys=False), encoding="utf-8")
    seconds = _run([sys.executable, "-m", "stylebatch", "run", str(path), "--quiet"], out)
    rows = rows_of(work, name)
    return Made(_versions(work, [out / str(row["file_name"]) for row in rows]), seconds)


def rows_of(work: Work, name: str) -> list[dict[str, Any]]:
    """Return the metadata of a set's images, in the order of `work.pairs`."""
    found = {}
    for line in (work.folder / name / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found[str(row["content"]).removeprefix(f"{CONTENT}/"), Path(row["style"]).stem] = row
    return [found[content, style.stem] for content, style in work.pairs]


def median_scores(work: Work, name: str) -> dict[str, float]:
    """Return what a set's images are worth by `docs/quality.md`; {} of others' sets."""
    if not (work.folder / name / "metadata.jsonl").exists():
        return {}
    rows = rows_of(work, name)
    found = {score: [row[score] for row in rows if row[score] is not None] for score in SCORES}
    return {score: float(np.median(values)) for score, values in found.items() if values}


def without_worst(work: Work, name: str, made: Made, photographs: Pixels, share: float) -> Made:
    """Put the photographs in the place of the images that closed least of the style distance.

    Args:
        name: of a set that stylebatch made.
        photographs: (N, edge, edge, 3).
        share: of the images, that go.
    """
    closed = np.array([row["closed"] for row in rows_of(work, name)], dtype=float)
    is_worst = np.argsort(np.argsort(closed)) < round(share * len(closed))
    is_worst = is_worst.reshape(work.copies, -1)[..., None, None, None]
    return made._replace(images=np.where(is_worst, photographs[None], made.images))


def by_module(work: Work, name: str) -> Made:
    """Make a set by a module beside this one, which is called with a table and a folder."""
    out = work.folder / name
    out.mkdir(exist_ok=True)
    module = f"benchmarks.augmentation.{name}"
    seconds = _run([sys.executable, "-m", module, str(work.folder / PAIRS), str(out)], out)
    paths = [out / f"{index}.png" for index in range(len(work.pairs))]
    return Made(_versions(work, paths), seconds)


def _run(command: list[str], out: Path) -> float:
    """Run a command once; return its CPU seconds, of an earlier time where it has been run."""
    note = out.with_suffix(".seconds")
    if note.exists():
        return float(note.read_text())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    note.write_text(str(seconds))
    return seconds


def _versions(work: Work, paths: Sequence[Path]) -> Pixels:
    images = read_images(list(paths), work.edge)
    return images.reshape(work.copies, -1, *images.shape[1:])


def read_map(path: Path) -> list[tuple[Path, Path]]:
    """Return (photograph, style) of each line of a table."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [(path.parent / CONTENT / row["content"], Path(row["style"])) for row in rows]


def save(out: Path, index: int, image: np.ndarray | Image.Image) -> None:
    """Write the image of a table's line."""
    whole = image if isinstance(image, Image.Image) else Image.fromarray(image)
    whole.save(out / f"{index}.png", compress_level=1)
