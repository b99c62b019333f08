"""Images a CPU minute of whole runs of a folder, and what a run costs before its first image.

    python -m benchmarks.speed.folder --shared ../shared
    python -m benchmarks.speed.folder --quick               # a smoke test

`stylebatch run` as a process of its own, with its worker: CPU seconds of both, from the start of
the interpreter to the last record. `augment` as it ships, on `slim`, of squares that are cut from
photographs, six paintings by turns, their targets computed anew. Start-up is a run of one image;
the rate is that of all others, and `whole` counts everything. Peers on the same work:
`benchmarks.peers`.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image

from benchmarks.setting.inputs import (
    STYLES,
    WEIGHTS,
    add_shared_option,
    check_shared,
    photograph_paths,
    read_pixels,
)
from benchmarks.setting.machine import describe_machine
from stylebatch.device.choice import choose_precision
from stylebatch.pictures.sizes import resize

HEAD = "{:>5} {:>8} {:>14} {:>16} {:>16} {:>14}"


class Work(NamedTuple):
    """What a folder is made to, on which cores; `cpu_workers` as a manifest has it."""

    recipe: str
    arch: str
    size: int
    cores: list[int]
    cpu_workers: int | str


class Taken(NamedTuple):
    """What a run took: CPU seconds of all its processes, and seconds by the clock."""

    cpu_s: float
    wall_s: float


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_shared_option(parser)
    parser.add_argument("--size", type=int, nargs="+", default=[64, 96, 128, 192])
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--recipe", default="augment")
    parser.add_argument("--threads", type=int, default=1, help="cores that a run may use")
    parser.add_argument("--quick", action="store_true", help="few images of 32 px, once")
    options = parser.parse_args()
    shared = check_shared(options.shared)
    if options.quick:
        options.size, options.images, options.repeats = [32], 4, 1
    torch.set_num_threads(options.threads)
    print(describe_machine(choose_precision("auto", "cpu")))
    print(HEAD.format("px", "images", "start-up CPU s", "CPU s an image", "a CPU minute", "whole"))
    for size in options.size:
        with tempfile.TemporaryDirectory() as folder:
            print_size(shared, Path(folder), size, options)


def print_size(shared: Path, folder: Path, size: int, options: argparse.Namespace) -> None:
    """Run one image, and all, by turns; print medians."""
    write_squares(shared, folder / "one", size, 1)
    write_squares(shared, folder / "all", size, options.images)
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    work = Work(options.recipe, "slim", size, cores, 1)
    taken: dict[str, list[float]] = {"one": [], "all": []}
    for number in range(options.repeats):
        for content, found in taken.items():
            found.append(run_folder(shared, folder, content, f"{content}-{number}", work).cpu_s)
    startup, whole = (statistics.median(found) for found in taken.values())
    each = (whole - startup) / (options.images - 1)
    rates = f"{60 / each:.0f}", f"{60 * options.images / whole:.0f}"
    print(HEAD.format(size, options.images, f"{startup:.1f}", f"{each:.3f}", *rates), flush=True)


def write_squares(shared: Path, folder: Path, size: int, count: int) -> None:
    """Write squares that are cut from photographs, as JPEG."""
    paths = photograph_paths(shared, count)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = read_pixels(paths[number % len(paths)])
        height, width = pixels.shape[:2]
        scale = size * 1.25 / min(height, width)
        pixels = resize(pixels, round(width * scale), round(height * scale))
        top, left = (random.integers(0, edge - size + 1) for edge in pixels.shape[:2])
        where = folder / f"{number % 10}/{number:05}.jpg"
        where.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[top : top + size, left : left + size]).save(where, quality=95)


def run_folder(shared: Path, folder: Path, content: str, name: str, work: Work) -> Taken:
    """Run `stylebatch` on a folder of squares, to its end, each with one of all the paintings.

    Args:
        folder: has the folder `content`, and gets `out-NAME` and a cache of its own.
    """
    styles = sorted(str(path) for path in (shared / STYLES).iterdir())
    weights = "shipped" if work.arch == "slim" else str(shared / WEIGHTS)
    pair = {
        "name": "all",
        "content": content,
        "styles": styles,
        "assign": {"sample": 1},
        "recipe": work.recipe,
        "size_px": work.size,
    }
    run = {"executor": "local", "devices": ["cpu"], "cpu_workers": work.cpu_workers}
    manifest = {
        "version": 1,
        "output": f"out-{name}",
        "extractor": {"arch": work.arch, "weights": weights},
        "pairs": [pair],
        "run": {**run, "cache": f"cache-{name}"},
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(manifest), encoding="utf-8")
    before, began = _children_s(), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "stylebatch", "run", "--quiet", str(path)],
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, work.cores),
    )
    return Taken(_children_s() - before, time.monotonic() - began)


def _children_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
