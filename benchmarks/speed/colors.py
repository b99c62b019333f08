"""Colour transfer: images a CPU second by method and size.

    python -m benchmarks.speed.colors
    python -m benchmarks.speed.colors --sizes 96 --images 2000

`transfer` is the formula alone, pixels in, pixels out, the style's statistics at hand; `files` with
a photograph's JPEG decoded and the result encoded as PNG: both in one thread. `run` is a whole
`stylebatch run` with one style, from its start to its last record: plan, processes, disk; `clock`
the same in images a second by the clock. CPU seconds are user and system time: other work on the
machine changes them less.
"""

import argparse
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml
from PIL import Image

from benchmarks.setting.inputs import random_square
from benchmarks.setting.machine import cpu_model
from stylebatch.pictures.color_transfer import color_statistics, transfer_colors
from stylebatch.pictures.images import Pixels, decode, encode_png
from stylebatch.system.cores import usable_cores

METHODS = ("mean_std", "covariance", "histogram")
DIFFERENT = 16
LEAST_S = 1.0
T = TypeVar("T")
ROW = "{:<12}{:>6}{:>12}{:>12}{:>12}{:>12}"


def main() -> None:
    """Print a table of images a second."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 192, 512])
    parser.add_argument("--images", type=int, default=1000, help="of a run, 0: none")
    options = parser.parse_args()
    print(f"{cpu_model()}, {usable_cores()} usable cores; images a CPU second")
    print(ROW.format("method", "px", "transfer", "files", "run", "clock"))
    style = random_square(99, 512)
    for edge in options.sizes:
        photos = [random_square(number, edge) for number in range(DIFFERENT)]
        for method in METHODS:
            known = [(color_statistics(style, method), 1.0)]
            transfer = partial(transfer_colors, styles=known, method=method, strength=0.8)
            alone = per_second(transfer, photos)
            files = per_second(partial(through_files, transfer), list(map(as_jpeg, photos)))
            whole = run_per_second(photos, style, method, options.images)
            print(ROW.format(method, edge, f"{alone:,.0f}", f"{files:,.0f}", *whole))


def through_files(transfer: Callable[[Pixels], Pixels], data: bytes) -> bytes:
    """Return the file that a photograph's file becomes."""
    return encode_png(transfer(decode(data, "photo").rgb), None)


def per_second(act: Callable[[T], object], inputs: list[T]) -> float:
    """Return how often in a CPU second an act is done, by turns on inputs."""
    act(inputs[0])
    began, count = time.process_time(), 0
    while time.process_time() - began < LEAST_S:
        for each in inputs:
            act(each)
        count += len(inputs)
    return count / (time.process_time() - began)


def as_jpeg(pixels: Pixels) -> bytes:
    """Encode as a photograph usually is."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def run_per_second(
    photos: list[Pixels], style: Pixels, method: str, images: int
) -> tuple[str, str]:
    """Return images a CPU second, and by the clock, of a run that makes so many."""
    if not images:
        return "-", "-"
    with tempfile.TemporaryDirectory(prefix="stylebatch-colors-") as folder:
        root = Path(folder)
        (root / "photos").mkdir()
        for number in range(images):
            data = as_jpeg(photos[number % len(photos)])
            (root / f"photos/{number:06}.jpg").write_bytes(data)
        Image.fromarray(style).save(root / "style.png")
        pair: dict[str, Any] = {"name": "colours", "content": "photos", "styles": ["style.png"]}
        pair |= {"recipe": "color-transfer", "override": {"color_transfer": method}}
        document = {"version": 1, "output": "out", "pairs": [pair], "run": {"losses": "none"}}
        path = root / "pipeline.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        began, before = time.perf_counter(), children_s()
        command = [sys.executable, "-m", "stylebatch", "run", str(path), "--quiet"]
        subprocess.run(command, check=True)
        clock_s, cpu_s = time.perf_counter() - began, children_s() - before
        return f"{images / cpu_s:,.0f}", f"{images / clock_s:,.0f}"


def children_s() -> float:
    """Return the CPU seconds of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
